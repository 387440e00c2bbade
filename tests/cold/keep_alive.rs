//! Signs of life for clients that wait for a stream of events.

use super::ask_with;
use crate::support::eventually;
use crate::support::gateway::{Gateway, bare};
use crate::support::h2;
use crate::support::http::{Answer, Http, connect, read_answer};
use crate::support::recorder::{Step, Upstream};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use tokio::task::JoinSet;

const STREAM: &str = r#"{"model":"m","stream":true}"#;
const KEEP_ALIVE: &str = "coldStart: {keepAlive: 100ms}";
const EVENTS: &str = "data: one\n\ndata: [DONE]\n\n";

/// An upstream that answers each request with this.
fn upstream(status: &str, kind: &str, body: &str) -> Upstream {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}");
    Upstream::start(vec![Step::Send(format!("{head}\r\n\r\n{body}").into_bytes())])
}

fn ask(gateway: &Gateway, body: &str) -> TcpStream {
    let fields = "content-type: application/json\r\naccept-encoding: gzip\r\n";
    ask_with(gateway.data, "POST", "/plain/v1/chat/completions", fields, body)
}

/// Reads until there are so many comments.
fn read_comments(stream: &mut TcpStream, count: usize) -> String {
    let mut seen = Vec::new();
    while String::from_utf8_lossy(&seen).matches(": waiting\n\n").count() < count {
        let mut part = [0; 4096];
        let length = stream.read(&mut part).unwrap();
        assert!(length > 0, "it ended after {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&part[..length]);
    }
    String::from_utf8(seen).unwrap()
}

fn is_idle(gateway: &Gateway) -> bool {
    let count = |name: &str| gateway.metric(name, "plain");
    count("tidegate_requests_in_flight") + count("tidegate_requests_queued") == 0.0
}

/// The one event of an answer that ends with it.
fn last_event(text: &str) -> (String, Value) {
    let (_, event) = text.rsplit_once(": waiting\n\n").unwrap_or(("", text));
    let (name, data) = event.trim().split_once("\ndata: ").unwrap_or_else(|| panic!("{text}"));
    (name.to_owned(), serde_json::from_str(data).unwrap())
}

#[test]
fn comments_come_until_the_models_events_follow_them() {
    let gateway = Gateway::start_with(KEEP_ALIVE, &[]);
    let mut client = ask(&gateway, STREAM);
    let begin = read_comments(&mut client, 3);
    assert!(begin.starts_with("HTTP/1.1 200 OK\r\n"), "{begin}");
    assert!(begin.contains("\r\ncontent-type: text/event-stream\r\n"), "{begin}");
    assert_eq!(gateway.metric("tidegate_requests_queued", "plain"), 1.0, "it waits in line");
    let model = upstream("200 OK", "text/event-stream", EVENTS);
    gateway.write_endpoints(vec![bare("a", model.address, 1)]);
    let mut rest = String::new();
    client.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with(&format!("{EVENTS}\r\n0\r\n\r\n")), "{rest}");
    assert!(!model.seen().contains("accept-encoding"), "comments are not compressed");
    eventually("its books are closed", || {
        gateway.metric("tidegate_requests_total", r#"code="200""#) == 1.0 && is_idle(&gateway)
    });
    // Now that the API is up, an answer is the model's own from its first byte.
    let answer = read_answer(&mut ask(&gateway, STREAM));
    assert_eq!(answer.text(), EVENTS);
    assert!(answer.header("content-length") == EVENTS.len().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_follow_is_told_in_an_event_and_counted_as_what_it_was() {
    let http = Http::new();
    let begun = |gateway: &Gateway| {
        let (http, data) = (http.clone(), gateway.data);
        async move { http.post(data, "/plain/v1/chat/completions", STREAM).await }
    };
    let told = |answer: &Answer| {
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/event-stream"));
        let (name, data) = last_event(&answer.text());
        assert_eq!(name, "event: error");
        data["error"].clone()
    };
    for (status, kind) in [(400_u16, "application/json"), (200, "application/json")] {
        let gateway = Gateway::start_with(KEEP_ALIVE, &[]);
        let mut waiting = JoinSet::new();
        waiting.spawn(begun(&gateway));
        let mut witness = ask(&gateway, STREAM);
        read_comments(&mut witness, 3);
        let model = upstream(&format!("{status} Said"), kind, "{}");
        gateway.write_endpoints(vec![bare("a", model.address, 1)]);
        let error = told(&waiting.join_next().await.unwrap().unwrap());
        assert_eq!((&error["reason"], &error["status"]), (&"other-answer".into(), &status.into()));
        let code = format!("code=\"{status}\"");
        eventually("it is counted as what it was", || {
            gateway.metric("tidegate_requests_total", &code) == 2.0 && is_idle(&gateway)
        });
    }
    let text = Gateway::DOCUMENT.replace("COLD_START", "1s").replace("ROUTES", "[{path: /plain}]");
    let openai = "  openai: {models: [m]}\n";
    for (more, key) in [("", "reason"), (openai, "code")] {
        let gateway = Gateway::run(&format!("{text}  {KEEP_ALIVE}\n{more}"), &[]);
        let error = told(&begun(&gateway).await);
        assert_eq!(error[key], "cold-start-timeout", "{error}");
        assert_eq!(gateway.metric("tidegate_requests_total", r#"code="503""#), 1.0);
        // Who does not ask for a stream is told by the status.
        let plain = http.post(gateway.data, "/plain/v1", r#"{"model":"m"}"#).await;
        assert_eq!((plain.status, plain.reason()), (503, "cold-start-timeout"));
    }
}

#[test]
fn who_leaves_is_noticed_between_two_comments() {
    let gateway = Gateway::start_with("coldStart: {keepAlive: 30s}", &[]);
    let quick = Gateway::start_with(KEEP_ALIVE, &[]);
    for (gateway, has_begun) in [(&gateway, false), (&quick, true)] {
        let mut client = connect(gateway.data);
        let head = "GET /plain/x HTTP/1.0\r\naccept: text/event-stream\r\n\r\n";
        client.write_all(head.as_bytes()).unwrap();
        if has_begun {
            assert!(!read_comments(&mut client, 2).contains("chunked"), "HTTP/1.0 has no chunks");
        }
        eventually("it waits", || gateway.metric("tidegate_requests_queued", "plain") == 1.0);
        drop(client);
        eventually("it has left", || {
            gateway.metric("tidegate_requests_total", "client-gone") == 1.0 && is_idle(gateway)
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_too_and_who_resets_the_stream_leaves_the_line() {
    let gateway = Gateway::start_with(KEEP_ALIVE, &[]);
    let mut tasks = JoinSet::new();
    let sender = h2::connect(gateway.data, &mut tasks).await;
    let mut begun = Vec::new();
    for _ in 0..2 {
        let mut sender = sender.clone().ready().await.unwrap();
        let request = http::Request::get(format!("http://{}/plain/x", gateway.data))
            .header("accept", "text/event-stream");
        let (response, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut body = response.into_body();
        assert_eq!(&body.data().await.unwrap().unwrap()[..], b": waiting\n\n");
        begun.push(body);
    }
    eventually("both wait", || gateway.metric("tidegate_requests_queued", "plain") == 2.0);
    drop(begun.pop());
    eventually("one is left", || gateway.metric("tidegate_requests_queued", "plain") == 1.0);
    let model = upstream("200 OK", "text/event-stream", EVENTS);
    gateway.write_endpoints(vec![bare("a", model.address, 1)]);
    let mut body = begun.remove(0);
    let mut text = Vec::new();
    while let Some(part) = body.data().await {
        text.extend_from_slice(&part.unwrap());
    }
    let text = String::from_utf8(text).unwrap();
    assert!(text.ends_with(EVENTS), "{text}");
    eventually("nothing is left", || is_idle(&gateway));
}
