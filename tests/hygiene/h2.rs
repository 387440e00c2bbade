//! The same over HTTP/2: each case of the data comes to one of its acceptable ends, and nothing of
//! it reaches the upstream that should not.

use super::{FLAGS, cases, plain_answer};
use crate::support::eventually;
use crate::support::frames::{ACK, CANCEL, Frame, GOAWAY, PING, REFUSED_STREAM, RST_STREAM, Raw};
use crate::support::http::{connect, get, metric};
use crate::support::memory::rss_bytes;
use crate::support::process::Process;
use crate::support::recorder::{Step, Upstream};
use crate::support::sidecar::proxy;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;

/// Of clients that do nothing, or read nothing.
pub(super) const TIMEOUTS: &[&str] = &["--write-timeout", "300ms", "--keep-alive-timeout", "300ms"];

/// How a case ended.
#[derive(Debug, Default)]
struct End {
    /// Answers' statuses.
    codes: Vec<u16>,
    /// Error codes of streams that were reset, and of how many.
    resets: BTreeMap<u32, usize>,
    /// The connection's.
    go_away: Option<u32>,
    /// Whether the connection ended.
    closed: bool,
    /// Whether the upstream's answer or a gRPC refusal came, as text.
    text: String,
}

/// A case's bytes with its marks carried out: `{{SEQ*n:frames}}` for the first n streams of a
/// client, `{{HOLD n}}`, `{{bytes*n}}`.
fn steps(raw: &str) -> Vec<Step> {
    let bytes = |text: &str| text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let (mut steps, mut rest) = (Vec::new(), raw);
    while let Some((before, mark)) = rest.split_once("{{") {
        let (mark, after) = mark.split_once("}}").unwrap();
        steps.push(Step::Send(bytes(before)));
        if let Some(mark) = mark.strip_prefix("SEQ*") {
            let (count, frames) = mark.split_once(':').unwrap();
            for stream in 0..count.parse::<u32>().unwrap() {
                let id = (2 * stream + 1).to_be_bytes().map(char::from);
                let frames = frames.replace("<SID>", &String::from_iter(id));
                steps.push(Step::Send(bytes(&frames)));
            }
        } else if let Some((text, count)) = mark.rsplit_once('*') {
            steps.push(Step::Send(bytes(text).repeat(count.parse().unwrap())));
        } else {
            assert!(mark.starts_with("HOLD"), "an unknown mark {mark}");
        }
        rest = after;
    }
    steps.push(Step::Send(bytes(rest)));
    steps
}

/// Sends a case, and reads to the connection's end, or until all is answered: the proxy answers a
/// ping, and each stream that it has seen has its end.
fn run(raw: &mut Raw, steps: &[Step], streams: usize) -> End {
    for step in steps {
        let Step::Send(bytes) = step else { continue };
        raw.send(bytes);
    }
    raw.frame(&Frame::new(PING, 0, 0, *b"tidegate"));
    let (mut end, mut ended, mut alive) = (End::default(), 0, false);
    while !(alive && ended >= streams) {
        let Some(frame) = raw.next() else {
            end.closed = true;
            break;
        };
        alive |= frame.kind == PING && frame.flags & ACK != 0;
        ended += usize::from(frame.ends_stream());
        end.codes.extend(frame.status());
        end.text.extend(frame.payload.iter().map(|byte| char::from(*byte)));
        match frame.kind {
            GOAWAY => end.go_away = frame.code(),
            RST_STREAM => *end.resets.entry(frame.code().unwrap()).or_default() += 1,
            _ => {}
        }
    }
    end
}

/// Whether an end is one of those that are acceptable. What a case allows in words is checked by
/// what the upstream saw.
fn is_acceptable(case: &Value, end: &End, seen: &str) -> bool {
    let answered = end.codes == [200];
    let untouched = end.codes.is_empty() && end.resets.is_empty() && end.go_away.is_none();
    let lower = seen.to_lowercase();
    let ends = case["acceptable"].as_array().unwrap().iter().filter_map(Value::as_str);
    ends.into_iter().any(|acceptable| match acceptable {
        "h2:RST(PROTOCOL_ERROR)" => end.resets.contains_key(&1),
        "h2:RST" => !end.resets.is_empty(),
        "h2:GOAWAY" => end.go_away.is_some(),
        "h2:GOAWAY(PROTOCOL_ERROR)" => end.go_away == Some(1),
        "h2:GOAWAY(FRAME_SIZE_ERROR)" => end.go_away == Some(6),
        "h2:GOAWAY(COMPRESSION_ERROR)" => end.go_away == Some(9),
        "h2:GOAWAY(ENHANCE_YOUR_CALM)" => end.go_away == Some(11),
        "close" => end.closed && end.codes.is_empty(),
        "ignored" if case["category"] == "h2-flood" => untouched && !end.closed,
        "acks bounded" | "bounded, idle timeout" => untouched && !end.closed,
        "200:1" => answered && seen.matches(" HTTP/1.1\r\n").count() == 1,
        "200:host dropped" => answered && !lower.contains("evil.local"),
        "200:trimmed" => answered && lower.contains("\r\nx: lead\r\n"),
        "200:headers dropped" => answered && !lower.contains("transfer_encoding"),
        "relayed" | "relayed, constant memory" | "clamped to max deadline" | "ignored" => answered,
        "grpc-status 8 or 13" | "grpc-status 3/13" => {
            ["8", "13", "3"].iter().any(|code| end.text.contains(&format!("grpc-status{code}")))
        }
        "refused above max streams, write timeout closes" => {
            end.resets.keys().all(|code| [REFUSED_STREAM, CANCEL].contains(code))
                && end.resets.values().sum::<usize>() == 300
        }
        // `h2:400` and the like.
        status => {
            let status = status.strip_prefix("h2:").unwrap_or_else(|| panic!("{status}"));
            status.parse().is_ok_and(|status: u16| end.codes == [status])
        }
    })
}

/// How many streams a case opens that will be answered or reset if the connection goes on.
fn streams(case: &Value) -> usize {
    match case["id"].as_str().unwrap() {
        // Floods of the connection itself, and one stream whose body never ends.
        "H03" | "H05" => 0,
        "H15" => 300,
        "H17" => 0,
        _ => 1,
    }
}

/// Plays a case to a process that stands before an upstream, and says what is wrong with its end.
pub(super) fn failure(
    case: &Value,
    upstream: &Upstream,
    (process, data, admin): (&Process, SocketAddr, SocketAddr),
) -> Option<String> {
    assert_eq!(get(data, "/before").status, 200);
    let before = rss_bytes(process.pid());
    upstream.seen.lock().unwrap().clear();
    let mut raw = Raw(connect(data));
    let end = run(&mut raw, &steps(case["raw"].as_str().unwrap()), streams(case));
    let grown = rss_bytes(process.pid()).saturating_sub(before);
    let seen = upstream.seen();
    let smuggled = seen.lines().any(|line| line.starts_with("GET /SMUGGLED"));
    // No more than may run at once, but where each answer is waited for.
    let most = if case["id"] == "H15" { 128 } else { 64 };
    let started = seen.matches(" HTTP/1.1\r\n").count();
    let bad = smuggled || started > most || grown > 8 << 20;
    let is_wrong = bad || !is_acceptable(case, &end, &seen);
    drop(raw);
    eventually("nothing runs or waits", || {
        metric(admin, "tidegate_requests_in_flight", "") == 0.0
            && metric(admin, "tidegate_requests_queued", "") == 0.0
    });
    assert_eq!(get(data, "/after").status, 200, "after {}", case["id"]);
    assert!(!process.output().contains("panicked"), "{}", process.output());
    is_wrong.then(|| {
        format!(
            "{} {}: {end:?}, {grown} bytes more; upstream saw {started}: {seen:?}",
            case["id"], case["description"]
        )
    })
}

#[test]
fn no_stream_is_understood_in_two_ways() {
    let mut failures = Vec::new();
    for case in cases("h2-request") {
        let upstream = Upstream::start(plain_answer());
        let address = upstream.address.to_string();
        let own = ["--upstream", &address, "--upstream-protocol", "http1"];
        let (process, data, admin) = proxy("sidecar", &[&own[..], TIMEOUTS, FLAGS].concat());
        failures.extend(failure(&case, &upstream, (&process, data, admin)));
    }
    assert!(failures.is_empty(), "{} cases:\n{}", failures.len(), failures.join("\n"));
}

/// The preface in pieces, and what only looks like it.
#[test]
fn a_preface_is_known_however_it_comes() {
    let upstream = Upstream::start(plain_answer());
    let address = upstream.address.to_string();
    let (_process, data, _) = proxy("sidecar", &[&["--upstream", &address], FLAGS].concat());
    let mut raw = Raw(connect(data));
    raw.0.set_nodelay(true).unwrap();
    for byte in crate::support::frames::PREFACE {
        raw.0.write_all(&[*byte]).unwrap();
    }
    assert!(raw.frame(&Frame::setting(1, 0)) && raw.get(1, "/split"));
    assert_eq!(raw.wait_for(|frame| frame.stream == 1).status(), Some(200));
    for (bytes, answer) in [
        // A method of HTTP/1.1 that begins alike, and a target, and a preface behind a request.
        ("PRIVATE / HTTP/1.1\r\nhost: t\r\n\r\n", "HTTP/1.1 200 "),
        ("PRI / HTTP/1.1\r\nhost: t\r\n\r\n", "HTTP/1.1 200 "),
        ("GET /PRI HTTP/1.1\r\nhost: t\r\n\r\n", "HTTP/1.1 200 "),
        ("PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n", "HTTP/1.1 400 "),
        ("PRI * HTTP/1.1\r\nhost: t\r\n\r\n", "HTTP/1.1 400 "),
        ("PRI * HTTP/2.0\r\nhost: t\r\n\r\n", "HTTP/1.1 400 "),
        ("\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 400 "),
    ] {
        let mut stream = connect(data);
        stream.write_all(bytes.as_bytes()).unwrap();
        let seen = super::read_to_answer_or_end(&mut stream);
        let seen = String::from_utf8_lossy(&seen);
        assert!(seen.starts_with(answer), "{bytes:?}: {seen:?}");
    }
    let twice = "GET /first HTTP/1.1\r\nhost: t\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut stream = connect(data);
    stream.write_all(twice.as_bytes()).unwrap();
    let first = super::read_to_answer_or_end(&mut stream);
    let second = super::read_to_answer_or_end(&mut stream);
    assert_eq!(super::statuses(&[first, second].concat()), [200, 400]);
}

/// Who begins HTTP/2 and says no more is not waited for.
#[test]
fn silence_after_a_preface_ends_the_connection() {
    let (_process, data, admin) =
        proxy("sidecar", &[&["--upstream", "127.0.0.1:9"], FLAGS].concat());
    let preface = crate::support::frames::PREFACE;
    let settings = Frame::setting(1, 0).bytes();
    let head = Frame::new(1, 0, 1, crate::support::frames::request("GET", "/", &[])).bytes();
    for sent in [
        // Half of it, all of it, with settings, with a head that is never ended.
        preface[..10].to_vec(),
        preface.to_vec(),
        [preface, &settings].concat(),
        [preface, &settings[..5]].concat(),
        [preface, &settings, &head].concat(),
        [preface, &settings, &head[..12]].concat(),
    ] {
        let mut raw = Raw(connect(data));
        raw.send(&sent);
        let mut frames = Vec::new();
        while let Some(frame) = raw.next() {
            frames.push(frame);
        }
        let said = frames.iter().any(|frame| frame.kind == GOAWAY);
        assert!(sent.len() <= preface.len() || said, "{sent:?} ended with {frames:?}");
    }
    assert_eq!(metric(admin, "tidegate_requests_in_flight", ""), 0.0);
}
