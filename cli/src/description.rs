//! `describe`'s text: what is asked for, how it goes, and what has happened. Pure.

use crate::backend::{Details, Event, Replica};
use crate::columns::align;
use crate::resource::{age, age_of, number, target, text};
use serde_json::Value;
use std::time::Duration;

/// The latest decisions that are shown.
const MOST_DECISIONS: usize = 10;
/// The latest events that are shown.
const MOST_EVENTS: usize = 20;

/// The lines. `now` is since the Unix epoch.
pub(crate) fn lines(details: &Details, now: Duration) -> Vec<String> {
    let object = &details.object;
    let mut lines = align(&head(object, now));
    lines.push("Conditions:".to_owned());
    lines.extend(block(conditions(object, now)));
    lines.push("Decisions:".to_owned());
    lines.extend(block(decisions(&details.decisions, now)));
    lines.push("Replicas:".to_owned());
    lines.extend(block(replicas(&details.replicas, now)));
    let troubled = details.replicas.iter().filter_map(|replica| {
        let trouble = replica.trouble.as_ref()?;
        Some(format!("  ! {}: {trouble}", replica.name))
    });
    lines.extend(troubled);
    lines.push("Events:".to_owned());
    lines.extend(block(events(&details.events, now)));
    lines.extend(details.unknown.iter().map(|what| format!("Not known: {what}")));
    lines
}

/// A table a little to the right; a word where it has nothing in it.
fn block(rows: Vec<Vec<String>>) -> Vec<String> {
    if rows.len() < 2 {
        return vec!["  none".to_owned()];
    }
    align(&rows).into_iter().map(|line| format!("  {line}")).collect()
}

fn head(object: &Value, now: Duration) -> Vec<Vec<String>> {
    let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
    let scaling = &spec["autoscaling"];
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            rows.push(vec![format!("{name}:"), value]);
        }
    };
    row("Name", text(&metadata["name"]));
    row("Namespace", text(&metadata["namespace"]));
    row("Age", age(&metadata["creationTimestamp"], now));
    row("Target", target(object));
    if spec["paused"] == true {
        row("Paused", "yes: the target is left alone".to_owned());
    }
    row("Limit", limit(&spec["concurrency"]));
    row("Policy", text(&scaling["policy"]));
    row("Replicas", bounds(scaling));
    row("Routes", routes(&spec["routes"]));
    row("Wanted", number(&status["wanted"]));
    row("Ready", number(&status["ready"]));
    row("In flight", number(&status["inFlight"]));
    row("Queued", number(&status["queued"]));
    row("Versions", versions(object));
    let (reason, message) = (text(&status["reason"]), text(&status["message"]));
    row(
        "Reason",
        [reason, message]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(": "),
    );
    rows
}

/// "old 50, new 50": the weights in force, else those of the spec.
fn versions(object: &Value) -> String {
    let told = object["status"]["rollout"]["weights"].as_object();
    let versions = object["spec"]["traffic"]["versions"].as_array().into_iter().flatten();
    let weights = versions.map(|version| {
        let api = text(&version["api"]);
        let weight = told.and_then(|told| told.get(&api)).unwrap_or_else(|| &version["weight"]);
        format!("{api} {}", number(weight))
    });
    weights.collect::<Vec<_>>().join(", ")
}

fn limit(concurrency: &Value) -> String {
    let count = number(&concurrency["limit"]);
    if count.is_empty() { count } else { format!("{count} at once in a replica") }
}

fn bounds(scaling: &Value) -> String {
    let (least, most) = (number(&scaling["minReplicas"]), number(&scaling["maxReplicas"]));
    match (least.as_str(), most.as_str()) {
        ("", "") => String::new(),
        ("", most) => format!("at most {most}"),
        (least, "") => format!("at least {least}"),
        (least, most) => format!("{least} to {most}"),
    }
}

fn routes(routes: &Value) -> String {
    let route = |route: &Value| {
        let path = ["path", "exactPath"].iter().find_map(|field| route[*field].as_str());
        format!("{}{}", text(&route["host"]), path.unwrap_or(""))
    };
    let all: Vec<String> = routes.as_array().into_iter().flatten().map(route).collect();
    all.join(", ")
}

fn conditions(object: &Value, now: Duration) -> Vec<Vec<String>> {
    let mut rows = vec![cells(["TYPE", "STATUS", "SINCE", "REASON", "MESSAGE"])];
    let all = object["status"]["conditions"].as_array().into_iter().flatten();
    rows.extend(all.map(|condition| {
        cells([
            &text(&condition["type"]),
            &text(&condition["status"]),
            &age(&condition["lastTransitionTime"], now),
            &text(&condition["reason"]),
            &text(&condition["message"]),
        ])
    }));
    rows
}

fn decisions(all: &[Event], now: Duration) -> Vec<Vec<String>> {
    let mut rows = vec![cells(["AGE", "DECISION"])];
    let latest = all.iter().skip(all.len().saturating_sub(MOST_DECISIONS));
    rows.extend(latest.map(|event| cells([&age_of(event.at, now), &event.note])));
    rows
}

fn replicas(all: &[Replica], now: Duration) -> Vec<Vec<String>> {
    let mut rows = vec![cells(["NAME", "STATE", "SIDECAR", "RESTARTS", "AGE", "ADDRESS"])];
    rows.extend(all.iter().map(|replica| {
        let sidecar = if replica.has_sidecar { "yes" } else { "no" };
        let restarts = replica.restarts.to_string();
        let age = age_of(replica.created, now);
        cells([&replica.name, replica.state, sidecar, &restarts, &age, &replica.address])
    }));
    rows
}

fn events(all: &[Event], now: Duration) -> Vec<Vec<String>> {
    let mut rows = vec![cells(["AGE", "TYPE", "REASON", "OBJECT", "MESSAGE"])];
    let latest = all.iter().skip(all.len().saturating_sub(MOST_EVENTS));
    rows.extend(latest.map(|event| {
        let kind = if event.is_warning { "Warning" } else { "Normal" };
        let times = if event.count > 1 { format!(" (x{})", event.count) } else { String::new() };
        let age = format!("{}{times}", age_of(event.at, now));
        cells([&age, kind, &event.reason, &event.about, event.note.trim_end()])
    }));
    rows
}

fn cells<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn everything_has_its_place() {
        let object = json!({
            "metadata": {"name": "digits", "namespace": "models",
                "creationTimestamp": "1970-01-01T00:00:10Z"},
            "spec": {"target": {"name": "digits"}, "concurrency": {"limit": 2},
                "routes": [{"path": "/v1"}, {"host": "a.example", "exactPath": "/x"}],
                "autoscaling": {"policy": "slo", "minReplicas": 0, "maxReplicas": 4}},
            "status": {"wanted": 2, "ready": 1, "inFlight": 5, "reason": "burst",
                "message": "5 wait",
                "conditions": [{"type": "Ready", "status": "True", "reason": "SomeReplicas",
                    "message": "1 of 2", "lastTransitionTime": "1970-01-01T00:00:20Z"}]},
        });
        let event = |reason: &str, at: i64, count| Event {
            at: Some(at),
            is_warning: reason == "BackOff",
            reason: reason.to_owned(),
            about: "Pod/digits-2".to_owned(),
            note: "a note".to_owned(),
            count,
        };
        let replica = Replica {
            name: "digits-2".to_owned(),
            state: "Starting",
            restarts: 3,
            created: Some(25),
            trouble: Some("model: CrashLoopBackOff".to_owned()),
            ..Replica::default()
        };
        let details = Details {
            object,
            replicas: vec![replica],
            decisions: vec![event("Scaled", 22, 1)],
            events: vec![event("BackOff", 28, 7)],
            unknown: vec!["logs: forbidden".to_owned()],
        };
        let text = lines(&details, Duration::from_secs(30)).join("\n");
        let expected = "\
Name:        digits
Namespace:   models
Age:         20s
Target:      Deployment/digits
Limit:       2 at once in a replica
Policy:      slo
Replicas:    0 to 4
Routes:      /v1, a.example/x
Wanted:      2
Ready:       1
In flight:   5
Reason:      burst: 5 wait
Conditions:
  TYPE    STATUS   SINCE   REASON         MESSAGE
  Ready   True     10s     SomeReplicas   1 of 2
Decisions:
  AGE   DECISION
  8s    a note
Replicas:
  NAME       STATE      SIDECAR   RESTARTS   AGE   ADDRESS
  digits-2   Starting   no        3          5s
  ! digits-2: model: CrashLoopBackOff
Events:
  AGE       TYPE      REASON    OBJECT         MESSAGE
  2s (x7)   Warning   BackOff   Pod/digits-2   a note
Not known: logs: forbidden";
        assert_eq!(text, expected);
    }

    #[test]
    fn versions_have_the_weights_in_force() {
        let versions = json!([{"api": "old", "weight": 90}, {"api": "new", "weight": 10}]);
        let mut object = json!({"spec": {"traffic": {"versions": versions}}});
        assert_eq!(super::versions(&object), "old 90, new 10");
        object["status"] = json!({"rollout": {"weights": {"old": 50, "new": 50}}});
        assert_eq!(super::versions(&object), "old 50, new 50");
    }

    #[test]
    fn what_is_young_says_none() {
        let details = Details { object: json!({"metadata": {"name": "a"}}), ..Details::default() };
        let text = lines(&details, Duration::ZERO).join("\n");
        assert!(text.contains("Conditions:\n  none\nDecisions:\n  none"), "{text}");
    }
}
