//! Replicas that fail, hang and die under load.

use super::fake::{Manner, endpoint};
use crate::support::eventually;
use crate::support::gateway::{Gateway, entry};
use crate::support::http::{Http, get};
use crate::support::load::Load;
use crate::support::sidecar::Sidecar;
use rustix::process::Signal;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tidegate_api::endpoints::EndpointEntry;

/// State and reason of an endpoint, as `/endpoints` says.
fn state(gateway: &Gateway, id: &str) -> (String, String) {
    let page: Value = serde_json::from_slice(&get(gateway.admin, "/endpoints").body).unwrap();
    let endpoints = page["apis"]["plain"].as_array().unwrap().clone();
    let found = endpoints.into_iter().find(|endpoint| endpoint["id"] == id).unwrap();
    let text = |key: &str| found[key].as_str().unwrap_or("").to_owned();
    (text("state"), text("reason"))
}

fn is(state: (String, String), expected: (&str, &str)) -> bool {
    (state.0.as_str(), state.1.as_str()) == expected
}

#[tokio::test(flavor = "multi_thread")]
async fn who_answers_errors_or_breaks_off_is_taken_out_and_comes_back_to_be_tried_again() {
    let good = Sidecar::start(&["--concurrency", "4"]);
    // What gRPC's INTERNAL is in the head of an answer without a body.
    let of_grpc = Manner::Told(Arc::new(|| (200, "grpc-status: 13\r\n")));
    // The same behind a body, which is how it comes of a call that fails on its way.
    let behind = Manner::Bytes(
        "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n\
         1\r\nx\r\n0\r\ngrpc-status: 13\r\n\r\n",
    );
    for (manner, reason) in [
        (Manner::Status(500), "error-rate"),
        (of_grpc, "error-rate"),
        (behind, "error-rate"),
        (Manner::Close, "errors-in-a-row"),
    ] {
        let gateway = Gateway::start_with("balancing: {ejection: {baseTime: 2s}}", &[]);
        gateway.write_endpoints(vec![entry("good", &good, 4), endpoint("bad", manner, 4)]);
        gateway.wait_for_limit(8.0);
        let load = Load::start(6, gateway.data, "/plain/echo");
        eventually("the bad one is out", || is(state(&gateway, "bad"), ("ejected", reason)));
        assert!(is(state(&gateway, "good"), ("ready", "")));
        let ejections = || gateway.metric("tidegate_endpoint_ejections_total", reason);
        assert!(ejections() >= 1.0);
        eventually("it is tried again, and taken out again", || ejections() >= 2.0);
        let answers = load.stop().await;
        assert!(answers[&(200, String::new())] > 0, "{answers:?}");
        let seen: usize = answers.values().sum();
        eventually("the counters add up", || {
            gateway.metric("tidegate_requests_total", r#"api="plain""#) == seen as f64
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn back_pressure_takes_nobody_out() {
    let good = Sidecar::start(&["--concurrency", "4"]);
    let gateway = Gateway::start("60s", &[]);
    let busy =
        ["503", "429"].map(|status| endpoint(status, Manner::Status(status.parse().unwrap()), 4));
    gateway.write_endpoints([vec![entry("good", &good, 4)], busy.to_vec()].concat());
    gateway.wait_for_limit(12.0);
    let http = Http::new();
    let mut seen = [0; 3];
    while seen.iter().any(|count| *count < 30) {
        match http.get(gateway.data, "/plain/x").await.status {
            200 => seen[0] += 1,
            503 => seen[1] += 1,
            429 => seen[2] += 1,
            other => panic!("{other}"),
        }
    }
    for id in ["good", "503", "429"] {
        assert!(is(state(&gateway, id), ("ready", "")), "{id}");
    }
    assert_eq!(gateway.metric("tidegate_endpoint_ejections_total", ""), 0.0);
    assert_eq!(gateway.metric("tidegate_endpoints", r#"state="ready""#), 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_hangs_gets_no_new_requests_and_loses_none() {
    let sidecars = [0; 2].map(|_| Sidecar::start(&["--concurrency", "4"]));
    let gateway = Gateway::start("60s", &[]);
    gateway.write_endpoints(vec![entry("a", &sidecars[0], 4), entry("b", &sidecars[1], 4)]);
    gateway.wait_for_limit(8.0);
    let load = Load::start(8, gateway.data, "/plain/echo");
    load.wait_for_more(50);
    sidecars[1].process.signal(Signal::STOP);
    eventually("it is out", || is(state(&gateway, "b"), ("ejected", "unready")));
    // At most four hang; the others go on.
    load.wait_for_more(200);
    sidecars[1].process.signal(Signal::CONT);
    eventually("it is back", || is(state(&gateway, "b"), ("ready", "")));
    load.wait_for_more(50);
    let answers = load.stop().await;
    assert_eq!(answers.keys().collect::<Vec<_>>(), [&(200, String::new())], "{answers:?}");
}

/// An admin port that takes its time to say that all is well; how often it has.
fn slow_probe() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let passed = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&passed);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let head = BufReader::new(&stream).lines().map_while(Result::ok);
            head.take_while(|line| !line.is_empty()).for_each(drop);
            std::thread::sleep(Duration::from_millis(20));
            counted.fetch_add(1, Ordering::SeqCst);
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
        }
    });
    (address, passed)
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_follows_where_an_exchange_broke_off_before_a_probe_has_passed() {
    let (admin, passed) = slow_probe();
    let off = "balancing: {ejection: {consecutiveErrors: 0, errorRate: 0}}";
    let gateway = Gateway::start_with(off, &[]);
    let bad = EndpointEntry { admin: Some(admin), ..endpoint("bad", Manner::Close, 1) };
    gateway.write_endpoints(vec![bad]);
    let load = Load::start(4, gateway.data, "/plain/echo");
    load.wait_for_more(20);
    let answers = load.stop().await;
    let broken = answers[&(502, "upstream-reset".to_owned())];
    let passed = passed.load(Ordering::SeqCst);
    assert!(answers.len() == 1 && broken <= passed, "{answers:?} after {passed} probes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_killed_costs_what_ran_there_and_nothing_else() {
    let mut sidecars = [0; 2].map(|_| Sidecar::start(&["--concurrency", "4"]));
    let gateway = Gateway::start("60s", &[]);
    gateway.write_endpoints(vec![entry("a", &sidecars[0], 4), entry("b", &sidecars[1], 4)]);
    gateway.wait_for_limit(8.0);
    let load = Load::start(8, gateway.data, "/plain/echo");
    load.wait_for_more(50);
    sidecars[1].process.signal(Signal::KILL);
    sidecars[1].process.wait();
    eventually("it is out", || is(state(&gateway, "b"), ("ejected", "unready")));
    load.wait_for_more(200);
    let mut answers = load.stop().await;
    let answered = answers.remove(&(200, String::new())).unwrap();
    // Its requests had been sent: nobody knows whether the model has seen them.
    let lost = answers.remove(&(502, "upstream-reset".to_owned())).unwrap_or(0);
    assert!(lost <= 4 && answers.is_empty(), "{lost} lost, {answers:?}");
    let counted = |labels: &str| gateway.metric("tidegate_requests_total", labels);
    eventually("the counters add up", || {
        counted(r#"code="200""#) == answered as f64 && counted(r#"code="502""#) == lost as f64
    });
}
