//! `get`'s table: rows as users of kubectl know them. Pure.

use crate::columns;
use crate::resource::{age, condition, is_leaving, number, target, text};
use serde_json::Value;
use std::time::Duration;

/// Which columns there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Columns {
    /// The namespace too, first.
    pub(crate) namespace: bool,
    /// How many requests wait, what is scaled, and the whole sentence, last.
    pub(crate) wide: bool,
}

/// A table that grows: later rows stand under the earlier ones.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Columns,
    widths: Vec<usize>,
    has_header: bool,
}

impl Table {
    /// An empty one.
    pub(crate) fn new(columns: Columns) -> Self {
        Self { columns, widths: Vec::new(), has_header: false }
    }

    /// The lines of these APIs; the first time with the header above them. `now` is since the Unix
    /// epoch.
    pub(crate) fn lines(&mut self, apis: &[Value], now: Duration) -> Vec<String> {
        let mut rows: Vec<Vec<String>> = Vec::new();
        if !std::mem::replace(&mut self.has_header, true) {
            rows.push(self.header());
        }
        rows.extend(apis.iter().map(|api| self.row(api, now)));
        self.widths = columns::widths(&self.widths, &rows);
        rows.iter().map(|row| columns::line(row, &self.widths)).collect()
    }

    fn header(&self) -> Vec<String> {
        let mut names = Vec::new();
        names.extend(self.columns.namespace.then_some("NAMESPACE"));
        names.extend(["NAME", "READY", "WANTED", "IN-FLIGHT", "POLICY", "REASON", "AGE"]);
        if self.columns.wide {
            names.extend(["QUEUED", "TARGET", "MESSAGE"]);
        }
        names.into_iter().map(str::to_owned).collect()
    }

    fn row(&self, api: &Value, now: Duration) -> Vec<String> {
        let mut cells = Vec::new();
        if self.columns.namespace {
            cells.push(text(&api["metadata"]["namespace"]));
        }
        let status = &api["status"];
        cells.push(text(&api["metadata"]["name"]));
        cells.extend(["ready", "wanted", "inFlight"].map(|field| number(&status[field])));
        cells.push(text(&api["spec"]["autoscaling"]["policy"]));
        cells.push(reason(api));
        cells.push(age(&api["metadata"]["creationTimestamp"], now));
        if self.columns.wide {
            cells.extend([number(&status["queued"]), target(api), message(status)]);
        }
        cells
    }
}

/// Why it is not scaled, else why there are so many replicas.
fn reason(api: &Value) -> String {
    match condition(api, "Scaling") {
        _ if is_leaving(api) => "deleting".to_owned(),
        Some(scaling) if scaling.status == "False" => scaling.reason.to_owned(),
        _ => text(&api["status"]["reason"]),
    }
}

/// How far a version has taken over, what stands in the way, else why there are so many replicas.
fn message(status: &Value) -> String {
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    let rollout = conditions.clone().find(|condition| condition["type"] == "RolloutProgressing");
    let told = rollout.or_else(|| conditions.find(|condition| condition["status"] == "False"));
    text(told.map_or(&status["message"], |condition| &condition["message"]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn api(name: &str, status: Value) -> Value {
        json!({
            "metadata": {"name": name, "namespace": "models",
                "creationTimestamp": "1970-01-01T00:00:10Z"},
            "spec": {"target": {"name": "digits", "kind": "StatefulSet"},
                "autoscaling": {"policy": "slo"}},
            "status": status,
        })
    }

    #[test]
    fn columns_stand_under_each_other_and_stay_there() {
        let mut table = Table::new(Columns::default());
        let status = json!({"ready": 1, "wanted": 12, "inFlight": 3, "reason": "burst"});
        let lines = table.lines(&[api("digits", status)], Duration::from_secs(15));
        assert_eq!(lines[0], "NAME     READY   WANTED   IN-FLIGHT   POLICY   REASON   AGE");
        assert_eq!(lines[1], "digits   1       12       3           slo      burst    5s");
        let mut gone = api("b", json!({"ready": 1, "reason": "burst"}));
        gone["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:00:12Z");
        let line = table.lines(&[gone], Duration::from_secs(15)).remove(0);
        assert!(line.contains(" deleting ") && !line.contains("burst"), "{line}");
        let stopped = json!({"reason": "burst",
            "conditions": [{"type": "Scaling", "status": "False", "reason": "Paused"}]});
        let line = table.lines(&[api("c", stopped)], Duration::from_secs(15)).remove(0);
        assert!(line.contains(" Paused ") && !line.contains("burst"), "{line}");
        let later = table.lines(&[api("a", json!({}))], Duration::from_secs(15));
        assert_eq!(later, ["a                                     slo                 5s"]);
    }

    #[test]
    fn wide_says_what_is_scaled_and_what_stands_in_the_way() {
        let mut table = Table::new(Columns { namespace: true, wide: true });
        let wrong = json!({"message": "because", "conditions": [
            {"type": "Ready", "status": "True", "message": "all"},
            {"type": "Scaling", "status": "False", "message": "an HPA has it"}]});
        let fine = json!({"message": "because", "queued": 4});
        let rolls = json!({"conditions": [
            {"type": "Scaling", "status": "False", "message": "it is split"},
            {"type": "RolloutProgressing", "status": "True", "message": "step 1 of 2"}]});
        let all = [api("a", wrong), api("b", fine), api("c", rolls)];
        let lines = table.lines(&all, Duration::from_secs(10));
        assert!(lines[0].starts_with("NAMESPACE   NAME   READY"), "{}", lines[0]);
        assert!(lines[0].ends_with("AGE   QUEUED   TARGET               MESSAGE"), "{}", lines[0]);
        assert!(
            lines[1].ends_with("0s             StatefulSet/digits   an HPA has it"),
            "{}",
            lines[1]
        );
        assert!(lines[2].ends_with("0s    4        StatefulSet/digits   because"), "{}", lines[2]);
        assert!(lines[3].ends_with("   step 1 of 2"), "{}", lines[3]);
    }
}
