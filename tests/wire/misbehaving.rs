//! Upstreams that misbehave over HTTP/2: frame by frame, each as bad as its test needs it.

use crate::support::eventually;
use crate::support::frames::{
    Frame, GOAWAY, HEADERS, NO_ERROR, REFUSED_STREAM, RST_STREAM, Raw, SETTINGS, field, request,
};
use crate::support::http::{Answer, connect, get, metric, read_answer};
use crate::support::process::Process;
use crate::support::sidecar::proxy;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// SETTINGS_MAX_CONCURRENT_STREAMS and SETTINGS_INITIAL_WINDOW_SIZE.
const MAX_STREAMS: u16 = 3;
const INITIAL_WINDOW: u16 = 4;

struct Sidecar {
    _process: Process,
    data: SocketAddr,
    admin: SocketAddr,
}

impl Sidecar {
    fn before(upstream: SocketAddr, flags: &[&str]) -> Self {
        let address = upstream.to_string();
        let own = ["--upstream", &address, "--upstream-protocol", "h2c", "--readiness", "none"];
        let (_process, data, admin) = proxy("sidecar", &[&own, flags].concat());
        Self { _process, data, admin }
    }

    fn wait_until_idle(&self) {
        eventually("nothing runs", || metric(self.admin, "tidegate_requests_in_flight", "") == 0.0);
    }
}

fn default_settings() -> Vec<Frame> {
    vec![Frame::new(SETTINGS, 0, 0, [])]
}

fn post(to: SocketAddr, body: &str) -> Answer {
    let mut stream = connect(to);
    let head = "POST / HTTP/1.1\r\nhost: me\r\nconnection: close\r\n";
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    read_answer(&mut stream)
}

/// An upstream that counts requests and connections.
fn counting(
    settings: &[Frame],
    serve: impl Fn(&mut Raw, u32, usize) -> bool + Send + Sync + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let address = Raw::serve(settings, move |mut raw, _| {
        while let Some(stream) = raw.next_request() {
            let number = requests.fetch_add(1, Ordering::SeqCst);
            if !serve(&mut raw, stream, number) {
                return;
            }
        }
    });
    (address, counted)
}

#[test]
fn a_reset_after_the_head_is_a_reset_with_the_same_word() {
    let (address, requests) = counting(&default_settings(), |raw, stream, _| {
        raw.frame(&Frame::headers(stream, vec![0x88], false));
        raw.frame(&Frame::data(stream, "part", false));
        raw.frame(&Frame::number(RST_STREAM, stream, 2))
    });
    let sidecar = Sidecar::before(address, &[]);
    let cut = get(sidecar.data, "/");
    assert_eq!((cut.status, cut.header("transfer-encoding")), (200, "chunked"));
    assert!(!cut.text().ends_with("0\r\n\r\n"), "looks whole: {}", cut.text());
    let mut client = Raw::connect(sidecar.data);
    client.get(1, "/");
    let reset = client.wait_for(|frame| frame.kind == RST_STREAM);
    assert_eq!((reset.stream, reset.code()), (1, Some(2)));
    // The connection that carried it goes on.
    client.get(3, "/");
    client.wait_for(|frame| frame.kind == RST_STREAM && frame.stream == 3);
    sidecar.wait_until_idle();
    assert_eq!(requests.load(Ordering::SeqCst), 3);
    assert_eq!(metric(sidecar.admin, "tidegate_requests_total", "upstream-reset"), 3.0);
}

/// What an upstream says that it has not processed goes out again, once, whoever asked first.
#[test]
fn what_was_not_processed_is_sent_once_more() {
    let refuse: fn(&mut Raw, u32) -> bool =
        |raw, stream| raw.frame(&Frame::number(RST_STREAM, stream, REFUSED_STREAM));
    // It goes on reading: to close at once would be a reset, in which the word may be lost.
    let go_away: fn(&mut Raw, u32) -> bool = |raw, _| raw.frame(&Frame::go_away(0, NO_ERROR));
    for (what, unprocessed) in [("refused", refuse), ("GOAWAY", go_away)] {
        // One that is refused on the first connection, and one on a kept connection.
        let (address, requests) = counting(&default_settings(), move |raw, stream, number| {
            if matches!(number, 0 | 2) {
                return unprocessed(raw, stream);
            }
            raw.answer(stream, "ok");
            true
        });
        let sidecar = Sidecar::before(address, &[]);
        assert_eq!(get(sidecar.data, "/").status, 200, "{what} on a new connection");
        assert_eq!(post(sidecar.data, "body").status, 200, "{what} on a kept connection");
        assert_eq!(requests.load(Ordering::SeqCst), 4, "{what}");

        // One that always refuses is asked twice for each request.
        let (address, requests) =
            counting(&default_settings(), move |raw, stream, _| unprocessed(raw, stream));
        let sidecar = Sidecar::before(address, &[]);
        for asked in 1..=3 {
            let answer = post(sidecar.data, "body");
            assert_eq!((answer.status, answer.reason()), (502, "upstream-reset"), "{what}");
            assert_eq!(requests.load(Ordering::SeqCst), 2 * asked, "{what}");
        }
        sidecar.wait_until_idle();
    }
}

/// Of many on one connection some are processed and some are not.
#[test]
fn a_connection_that_goes_away_takes_nobody_with_it() {
    let begun = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&begun);
    let address = Raw::serve(&default_settings(), move |mut raw, number| {
        let mut streams = Vec::new();
        while let Some(stream) = raw.next_request() {
            begun.fetch_add(1, Ordering::SeqCst);
            streams.push(stream);
            if number > 0 {
                raw.answer(stream, "second");
            } else if streams.len() == 8 {
                // The first four are answered, the others were never looked at.
                raw.frame(&Frame::go_away(streams[3], NO_ERROR));
                for stream in &streams[..4] {
                    raw.answer(*stream, "first");
                }
            }
        }
    });
    let sidecar = Sidecar::before(address, &["--concurrency", "8"]);
    let mut client = Raw::connect(sidecar.data);
    // The first alone, so that the others find its connection.
    client.get(1, "/");
    eventually("it is there", || seen.load(Ordering::SeqCst) == 1);
    for stream in 1..8 {
        client.get(2 * stream + 1, "/");
    }
    let mut bodies = Vec::new();
    while bodies.len() < 8 {
        let frame = client.wait_for(|frame| frame.kind != HEADERS || frame.status() != Some(200));
        if frame.kind == 0 && !frame.payload.is_empty() {
            bodies.push(String::from_utf8(frame.payload).unwrap());
        }
    }
    bodies.sort();
    assert_eq!(bodies, [["first"; 4], ["second"; 4]].concat());
    sidecar.wait_until_idle();
}

#[test]
fn a_stream_that_was_processed_is_not_sent_again() {
    for (what, bad) in [
        ("reset", Frame::number(RST_STREAM, 1, 2)),
        ("GOAWAY for a fault", Frame::go_away(1, 2)),
        ("no HTTP/2", Frame::new(0, 0, 0, *b"data on no stream")),
    ] {
        let (address, requests) =
            counting(&default_settings(), move |raw, _, _| raw.frame(&bad) && bad.kind != GOAWAY);
        let sidecar = Sidecar::before(address, &[]);
        let answer = post(sidecar.data, "body");
        assert_eq!((answer.status, answer.reason()), (502, "upstream-reset"), "{what}");
        assert_eq!(requests.load(Ordering::SeqCst), 1, "{what}");
        sidecar.wait_until_idle();
    }
}

#[test]
fn an_upstream_that_takes_nothing_or_says_nothing_is_not_waited_for() {
    let mut settings = default_settings();
    settings.push(Frame::setting(INITIAL_WINDOW, 0));
    let flags = ["--first-byte-timeout", "300ms", "--idle-timeout", "300ms"];
    let (address, _) = counting(&settings, |_, _, _| true);
    let sidecar = Sidecar::before(address, &flags);
    for body in ["small", &"x".repeat(1 << 20)] {
        let answer = post(sidecar.data, body);
        assert_eq!((answer.status, answer.reason()), (504, "upstream-timeout"));
    }
    let answer = get(sidecar.data, "/");
    assert_eq!((answer.status, answer.reason()), (504, "upstream-timeout"));
    // A head, and then nothing.
    let (address, _) =
        counting(&settings, |raw, stream, _| raw.frame(&Frame::headers(stream, vec![0x88], false)));
    let sidecar = Sidecar::before(address, &flags);
    assert_eq!(get(sidecar.data, "/").text(), "");
    let mut client = Raw::connect(sidecar.data);
    client.get(1, "/");
    client.wait_for(|frame| frame.kind == RST_STREAM);
    sidecar.wait_until_idle();
}

/// Each needs all the others to run, and a connection takes one.
#[test]
fn a_connection_for_one_stream_is_not_shared() {
    const AT_ONCE: usize = 12;
    let here = Arc::new(std::sync::Barrier::new(AT_ONCE));
    let mut settings = default_settings();
    settings.push(Frame::setting(MAX_STREAMS, 1));
    let address = Raw::serve(&settings, move |mut raw, _| {
        while let Some(stream) = raw.next_request() {
            here.wait();
            raw.answer(stream, "together");
        }
    });
    let sidecar = Sidecar::before(address, &["--concurrency", "12"]);
    for _ in 0..3 {
        let mut client = Raw::connect(sidecar.data);
        for stream in 0..AT_ONCE as u32 {
            client.get(2 * stream + 1, "/");
        }
        for _ in 0..AT_ONCE {
            client.wait_for(|frame| frame.ends_stream() && frame.kind == 0);
        }
        sidecar.wait_until_idle();
    }
}

#[test]
fn answers_that_are_none_are_refused() {
    let head = |fields: &[(&str, &str)]| {
        fields.iter().flat_map(|(name, value)| field(name, value)).collect::<Vec<u8>>()
    };
    let large = "x".repeat(15_000);
    let too_large: Vec<(&str, &str)> =
        [(":status", "200")].into_iter().chain([("x", large.as_str()); 1]).collect();
    for (what, bad) in [
        ("no status", head(&[("x", "y")])),
        ("two statuses", head(&[(":status", "200"), (":status", "200")])),
        ("connection", head(&[(":status", "200"), ("connection", "close")])),
        ("transfer-encoding", head(&[(":status", "200"), ("transfer-encoding", "chunked")])),
        ("line breaks", head(&[(":status", "200"), ("x", "a\r\nb: c")])),
        (
            "two lengths",
            head(&[(":status", "200"), ("content-length", "1"), ("content-length", "2")]),
        ),
        ("no length", head(&[(":status", "200"), ("content-length", "+1")])),
        ("an upgrade", head(&[(":status", "101")])),
        ("too much", head(&too_large)),
    ] {
        let (address, _) = counting(&default_settings(), move |raw, stream, _| {
            raw.frame(&Frame::headers(stream, bad.clone(), true))
        });
        let sidecar = Sidecar::before(address, &["--max-header", "8KiB"]);
        let answer = get(sidecar.data, "/");
        assert_eq!((answer.status, answer.reason()), (502, "upstream-reset"), "{what}");
        sidecar.wait_until_idle();
    }
    // A body that is not as long as was said.
    for (said, sent) in [("3", "body"), ("5", "body")] {
        let length = head(&[(":status", "200"), ("content-length", said)]);
        let (address, _) = counting(&default_settings(), move |raw, stream, _| {
            raw.frame(&Frame::headers(stream, length.clone(), false));
            raw.frame(&Frame::data(stream, sent, true))
        });
        let sidecar = Sidecar::before(address, &[]);
        let answer = get(sidecar.data, "/");
        let whole = answer.status == 200 && answer.body.len() == said.parse::<usize>().unwrap();
        assert!(!whole, "{said} for {sent}: {answer:?}");
        let mut client = Raw::connect(sidecar.data);
        client.frame(&Frame::headers(1, request("GET", "/", &[]), true));
        let end = client.wait_for(Frame::ends_stream);
        assert!(end.kind == RST_STREAM || end.status() == Some(502), "{said} for {sent}: {end:?}");
        sidecar.wait_until_idle();
    }
}
