//! The gateway before sidecars: routes, late binding, retries elsewhere, cold start, endpoints.

use crate::support::eventually;
use crate::support::gateway::{Gateway, entry};
use crate::support::http::{Http, connect, get, read_answer};
use crate::support::load::Load;
use crate::support::sidecar::{Sidecar, plain_model};
use rustix::process::Signal;
use std::io::Write;
use std::net::TcpListener;
use tidegate_api::endpoints::EndpointState;
use tokio::task::JoinSet;

#[test]
fn routes_by_path_strips_the_prefix_and_names_what_it_does_not_know() {
    let sidecar = Sidecar::start(&[]);
    let gateway = Gateway::start("60s", &[]);
    gateway.write_endpoints(vec![entry("a", &sidecar, 1)]);
    assert_eq!(get(gateway.data, "/plain/x?y=z").status, 200);
    let seen = sidecar.model.wait_for_line("REQUEST");
    assert!(seen.starts_with("REQUEST GET /x?y=z "), "{seen}");
    let unknown = get(gateway.data, "/else");
    assert_eq!((unknown.status, unknown.reason()), (404, "no-route"));
    assert_eq!(gateway.metric("tidegate_requests_total", r#"api="plain",code="200""#), 1.0);
    assert_eq!(gateway.metric("tidegate_requests_total", "no-route"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_at_the_gateway_and_never_behind_a_busy_replica() {
    let sidecars = [Sidecar::start(&[]), Sidecar::start(&[])];
    let gateway = Gateway::start("60s", &[]);
    gateway.write_endpoints(vec![entry("a", &sidecars[0], 1), entry("b", &sidecars[1], 1)]);
    gateway.wait_for_limit(2.0);
    let http = Http::new();
    let mut held = JoinSet::new();
    for _ in 0..5 {
        let (http, data) = (http.clone(), gateway.data);
        held.spawn(async move { http.get(data, "/plain/sleep?ms=600000").await });
    }
    eventually("each replica runs one", || {
        sidecars.iter().all(|s| s.metric("tidegate_requests_in_flight", "") == 1.0)
    });
    eventually("three wait", || gateway.metric("tidegate_requests_queued", "plain") == 3.0);
    for sidecar in &sidecars {
        assert_eq!(sidecar.metric("tidegate_requests_queued", ""), 0.0);
    }
    held.abort_all();
    eventually("nothing is left", || {
        gateway.metric("tidegate_requests_in_flight", "plain")
            + gateway.metric("tidegate_requests_queued", "plain")
            == 0.0
    });
    sidecars.iter().for_each(Sidecar::wait_until_idle);
}

#[test]
fn a_request_to_an_api_at_zero_wakes_it_waits_and_says_how_long() {
    let autoscaler = TcpListener::bind("127.0.0.1:0").unwrap();
    let wake = autoscaler.local_addr().unwrap().to_string();
    let gateway = Gateway::start("60s", &["--wake", &wake]);
    let mut waiting = connect(gateway.data);
    write!(waiting, "GET /plain/x HTTP/1.1\r\nhost: me\r\nconnection: close\r\n\r\n").unwrap();
    let (mut woken, _) = autoscaler.accept().unwrap();
    let mut head = [0; 24];
    std::io::Read::read_exact(&mut woken, &mut head).unwrap();
    assert!(head.starts_with(b"POST /wake/plain HTTP/1.1"[..24].as_ref()), "{head:?}");
    let sidecar = Sidecar::start(&[]);
    gateway.write_endpoints(vec![entry("a", &sidecar, 1)]);
    let answer = read_answer(&mut waiting);
    assert_eq!(answer.status, 200);
    let waited_ms: u64 = answer.header("x-tidegate-cold-start").parse().unwrap();
    assert!(waited_ms > 0);
    assert_eq!(get(gateway.data, "/plain/x").header("x-tidegate-cold-start"), "");
    assert_eq!(gateway.metric("tidegate_cold_start_seconds_count", "plain"), 1.0);
}

#[test]
fn a_hangup_ends_no_gateway() {
    let gateway = Gateway::start("60s", &["--log", "debug"]);
    gateway.process.signal(Signal::HUP);
    eventually("the hangup was noticed", || gateway.process.errors().contains("SIGHUP ends"));
    assert_eq!(get(gateway.admin, "/healthz").status, 200);
}

#[test]
fn an_api_that_does_not_come_up_is_refused_with_its_reason() {
    let gateway = Gateway::start("50ms", &[]);
    let answer = get(gateway.data, "/plain/x");
    assert_eq!((answer.status, answer.reason()), (503, "cold-start-timeout"));
    assert_ne!(answer.header("retry-after"), "");
    assert_eq!(gateway.metric("tidegate_requests_queued", "plain"), 0.0);
}

#[test]
fn who_waits_for_an_api_that_goes_and_that_nobody_starts_is_told_so() {
    let gateway = Gateway::start("300s", &[]);
    let mut both = [connect(gateway.data), connect(gateway.data)];
    for stream in &mut both {
        write!(stream, "GET /plain/x HTTP/1.1\r\nhost: me\r\nconnection: close\r\n\r\n").unwrap();
    }
    eventually("both wait", || gateway.metric("tidegate_requests_queued", "plain") == 2.0);
    let other = Gateway::DOCUMENT.replace("{name: plain}", "{name: other}");
    let other = other.replace("COLD_START", "300s").replace("ROUTES", "[{path: /other}]");
    gateway.write_documents(&other);
    for stream in &mut both {
        let answer = read_answer(stream);
        assert_eq!((answer.status, answer.reason()), (503, "cold-start-timeout"));
    }
    eventually("it is forgotten", || {
        !get(gateway.admin, "/metrics").text().contains("api=\"plain\"")
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_reached_a_model_is_answered_by_another() {
    let mut sidecars = [Sidecar::start(&[]), Sidecar::start(&[])];
    let gateway = Gateway::start("60s", &[]);
    gateway.write_endpoints(vec![entry("a", &sidecars[0], 1), entry("b", &sidecars[1], 1)]);
    gateway.wait_for_limit(2.0);
    sidecars[0].model.signal(Signal::KILL);
    // As long as it dies, its port may still take a connection, and then cut it off.
    sidecars[0].model.wait();
    let http = Http::new();
    for _ in 0..50 {
        let answer = http.post(gateway.data, "/plain/echo", "body").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "body"), "{}", answer.reason());
    }
    let (_model, _) = plain_model(sidecars[0].model_addr.port());
    gateway.wait_for_limit(2.0);
    assert_eq!(gateway.metric("tidegate_requests_in_flight", "plain"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_drains_under_load_costs_no_request() {
    let mut sidecars = [
        Sidecar::start(&["--concurrency", "4"]),
        Sidecar::start(&["--concurrency", "4", "--drain-delay", "2s"]),
    ];
    let gateway = Gateway::start("60s", &[]);
    gateway.write_endpoints(vec![entry("a", &sidecars[0], 4), entry("b", &sidecars[1], 4)]);
    gateway.wait_for_limit(8.0);
    let load = Load::start(16, gateway.data, "/plain/echo");
    eventually("both serve", || sidecars.iter().all(|s| s.model.count_lines("/echo") > 20));
    sidecars[1].process.signal(Signal::TERM);
    assert!(sidecars[1].process.wait().success());
    let after = sidecars[0].model.count_lines("/echo");
    eventually("the other goes on", || sidecars[0].model.count_lines("/echo") > after + 20);
    let answers = load.stop().await;
    let answered = answers[&(200, String::new())];
    assert_eq!(answers.len(), 1, "{answers:?}");
    eventually("the books agree", || {
        gateway.metric("tidegate_requests_total", r#"code="200""#) == answered as f64
    });
}

#[test]
fn endpoints_come_drain_and_go_with_the_file_and_a_broken_file_changes_nothing() {
    let sidecars = [Sidecar::start(&[]), Sidecar::start(&[])];
    let gateway = Gateway::start("50ms", &[]);
    let both = || vec![entry("a", &sidecars[0], 1), entry("b", &sidecars[1], 3)];
    gateway.write_endpoints(both());
    gateway.wait_for_limit(4.0);
    std::fs::write(&gateway.endpoints_file, "{ this is not JSON").unwrap();
    gateway.process.wait_for_line("can't use the endpoints file");
    assert_eq!(gateway.metric("tidegate_concurrency_limit", ""), 4.0);
    let mut draining = both();
    draining[1].state = EndpointState::Draining;
    gateway.write_endpoints(draining);
    gateway.wait_for_limit(1.0);
    gateway.write_endpoints(Vec::new());
    gateway.wait_for_limit(0.0);
    assert_eq!(get(gateway.data, "/plain/x").reason(), "cold-start-timeout");
}
