//! What is answered where no TLS is spoken.

use crate::support::eventually;
use crate::support::gateway::Gateway;
use crate::support::http::{Answer, connect, read_answer};
use std::io::Write;
use std::net::SocketAddr;

/// A gateway that sends on to this port, and where.
fn start(port: &str, flags: &[&str]) -> (Gateway, SocketAddr) {
    let own = ["--redirect-listen", "127.0.0.1:0", "--redirect-port", port];
    let gateway = Gateway::start("60s", &[&own, flags].concat());
    let line = gateway.process.wait_for_line(r#""event":"listening""#);
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    (gateway, json["redirect"].as_str().unwrap().parse().unwrap())
}

fn ask(to: SocketAddr, text: &str) -> Answer {
    let mut stream = connect(to);
    stream.write_all(text.as_bytes()).unwrap();
    read_answer(&mut stream)
}

#[test]
fn every_request_is_sent_on_with_host_and_path() {
    let (gateway, to) = start("443", &[]);
    let answer = ask(to, "GET /plain/x?y=%2F&z HTTP/1.1\r\nhost: api.example:8080\r\n\r\n");
    assert_eq!(answer.status, 308);
    assert_eq!(answer.header("location"), "https://api.example/plain/x?y=%2F&z");
    assert_eq!((answer.header("connection"), answer.header("content-length")), ("close", "0"));
    // A client that sends much that nobody reads still sees its answer.
    let body = "x".repeat(100_000);
    let head = "POST / HTTP/1.1\r\nhost: [::1]\r\ncontent-length: 100000\r\n\r\n";
    let answer = ask(to, &format!("{head}{body}"));
    assert_eq!((answer.status, answer.header("location")), (308, "https://[::1]/"));
    assert_eq!(gateway.metric("tidegate_requests_total", r#"code="308""#), 2.0);
}

#[test]
fn nothing_leads_elsewhere_and_what_is_no_request_is_refused() {
    let (gateway, to) = start("8443", &["--header-timeout", "300ms"]);
    for (target, expected) in [
        ("//evil.example/", "https://good.example:8443//evil.example/"),
        ("/@evil.example", "https://good.example:8443/@evil.example"),
        ("*", "https://good.example:8443/"),
    ] {
        let answer = ask(to, &format!("OPTIONS {target} HTTP/1.1\r\nhost: good.example\r\n\r\n"));
        assert_eq!((answer.status, answer.header("location")), (308, expected), "{target}");
    }
    for text in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: \u{1}\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        assert_eq!(ask(to, text).status, 400, "{text:?}");
    }
    assert_eq!(ask(to, "TRACE / HTTP/1.1\r\nhost: a\r\n\r\n").status, 405);
    let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(10_000));
    assert_eq!(ask(to, &long).status, 414);
    assert_eq!(ask(to, "GET / HTTP/1.1\r\nhost:").status, 408, "slow");
    assert_eq!(ask(to, "").status, 0, "silent");
    eventually("all are gone", || gateway.metric("tidegate_connections", "") == 0.0);
}
