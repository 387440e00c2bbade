//! Two autoscalers and one lease: at most one writes, and a change of leaders shrinks nothing.

use super::cluster::{Autoscaler, Cluster};
use super::scaling::spec;
use crate::support::eventually;
use rustix::process::Signal;

/// Two autoscalers; the first of the result leads. The other is called `two`, or the other way.
fn two(cluster: &Cluster) -> (Autoscaler, Autoscaler) {
    let one = cluster.autoscaler("one", &[]);
    eventually("one leads", || cluster.leader() == "one");
    (one, cluster.autoscaler("two", &[]))
}

#[test]
fn after_a_kill_the_other_takes_over_and_nothing_shrinks_meanwhile() {
    let cluster = Cluster::start();
    cluster.serve("digits", 1, &spec(1, 8));
    cluster.load("digits", 5);
    let (mut one, two) = two(&cluster);
    eventually("it grows", || cluster.replicas("digits") == 5);
    one.process.signal(Signal::KILL);
    one.process.wait();
    let before = cluster.scalings("digits").len();
    // The load moves while nobody leads: less, then more.
    cluster.load("digits", 2);
    eventually("the other leads", || cluster.leader() == "two");
    cluster.load("digits", 7);
    eventually("it grows under the new leader", || cluster.replicas("digits") == 7);
    let after = cluster.scalings("digits");
    let gap = &after[before..];
    assert!(gap.iter().all(|(who, replicas, _)| who == "two" && *replicas >= 5), "{gap:?}");
    cluster.load("digits", 1);
    eventually("it shrinks once a window was seen", || cluster.replicas("digits") == 1);
    two.process.wait_for_line("leads");
}

#[test]
fn who_was_stopped_past_its_lease_writes_nothing_when_it_goes_on() {
    let cluster = Cluster::start();
    cluster.serve("digits", 1, &spec(1, 8));
    cluster.load("digits", 2);
    let (one, _two) = two(&cluster);
    eventually("it grows", || cluster.replicas("digits") == 2);
    one.process.signal(Signal::STOP);
    eventually("the other leads", || cluster.leader() == "two");
    cluster.load("digits", 6);
    eventually("it grows under the new leader", || cluster.replicas("digits") == 6);
    // Versions refuse a status only once the new leader has written one.
    eventually("the new leader tells it", || cluster.status("digits")["wanted"] == 6);
    // An event that was on its way when it was stopped tells what was true; all else is refused.
    let old = |writes: &[super::api_server::Write]| {
        let its_own = writes.iter().filter(|write| write.who == "one" && write.status < 300);
        its_own.filter(|write| !write.what.contains("/events")).count()
    };
    let before = old(&cluster.api.writes(""));
    one.process.signal(Signal::CONT);
    one.process.wait_for_line("does not lead any more");
    cluster.load("digits", 8);
    eventually("it grows once more", || cluster.replicas("digits") == 8);
    assert_eq!(old(&cluster.api.writes("")), before, "the old leader has written");
    assert_eq!(cluster.leader(), "two");
}

#[test]
fn a_leader_that_ends_gives_the_lease_back() {
    let cluster = Cluster::start();
    cluster.serve("digits", 1, &spec(1, 8));
    // A lease so long that nobody could wait for its end.
    let flags = ["--lease-duration", "30m"];
    let mut one = cluster.autoscaler("one", &flags);
    eventually("one leads", || cluster.leader() == "one");
    // Who never had it leaves it where it is, and says nothing of it.
    let mut other = cluster.autoscaler("other", &flags);
    other.process.signal(Signal::TERM);
    assert!(other.process.wait().success());
    assert_eq!(other.process.count_lines("gives the lease back"), 0);
    assert_eq!(cluster.leader(), "one");
    one.process.signal(Signal::TERM);
    assert!(one.process.wait().success());
    one.process.wait_for_line("gives the lease back");
    assert_eq!(cluster.leader(), "");
    let two = cluster.autoscaler("two", &flags);
    eventually("two leads", || cluster.leader() == "two");
    two.process.wait_for_line("leads");
}
