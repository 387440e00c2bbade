//! A second try beside the first where that takes its time.

use super::fake::{CLOSE, Manner, endpoint};
use crate::support::eventually;
use crate::support::gateway::{Gateway, entry};
use crate::support::http::{Answer, Http, connect, read_answer};
use crate::support::sidecar::Sidecar;
use rustix::process::Signal;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex};
use tidegate_api::endpoints::EndpointEntry;
use tokio::task::JoinSet;

/// A gateway that has seen many quick answers, before an endpoint that is quick and one that is not.
fn start(balancing: &str, slow: Manner) -> Gateway {
    let (gateway, quick) = used_to_quick_answers(balancing, "GET");
    gateway.write_endpoints(vec![quick, endpoint("slow", slow, 4)]);
    gateway.wait_for_limit(8.0);
    gateway
}

/// A gateway that has seen many quick answers to such requests, and the endpoint that gave them.
fn used_to_quick_answers(balancing: &str, method: &str) -> (Gateway, EndpointEntry) {
    let off = "ejection: {consecutiveErrors: 0, errorRate: 0}";
    let spec = format!(
        "balancing: {{policy: leastLoaded, {off}, {balancing}}}\n  \
         timeouts: {{coldStart: 60s, firstByte: 3s}}"
    );
    let text = Gateway::DOCUMENT.replace("  timeouts: {coldStart: COLD_START}\n", "");
    let text = text.replace("ROUTES", "[{path: /plain, stripPrefix: true}]");
    let gateway = Gateway::run(&format!("{text}  {spec}\n"), &[]);
    let quick = endpoint("quick", Manner::Status(200), 4);
    gateway.write_endpoints(vec![quick.clone()]);
    gateway.wait_for_limit(4.0);
    for _ in 0..60 {
        assert_eq!(ask(&gateway, method, "").status, 200);
    }
    (gateway, quick)
}

fn ask(gateway: &Gateway, method: &str, body: &str) -> Answer {
    let mut stream = connect(gateway.data);
    let (path, length) = ("/plain/x", body.len());
    let fixed = format!("host: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    write!(stream, "{method} {path} HTTP/1.1\r\n{fixed}{body}").unwrap();
    read_answer(&mut stream)
}

/// Asks until the slow one was asked: status, and how many endpoints were.
fn met_the_slow_one(gateway: &Gateway, method: &str, body: &str) -> (u16, String) {
    for _ in 0..1000 {
        let answer = ask(gateway, method, body);
        let attempts = answer.header("x-tidegate-attempts").to_owned();
        if answer.status != 200 || !attempts.is_empty() {
            return (answer.status, attempts);
        }
    }
    panic!("the slow one was never asked");
}

fn hedges(gateway: &Gateway, outcome: &str) -> f64 {
    gateway.metric("tidegate_hedges_total", outcome)
}

#[test]
fn a_second_endpoint_is_asked_and_the_first_answer_counts() {
    let gateway = start("hedging: {}", Manner::Silent);
    let answered = (200, "2".to_owned());
    assert_eq!(met_the_slow_one(&gateway, "GET", ""), answered);
    assert_eq!(met_the_slow_one(&gateway, "OPTIONS", "what is here as a whole"), answered);
    assert_eq!((hedges(&gateway, "won"), hedges(&gateway, "lost")), (2.0, 0.0));
    eventually("the tries that lost hold nothing", || {
        gateway.metric("tidegate_requests_in_flight", "") == 0.0
    });
    // Nobody knows what a second one would do, or when.
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(met_the_slow_one(&gateway, method, ""), (504, String::new()), "{method}");
    }
    assert_eq!(hedges(&gateway, ""), 2.0);
}

#[test]
fn which_requests_get_a_second_try_is_said_by_their_document() {
    let (gateway, quick) = used_to_quick_answers("hedging: {methods: [POST]}", "POST");
    gateway.write_endpoints(vec![quick, endpoint("slow", Manner::Silent, 4)]);
    gateway.wait_for_limit(8.0);
    let answered = (200, "2".to_owned());
    assert_eq!(met_the_slow_one(&gateway, "POST", "what is to be read"), answered);
    assert_eq!(met_the_slow_one(&gateway, "GET", ""), (504, String::new()));
    assert_eq!(hedges(&gateway, ""), 1.0);
}

/// Two endpoints that are both asked before either answers: one fails at once, and the other answers so when
/// the gateway has read that.
fn fails_and(error: (u16, &'static str), late: u16) -> [EndpointEntry; 2] {
    let counts = Arc::new((Mutex::new([0; 2]), Condvar::new()));
    let (both, told) = (Arc::clone(&counts), Arc::clone(&counts));
    let fails = move || {
        let (counts, changed) = &*both;
        let counts = counts.lock().unwrap();
        drop(changed.wait_while(counts, |[asked, failed]| asked <= failed).unwrap());
        error
    };
    let has_failed = move || {
        let (counts, changed) = &*told;
        counts.lock().unwrap()[1] += 1;
        changed.notify_all();
    };
    let is_late = move || {
        let (counts, changed) = &*counts;
        let mut counts = counts.lock().unwrap();
        counts[0] += 1;
        changed.notify_all();
        drop(changed.wait_while(counts, |[asked, failed]| failed < asked).unwrap());
        (late, "")
    };
    let fails = Manner::Heard(Box::new(Manner::Told(Arc::new(fails))), Arc::new(has_failed));
    [endpoint("fails", fails, 4), endpoint("late", Manner::Told(Arc::new(is_late)), 4)]
}

#[test]
fn a_quick_error_does_not_beat_a_good_answer_whichever_of_the_two_was_asked_first() {
    let (plain, of_grpc) = ((500, ""), (200, "grpc-status: 14\r\n"));
    // Where the other has no answer at all, an error is one.
    for (error, late, status) in [(plain, 200, 200), (of_grpc, 200, 200), (plain, CLOSE, 500)] {
        let budget = "hedging: {}, retries: {budget: 1, floorPerSecond: 100}";
        let (gateway, _) = used_to_quick_answers(budget, "GET");
        gateway.write_endpoints(fails_and(error, late).to_vec());
        let both = || hedges(&gateway, "won") >= 1.0 && hedges(&gateway, "lost") >= 1.0;
        let asked = (0..100).take_while(|_| !both()).map(|_| {
            gateway.wait_for_limit(8.0);
            let answer = ask(&gateway, "GET", "");
            assert_eq!((answer.status, answer.header("x-tidegate-attempts")), (status, "2"));
            assert_eq!(answer.header("grpc-status"), "");
        });
        assert!(asked.count() < 100, "one of the two was never asked first");
    }
}

#[test]
fn there_is_no_second_try_unasked_or_beyond_the_budget_of_retries() {
    let failed = (504, String::new());
    for balancing in [
        "slowStart: 0s",
        "hedging: {}, retries: {attempts: 0}",
        "hedging: {}, retries: {budget: 0, floorPerSecond: 0}",
        "hedging: {floor: 1h}",
    ] {
        let gateway = start(balancing, Manner::Silent);
        assert_eq!(met_the_slow_one(&gateway, "GET", ""), failed, "{balancing}");
        assert_eq!(hedges(&gateway, ""), 0.0, "{balancing}");
    }
}

#[test]
fn settings_that_change_count_for_the_next_request() {
    let gateway = start("hedging: {}, retries: {attempts: 0}", Manner::Silent);
    assert_eq!(met_the_slow_one(&gateway, "GET", "").0, 504);
    let text = std::fs::read_to_string(&gateway.documents).unwrap();
    gateway.write_documents(&text.replace("attempts: 0", "attempts: 1"));
    eventually("it is tried twice", || {
        met_the_slow_one(&gateway, "GET", "") == (200, "2".to_owned())
    });
}

/// A model that stands still, behind its sidecar, under load: every request is answered, and every
/// counter can be accounted for.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_stands_still_is_not_noticed_and_the_counters_add_up() {
    let sidecars = [0, 1].map(|_| Sidecar::start(&["--concurrency", "8"]));
    let gateway = Gateway::start_with(
        "balancing: {hedging: {floor: 100ms}, retries: {budget: 1, floorPerSecond: 100}}",
        &[],
    );
    gateway.write_endpoints(vec![entry("a", &sidecars[0], 8), entry("b", &sidecars[1], 8)]);
    gateway.wait_for_limit(16.0);
    let http = Http::new();
    for _ in 0..60 {
        assert_eq!(http.get(gateway.data, "/plain/load").await.status, 200);
    }
    sidecars[1].model.signal(Signal::STOP);
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let (http, to) = (http.clone(), gateway.data);
        clients.spawn(async move {
            for _ in 0..25 {
                let answer = http.get(to, "/plain/load").await;
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    sidecars[1].model.signal(Signal::CONT);
    for sidecar in &sidecars {
        sidecar.wait_until_idle();
    }
    let requests = gateway.metric("tidegate_requests_total", r#"api="plain""#);
    assert_eq!(requests, 160.0);
    assert!(hedges(&gateway, "won") >= 1.0, "none met the one that stands still");
    let of = |sidecar: &Sidecar| sidecar.metric("tidegate_requests_total", "");
    let sent = sidecars.iter().map(of).sum::<f64>();
    assert_eq!(sent, requests + hedges(&gateway, ""), "a try is not accounted for");
    eventually("nothing is held", || gateway.metric("tidegate_requests_in_flight", "") == 0.0);
}
