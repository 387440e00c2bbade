//! Requests that are told apart by the model in their body, and bodies that should not be sent.

use super::Routed;
use crate::support::eventually;
use crate::support::http::{Answer, connect, read_answer};
use serde_json::{Value, json};
use std::io::Write;

const TWO: &[(&str, &str)] = &[
    ("text", "  routes: [{path: /v1}]\n  openai: {models: [text-1, text], scanLimit: 100k}"),
    ("code", "  routes: [{path: /v1}]\n  openai: {models: [code/1]}"),
];

fn post(routed: &Routed, target: &str, body: &str) -> Answer {
    routed.ask(&format!("POST {target} HTTP/1.1\r\nhost: x"), body)
}

/// The error of an answer, which must have the form that OpenAI's API has.
fn error(answer: &Answer) -> Value {
    let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let error = json["error"].clone();
    assert!(error["message"].is_string() && error["type"].is_string(), "{}", answer.text());
    error
}

#[test]
fn a_request_goes_to_the_api_that_has_its_model_and_its_body_arrives_unchanged() {
    let routed = Routed::start(TWO, &[]);
    let long = "x".repeat(220_000);
    for (number, (body, api)) in [
        (r#"{"model":"text","prompt":"a"}"#.to_owned(), "text"),
        (r#"{ "prompt" : {"model":"text"}, "model" : "code\/1" }"#.to_owned(), "code"),
        (format!(r#"{{"model":"code/1","prompt":"{long}"}}"#), "code"),
        (format!(r#"{{"prompt":"{long}","model":"text-1"}}"#), "text"),
        (r#"{"model":"text","model":"code/1"}"#.to_owned(), "text"),
        // What comes after the model is nobody's business here.
        (r#"{"model":"text", this is no JSON"#.to_owned(), "text"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = post(&routed, &format!("/v1/completions?case={number}."), &body);
        assert_eq!((answer.status, answer.text() == body), (200, true), "{number}: {answer:?}");
        eventually("its model was asked", || routed.asked(&format!("?case={number}. ")) == api);
    }
    eventually("the books agree", || {
        routed.gateway.metric("tidegate_requests_total", r#"api="text",code="200""#) == 4.0
            && routed.gateway.metric("tidegate_requests_total", r#"api="code",code="200""#) == 2.0
    });
}

#[test]
fn what_a_path_allows_is_asked_of_one_api_without_a_model() {
    let routed = Routed::start(TWO, &[]);
    let preflight = "OPTIONS /v1/x?case=a. HTTP/1.1\r\nhost: x\r\norigin: http://page\r\n\
                     access-control-request-method: POST";
    let answer = routed.ask(preflight, "");
    assert_eq!((answer.status, answer.reason()), (200, ""), "{answer:?}");
    eventually("the first of them was asked", || routed.asked("?case=a. ") == "text");
}

#[test]
fn a_chunked_body_is_read_no_further_than_its_model_and_arrives_unchanged() {
    let routed = Routed::start(TWO, &[]);
    let mut stream = connect(routed.gateway.data);
    let head = "POST /v1/x?case=a. HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                transfer-encoding: chunked\r\n\r\n";
    write!(stream, "{head}9\r\n{{\"model\":\r\n8\r\n\"code/1\"\r\n").unwrap();
    // The rest comes only once the model has been asked.
    eventually("the model was asked", || routed.asked("?case=a. ") == "code");
    write!(stream, "3\r\n,1}}\r\n0\r\n\r\n").unwrap();
    let answer = read_answer(&mut stream);
    assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"model":"code/1",1}"#));
}

#[test]
fn bad_bodies_are_refused_in_openais_form_and_cost_nothing() {
    let routed = Routed::start(TWO, &["--body-timeout", "300ms"]);
    let deep = format!("{{\"a\":{}", "[".repeat(50_000));
    let huge = format!("{{\"model\":\"{}\"}}", "m".repeat(10 << 20));
    for (body, status, reason, code) in [
        (r#"{"model":"none"}"#, 404, "unknown-model", "model_not_found"),
        (huge.as_str(), 404, "unknown-model", "model_not_found"),
        (r#"{"model":"\ud800"}"#, 404, "unknown-model", "model_not_found"),
        (r#"{"prompt":"a"}"#, 400, "no-model", "no-model"),
        (r#"{"model":null}"#, 400, "no-model", "no-model"),
        (r#"{"a":{"model":"text"}}"#, 400, "no-model", "no-model"),
        (r#"["model","text"]"#, 400, "no-model", "no-model"),
        ("", 400, "no-model", "no-model"),
        ("no JSON", 400, "no-model", "no-model"),
        ("\u{feff}{\"model\":\"text\"}", 400, "no-model", "no-model"),
        (deep.as_str(), 400, "no-model", "no-model"),
    ] {
        let answer = post(&routed, "/v1/completions", body);
        let shown: String = body.chars().take(40).collect();
        assert_eq!((answer.status, answer.reason()), (status, reason), "{shown}");
        let error = error(&answer);
        assert_eq!((&error["code"], &error["param"]), (&json!(code), &json!("model")), "{shown}");
    }
    let unknown = post(&routed, "/v1/x", r#"{"model":"a\"b"}"#);
    assert!(error(&unknown)["message"].as_str().unwrap().contains("`a\"b`"));
    let utf8 = routed.send(
        b"POST /v1/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                             content-length: 13\r\n\r\n{\"model\":\"\xff\"}",
    );
    assert_eq!((utf8.status, utf8.reason()), (404, "unknown-model"));
    for (_, model) in &routed.models {
        assert_eq!(model.count_lines("REQUEST"), 0);
    }
}

#[test]
fn a_body_that_never_comes_to_its_model_is_bounded_in_bytes_and_in_time() {
    let routed = Routed::start(TWO, &[]);
    let head = "POST /v1/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    // More than the widest scan of the two, and no end announced.
    let mut stream = connect(routed.gateway.data);
    write!(stream, "{head}transfer-encoding: chunked\r\n\r\n").unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let sent = (0..100).take_while(|_| stream.write_all(chunk.as_bytes()).is_ok()).count();
    let answer = read_answer(&mut stream);
    // One that still sends may lose the answer with its connection.
    assert!(answer.reason() == "no-model" || sent < 100, "{sent} chunks, {answer:?}");
    let routed = Routed::start(TWO, &["--body-timeout", "300ms"]);
    for (fields, body) in [
        ("content-length: 500000\r\n\r\n", "{\"a\":"),
        ("transfer-encoding: chunked\r\n\r\n", "2\r\n{ \r\n"),
        ("content-length: 30\r\n\r\n", "{\"a\":"),
    ] {
        let mut stream = connect(routed.gateway.data);
        write!(stream, "{head}{fields}{body}").unwrap();
        let answer = read_answer(&mut stream);
        assert_eq!((answer.status, answer.reason()), (408, "request-timeout"), "{fields}");
        error(&answer);
    }
    eventually("the books agree", || {
        routed.gateway.metric("tidegate_requests_total", r#"reason="request-timeout""#) == 3.0
    });
}

#[test]
fn what_names_no_model_goes_to_the_api_that_takes_it() {
    let serve = "  openai: {models: [open], whenNotFound: serve}";
    let routed = Routed::start(&[("strict", "  openai: {models: [m]}"), ("open", serve)], &[]);
    let form = "content-type: multipart/form-data; boundary=x";
    for (number, (fields, body, api)) in [
        ("", r#"{"model":"m"}"#, "strict"),
        ("", r#"{"model":"new"}"#, "open"),
        ("", "no JSON", "open"),
        ("", "", "open"),
        (form, r#"{"model":"m"}"#, "open"),
        ("content-encoding: gzip", r#"{"model":"m"}"#, "open"),
        ("content-encoding: identity", r#"{"model":"m"}"#, "strict"),
        ("expect: 100-continue", r#"{"model":"m"}"#, "strict"),
    ]
    .into_iter()
    .enumerate()
    {
        let head = format!("POST /x?case={number}. HTTP/1.1\r\nhost: x\r\n{fields}");
        let answer = routed.ask(head.trim_end(), body);
        assert!([200, 100].contains(&answer.status), "{number}: {answer:?}");
        eventually("it was asked", || routed.asked(&format!("?case={number}. ")) == api);
    }
}

#[test]
fn the_models_are_listed_and_each_can_be_asked_for() {
    let routed = Routed::start(TWO, &[]);
    let get = |path: &str| routed.ask(&format!("GET {path} HTTP/1.1\r\nhost: x"), "");
    let list: Value = serde_json::from_slice(&get("/v1/models").body).unwrap();
    let model =
        |id: &str, api: &str| json!({"id": id, "object": "model", "created": 0, "owned_by": api});
    let both = json!([model("text-1", "text"), model("code/1", "code")]);
    assert_eq!(list, json!({"object": "list", "data": both}));
    for (path, id, api) in [
        ("/v1/models/text", "text", "text"),
        ("/v1/models/code/1", "code/1", "code"),
        ("/v1/models/code%2F1", "code/1", "code"),
    ] {
        let one: Value = serde_json::from_slice(&get(path).body).unwrap();
        assert_eq!(one, model(id, api), "{path}");
    }
    // As a check of health asks, without the body.
    let head = routed.ask("HEAD /v1/models HTTP/1.1\r\nhost: x", "");
    assert_eq!((head.status, head.text().as_str()), (200, ""));
    let unknown = get("/v1/models/none");
    assert_eq!((unknown.status, unknown.reason()), (404, "unknown-model"));
    assert_eq!(error(&unknown)["code"], "model_not_found");
    let elsewhere = get("/v2/models");
    assert_eq!((elsewhere.status, elsewhere.reason()), (404, "no-route"));
}
