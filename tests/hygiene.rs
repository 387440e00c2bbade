//! Bytes that should not be sent, from both sides, through a real sidecar: each case of
//! `data/bad-input.json` must come to one of its acceptable ends.

mod floods;
mod gateway;
mod h2;

use crate::support::http::{Answer, connect, get};
use crate::support::recorder::{Step, Upstream, play};
use crate::support::sidecar::proxy;
use serde_json::Value;
use std::io::Read;
use std::net::TcpStream;

const CASES: &str = include_str!("data/bad-input.json");
/// What a case may take. Slow cases pause longer than the sidecar's timeouts here, which cut them.
const FLAGS: &[&str] = &[
    "--readiness",
    "none",
    "--header-timeout",
    "300ms",
    "--idle-timeout",
    "300ms",
    "--body-timeout",
    "300ms",
    "--first-byte-timeout",
    "2s",
    "--concurrency",
    "64",
];

/// A case's bytes, with its marks carried out.
fn steps(raw: &str) -> Vec<Step> {
    let bytes =
        |text: &str| text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect::<Vec<_>>();
    let (mut steps, mut rest) = (Vec::new(), raw);
    while let Some((before, mark)) = rest.split_once("{{") {
        let (mark, after) = mark.split_once("}}").unwrap();
        let mut sent = bytes(before);
        if let Some((text, count)) = mark.rsplit_once('*') {
            sent.extend(bytes(text).repeat(count.parse().unwrap()));
            steps.push(Step::Send(sent));
        } else {
            steps.push(Step::Send(sent));
            steps.push(if mark == "END" { Step::End } else { Step::Pause });
        }
        rest = after;
    }
    steps.push(Step::Send(bytes(rest)));
    steps
}

/// Reads until the upstream's whole answer is here, or the connection's end.
fn read_to_answer_or_end(stream: &mut TcpStream) -> Vec<u8> {
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while !answer.ends_with(b"\r\n\r\nok") {
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => answer.extend_from_slice(&buffer[..count]),
            Ok(0) | Err(_) => break,
        }
    }
    answer
}

/// What the client saw: the status line's code of each answer, and whether the end was clean.
fn statuses(answer: &[u8]) -> Vec<u16> {
    let text: String = answer.iter().map(|byte| char::from(*byte)).collect();
    let codes = text
        .match_indices("HTTP/1.1 ")
        .filter_map(|(at, found)| text.get(at + found.len()..at + found.len() + 3)?.parse().ok());
    codes.collect()
}

fn cases(surface: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_json::from_str(CASES).unwrap();
    let cases: Vec<_> = all.into_iter().filter(|case| case["surface"] == surface).collect();
    assert!(!cases.is_empty());
    cases
}

fn plain_answer() -> Vec<Step> {
    vec![Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec())]
}

/// Whether an end of a case is among those that are acceptable.
fn is_acceptable(case: &Value, codes: &[u16], reached: bool) -> bool {
    let ends = case["acceptable"].as_array().unwrap().iter().filter_map(Value::as_str);
    for end in ends {
        let wanted: Option<u16> = end.get(..3).and_then(|code| code.parse().ok());
        let fits = match wanted {
            Some(200) => codes.first() == Some(&200) && reached,
            Some(499) => codes.is_empty(),
            Some(code) => codes == [code],
            None if end == "close" => codes.is_empty(),
            None => codes.is_empty() || matches!(codes, [400 | 499 | 101]),
        };
        if fits {
            return true;
        }
    }
    false
}

/// What is wrong with the end of a case: what the client was told, and what reached the upstream.
fn failure(case: &Value, answer: &[u8], seen: &str) -> Option<String> {
    let codes = statuses(answer);
    let canary = seen.lines().any(|line| line.starts_with("GET /SMUGGLED"));
    let asked = case["raw"].as_str().unwrap().contains("Upgrade: foo");
    // A model may answer before the request ends. That the request was cut off it must see, though.
    let early = case["id"] == "K23" && codes == [200] && !seen.contains("\r\n0\r\n");
    let is_fit = early || is_acceptable(case, &codes, !seen.is_empty());
    let is_wrong = !is_fit || (canary && !asked);
    let what =
        || format!("{} {}: {codes:?}; upstream saw {seen:?}", case["id"], case["description"]);
    is_wrong.then(what)
}

#[test]
fn no_request_is_understood_in_two_ways() {
    let mut failures = Vec::new();
    for case in cases("h1-request") {
        // Each on its own: what comes late in one must not be taken for another's.
        let upstream = Upstream::start(plain_answer());
        let address = upstream.address.to_string();
        let (process, data, admin) = proxy("sidecar", &[&["--upstream", &address], FLAGS].concat());
        let mut stream = connect(data);
        play(&mut stream, &steps(case["raw"].as_str().unwrap()));
        let answer = read_to_answer_or_end(&mut stream);
        failures.extend(failure(&case, &answer, &upstream.seen()));
        assert_eq!(get(data, "/after").status, 200, "after {}", case["id"]);
        assert_eq!(get(admin, "/healthz").status, 200, "after {}", case["id"]);
        assert!(!process.output().contains("panicked"), "{}", process.output());
    }
    assert!(failures.is_empty(), "{} cases:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn what_concerns_one_hop_stays_on_it() {
    let upstream = Upstream::start(plain_answer());
    let address = upstream.address.to_string();
    let (_process, data, _) = proxy("sidecar", &[&["--upstream", &address], FLAGS].concat());
    for case in cases("h1-request") {
        let id = case["id"].as_str().unwrap().to_owned();
        let never: &[&str] = match id.as_str() {
            "I05" => &["keep-alive", "proxy-connection", "te:", "upgrade", "proxy-authorization"],
            "U01" => &["other.local"],
            "U11" => &["#"],
            "F44" => &["transfer_encoding"],
            _ => continue,
        };
        upstream.seen.lock().unwrap().clear();
        let mut stream = connect(data);
        play(&mut stream, &steps(case["raw"].as_str().unwrap()));
        read_to_answer_or_end(&mut stream);
        let seen = upstream.seen().to_lowercase();
        for word in never {
            assert!(!seen.contains(word), "{id}: {word} reached the upstream: {seen:?}");
        }
    }
}

/// What a client is told where an upstream answers as in this case.
fn assert_is_acceptable(case: &Value, answer: &Answer) {
    let (id, code) = (&case["id"], answer.status);
    assert!(!answer.text().contains("EVIL"), "{id}: {answer:?}");
    let ends = case["acceptable"].as_array().unwrap().iter().filter_map(Value::as_str);
    let fits =
        |end: &str| end.starts_with(&code.to_string()) || (code == 200 && end.contains("abort"));
    assert!(ends.into_iter().any(fits), "{id}: {code}, not one of {}", case["acceptable"]);
}

#[test]
fn no_answer_is_given_to_the_wrong_client() {
    for case in cases("upstream-response") {
        let upstream = Upstream::start(steps(case["raw"].as_str().unwrap()));
        let address = upstream.address.to_string();
        let (process, data, _) = proxy("sidecar", &[&["--upstream", &address], FLAGS].concat());
        for _ in 0..2 {
            assert_is_acceptable(&case, &get(data, "/"));
        }
        assert!(!process.output().contains("panicked"), "{}", process.output());
    }
}
