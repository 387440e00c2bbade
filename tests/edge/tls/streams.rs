//! What goes over a connection once it is secured: large bodies, streams, calls, sockets, ends.

use super::{Secured, files};
use crate::support::eventually;
use crate::support::frames::{DATA, Frame, GOAWAY, HEADERS, NO_ERROR, PREFACE, SETTINGS, request};
use crate::support::process::Process;
use crate::support::python::{python, succeed};
use crate::support::root;
use crate::support::sidecar::{Sidecar, listening};
use crate::support::tls::{self, Tls};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::process::Command;

/// A sidecar that speaks TLS before this model.
fn before(model: Process, flags: &[&str]) -> Secured {
    let (folder, own) = files();
    let address = listening(&model);
    let flags = [&["--tls-cert", &own.path, "--concurrency", "100"], flags].concat();
    let sidecar = Sidecar::before(model, address, &flags);
    Secured::of(sidecar, folder, own)
}

fn open(secured: &Secured) -> Tls {
    tls::connect(secured.sidecar.data, &secured.client, "127.0.0.1").unwrap()
}

#[test]
fn large_bodies_pass_both_ways() {
    let secured = Secured::start(&["--max-body", "64MiB"]);
    let file = secured.folder.path().join("body");
    let body: Vec<u8> = (0..9_000_001u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&file, &body).unwrap();
    let (data, url) =
        (format!("@{}", file.display()), format!("https://{}/echo", secured.sidecar.data));
    for flag in ["--http1.1", "--http2"] {
        let asked = Command::new("curl")
            .args(["-sS", "--max-time", "60", "--cacert", &secured.ca, flag, "-H", "expect:"])
            .args(["--data-binary", &data, &url])
            .output()
            .unwrap();
        assert!(asked.stdout == body, "{flag}: {} bytes", asked.stdout.len());
    }
    secured.sidecar.wait_until_idle();
}

#[test]
fn who_reads_when_it_has_sent_all_gets_all_and_may_go_on() {
    let secured = Secured::start(&[]);
    let mut stream = open(&secured);
    let body = vec![b'x'; 20_000_000];
    let head = format!("POST /echo HTTP/1.1\r\nhost: me\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
    let (mut read, mut part) = (0, [0; 100_000]);
    while read < body.len() {
        let count = stream.read(&mut part).unwrap();
        assert!(count > 0, "an end after {read}");
        read += count;
    }
    // And the connection goes on.
    stream.write_all(b"GET / HTTP/1.1\r\nhost: me\r\nconnection: close\r\n\r\n").unwrap();
    let mut rest = String::new();
    // With a word that this is the end: without one it would be an error.
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("hello\n"), "{rest}");
}

#[test]
fn a_client_that_leaves_is_missed_while_its_request_waits() {
    let secured = Secured::start(&["--concurrency", "1"]);
    let mut running = open(&secured);
    running.write_all(b"GET /sleep?ms=60000&id=first HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    secured.sidecar.model.wait_for_line("id=first");
    // Without a body; with one that is not read; with another request behind it.
    let unread = format!("content-length: 1000000\r\n\r\n{}", "x".repeat(20_000));
    for rest in ["\r\n", &unread, "\r\nGET / HTTP/1.1\r\nhost: me\r\n\r\n"] {
        for says_so in [true, false] {
            let mut waiting = open(&secured);
            write!(waiting, "POST /never HTTP/1.1\r\nhost: me\r\n{rest}").unwrap();
            let queued = || secured.sidecar.metric("tidegate_requests_queued", "");
            eventually("it waits", || queued() == 1.0);
            if says_so {
                waiting.conn.send_close_notify();
                waiting.conn.write_tls(&mut waiting.sock).unwrap();
            }
            drop(waiting);
            eventually("it is missed", || queued() == 0.0);
        }
    }
    let gone = || secured.sidecar.metric("tidegate_requests_total", r#"reason="client-gone""#);
    assert_eq!(gone(), 6.0);
    drop(running);
    secured.sidecar.model.wait_for_line("LEFT /sleep?ms=60000&id=first");
    eventually("it is missed too", || gone() == 7.0);
    assert_eq!(secured.sidecar.model.count_lines("/never"), 0);
}

#[test]
fn an_answer_that_breaks_off_does_not_look_whole() {
    let secured = Secured::start(&[]);
    let mut stream = open(&secured);
    stream.write_all(b"GET /half HTTP/1.0\r\nhost: me\r\n\r\n").unwrap();
    let mut all = Vec::new();
    assert!(stream.read_to_end(&mut all).is_err(), "{}", all.escape_ascii());
    secured.sidecar.wait_until_idle();
}

#[test]
fn events_are_seen_as_they_are_sent() {
    let model = root().join("tests/models/events.py");
    let model = Process::start(Command::new("python3").arg(model).arg("_"));
    let secured = before(model, &[]);
    let client = |scenario: &str| {
        let script = root().join("tests/clients/events.py");
        let to = secured.sidecar.data.to_string();
        let arguments = ["_", scenario, &to, &secured.ca];
        succeed(Process::start(Command::new("python3").arg(script).args(arguments)))
    };
    let said = client("follow");
    let median_ms: f64 = said.split(' ').nth(1).unwrap().parse().unwrap();
    // The next event is sent only after that.
    assert!(median_ms < 20.0, "{median_ms} ms");
    client("leave");
    secured.sidecar.model.wait_for_lines("GONE", 20);
    secured.sidecar.wait_until_idle();
}

#[test]
fn sockets_and_calls_pass_unchanged() {
    let Some(python) = python() else { return };
    let secured = before(python.start("models/websocket_echo.py", &[]), &[]);
    for scenario in ["basics", "many"] {
        let to = secured.sidecar.data.to_string();
        python.run("clients/websocket.py", &[scenario, &to, &secured.ca]);
    }
    secured.sidecar.wait_until_idle();
    let model = python.start("models/grpc_echo.py", &[]);
    listening(&model);
    model.signal(Signal::USR1);
    let secured = before(model, &["--readiness", "grpc:", "--readiness-timeout", "5s"]);
    for scenario in ["basics", "metadata", "errors", "large", "deadline", "many"] {
        let to = format!("localhost:{}", secured.sidecar.data.port());
        python.run("clients/grpc_echo.py", &[scenario, &to, "", &secured.ca]);
    }
    secured.sidecar.wait_until_idle();
}

#[test]
fn a_quiet_connection_is_told_the_end() {
    let mut secured = Secured::start(&["--drain-timeout", "20s"]);
    let mut stream = open(&secured);
    stream.write_all(b"GET / HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    let mut answer = [0; 1000];
    assert!(stream.read(&mut answer).unwrap() > 0);
    secured.sidecar.process.signal(Signal::TERM);
    let mut rest = Vec::new();
    // An end without that word would be an error.
    stream.read_to_end(&mut rest).unwrap();
    drop(stream);
    assert!(secured.sidecar.process.wait().success());
}

#[test]
fn over_http2_a_drain_is_announced_and_what_runs_comes_to_its_end() {
    let mut secured = Secured::start(&["--drain-delay", "0s", "--drain-timeout", "60s"]);
    let mut client = secured.client.clone();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let mut stream = tls::connect(secured.sidecar.data, &client, "127.0.0.1").unwrap();
    let head = Frame::headers(1, request("POST", "/echo", &[]), false);
    let begin = [PREFACE, &Frame::new(SETTINGS, 0, 0, []).bytes(), &head.bytes()].concat();
    stream.write_all(&begin).unwrap();
    eventually("it runs", || secured.sidecar.metric("tidegate_requests_in_flight", "") == 1.0);
    secured.sidecar.process.signal(Signal::TERM);
    let announced = next(&mut stream, GOAWAY);
    assert_eq!(announced.code(), Some(NO_ERROR));
    stream.write_all(&Frame::data(1, "all of it", true).bytes()).unwrap();
    assert_eq!(next(&mut stream, HEADERS).status(), Some(200));
    assert_eq!(next(&mut stream, DATA).payload, b"all of it");
    // This client does not answer the announcement. An end without a word would be an error.
    stream.read_to_end(&mut Vec::new()).unwrap();
    assert!(secured.sidecar.process.wait().success());
}

/// The next frame of this kind.
fn next(stream: &mut Tls, kind: u8) -> Frame {
    loop {
        let frame = Frame::read(stream).unwrap();
        if frame.kind == kind {
            return frame;
        }
    }
}
