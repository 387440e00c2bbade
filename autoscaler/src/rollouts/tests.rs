//! What the rollouts make of what gateways say, and of documents.

use super::*;
use crate::state::StateFile;

fn api(spec: &str) -> InferenceApi {
    let text = format!(
        "{{apiVersion: tidegate.dev/v1alpha1, kind: InferenceApi, metadata: {{name: s}}, spec: \
         {{traffic: {{versions: [{{api: a, weight: 30}}, {{api: b, weight: 60}}, \
         {{api: c, weight: 10}}]}}, rollout: {{to: c, steps: [{{weight: 10, pause: 1s}}, \
         {{weight: 50, pause: 1s}}], condition: {{{spec}}}}}}}}}"
    );
    tidegate_api::parse(&text, "t", "/".as_ref()).unwrap().remove(0)
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn said(own: f64, others: f64, failed: f64) -> BTreeMap<String, Tally> {
    let tally = |well, failed| Tally { well, failed, ..Tally::default() };
    [("b".to_owned(), tally(others, 0.0)), ("c".to_owned(), tally(own, failed))].into()
}

fn weights(control: &RolloutControl) -> Vec<(String, u32)> {
    control.weights().into_iter().collect()
}

#[test]
fn counts_of_all_gateways_move_the_weights_and_the_oldest_gives_way_first() {
    let api = api("minRequests: 100, latency: {factor: 0}");
    let mut control = RolloutControl::of(&api, &mut Before::default(), at(0)).unwrap();
    let named =
        |of: [u32; 3]| ["a", "b", "c"].map(str::to_owned).into_iter().zip(of).collect::<Vec<_>>();
    assert_eq!(weights(&control), named([30, 60, 10]));
    // What was counted before the first look is of another time.
    let old = said(5000.0, 0.0, 900.0);
    assert_eq!(control.look(&[("g", &old), ("h", &old)], at(1)), None);
    let more = said(5060.0, 0.0, 900.0);
    assert_eq!(control.look(&[("g", &more)], at(2)), None);
    let look = control.look(&[("g", &more), ("h", &more)], at(3)).unwrap();
    assert_eq!(look.reason, RolloutReason::Passed);
    assert_eq!(weights(&control), named([0, 50, 50]));
    assert_eq!(control.status().stage, "step 2 of 2");
    // A gateway that was started anew has counted all that it says.
    let anew = said(0.0, 0.0, 9.0);
    let look = control.look(&[("g", &anew)], at(4)).unwrap();
    assert_eq!(look.reason, RolloutReason::SuccessRate);
    assert_eq!(weights(&control), named([30, 70, 0]));
    let status = control.status();
    assert_eq!((status.stage.as_str(), status.changes.len()), ("taken back", 2));
    assert_eq!(status.detail, "9 of 9 requests failed (100 %), where 1 % may");
}

#[test]
fn a_rollout_that_is_paused_goes_neither_on_nor_back_and_then_begins_its_step_anew() {
    let mut paused = api("minRequests: 10, latency: {factor: 0}");
    paused.paused = true;
    let mut control = RolloutControl::of(&paused, &mut Before::default(), at(0)).unwrap();
    control.look(&[("g", &said(0.0, 0.0, 0.0))], at(1));
    for (second, counts) in [(5, said(100.0, 100.0, 0.0)), (6, said(100.0, 100.0, 900.0))] {
        assert_eq!(control.look(&[("g", &counts)], at(second)), None);
        let status = control.status();
        assert_eq!((&*status.stage, &*status.reason), ("step 1 of 2", "paused"));
    }
    // Long after all that it may wait.
    control.look(&[("g", &said(100.0, 100.0, 900.0))], at(90_000));
    control.is_paused = false;
    assert_eq!(control.look(&[("g", &said(105.0, 110.0, 900.0))], at(90_002)), None);
    assert_eq!(control.status().reason, "too-few-requests");
    let look = control.look(&[("g", &said(111.0, 120.0, 900.0))], at(90_003)).unwrap();
    assert_eq!(look.reason, RolloutReason::Passed);
}

#[test]
fn it_stays_where_it_was_until_the_document_asks_for_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let spec = "latency: {factor: 0}";
    let (mut file, mut before) = StateFile::open(path.clone(), at(0));
    let mut control = RolloutControl::of(&api(spec), &mut before, at(0)).unwrap();
    control.look(&[("g", &said(0.0, 0.0, 0.0))], at(1));
    control.look(&[("g", &said(0.0, 0.0, 9.0))], at(2)).unwrap();
    let rollouts = [("s".to_owned(), control.state(at(2)))].into();
    file.write(BTreeMap::new(), rollouts, at(100), at(2));
    for (spec, stage, reason) in [
        (spec, "taken back", "success-rate"),
        ("latency: {factor: 0}, minRequests: 51", "step 1 of 2", "began"),
    ] {
        let (_, mut before) = StateFile::open(path.clone(), at(9000));
        let again = RolloutControl::of(&api(spec), &mut before, at(5)).unwrap();
        let status = again.status();
        assert_eq!((status.stage.as_str(), status.reason.as_str()), (stage, reason), "{spec}");
    }
}
