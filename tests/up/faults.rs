//! Processes that are killed under load: what is lost, what is not, and what comes back.

use crate::support::eventually;
use crate::support::http::{self, Http, connect};
use crate::support::load::{Answers, Load};
use crate::support::process::{signal_pid, wait_until_dead};
use crate::support::up::{Replica, Up, document, plain_command};
use rustix::process::Signal;
use std::io::Write;
use tokio::task::JoinSet;

/// Two replicas, always.
const SPEC: &str = "
  concurrency: {limit: 4}
  readiness: {period: 100ms}
  autoscaling: {minReplicas: 2, maxReplicas: 2}
";

const OK: (u16, String) = (200, String::new());

fn running(replica: &Replica) -> f64 {
    http::metric(replica.admin.unwrap(), "tidegate_requests_in_flight", "")
}

fn served(replica: &Replica) -> f64 {
    http::metric(replica.admin.unwrap(), "tidegate_requests_total", r#"code="200""#)
}

fn of(answers: &Answers, status: u16, reason: &str) -> usize {
    answers.get(&(status, reason.to_owned())).copied().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_model_costs_only_what_it_was_at_and_comes_back() {
    let up = Up::start(&document(&plain_command(), SPEC), &[]);
    let replicas = up.wait_for_ready(2);
    let (http, data) = (Http::new(), up.data);
    // It runs until its model dies, and shows whose it is.
    let mut cut = JoinSet::new();
    cut.spawn(async move { http.post(data, "/sleep?ms=600000", "body").await });
    let mut victim = None;
    eventually("it runs", || {
        victim = replicas.iter().find(|replica| running(replica) == 1.0);
        victim.is_some()
    });
    let victim = victim.unwrap();
    let load = Load::start(8, up.data, "/sleep?ms=10");
    eventually("both serve", || replicas.iter().all(|replica| served(replica) >= 50.0));
    signal_pid(victim.model_pid.unwrap(), Signal::KILL);

    let cut = cut.join_next().await.unwrap().unwrap();
    assert_eq!((cut.status, cut.reason()), (502, "upstream-reset"));
    eventually("it is restarted", || {
        let now = up.replicas();
        let again = now.iter().find(|replica| replica.id == victim.id).expect("the same replica");
        again.restarts == 1 && again.state == "ready" && again.model_pid != victim.model_pid
    });
    let before = served(victim);
    eventually("it serves again", || served(victim) >= before + 20.0);
    let answers = load.stop().await;
    let (whole, reset) = (of(&answers, 200, ""), of(&answers, 502, "upstream-reset"));
    assert_eq!(answers.values().sum::<usize>(), whole + reset, "{answers:?}");
    assert!(reset <= 4, "more than ran at that model: {answers:?}");
    up.wait_until_idle();
    for (labels, ours) in [(r#"code="200""#, whole), (r#"code="502""#, reset + 1)] {
        assert_eq!(up.metric("tidegate_requests_total", labels), ours as f64, "{labels}");
    }
    assert_eq!(up.replicas().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_a_model_is_dead_is_answered_by_another() {
    let up = Up::start(&document(&plain_command(), SPEC), &[]);
    let replicas = up.wait_for_ready(2);
    let http = Http::new();
    // Every one of them idle, with connections that were used: the death is not known yet.
    for _ in 0..20 {
        assert_eq!(http.get(up.data, "/before").await.status, 200);
    }
    signal_pid(replicas[0].model_pid.unwrap(), Signal::KILL);
    // As long as it dies, its port may still take a connection, and then cut it off.
    wait_until_dead(replicas[0].model_pid.unwrap());
    for _ in 0..50 {
        let answer = http.get(up.data, "/after").await;
        assert_eq!((answer.status, answer.reason()), (200, ""));
    }
    eventually("it is restarted", || up.replicas()[0].restarts == 1);
    up.wait_for_ready(2);
    up.wait_until_idle();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_is_told_to_end_costs_no_request_and_is_replaced() {
    let up = Up::start(&document(&plain_command(), SPEC), &[]);
    let replicas = up.wait_for_ready(2);
    let load = Load::start(16, up.data, "/sleep?ms=10");
    eventually("both serve", || replicas.iter().all(|replica| served(replica) >= 50.0));
    signal_pid(replicas[0].sidecar_pid.unwrap(), Signal::TERM);
    let mut after = Vec::new();
    eventually("another is in its place", || {
        after = up.replicas();
        after.len() == 2
            && after.iter().all(|replica| replica.state == "ready")
            && after.iter().all(|replica| replica.id != replicas[0].id)
    });
    assert_eq!(after[0], replicas[1], "the other goes on as it is");
    eventually("the new one serves", || served(&after[1]) >= 20.0);
    let answers = load.stop().await;
    assert_eq!(answers.keys().collect::<Vec<_>>(), [&OK], "{answers:?}");
    up.wait_until_idle();
    assert_eq!(up.metric("tidegate_requests_total", ""), answers[&OK] as f64);
}

#[test]
fn a_replica_that_drains_is_told_to_the_gateway_until_its_last_request_ends() {
    let up = Up::start(&document(&plain_command(), SPEC), &["--drain-timeout", "1h"]);
    let replicas = up.wait_for_ready(2);
    let mut running_on = None;
    let mut last = connect(up.data);
    write!(last, "GET /sleep?ms=600000 HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    eventually("it runs", || {
        running_on = replicas.iter().find(|replica| running(replica) == 1.0);
        running_on.is_some()
    });
    let leaving = running_on.unwrap();
    assert_eq!(up.told_to_gateway(leaving), "active");
    signal_pid(leaving.sidecar_pid.unwrap(), Signal::TERM);
    eventually("the gateway is told", || up.told_to_gateway(leaving) == "draining");
    eventually("another comes already", || {
        let ready = up.replicas().into_iter().filter(|replica| replica.state == "ready");
        ready.count() == 2
    });
    assert!(up.replicas().iter().any(|replica| replica.id == leaving.id));
    drop(last);
    let after = up.wait_for_ready(2);
    assert!(after.iter().all(|replica| replica.id != leaving.id));
}
