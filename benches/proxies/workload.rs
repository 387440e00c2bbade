//! What is asked of the peers: the requests, and what the origin answers.

use clap::ValueEnum;
use std::fmt::Write;

/// Where a small JSON answer comes from.
pub(crate) const SMALL: &str = "/predict";
/// Where requests with bodies go, and where a stream of events comes from. Routers of language
/// models know no other path.
pub(crate) const COMPLETIONS: &str = "/v1/completions";
/// What stands in a body before how long the origin is to take for an answer, in microseconds. Routers
/// drop fields of the head that they don't know, and keys that OpenAI's API hasn't.
pub(crate) const SERVICE_KEY: &[u8] = br#""seed":"#;
/// What stands in the body of a request for a stream.
pub(crate) const STREAM_KEY: &[u8] = br#""stream":true"#;

/// The large request body.
pub(crate) const BODY_BYTES: usize = 220_000;
/// Connections that send small bodies.
pub(crate) const POST_CONNECTIONS: u16 = 64;
/// Connections in TLS.
pub(crate) const TLS_CONNECTIONS: u16 = 64;
/// Connections that send large bodies.
pub(crate) const BODY_CONNECTIONS: u16 = 150;
/// Requests a second of `rate`.
pub(crate) const RATE: u64 = 500;
/// Streams at once.
pub(crate) const STREAMS: u16 = 50;
/// Events of a stream.
pub(crate) const EVENTS: u32 = 200;
/// Between two events of a stream, in nanoseconds.
pub(crate) const EVENT_GAP: u64 = 10_000_000;
/// What stands before the moment of sending in an event.
pub(crate) const EVENT_PREFIX: &str = r#"data: {"sent":""#;
/// Digits of that moment.
pub(crate) const EVENT_DIGITS: usize = 20;

/// The body of a small request that has one.
const SMALL_BODY: &str = r#"{"model":"digits","max_tokens":1,"prompt":"All human beings"}"#;
/// The answer to a small request.
pub(crate) const ANSWER: &str =
    r#"{"label":"seven","score":0.9731,"scores":[0.0,0.01,0.0,0.0,0.0,0.0,0.0,0.9731,0.01,0.0]}"#;

/// One kind of measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Small requests, each connection asking again as soon as it is answered
    Small,
    /// Small requests with a body of JSON that names its model, on 64 connections
    Post,
    /// Small requests in TLS 1.3, in HTTP/1.1 and in HTTP/2, on 64 connections each
    Tls,
    /// Small requests at 500 a second, whatever the answers do
    Rate,
    /// JSON bodies of 220 KB on 150 connections
    Json,
    /// 50 streams of 200 events, 10 ms apart
    Sse,
    /// Instructions a small request, by callgrind
    Instructions,
    /// How long requests wait before endpoints that serve one at a time, by way of balancing
    Tail,
}

/// A small request.
pub(crate) fn small_request() -> Vec<u8> {
    format!(
        "GET {SMALL} HTTP/1.1\r\nHost: model\r\nUser-Agent: tidegate-benches\r\nAccept: */*\r\n\r\n"
    )
    .into_bytes()
}

/// A request with a large JSON body.
pub(crate) fn body_request() -> Vec<u8> {
    let mut body = String::from(r#"{"model":"digits","max_tokens":1,"prompt":""#);
    while body.len() < BODY_BYTES - 2 {
        body.push_str("All human beings are born free and equal. ");
    }
    body.truncate(BODY_BYTES - 2);
    body.push_str("\"}");
    completion(&body)
}

/// A small request with a body.
pub(crate) fn post_request() -> Vec<u8> {
    completion(SMALL_BODY)
}

/// A request whose answer takes so long to make.
pub(crate) fn timed_request(service_nanos: u64) -> Vec<u8> {
    let micros = service_nanos / 1000;
    completion(&format!(r#"{{"model":"digits","max_tokens":1,"prompt":"All","seed":{micros}}}"#))
}

/// A request for a stream.
pub(crate) fn stream_request() -> Vec<u8> {
    completion(r#"{"model":"digits","stream":true,"max_tokens":1,"prompt":"All human beings"}"#)
}

fn completion(body: &str) -> Vec<u8> {
    format!(
        "POST {COMPLETIONS} HTTP/1.1\r\nHost: model\r\nUser-Agent: tidegate-benches\r\nAccept: */*\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// An event, as large as a token of a chat usually is, in a chunk of its own.
pub(crate) fn event_chunk(sent: u64, number: u32) -> Vec<u8> {
    let width = EVENT_DIGITS;
    let mut event = format!(r#"{EVENT_PREFIX}{sent:0width$}","id":"chatcmpl-1","#);
    // Writing to a string can't fail.
    write!(
        event,
        r#""object":"chat.completion.chunk","model":"digits","choices":[{{"index":0,"delta":{{"content":" word{number}"}}}}]}}"#
    )
    .ok();
    event.push_str("\n\n");
    format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
}

/// When an event was sent, in nanoseconds of [`crate::clock::now`].
pub(crate) fn sent_at(event: &[u8]) -> Option<u64> {
    let start = memchr::memmem::find(event, EVENT_PREFIX.as_bytes())? + EVENT_PREFIX.len();
    let digits = event.get(start..start + EVENT_DIGITS)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_json_of_its_length() {
        let request = body_request();
        let body = request.split_at(request.len() - BODY_BYTES).1;
        assert!(request.starts_with(b"POST /v1/completions HTTP/1.1\r\n"));
        serde_json::from_slice::<serde_json::Value>(body).expect("JSON");
    }

    #[test]
    fn an_event_says_when_it_was_sent() {
        let chunk = event_chunk(1_234_567, 7);
        assert_eq!(sent_at(&chunk), Some(1_234_567));
        let (size, rest) =
            chunk.split_at(chunk.iter().position(|byte| *byte == b'\r').expect("a size line"));
        let size = usize::from_str_radix(std::str::from_utf8(size).expect("text"), 16);
        assert_eq!(size.expect("a size"), rest.len() - 4);
        assert_eq!(sent_at(b"data: {}"), None);
    }
}
