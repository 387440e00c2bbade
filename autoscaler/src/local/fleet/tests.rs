//! Which replicas come and go, by what they are and what is known of their make.

use super::*;
use std::path::Path;

const NOW: Duration = Duration::from_secs(100);

fn make(spec: &str) -> Make {
    let text = format!(
        "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {{name: api}}\n\
         spec: {{container: {{command: [sh, '{{port}}']}}, {spec}}}\n"
    );
    let api = tidegate_api::parse(&text, "test", Path::new("/")).unwrap().remove(0);
    Make::new(api, None).unwrap()
}

fn replica(id: &str, phase: Phase, make: &Arc<Make>, tries_before: u32) -> Replica {
    Replica {
        tries_before,
        id: id.to_owned(),
        phase,
        address: None,
        admin: None,
        sidecar_pid: None,
        model_pid: None,
        restarts: 0,
        port: 0,
        make: Arc::clone(make),
        log: PathBuf::new(),
        orders: watch::Sender::new(Order::Live),
    }
}

fn fleet<const N: usize>(replicas: [(&str, Phase); N]) -> Fleet {
    let mut fleet = Fleet::new(make("paused: false"));
    for (id, phase) in replicas {
        fleet.replicas.push(replica(id, phase, &fleet.make.clone(), 0));
    }
    fleet
}

/// Three replicas that are ready, and a document that says something else since.
fn exchanging() -> Fleet {
    let mut fleet = fleet([("a", Phase::Starting), ("b", Phase::Starting), ("c", Phase::Starting)]);
    for id in ["a", "b", "c"] {
        fleet.learn(id, News::Ready, NOW);
    }
    assert!(fleet.revise(make("concurrency: {limit: 2}")));
    fleet
}

fn start(fleet: &mut Fleet, id: &str) {
    let make = Arc::clone(fleet.next_make());
    fleet.replicas.push(replica(id, Phase::Starting, &make, fleet.tries));
}

fn fail(fleet: &mut Fleet, id: &str) -> bool {
    match fleet.learn(id, News::Failed(StartFailure::NotReady(NOW)), NOW) {
        Lesson::Failed { stalls, .. } => stalls,
        other => panic!("{other:?}"),
    }
}

#[test]
fn starting_ones_go_first_then_the_least_busy_then_the_newest() {
    use Phase::{Draining, Ready, Starting};
    let fleet = fleet([("a", Ready), ("b", Ready), ("c", Starting), ("d", Ready), ("e", Draining)]);
    let busy = |id: &str| u32::from(id == "d") * 3;
    let leaving = |wanted| fleet.leaving(fleet.moves(wanted), &busy);
    assert_eq!(leaving(0), ["c", "b", "a", "d"]);
    assert_eq!(leaving(2), ["c", "b"]);
    assert_eq!(leaving(4), Vec::<String>::new());
    assert_eq!(fleet.moves(6).start, 2);
    assert_eq!(fleet.counts(), Counts { starting: 1, ready: 3, draining: 1 });
}

#[test]
fn a_draining_replica_never_becomes_ready_again() {
    let mut fleet = fleet([("a", Phase::Draining)]);
    assert!(matches!(fleet.learn("a", News::Ready, Duration::ZERO), Lesson::Nothing));
    assert_eq!(fleet.replicas()[0].phase, Phase::Draining);
}

#[test]
fn failed_starts_wait_longer_each_time_until_one_is_ready() {
    let mut fleet = fleet([("a", Phase::Starting)]);
    let waits = [0, 1, 2, 4].map(|wait| {
        assert!(!fail(&mut fleet, "a"), "nothing was there before");
        (fleet.next_start - NOW, Duration::from_secs(wait))
    });
    assert!(waits.iter().all(|(got, want)| got == want), "{waits:?}");
    assert_eq!(fleet.trouble(), Some("not ready within 1m 40s"));
    fleet.learn("a", News::Ready, NOW);
    assert_eq!(fleet.trouble(), None);
    assert_eq!((fleet.failures, fleet.was_ready, fleet.next_start), (0, true, Duration::ZERO));
}

#[test]
fn replicas_that_start_together_are_one_try() {
    let mut fleet = fleet([("a", Phase::Starting), ("b", Phase::Starting), ("c", Phase::Starting)]);
    for (id, failures) in [("a", 1), ("b", 1), ("a", 2), ("c", 2), ("b", 2), ("c", 3), ("b", 3)] {
        fail(&mut fleet, id);
        assert_eq!(fleet.failures, failures, "after {id}");
    }
    start(&mut fleet, "d");
    fail(&mut fleet, "d");
    assert_eq!(fleet.failures, 4);
}

#[test]
fn replicas_are_exchanged_one_after_the_other_the_least_busy_first() {
    let mut fleet = exchanging();
    let busy = |id: &str| u32::from(id != "b");
    for (new, old) in [("d", "b"), ("e", "c"), ("f", "a")] {
        let moves = fleet.moves(3);
        assert_eq!((moves.start, fleet.leaving(moves, &busy)), (1, Vec::new()));
        start(&mut fleet, new);
        assert_eq!(fleet.moves(3), Moves::default(), "until {new} is ready nothing happens");
        fleet.learn(new, News::Ready, NOW);
        let leaving = fleet.leaving(fleet.moves(3), &busy);
        assert_eq!(leaving, [old]);
        let ended = fleet.learn(old, News::Leaving, NOW);
        assert_eq!(matches!(ended, Lesson::Exchanged), old == "a");
        fleet.learn(old, News::Gone, NOW);
    }
    assert_eq!((fleet.exchange(), fleet.moves(3)), (None, Moves::default()));
    assert!(fleet.before.is_none());
}

#[test]
fn a_make_that_does_not_get_ready_is_put_aside_and_the_old_one_goes_on() {
    let mut fleet = exchanging();
    start(&mut fleet, "d");
    assert!(!fail(&mut fleet, "d") && !fail(&mut fleet, "d"));
    assert!(fail(&mut fleet, "d"));
    let exchange = fleet.exchange().unwrap();
    assert_eq!((exchange.outdated, exchange.stalled), (3, Some("not ready within 1m 40s")));
    assert_eq!((fleet.hopeless(), fleet.next_start), (vec!["d".to_owned()], Duration::ZERO));
    fleet.learn("d", News::Gone, NOW);
    assert_eq!(fleet.moves(3), Moves::default());
    // Scaling goes on, with the old make.
    assert_eq!(fleet.moves(5).start, 2);
    assert_eq!(fleet.next_make().api.concurrency.limit.get(), 1);
    assert_eq!(fleet.moves(2).stop_current, 1);
    // Settings that make no difference to a replica change nothing about it.
    assert!(!fleet.revise(make("concurrency: {limit: 2}, autoscaling: {minReplicas: 1}")));
    assert!(fleet.stalled.is_some());
    // A refresh, or another document, is another try.
    assert!(fleet.revise(fleet.make.refreshed()));
    assert_eq!((fleet.exchange().unwrap().stalled, fleet.moves(3).start), (None, 1));
}

#[test]
fn back_to_the_old_document_is_nothing_to_exchange() {
    let mut fleet = exchanging();
    start(&mut fleet, "d");
    fleet.learn("d", News::Ready, NOW);
    assert!(fleet.revise(make("paused: false")));
    assert_eq!(fleet.exchange().unwrap().outdated, 1);
    let leaving = fleet.leaving(fleet.moves(3), &|_| 0);
    assert_eq!(leaving, ["d"]);
}

#[test]
fn what_starts_from_zero_may_fall_back_too() {
    let mut fleet = exchanging();
    fleet.replicas.clear();
    assert_eq!((fleet.exchange(), fleet.moves(0)), (None, Moves::default()));
    start(&mut fleet, "d");
    assert_eq!(fleet.next_make().api.concurrency.limit.get(), 2);
    let stalls = [(); 3].map(|()| fail(&mut fleet, "d"));
    assert_eq!(stalls, [false, false, true]);
    assert_eq!(fleet.next_make().api.concurrency.limit.get(), 1);
}

#[test]
fn on_one_port_the_old_one_is_gone_before_the_next_comes() {
    let one = |more: &str| make(&format!("port: 8000, autoscaling: {{maxReplicas: 1}}{more}"));
    let mut fleet = Fleet::new(one(""));
    start(&mut fleet, "a");
    fleet.learn("a", News::Ready, NOW);
    fleet.revise(one(", timeouts: {idle: 9s}"));
    let moves = fleet.moves(1);
    assert_eq!((moves.start, moves.stop_outdated_ready), (0, 1));
    fleet.learn("a", News::Leaving, NOW);
    assert_eq!(fleet.moves(1).start, 0, "it holds the port while it drains");
    fleet.learn("a", News::Gone, NOW);
    assert_eq!(fleet.moves(1).start, 1);
}
