//! Rollouts as statuses keep them: over restarts, fail-over and other people's writes.

use super::*;
use crate::policy::rollout::Tally;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_kubernetes::facts::{Origin, Resource};

fn key() -> Key {
    Key { namespace: "n".to_owned(), name: "s".to_owned() }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A day of which the time is told in seconds.
fn wall(seconds: u64) -> Duration {
    at(1_800_000_000 + seconds)
}

fn view(generation: i64, min_requests: u32, status: Value) -> ApiView {
    let text = format!(
        "{{apiVersion: tidegate.dev/v1alpha1, kind: InferenceApi, metadata: {{name: s}}, spec: \
         {{traffic: {{versions: [{{api: old, weight: 90}}, {{api: new, weight: 10}}]}}, rollout: \
         {{to: new, steps: [{{weight: 10, pause: 10s}}, {{weight: 50, pause: 10s}}], condition: \
         {{minRequests: {min_requests}, latency: {{factor: 0}}}}}}}}}}"
    );
    let document = tidegate_api::parse(&text, "t", "/".as_ref()).unwrap().remove(0);
    let resource = Resource {
        origin: Origin::Resource,
        uid: "u".to_owned(),
        version: "1".to_owned(),
        generation,
        created: 0,
        document: Ok(Arc::new(document)),
        status: Arc::new(status),
    };
    ApiView { resource, workload: None, pods: Vec::new(), problem: None }
}

fn follow(rolling: Option<Rolling>, view: &ApiView, seconds: u64) -> Rolling {
    let document = view.document().unwrap();
    let times = (wall(seconds), at(seconds));
    Rolling::follow(rolling, (&key(), view, document), false, times).unwrap()
}

/// The gateway has counted so many requests of the new version since the last look.
fn look(rolling: &mut Rolling, requests: f64, failed: f64, seconds: u64) {
    let said = |well, failed| Tally { well, failed, ..Tally::default() };
    let before = BTreeMap::from([("n/new".to_owned(), said(0.0, 0.0))]);
    let now = BTreeMap::from([("n/new".to_owned(), said(requests, failed))]);
    // Who begins anew is looked at twice: what it said at first was of another time.
    for said in [&before, &now] {
        let from = rolling.control.weight();
        if let Some(look) = rolling.control.look(&[("g", said)], at(seconds)) {
            rolling.moved(from, &look, wall(seconds));
        }
    }
}

fn told(rolling: &mut Rolling) -> Vec<&'static str> {
    let record = rolling.record();
    let news = rolling.sends(record);
    rolling.is_there();
    news.into_iter().map(|news| news.reason).collect()
}

fn place(rolling: &Rolling) -> (RolloutStage, u32, Vec<(String, u32)>) {
    let record = rolling.record();
    (record.stage, record.step, record.weights.into_iter().collect())
}

fn weights(old: u32, new: u32) -> Vec<(String, u32)> {
    vec![("new".to_owned(), new), ("old".to_owned(), old)]
}

#[test]
fn a_spec_that_is_paused_holds_the_step_and_the_next_leader_holds_it_too() {
    let paused = |generation, is_paused, status| {
        let mut view = view(generation, 10, status);
        let mut document = InferenceApi::clone(view.document().unwrap());
        document.paused = is_paused;
        view.resource.document = Ok(Arc::new(document));
        view
    };
    let rolling = follow(None, &view(1, 10, Value::Null), 0);
    let mut rolling = follow(Some(rolling), &paused(2, true, Value::Null), 1);
    look(&mut rolling, 50.0, 0.0, 20);
    let record = rolling.record();
    assert_eq!((record.step, &*record.reason), (1, "paused"));
    let status = json!({ "rollout": record });
    let mut next = follow(None, &paused(2, true, status.clone()), 30);
    look(&mut next, 50.0, 50.0, 40);
    assert_eq!((next.record().step, &*next.record().reason), (1, "paused"));
    let mut next = follow(Some(next), &paused(3, false, status), 50);
    look(&mut next, 50.0, 0.0, 51);
    assert_eq!((next.record().step, &*next.record().reason), (2, "passed"));
}

#[test]
fn the_next_leader_goes_on_from_the_status() {
    let mut first = follow(None, &view(1, 20, Value::Null), 0);
    assert_eq!(place(&first), (RolloutStage::Step, 1, weights(90, 10)));
    assert_eq!(told(&mut first), ["RolloutStarted"]);
    look(&mut first, 30.0, 0.0, 10);
    assert_eq!(told(&mut first), ["RolloutStep"]);
    let status = json!({"rollout": first.record()});
    assert_eq!(status["rollout"]["since"], "2027-01-15T08:00:10.000Z");

    // 7 s of the second pause were over.
    let mut next = follow(None, &view(1, 20, status.clone()), 17);
    assert_eq!(place(&next), (RolloutStage::Step, 2, weights(50, 50)));
    assert_eq!(json!({"rollout": next.record()}), status, "there is nothing to write");
    assert_eq!(told(&mut next), Vec::<&str>::new());
    look(&mut next, 30.0, 0.0, 19);
    assert_eq!(place(&next).1, 2);
    look(&mut next, 30.0, 0.0, 20);
    assert_eq!(place(&next), (RolloutStage::Promoted, 2, weights(0, 100)));
    assert_eq!(told(&mut next), ["RolloutPromoted"]);

    let mut bad = follow(None, &view(1, 20, status), 17);
    look(&mut bad, 0.0, 9.0, 18);
    assert_eq!(place(&bad), (RolloutStage::TakenBack, 2, weights(100, 0)));
    let record = bad.record();
    assert_eq!(record.reason, "success-rate");
    assert_eq!(told(&mut bad), ["RolloutTakenBack"]);
    // It stays so, with whoever leads, until the spec asks for something else.
    let again = follow(None, &view(1, 20, json!({ "rollout": record })), 900);
    assert_eq!(place(&again), place(&bad));
    let mut anew = follow(Some(again), &view(2, 21, Value::Null), 901);
    assert_eq!(place(&anew), (RolloutStage::Step, 1, weights(90, 10)));
    assert_eq!(told(&mut anew), ["RolloutStarted"]);
}

#[test]
fn what_somebody_else_has_written_counts() {
    let mut own = follow(None, &view(1, 20, Value::Null), 0);
    told(&mut own);
    look(&mut own, 30.0, 0.0, 10);
    let before = json!({"rollout": own.known});
    // The watch is behind: it shows what we have found, or what we have sent.
    let own = follow(Some(own), &view(1, 20, before), 11);
    assert_eq!(place(&own).1, 2);
    let mut own = own;
    told(&mut own);
    let sent = json!({"rollout": own.sent});
    let own = follow(Some(own), &view(1, 20, sent.clone()), 12);
    assert_eq!(place(&own).1, 2);
    // Another leader has taken it back, or a person has put it at its beginning.
    let mut taken = sent;
    taken["rollout"]["stage"] = json!("TakenBack");
    let own = follow(Some(own), &view(1, 20, taken), 13);
    assert_eq!(place(&own), (RolloutStage::TakenBack, 2, weights(100, 0)));
    let mut own = follow(Some(own), &view(1, 20, Value::Null), 14);
    assert_eq!(place(&own), (RolloutStage::Step, 1, weights(90, 10)));
    assert_eq!(told(&mut own), ["RolloutStarted"]);
}

#[test]
fn what_was_not_taken_is_told_when_it_is() {
    let mut own = follow(None, &view(1, 20, Value::Null), 0);
    let record = own.record();
    let news = own.sends(record);
    look(&mut own, 30.0, 0.0, 10);
    own.keep(news);
    assert_eq!(told(&mut own), ["RolloutStarted", "RolloutStep"]);
}
