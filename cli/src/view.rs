//! The autoscaler's status as text: a table, or a line for each change. Pure.
//!
//! `RSS MIB` is the resident memory of a replica's sidecar process.

use tidegate_autoscaler::Status;
use tidegate_autoscaler::status::{ApiStatus, ReplicaState, ReplicaStatus, RolloutStatus};

const MIB: f64 = 1024.0 * 1024.0;

/// The APIs, and below them their replicas.
pub(crate) fn table(status: &Status) -> Vec<String> {
    let mut apis =
        vec![cells(["API", "WANTED", "READY", "STARTING", "DRAINING", "IN FLIGHT", "QUEUED"])];
    apis.extend(status.apis.iter().map(api_row));
    let mut replicas =
        vec![cells(["REPLICA", "STATE", "ADDRESS", "IN FLIGHT", "QUEUED", "RSS MIB", "RESTARTS"])];
    replicas.extend(status.apis.iter().flat_map(|api| &api.replicas).map(replica_row));
    let mut lines = align(&apis, 1);
    if replicas.len() > 1 {
        lines.push(String::new());
        lines.extend(align(&replicas, 3));
    }
    let mut rollouts = vec![cells(["ROLLOUT", "VERSION", "WEIGHT", "STAGE", "WHY"])];
    rollouts.extend(status.rollouts.iter().flat_map(rollout_rows));
    if rollouts.len() > 1 {
        lines.push(String::new());
        lines.extend(align(&rollouts, 5));
    }
    let notes = notes(status);
    if !notes.is_empty() {
        lines.push(String::new());
        lines.extend(notes);
    }
    lines
}

/// A row for each version; what is said of the one that takes over is in its row.
fn rollout_rows(rollout: &RolloutStatus) -> Vec<Vec<String>> {
    let row = |(version, weight): (&String, &u32)| {
        let mut row = vec![rollout.api.clone(), version.clone(), weight.to_string()];
        row.extend(match *version == rollout.to {
            true => [rollout.stage.clone(), format!("{}: {}", rollout.reason, rollout.detail)],
            false => [String::new(), String::new()],
        });
        row
    };
    rollout.weights.iter().map(row).collect()
}

/// What goes on beside scaling, a line each: replicas that are exchanged, documents that are wrong.
fn notes(status: &Status) -> Vec<String> {
    let mut lines = exchanges(status);
    if let Some(why) = &status.documents.refused {
        lines.push("the documents can't be used; what was goes on:".to_owned());
        lines.extend(why.lines().map(|line| format!("  {line}")));
    }
    lines
}

/// How replicas are exchanged, a line for each API where they are.
pub(crate) fn exchanges(status: &Status) -> Vec<String> {
    let note = |api: &ApiStatus| {
        let replacement = api.replacement.as_ref()?;
        let (name, outdated) = (&api.name, replacement.outdated);
        Some(match &replacement.stopped {
            None => format!("{name}: replicas are exchanged, {outdated} are left to go"),
            Some(why) => format!("{name}: new replicas don't get ready ({why}); the old ones stay"),
        })
    };
    status.apis.iter().filter_map(note).collect()
}

fn api_row(api: &ApiStatus) -> Vec<String> {
    let counts = [api.wanted, api.ready, api.starting, api.draining, api.in_flight, api.queued];
    std::iter::once(api.name.clone()).chain(counts.map(|count| count.to_string())).collect()
}

fn replica_row(replica: &ReplicaStatus) -> Vec<String> {
    let unknown = || "-".to_owned();
    let memory = replica.sidecar_rss_bytes.map(|bytes| format!("{:.1}", bytes as f64 / MIB));
    vec![
        replica.id.clone(),
        state(replica).to_owned(),
        replica.address.map_or_else(unknown, |address| address.to_string()),
        replica.in_flight.to_string(),
        replica.queued.to_string(),
        memory.unwrap_or_else(unknown),
        replica.restarts.to_string(),
    ]
}

/// A replica that will be exchanged is old.
fn state(replica: &ReplicaStatus) -> &'static str {
    match (replica.state, replica.outdated) {
        (ReplicaState::Starting, true) => "starting, old",
        (ReplicaState::Ready, true) => "ready, old",
        (state, _) => state.code(),
    }
}

fn cells<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).into()
}

/// Rows with their columns under each other: the first `words` to the left, numbers to the right.
fn align(rows: &[Vec<String>], words: usize) -> Vec<String> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let padded = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column < words { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Decisions that were made since the status before, a line each.
pub(crate) fn decisions(before: &Status, after: &Status) -> Vec<String> {
    let mut lines = Vec::new();
    for api in &after.apis {
        let last = earlier(before, api).and_then(|old| old.decisions.last());
        let is_new = |at: f64| last.is_none_or(|last| at > last.at_seconds);
        let new = api.decisions.iter().filter(|decision| is_new(decision.at_seconds));
        lines.extend(new.map(|new| {
            let (from, to, reason) = (new.from, new.to, &new.reason);
            format!("{}: {from} -> {to} replicas ({reason}): {}", api.name, new.detail)
        }));
    }
    lines
}

/// Changes of weights since the status before, a line each.
pub(crate) fn rollouts(before: &Status, after: &Status) -> Vec<String> {
    let mut lines = Vec::new();
    for rollout in &after.rollouts {
        let old = before.rollouts.iter().find(|old| old.api == rollout.api);
        let known = old.map_or(0, |old| old.changes.len());
        lines.extend(rollout.changes.iter().skip(known).map(|change| {
            let (from, to, reason) = (change.from, change.to, &change.reason);
            let (api, version, detail) = (&rollout.api, &rollout.to, &change.detail);
            format!("{api}: {version} {from} -> {to} % ({reason}): {detail}")
        }));
    }
    lines
}

/// APIs whose replicas are others than in the status before, a line each.
pub(crate) fn counts(before: &Status, after: &Status) -> Vec<String> {
    let counts = |api: &ApiStatus| (api.ready, api.starting, api.draining);
    let is_changed =
        |api: &&ApiStatus| earlier(before, api).map(counts).unwrap_or_default() != counts(api);
    let line = |api: &ApiStatus| {
        format!(
            "{}: ready {}, starting {}, draining {}, in flight {}, queued {}",
            api.name, api.ready, api.starting, api.draining, api.in_flight, api.queued
        )
    };
    after.apis.iter().filter(is_changed).map(line).collect()
}

fn earlier<'a>(before: &'a Status, api: &ApiStatus) -> Option<&'a ApiStatus> {
    before.apis.iter().find(|old| old.name == api.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_autoscaler::status::{DecisionStatus, ReplacementStatus, RolloutChange};

    fn status() -> Status {
        let replica = ReplicaStatus {
            id: "digits-1".to_owned(),
            state: ReplicaState::Ready,
            address: Some(([127, 0, 0, 1], 41_000).into()),
            admin: None,
            in_flight: 2,
            queued: 0,
            sidecar_pid: Some(1),
            model_pid: Some(2),
            sidecar_rss_bytes: Some(6 * 1024 * 1024),
            restarts: 0,
            outdated: false,
        };
        let name = "digits".to_owned();
        let api = ApiStatus {
            name,
            wanted: 1,
            ready: 1,
            in_flight: 2,
            replicas: vec![replica],
            ..Default::default()
        };
        Status { apis: vec![api], ..Status::default() }
    }

    #[test]
    fn what_goes_on_beside_scaling_stands_below() {
        let mut status = status();
        assert_eq!(notes(&status), Vec::<String>::new());
        status.apis[0].replicas[0].outdated = true;
        let stopped = None;
        status.apis[0].replacement = Some(ReplacementStatus { outdated: 1, stopped });
        status.documents.refused = Some("a.yaml:3: is wrong\n1 mistake".to_owned());
        let lines = table(&status);
        assert!(lines[4].starts_with("digits-1  ready, old  "), "{}", lines[4]);
        let told = [
            "digits: replicas are exchanged, 1 are left to go",
            "the documents can't be used; what was goes on:",
            "  a.yaml:3: is wrong",
            "  1 mistake",
        ];
        assert_eq!(lines[6..], told);
        let stopped = Some("the model ended".to_owned());
        status.apis[0].replacement = Some(ReplacementStatus { outdated: 1, stopped });
        let told = "digits: new replicas don't get ready (the model ended); the old ones stay";
        assert_eq!(notes(&status)[0], told);
    }

    #[test]
    fn columns_stand_under_each_other() {
        let lines = table(&status());
        assert_eq!(lines[0], "API     WANTED  READY  STARTING  DRAINING  IN FLIGHT  QUEUED");
        assert_eq!(lines[1], "digits       1      1         0         0          2       0");
        assert_eq!(lines[2], "");
        assert_eq!(
            lines[4],
            "digits-1  ready  127.0.0.1:41000          2       0      6.0         0"
        );
    }

    #[test]
    fn a_rollout_has_its_rows_and_each_change_a_line() {
        let (before, mut after) = (status(), status());
        let change = RolloutChange {
            at_seconds: 1.0,
            from: 10,
            to: 50,
            reason: "passed".to_owned(),
            detail: "0 of 60 requests failed".to_owned(),
        };
        after.rollouts.push(RolloutStatus {
            api: "digits".to_owned(),
            to: "v2".to_owned(),
            stage: "step 2 of 2".to_owned(),
            weights: [("v1".to_owned(), 50), ("v2".to_owned(), 50)].into(),
            reason: "pause".to_owned(),
            detail: "for 3 s more".to_owned(),
            changes: vec![change],
        });
        let lines = table(&after);
        assert_eq!(
            lines[lines.len() - 3..],
            [
                "ROLLOUT  VERSION  WEIGHT  STAGE        WHY",
                "digits   v1       50",
                "digits   v2       50      step 2 of 2  pause: for 3 s more",
            ]
        );
        let line = "digits: v2 10 -> 50 % (passed): 0 of 60 requests failed";
        assert_eq!(rollouts(&before, &after), [line]);
        assert_eq!(rollouts(&after, &after), Vec::<String>::new());
    }

    #[test]
    fn a_change_is_told_once() {
        let (before, mut after) = (Status::default(), status());
        after.apis[0].decisions.push(DecisionStatus {
            at_seconds: 1.0,
            from: 0,
            to: 1,
            reason: "wake".to_owned(),
            detail: "a request waits".to_owned(),
        });
        let line = "digits: 0 -> 1 replicas (wake): a request waits";
        assert_eq!(decisions(&before, &after), [line]);
        assert!(counts(&before, &after)[0].starts_with("digits: ready 1, starting 0"));
        let mut busier = after.clone();
        busier.apis[0].in_flight = 9;
        assert_eq!(decisions(&after, &busier), Vec::<String>::new());
        assert_eq!(counts(&after, &busier), Vec::<String>::new());
    }
}
