//! A gRPC client and a gRPC model, both of Google's library, with a sidecar between them, or a
//! gateway too.

use crate::support::eventually;
use crate::support::gateway::{Gateway, entry};
use crate::support::http::get;
use crate::support::process::Process;
use crate::support::python::{Python, python, succeed};
use crate::support::sidecar::{Sidecar, listening};
use rustix::process::Signal;
use std::net::SocketAddr;

const CLIENT: &str = "clients/grpc_echo.py";

/// A sidecar before the model, which is healthy.
fn sidecar(python: &Python, flags: &[&str]) -> Sidecar {
    let model = python.start("models/grpc_echo.py", &[]);
    let address = listening(&model);
    model.signal(Signal::USR1);
    let readiness = ["--readiness", "grpc:tidegate.test.Echo", "--readiness-timeout", "5s"];
    Sidecar::before(model, address, &[&readiness, flags].concat())
}

/// A scenario that goes on while the test does.
fn start(python: &Python, scenario: &str, to: SocketAddr, argument: &str) -> Process {
    python.start(CLIENT, &[scenario, &to.to_string(), argument])
}

fn run(python: &Python, scenario: &str, to: SocketAddr, argument: &str) -> String {
    succeed(start(python, scenario, to, argument))
}

#[test]
fn every_kind_of_call_passes_unchanged() {
    let Some(python) = python() else { return };
    let sidecar = sidecar(python, &["--concurrency", "4"]);
    let gateway = Gateway::start_at_root(&[]);
    gateway.write_endpoints(vec![entry("a", &sidecar, 4)]);
    gateway.wait_for_limit(4.0);
    for scenario in ["basics", "metadata", "errors", "large", "deadline", "many"] {
        for to in [sidecar.model_addr, sidecar.data, gateway.data] {
            run(python, scenario, to, "");
        }
    }
    sidecar.wait_until_idle();
    eventually("the gateway has nothing left", || {
        gateway.metric("tidegate_requests_in_flight", "") == 0.0
    });
}

#[test]
fn how_calls_end_is_counted_as_http_would_say_it() {
    let Some(python) = python() else { return };
    let sidecar = sidecar(python, &[]);
    let gateway = Gateway::start_at_root(&[]);
    gateway.write_endpoints(vec![entry("a", &sidecar, 1)]);
    gateway.wait_for_limit(1.0);
    // Each of the 16 statuses once, one more 9 behind a part of a stream, and a method that is not there.
    run(python, "errors", gateway.data, "");
    sidecar.wait_until_idle();
    let count = |of: &dyn Fn(&str) -> f64, code| of(&format!(r#"code="{code}",reason="""#));
    for (code, calls) in [
        (200, 0.0),
        (400, 4.0),
        (401, 1.0),
        (403, 1.0),
        (404, 3.0),
        (409, 2.0),
        (429, 1.0),
        (499, 1.0),
        (500, 3.0),
        (503, 1.0),
        (504, 1.0),
    ] {
        let of_sidecar = count(&|labels| sidecar.metric("tidegate_requests_total", labels), code);
        let of_gateway = count(&|labels| gateway.metric("tidegate_requests_total", labels), code);
        assert_eq!((of_sidecar, of_gateway), (calls, calls), "{code}");
    }
}

#[test]
fn readiness_is_what_the_health_service_says() {
    let Some(python) = python() else { return };
    let model = python.start("models/grpc_echo.py", &[]);
    let upstream = listening(&model).to_string();
    let flags = ["--upstream", &upstream, "--readiness", "grpc:tidegate.test.Echo"];
    let (process, data, admin) = crate::support::sidecar::proxy("sidecar", &flags);
    // Alive, but not ready; requests are not held up by it.
    assert_eq!(get(admin, "/healthz").status, 200);
    run(python, "basics", data, "");
    assert_eq!(get(admin, "/readyz").status, 503, "{}", process.output());
    model.signal(Signal::USR1);
    eventually("ready", || get(admin, "/readyz").status == 200);
    model.signal(Signal::KILL);
    eventually("unready again", || get(admin, "/readyz").status == 503);
}

#[test]
fn a_deadline_is_told_to_the_model_and_kept_in_line() {
    let Some(python) = python() else { return };
    let sidecar = sidecar(python, &[]);
    run(python, "deadline", sidecar.data, "");
    let call = sidecar.model.wait_for_line("CALL Unary deadline");
    let left: f64 = call.rsplit(' ').next().unwrap().parse().unwrap();
    assert!((0.0..=1.0).contains(&left), "{call}");
    sidecar.model.wait_for_line("CANCELLED Unary");
    sidecar.wait_until_idle();

    let holding = start(python, "hold", sidecar.data, "");
    holding.wait_for_line("HOLDING");
    run(python, "late", sidecar.data, "");
    drop(holding);
    sidecar.model.wait_for_line("CANCELLED Down");
    sidecar.wait_until_idle();
    assert_eq!(sidecar.model.count_lines("CALL"), 2, "the late call reached the model");
}

#[test]
fn a_call_that_is_cancelled_ends_at_the_model_too() {
    let Some(python) = python() else { return };
    let sidecar = sidecar(python, &[]);
    let mut client = start(python, "cancel", sidecar.data, "");
    for (call, answers) in [("Unary", 1), ("Down", 1), ("Both", 2)] {
        sidecar.model.wait_for_lines(&format!("ANSWERS {call}"), answers);
        client.tell("begun");
    }
    succeed(client);
    for call in ["Unary", "Down", "Both"] {
        sidecar.model.wait_for_line(&format!("CANCELLED {call}"));
    }
    sidecar.wait_until_idle();
    assert_eq!(sidecar.metric("tidegate_requests_total", "client-gone"), 3.0);
}

#[test]
fn a_refusal_is_a_status_with_our_words() {
    let Some(python) = python() else { return };
    let mut sidecar = sidecar(python, &["--queue-capacity", "0"]);
    let holding = start(python, "hold", sidecar.data, "");
    holding.wait_for_line("HOLDING");
    let said = run(python, "refused", sidecar.data, "queue-full");
    assert!(said.contains("DETAILS too many requests are waiting; come back later"), "{said}");
    assert!(said.contains("RETRY-AFTER 1"), "{said}");
    drop(holding);
    sidecar.wait_until_idle();
    assert_eq!(sidecar.metric("tidegate_requests_total", r#"code="503",reason="queue-full""#), 1.0);

    sidecar.model.signal(Signal::KILL);
    sidecar.model.wait();
    let said = run(python, "refused", sidecar.data, "upstream-connect");
    assert!(said.contains("DETAILS no connection to the model could be made"), "{said}");
}

#[test]
fn streams_that_need_each_other_all_run() {
    let Some(python) = python() else { return };
    // More than one connection to the model has room for, from a standing start.
    let sidecar = sidecar(python, &["--concurrency", "120"]);
    run(python, "crowd", sidecar.data, "120");
    sidecar.wait_until_idle();
}

#[test]
fn a_drain_fails_no_call_and_lets_a_stream_end() {
    let Some(python) = python() else { return };
    let flags = ["--concurrency", "4", "--drain-delay", "2s", "--drain-timeout", "60s"];
    let mut sidecar = sidecar(python, &flags);
    let mut client = start(python, "drain", sidecar.data, &sidecar.admin.to_string());
    client.wait_for_line("RUNNING");
    eventually("calls go through", || sidecar.metric("tidegate_requests_total", "200") > 10.0);
    sidecar.process.signal(Signal::TERM);
    client.wait_for_line("STILL RUNNING");
    // No new connections any more: the stream is all that is left.
    eventually("the listener is closed", || std::net::TcpStream::connect(sidecar.data).is_err());
    client.tell("closed");
    succeed(client);
    assert!(sidecar.process.wait().success());
}

#[test]
fn a_gateway_s_calls_outlive_a_replica() {
    let Some(python) = python() else { return };
    let flags = ["--concurrency", "4", "--drain-delay", "500ms"];
    let (mut going, staying) = (sidecar(python, &flags), sidecar(python, &flags));
    let gateway = Gateway::start_at_root(&[]);
    gateway.write_endpoints(vec![entry("a", &going, 4), entry("b", &staying, 4)]);
    gateway.wait_for_limit(8.0);
    let clients: Vec<Process> = (0..3).map(|_| start(python, "load", gateway.data, "3")).collect();
    for client in &clients {
        client.wait_for_line("LOADING");
    }
    eventually("the first is used", || going.metric("tidegate_requests_total", "200") > 5.0);
    // As a replica goes on its own: the gateway learns it from its probes and its connections.
    going.process.signal(Signal::TERM);
    assert!(going.process.wait().success());
    for client in clients {
        succeed(client);
    }
}
