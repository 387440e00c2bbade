//! Floods over HTTP/2: what one client sends may not cost much more than it sent, and the slots
//! that it took come back.

use super::{FLAGS, plain_answer};
use crate::support::eventually;
use crate::support::frames::{
    self, CONTINUATION, DATA, END_STREAM, Frame, GOAWAY, HEADERS, PING, RST_STREAM, Raw, SETTINGS,
    WINDOW_UPDATE,
};
use crate::support::http::{connect, get, metric};
use crate::support::memory::own_bytes;
use crate::support::process::Process;
use crate::support::recorder::{Step, Upstream};
use crate::support::sidecar::proxy;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::time::Duration;

/// A peer's bytes may not cost more memory than so many times as much.
const AMPLIFICATION: u64 = 100;

/// A sidecar before an upstream that keeps what it is sent.
struct Sidecar {
    upstream: Upstream,
    process: Process,
    data: SocketAddr,
    admin: SocketAddr,
}

impl Sidecar {
    fn start(answer: Vec<Step>, flags: &[&str]) -> Self {
        let upstream = Upstream::start(answer);
        let address = upstream.address.to_string();
        let (process, data, admin) = proxy("sidecar", &[&["--upstream", &address], flags].concat());
        Self { upstream, process, data, admin }
    }

    /// Bytes that its process has grown by during this.
    fn growth(&self, during: impl FnOnce()) -> u64 {
        let before = own_bytes(self.process.pid());
        during();
        own_bytes(self.process.pid()).saturating_sub(before)
    }

    fn wait_until_idle(&self) {
        eventually("nothing runs or waits", || {
            metric(self.admin, "tidegate_requests_in_flight", "") == 0.0
                && metric(self.admin, "tidegate_requests_queued", "") == 0.0
        });
    }
}

/// Writes again and again until so much is taken, or nothing is for a while.
fn pour(raw: &mut Raw, part: &[u8], most: usize) -> usize {
    raw.0.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let (mut taken, mut at) = (0, 0);
    while taken < most {
        match raw.0.write(&part[at..]) {
            Ok(count) => {
                taken += count;
                at = (at + count) % part.len();
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break;
            }
            Err(_) => break,
        }
    }
    taken
}

#[test]
fn answers_that_nobody_reads_are_not_piled_up() {
    let sidecar = Sidecar::start(plain_answer(), FLAGS);
    let pings = Frame::new(PING, 0, 0, *b"tidegate").bytes().repeat(1000);
    let settings = Frame::new(SETTINGS, 0, 0, []).bytes().repeat(1000);
    let resets = [
        Frame::headers(1, frames::request("GET", "/", &[]), true).bytes(),
        Frame::number(WINDOW_UPDATE, 1, 0).bytes(),
    ];
    for (what, part) in [("PING", pings), ("SETTINGS", settings), ("reset", resets.concat())] {
        let mut raw = Raw::connect(sidecar.data);
        let grown = sidecar.growth(|| {
            pour(&mut raw, &part, 64 << 20);
        });
        assert!(grown < 4 << 20, "{what}: {grown} bytes more");
        drop(raw);
        sidecar.wait_until_idle();
    }
    assert_eq!(get(sidecar.data, "/after").status, 200);
}

#[test]
fn a_head_without_end_is_cut_off() {
    let sidecar = Sidecar::start(plain_answer(), FLAGS);
    let begin = Frame::new(HEADERS, END_STREAM, 1, frames::request("GET", "/", &[])).bytes();
    let large = frames::field("x-large", &"x".repeat(16_000));
    for (what, payload) in [("empty", Vec::new()), ("small", vec![0x88]), ("large", large)] {
        let mut raw = Raw::connect(sidecar.data);
        let part = Frame::new(CONTINUATION, 0, 1, payload).bytes();
        let grown = sidecar.growth(|| {
            raw.send(&begin);
            pour(&mut raw, &part, 64 << 20);
            while raw.next().is_some() {}
        });
        assert!(grown < 2 << 20, "{what} CONTINUATION: {grown} bytes more");
        assert!(!raw.is_alive(), "{what} CONTINUATION: goes on");
    }
    assert_eq!(sidecar.upstream.seen(), "");
}

/// Heads made large out of few bytes by a table (RFC 7541 section 2.3), on streams that go on.
/// Returns how much was sent, and how much the sidecar grew.
fn bomb(sidecar: &Sidecar, fields: usize) -> (u64, u64) {
    // What serves a first connection is there once.
    let mut first = Raw::connect(sidecar.data);
    first.get(1, "/warm");
    assert!(first.is_alive());
    let (mut sent, mut all) = (0, Vec::new());
    let grown = sidecar.growth(|| {
        for _ in 0..7 {
            let mut bytes = [frames::PREFACE, &Frame::new(SETTINGS, 0, 0, []).bytes()].concat();
            // :method GET, :scheme http, :path /, and fields that are remembered.
            let mut head = [&[0x82, 0x86, 0x84, 0x41], &frames::text("me")[..]].concat();
            head.extend([&[0x40], &frames::text("x")[..], &frames::text("")].concat());
            bytes.extend(Frame::headers(1, head, true).bytes());
            let head = [&[0x82, 0x86, 0x84, 0xbf][..], &[0xbe].repeat(fields)].concat();
            for stream in 1..128 {
                bytes.extend(Frame::headers(2 * stream + 1, head.clone(), true).bytes());
            }
            let mut raw = Raw(connect(sidecar.data));
            raw.send(&bytes);
            sent += bytes.len() as u64;
            all.push(raw);
        }
        for raw in &mut all {
            assert!(raw.is_alive(), "ended");
        }
    });
    (sent, grown)
}

#[test]
fn heads_that_unpack_to_much_cost_little() {
    for fields in [257, 400, 1900] {
        let sidecar = Sidecar::start(vec![Step::Pause], &["--readiness", "none"]);
        let (sent, grown) = bomb(&sidecar, fields);
        assert!(grown < AMPLIFICATION * sent, "{fields} fields: {grown} bytes for {sent}");
        sidecar.wait_until_idle();
    }
    // Even the smallest request costs some kilobytes. What bounds them is that they have places.
    for fields in [0, 90] {
        let flags = ["--readiness", "none", "--max-connections", "100"];
        let sidecar = Sidecar::start(vec![Step::Pause], &flags);
        let (sent, grown) = bomb(&sidecar, fields);
        assert!(grown < 8 << 20, "{fields} fields: {grown} bytes for {sent}");
        sidecar.wait_until_idle();
    }
}

#[test]
fn streams_that_are_reset_again_and_again_give_their_slots_back() {
    let flags = ["--readiness", "none", "--concurrency", "4"];
    let sidecar = Sidecar::start(vec![Step::Pause], &flags);
    let get = |stream| Frame::headers(stream, frames::request("GET", "/", &[]), true).bytes();
    let reset = |stream| Frame::number(RST_STREAM, stream, frames::CANCEL).bytes();
    // Few enough at once for it to be no attack: the connection goes on, and each is in the books.
    let mut raw = Raw::connect(sidecar.data);
    for round in 0..40 {
        let streams = (0..10).map(|n| 2 * (10 * round + n) + 1);
        raw.send(
            &streams.flat_map(|stream| [get(stream), reset(stream)].concat()).collect::<Vec<_>>(),
        );
        assert!(raw.is_alive(), "ended in round {round}");
    }
    sidecar.wait_until_idle();
    eventually("each is in the books", || {
        metric(sidecar.admin, "tidegate_requests_total", "client-gone") == 400.0
    });
    assert_eq!(metric(sidecar.admin, "tidegate_requests_total", ""), 400.0);
    // The same, but the proxy is made to reset them (CVE-2025-8671): that ends the connection.
    let made = |stream| [get(stream), Frame::number(WINDOW_UPDATE, stream, 0).bytes()].concat();
    raw.send(&(400..1200).flat_map(|n| made(2 * n + 1)).collect::<Vec<_>>());
    let mut ended = false;
    while let Some(frame) = raw.next() {
        ended |= frame.kind == GOAWAY;
    }
    assert!(ended, "it goes on");
    sidecar.wait_until_idle();
    assert_eq!(metric(sidecar.admin, "tidegate_requests_in_flight", ""), 0.0);
}

#[test]
fn bodies_are_what_their_heads_and_trailers_say() {
    let sidecar = Sidecar::start(plain_answer(), FLAGS);
    let post = |fields: &[(&str, &str)]| {
        Frame::headers(1, frames::request("POST", "/", fields), false).bytes()
    };
    let body = Frame::new(DATA, 0, 1, *b"abcdef").bytes();
    let trailers = |name: &str| Frame::headers(1, frames::field(name, "1"), true).bytes();
    let ended = Frame::new(DATA, END_STREAM, 1, *b"abcdef").bytes();
    for (what, bytes) in [
        ("length too small", [post(&[("content-length", "3")]), ended.clone()].concat()),
        ("length too large", [post(&[("content-length", "7")]), ended.clone()].concat()),
        (
            "two lengths",
            [post(&[("content-length", "6"), ("content-length", "5")]), ended].concat(),
        ),
        ("length", [post(&[]), body.clone(), trailers("content-length")].concat()),
        ("host", [post(&[]), body.clone(), trailers("host")].concat()),
        ("authorization", [post(&[]), body.clone(), trailers("authorization")].concat()),
        ("hop", [post(&[]), body.clone(), trailers("transfer-encoding")].concat()),
        ("upper case", [post(&[]), body, trailers("X-Trailer")].concat()),
    ] {
        let mut raw = Raw::connect(sidecar.data);
        raw.send(&bytes);
        let end = raw.wait_for(|frame| {
            frame.kind == GOAWAY || frame.kind == RST_STREAM || frame.status().is_some()
        });
        let refused = end.status() == Some(400) || matches!(end.code(), Some(1));
        assert!(refused, "{what}: {end:?}");
        assert!(!sidecar.upstream.seen().contains("abcdef"), "{what}: reached the upstream");
    }
}

/// RFC 9113 section 8.1 has such a message refused; the h2 crate drops the field without a word. What
/// counts holds: it goes no further.
#[test]
fn a_pseudo_field_in_trailers_goes_no_further() {
    let sidecar = Sidecar::start(plain_answer(), FLAGS);
    let head = Frame::headers(1, frames::request("POST", "/", &[]), false);
    let block = [frames::field(":path", "/SMUGGLED"), frames::field("x-sum", "1")].concat();
    let frames = [head, Frame::data(1, *b"abcdef", false), Frame::headers(1, block, true)];
    let mut raw = Raw::connect(sidecar.data);
    for frame in frames {
        assert!(raw.frame(&frame));
    }
    let end = raw.wait_for(|frame| frame.status().is_some());
    assert_eq!(end.status(), Some(200));
    eventually("the trailers have come", || sidecar.upstream.seen().contains("x-sum: 1"));
    let seen = sidecar.upstream.seen();
    assert!(seen.contains("POST / ") && !seen.contains("SMUGGLED"), "{seen}");
}

#[test]
fn streams_have_as_many_places_as_connections() {
    let flags = ["--readiness", "none", "--max-connections", "3"];
    let sidecar = Sidecar::start(vec![Step::Pause], &flags);
    let mut raw = Raw::connect(sidecar.data);
    for stream in [1, 3, 5] {
        raw.get(stream, "/held");
    }
    assert!(raw.is_alive());
    raw.get(7, "/too-many");
    let refused = raw.wait_for(|frame| frame.kind == RST_STREAM);
    assert_eq!((refused.stream, refused.code()), (7, Some(frames::REFUSED_STREAM)));
    raw.frame(&Frame::number(RST_STREAM, 1, frames::CANCEL));
    sidecar_waits_for(&sidecar, 2.0);
    raw.get(9, "/fits");
    sidecar_waits_for(&sidecar, 3.0);
}

fn sidecar_waits_for(sidecar: &Sidecar, count: f64) {
    eventually("so many run or wait", || {
        let of = |name| metric(sidecar.admin, name, "");
        of("tidegate_requests_in_flight") + of("tidegate_requests_queued") == count
    });
}
