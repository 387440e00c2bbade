//! HTTP/1.1 on one side and HTTP/2 on the other: curl and bare clients, models of either kind.

use crate::support::http::{connect, get, read_answer};
use crate::support::python::{Python, python};
use crate::support::sidecar::{Sidecar, listening};
use std::io::Write;
use std::process::{Command, Stdio};

/// A sidecar before a model that speaks HTTP/2 only.
fn before_http2(python: &Python, flags: &[&str]) -> Sidecar {
    let model = python.start("models/h2c.py", &[]);
    let address = listening(&model);
    Sidecar::before(model, address, flags)
}

/// What curl says: the protocol and status, then the body. `None` where there is no curl.
fn curl(arguments: &[&str], input: &[u8]) -> Option<String> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--http2-prior-knowledge", "--max-time", "60"]);
    command.args(["--write-out", "%{stderr}%{http_version} %{response_code}"]).args(arguments);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = piped.spawn() else {
        crate::support::say("skipped: there is no curl");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writing = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    let (head, body) = (String::from_utf8_lossy(&output.stderr), output.stdout);
    Some(format!("{head} {}", String::from_utf8_lossy(&body)))
}

#[test]
fn curl_speaks_http2_to_models_of_either_kind() {
    let plain = Sidecar::start(&["--concurrency", "4"]);
    let url = |sidecar: &Sidecar, path: &str| format!("http://{}{path}", sidecar.data);
    let large = "x".repeat(3 << 20);
    let Some(answer) = curl(&[&url(&plain, "/a?b=c")], b"") else { return };
    assert_eq!(answer, "2 200 hello\n");
    let seen = plain.model.wait_for_line("REQUEST GET /a?b=c");
    assert!(seen.contains(&format!("host={}", plain.data)), "{seen}");
    let post = |sidecar: &Sidecar, body: &[u8]| {
        let url = url(sidecar, "/echo");
        curl(&["--data-binary", "@-", "--header", "expect:", &url], body).unwrap()
    };
    assert_eq!(post(&plain, b"body"), "2 200 body");
    assert_eq!(post(&plain, large.as_bytes()), format!("2 200 {large}"));
    assert_eq!(curl(&[&url(&plain, "/status?code=429")], b"").unwrap(), "2 429 status\n");
    assert!(curl(&["--head", &url(&plain, "/")], b"").unwrap().starts_with("2 200 HTTP/2 200"));

    let Some(python) = python() else { return };
    let http2 = before_http2(python, &["--concurrency", "4"]);
    assert_eq!(curl(&[&url(&http2, "/a?b=c")], b"").unwrap(), "2 200 hello");
    assert_eq!(post(&http2, b"body"), "2 200 body");
    assert_eq!(post(&http2, large.as_bytes()), format!("2 200 {large}"));
    assert_eq!(curl(&[&url(&http2, "/status?503")], b"").unwrap(), "2 503 hello");
    plain.wait_until_idle();
    http2.wait_until_idle();
}

#[test]
fn a_client_of_http1_reaches_a_model_of_http2() {
    let Some(python) = python() else { return };
    let sidecar = before_http2(python, &["--upstream-protocol", "h2c"]);
    let answer = get(sidecar.data, "/a?b=c");
    assert_eq!((answer.status, answer.header("transfer-encoding")), (200, "chunked"));
    assert_eq!(answer.text(), "5\r\nhello\r\n0\r\n\r\n");
    let seen = sidecar.model.wait_for_line("REQUEST GET /a?b=c");
    assert!(seen.contains("x-forwarded-for=127.0.0.1"), "{seen}");
    assert!(!seen.contains("connection="), "{seen}");

    // Chunks and trailers, both ways.
    let mut stream = connect(sidecar.data);
    let head = "POST /echo HTTP/1.1\r\nhost: me\r\nconnection: close\r\ntrailer: x-sum\r\n";
    write!(stream, "{head}transfer-encoding: chunked\r\n\r\n").unwrap();
    write!(stream, "4\r\nbody\r\n0\r\nx-sum: 1\r\n\r\n").unwrap();
    let answer = read_answer(&mut stream);
    assert_eq!(answer.text(), "4\r\nbody\r\n0\r\nx-sum: 1\r\n\r\n");
    // And a hint on the way.
    let mut stream = connect(sidecar.data);
    write!(stream, "GET /early HTTP/1.1\r\nhost: me\r\nconnection: close\r\n\r\n").unwrap();
    let early = read_answer(&mut stream);
    assert_eq!((early.status, early.header("link")), (103, "</a>; rel=preload"));
    assert!(early.text().starts_with("HTTP/1.1 200 "), "{}", early.text());
    // Who leaves is missed.
    let mut stream = connect(sidecar.data);
    write!(stream, "GET /sleep HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    sidecar.model.wait_for_line("REQUEST GET /sleep");
    drop(stream);
    sidecar.model.wait_for_line("RESET");
    sidecar.wait_until_idle();
    let answer = get(sidecar.data, "/status?429");
    assert_eq!((answer.status, answer.header("retry-after"), answer.reason()), (429, "7", ""));
    // What it printed may be on its way still; a second line would come before that of the next request.
    get(sidecar.data, "/last");
    sidecar.model.wait_for_line("REQUEST GET /last");
    assert_eq!(sidecar.model.count_lines("REQUEST GET /status?429"), 1);
}
