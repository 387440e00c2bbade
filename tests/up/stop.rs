//! However it is stopped, and whenever: requests finish if they may, and nothing is left.

use crate::support::family::Family;
use crate::support::http::{self, Http, connect, read_answer};
use crate::support::process::{Process, signal_pid};
use crate::support::up::{FREE_PORTS, Replica, Up, document, plain_command, plain_script};
use crate::support::{binary, eventually, root};
use rustix::process::Signal;
use std::io::Write;
use std::process::Command;
use tempfile::TempDir;
use tokio::task::JoinSet;

const ONE: &str = "
  concurrency: {limit: 2}
  autoscaling: {minReplicas: 1, maxReplicas: 1}
";

/// A model that takes no connection and does not end by itself.
const NEVER_READY: &str = r#"[sh, -c, "sleep 600 & wait", "{port}"]"#;

/// The plain model as the child of a shell.
fn behind_a_shell() -> String {
    format!(r#"[sh, -c, "python3 {} $0 & wait", "{{port}}"]"#, plain_script().display())
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_lets_what_runs_and_waits_finish() {
    let mut up = Up::start(&document(&plain_command(), ONE), &["--drain-timeout", "60s"]);
    up.wait_for_ready(1);
    let http = Http::new();
    let mut clients = JoinSet::new();
    for _ in 0..6 {
        let (http, data) = (http.clone(), up.data);
        clients.spawn(async move { http.post(data, "/sleep?ms=500", "body").await });
    }
    eventually("two run and four wait", || {
        up.metric("tidegate_requests_in_flight", "") == 2.0
            && up.metric("tidegate_requests_queued", "") == 4.0
    });
    up.process.signal(Signal::INT);
    while let Some(answer) = clients.join_next().await {
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.reason()), (200, ""));
    }
    assert!(up.process.wait().success(), "{}", up.process.output());
    up.family.assert_gone();
    assert_eq!(up.process.errors(), "");
}

#[test]
fn ctrl_c_before_the_first_request_ends_it() {
    let mut up = Up::start(&document(&plain_command(), ""), &[]);
    up.process.signal(Signal::INT);
    assert!(up.process.wait().success());
    up.family.assert_gone();
}

#[test]
fn ctrl_c_in_a_cold_start_ends_it_too() {
    let mut up = Up::start(&document(NEVER_READY, ""), &["--drain-timeout", "100ms"]);
    let mut waiting = connect(up.data);
    write!(waiting, "GET / HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    eventually("a model starts", || up.family.running("sleep 600").len() > 1);
    up.process.signal(Signal::INT);
    assert!(up.process.wait().success(), "{}", up.process.output());
    up.family.assert_gone();
    let answer = read_answer(&mut waiting);
    assert!([0, 503].contains(&answer.status), "{answer:?}");
}

#[test]
fn sigterm_means_the_same() {
    let mut up = Up::start(&document(&plain_command(), ONE), &[]);
    up.wait_for_ready(1);
    up.process.signal(Signal::TERM);
    assert!(up.process.wait().success());
    up.family.assert_gone();
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    let mut up = Up::start(&document(&plain_command(), ONE), &["--drain-timeout", "1h"]);
    up.wait_for_ready(1);
    let mut running = connect(up.data);
    write!(running, "GET /sleep?ms=600000 HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    eventually("it runs", || up.metric("tidegate_requests_in_flight", "") == 1.0);
    up.process.signal(Signal::INT);
    eventually("it drains", || up.metric("tidegate_draining", "") == 1.0);
    assert_eq!(up.metric("tidegate_requests_in_flight", ""), 1.0);
    up.process.signal(Signal::INT);
    assert!(up.process.wait().success());
    up.family.assert_gone();
}

#[test]
fn a_second_ctrl_c_ends_a_model_that_does_not_want_to() {
    let stubborn = plain_command().replace("[python3", "[sh, -c, 'trap \"\" TERM; python3 $0 $1'");
    let mut up = Up::start(&document(&stubborn, ONE), &[]);
    up.wait_for_ready(1);
    up.process.signal(Signal::INT);
    eventually("the sidecar has gone first", || up.family.running("sidecar").is_empty());
    // Ten seconds later the model would have to go anyway.
    assert_eq!(up.family.running("plain.py").len(), 2);
    up.process.signal(Signal::INT);
    assert!(up.process.wait().success());
    up.family.assert_gone();
}

#[test]
fn ctrl_c_while_python_is_prepared_ends_that_too() {
    let folder = TempDir::new().unwrap();
    let file = root().join("examples/digits/tidegate.yaml");
    let mut command = Command::new(binary("tidegate"));
    command.arg("up").arg(file).arg("--data-dir").arg(folder.path()).args(FREE_PORTS);
    let family = Family::of(&mut command);
    let mut process = Process::start(&mut command);
    process.wait_for_line("making a Python environment");
    eventually("venv runs", || !family.running("-m venv").is_empty());
    process.signal(Signal::INT);
    assert!(process.wait().success(), "{}", process.output());
    // What was killed may still be dying: it is not waited for.
    family.wait_until_gone();
}

#[test]
fn whoever_kills_it_kills_all() {
    let mut up = Up::start(&document(&plain_command(), ONE), &[]);
    up.wait_for_ready(1);
    let mut running = connect(up.data);
    write!(running, "GET /sleep?ms=600000 HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    eventually("it runs", || up.metric("tidegate_requests_in_flight", "") == 1.0);
    // Itself, its watchdog, a model and its sidecar.
    assert_eq!(up.family.members().len(), 4);
    up.process.signal(Signal::KILL);
    assert!(!up.process.wait().success());
    up.family.wait_until_gone();
}

#[test]
fn whoever_kills_it_kills_what_models_have_started_too() {
    let mut up = Up::start(&document(&behind_a_shell(), ONE), &[]);
    let shell = up.wait_for_ready(1).remove(0);
    assert_eq!(servers(&up, &shell).len(), 1);
    up.process.signal(Signal::KILL);
    assert!(!up.process.wait().success());
    up.family.wait_until_gone();
}

#[test]
fn what_a_model_started_ends_with_it() {
    let mut up = Up::start(&document(&behind_a_shell(), ONE), &[]);
    let shell = up.wait_for_ready(1).remove(0);
    let first = servers(&up, &shell);
    assert_eq!(first.len(), 1);
    // The shell dies; the server that it leaves behind would keep the port.
    signal_pid(shell.model_pid.unwrap(), Signal::KILL);
    eventually("another server is in its place", || {
        let shell = up.replicas().remove(0);
        let servers = servers(&up, &shell);
        shell.restarts == 1 && servers.len() == 1 && servers != first
    });
    assert_eq!(http::get(up.data, "/").status, 200);
    up.process.signal(Signal::INT);
    assert!(up.process.wait().success());
    up.family.assert_gone();
}

/// The process ids of what runs behind a replica's shell.
fn servers(up: &Up, shell: &Replica) -> Vec<u32> {
    let members = up.family.running("plain.py");
    let pids = members.iter().map(|member| member.pid);
    pids.filter(|pid| Some(*pid) != shell.model_pid).collect()
}
