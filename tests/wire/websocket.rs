//! WebSockets between a client and a model that know nothing of what is between them.

use crate::support::eventually;
use crate::support::gateway::{Gateway, entry};
use crate::support::python::{Python, python};
use crate::support::sidecar::{Sidecar, listening};
use rustix::process::Signal;

const CLIENT: &str = "clients/websocket.py";

fn sidecar(python: &Python, flags: &[&str]) -> Sidecar {
    let model = python.start("models/websocket_echo.py", &[]);
    let address = listening(&model);
    Sidecar::before(model, address, flags)
}

#[test]
fn messages_of_every_kind_and_size_pass_unchanged() {
    let Some(python) = python() else { return };
    let sidecar = sidecar(python, &["--concurrency", "100"]);
    let gateway = Gateway::start_at_root(&[]);
    gateway.write_endpoints(vec![entry("a", &sidecar, 100)]);
    gateway.wait_for_limit(100.0);
    for scenario in ["basics", "many"] {
        for to in [sidecar.model_addr, sidecar.data, gateway.data] {
            python.run(CLIENT, &[scenario, &to.to_string()]);
        }
    }
    sidecar.wait_until_idle();
    // 4 of the basics and 100 at once, straight and by the gateway.
    assert_eq!(sidecar.metric("tidegate_requests_total", r#"code="101""#), 208.0);
    sidecar.model.wait_for_lines("OPEN /socket?a=b", 312);
    assert_eq!(sidecar.model.count_lines("OPEN /socket?a=b"), 312);
    eventually("the model saw the client's own code", || {
        sidecar.model.count_lines("CLOSED 4001") == 3
    });
}

#[test]
fn a_socket_holds_its_slot_until_it_is_closed_or_quiet() {
    let Some(python) = python() else { return };
    let sidecar = sidecar(python, &["--idle-timeout", "2s"]);
    let quiet = python.start(CLIENT, &["quiet", &sidecar.data.to_string()]);
    quiet.wait_for_line("QUIET");
    assert_eq!(sidecar.metric("tidegate_requests_in_flight", ""), 1.0);
    crate::support::python::succeed(quiet);
    sidecar.model.wait_for_line("CLOSED 1006");
    sidecar.wait_until_idle();
}

#[test]
fn a_drain_waits_for_sockets_until_they_are_quiet_or_its_time_is_over() {
    let Some(python) = python() else { return };
    for (flags, scenario, sign) in [
        (["--idle-timeout", "500ms", "--drain-timeout", "60s"], "quiet", "QUIET"),
        (["--idle-timeout", "60s", "--drain-timeout", "500ms"], "busy", "BUSY"),
    ] {
        let mut sidecar = sidecar(python, &flags);
        let client = python.start(CLIENT, &[scenario, &sidecar.data.to_string()]);
        client.wait_for_line(sign);
        sidecar.process.signal(Signal::TERM);
        assert!(sidecar.process.wait().success());
        crate::support::python::succeed(client);
        sidecar.model.wait_for_line("CLOSED 1006");
    }
}
