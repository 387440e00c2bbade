//! The access log of a real sidecar: one line a request, whatever became of it.

use crate::support::eventually;
use crate::support::http::{connect, get, metric, read_answer};
use crate::support::sidecar::{Sidecar, plain_model};
use crate::support::{binary, now};
use rustix::process::Signal;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The lines about requests so far.
fn lines(sidecar: &Sidecar) -> Vec<Value> {
    let output = sidecar.process.output();
    let lines = output.lines().filter(|line| line.contains(r#""event":"request""#));
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Sends what `head` begins with, and reads to the end.
fn ask(sidecar: &Sidecar, head: &str, body: &str) -> u16 {
    let mut stream = connect(sidecar.data);
    write!(stream, "{head}host: me\r\nconnection: close\r\n\r\n{body}").unwrap();
    read_answer(&mut stream).status
}

#[test]
fn each_request_has_its_line() {
    let flags = ["--access-log", "all", "--tenant-header", "x-tenant", "--queue-capacity", "0"];
    let sidecar = Sidecar::start(&flags);
    let head = "POST /echo?secret=1 HTTP/1.1\r\nx-tenant: \"gold\"\r\nx-request-id: mine\r\n\
                authorization: Bearer s3cret\r\ncontent-length: 3\r\n";
    assert_eq!(ask(&sidecar, head, "abc"), 200);
    let large = "x".repeat(200_000);
    let head = format!("POST /large HTTP/1.1\r\ncontent-length: {}\r\n", large.len());
    assert_eq!(ask(&sidecar, &head, &large), 200);
    let mut running = connect(sidecar.data);
    write!(running, "GET /sleep?ms=600000 HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    sidecar.model.wait_for_line("/sleep");
    assert_eq!(ask(&sidecar, "GET /full HTTP/1.1\r\n", ""), 503);
    drop(running);
    sidecar.wait_until_idle();
    assert_eq!(ask(&sidecar, "no head\r\n", ""), 400);

    eventually("five lines", || lines(&sidecar).len() == 5);
    let lines = lines(&sidecar);
    let seen = |index: usize, key: &str| lines[index][key].clone();
    for (key, expected) in [
        ("status", Value::from(200)),
        ("method", Value::from("POST")),
        ("path", Value::from("/echo")),
        ("tenant", Value::from("\"gold\"")),
        ("bytes_in", Value::from(3)),
        ("bytes_out", Value::from(3)),
        ("request_id", Value::from("mine")),
        ("endpoint", Value::from("model")),
        ("attempts", Value::from(1)),
    ] {
        assert_eq!(seen(0, key), expected, "{key}");
    }
    let time = |key| lines[0][key].as_f64().unwrap();
    assert!(time("queue_wait_seconds") <= time("first_byte_seconds"));
    assert!(time("first_byte_seconds") <= time("duration_seconds"));
    assert_eq!(lines[0]["trace_id"].as_str().unwrap().len(), 32);
    assert!(lines[0]["time"].as_str().unwrap().ends_with('Z'));
    assert_eq!((seen(1, "bytes_in"), seen(1, "bytes_out")), (200_000.into(), 200_000.into()));
    assert_eq!((seen(2, "status"), seen(2, "reason")), (503.into(), "queue-full".into()));
    assert_eq!((seen(2, "attempts"), seen(2, "endpoint")), (0.into(), Value::Null));
    assert_eq!((seen(3, "status"), seen(3, "reason")), (499.into(), "client-gone".into()));
    assert_eq!((seen(4, "status"), seen(4, "path")), (400.into(), Value::Null));
    assert!(!sidecar.process.output().contains("s3cret"), "a secret was logged");
    assert!(!sidecar.process.output().contains("secret=1"), "a query was logged");
}

#[test]
fn errors_alone_and_no_log_at_all() {
    let sidecar = Sidecar::start(&["--access-log", "errors"]);
    assert_eq!(get(sidecar.data, "/fine").status, 200);
    assert_eq!(get(sidecar.data, "/status?code=418").status, 418);
    eventually("the line", || !lines(&sidecar).is_empty());
    assert_eq!(lines(&sidecar).len(), 1);
    assert_eq!(lines(&sidecar)[0]["status"], 418);

    let silent = Sidecar::start(&[]);
    assert_eq!(get(silent.data, "/close").status, 502);
    silent.process.signal(Signal::TERM);
    silent.process.wait_for_line("drained");
    assert_eq!(lines(&silent), Vec::<Value>::new());
}

#[test]
fn the_last_lines_are_written_before_the_end() {
    let sidecar = Sidecar::start(&["--access-log", "all"]);
    for _ in 0..200 {
        get(sidecar.data, "/");
    }
    sidecar.process.signal(Signal::TERM);
    sidecar.process.wait_for_line("drained");
    eventually("all lines", || lines(&sidecar).len() == 200);
}

/// A child whose output nobody reads, killed when the test ends.
struct Unread(Child);

impl Drop for Unread {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    let (_model, upstream) = plain_model(0);
    let child = Command::new(binary("tidegate-proxy"))
        .args([
            "sidecar",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--drain-delay",
            "0s",
        ])
        .args(["--access-log", "all", "--readiness", "none", "--upstream", &upstream.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut sidecar = Unread(child.unwrap());
    let mut stdout = BufReader::new(sidecar.0.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let listening: Value = serde_json::from_str(&line).unwrap();
    let address = |key: &str| listening[key].as_str().unwrap().parse().unwrap();
    let (data, admin) = (address("data"), address("admin"));

    // Refused heads are the cheapest requests; each path is long, so that the pipe is soon full.
    let head = format!("TRACE /{} HTTP/1.1\r\nhost: me\r\n\r\n", "x".repeat(1000));
    let dropped = || metric(admin, "tidegate_access_log_dropped_total", "");
    let start = now();
    while dropped() == 0.0 {
        assert!(now() - start < Duration::from_secs(50), "nothing is dropped");
        for _ in 0..500 {
            let mut stream = connect(data);
            stream.write_all(head.as_bytes()).unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"HTTP/1.1 405");
        }
    }
    assert_eq!(get(data, "/still").status, 200);
    // It ends in bounded time, too.
    let pid = rustix::process::Pid::from_child(&sidecar.0);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    eventually("it ends", || sidecar.0.try_wait().unwrap().is_some());
}
