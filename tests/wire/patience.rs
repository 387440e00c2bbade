//! How long what is waited for: a model that starts late, a kept connection that is stale, a client
//! that reads nothing.

use crate::support::frames::{
    DATA, Frame, HEADERS, RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE, request,
};
use crate::support::http::{connect, get, metric, read_answer};
use crate::support::sidecar::{Sidecar, plain_model, proxy};
use crate::support::{eventually, free_address, now};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[test]
fn a_request_waits_for_a_model_that_starts() {
    let address = free_address();
    let upstream = address.to_string();
    let (_process, data, admin) =
        proxy("sidecar", &["--upstream", &upstream, "--concurrency", "3"]);
    let mut http1 = connect(data);
    write!(http1, "POST /echo HTTP/1.1\r\nhost: me\r\nconnection: close\r\n").unwrap();
    write!(http1, "content-length: 4\r\n\r\nbody").unwrap();
    let mut http2 = Raw::connect(data);
    http2.get(1, "/");
    http2.frame(&Frame::headers(3, request("POST", "/echo", &[]), false));
    http2.frame(&Frame::data(3, "body", true));
    eventually("all three wait for it", || metric(admin, "tidegate_requests_in_flight", "") == 3.0);
    let (_model, _) = plain_model(address.port());
    let answer = read_answer(&mut http1);
    assert_eq!((answer.status, answer.text().as_str()), (200, "body"));
    for _ in [1, 3] {
        assert_eq!(http2.wait_for(|frame| frame.kind == HEADERS).status(), Some(200));
    }
}

/// Serves each connection's first request; at a later one it says this and ends the connection.
fn forgetful(requests: &Arc<AtomicUsize>, last: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::clone(requests);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let requests = Arc::clone(&requests);
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                for first in [true, false] {
                    if !matches!(stream.read(&mut buffer), Ok(1..)) {
                        return;
                    }
                    requests.fetch_add(1, Ordering::SeqCst);
                    let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    drop(stream.write_all(if first { whole } else { last }));
                }
            });
        }
    });
    address
}

#[test]
fn a_stale_connection_costs_a_request_nothing_unless_it_may_have_been_done() {
    // What has begun to be answered was done, whatever the method.
    let begun = b"HTTP/1.1 2";
    for (method, last, status, seen) in [
        ("GET", &b""[..], 200, 3),
        ("PUT", b"", 200, 3),
        ("POST", b"", 502, 2),
        ("GET", begun, 502, 2),
    ] {
        let requests = Arc::new(AtomicUsize::new(0));
        let upstream = forgetful(&requests, last).to_string();
        let (_process, data, admin) =
            proxy("sidecar", &["--upstream", &upstream, "--readiness", "none"]);
        let ask = |method| {
            let mut stream = connect(data);
            write!(stream, "{method} / HTTP/1.1\r\nhost: me\r\nconnection: close\r\n\r\n").unwrap();
            read_answer(&mut stream)
        };
        assert_eq!(ask("GET").status, 200);
        eventually("its connection is kept", || {
            metric(admin, "tidegate_requests_in_flight", "") == 0.0
        });
        assert_eq!(ask(method).status, status, "{method}");
        assert_eq!(requests.load(Ordering::SeqCst), seen, "{method}");
    }
}

/// Though a part of its answer comes every moment.
#[test]
fn a_request_ends_when_its_whole_time_is_over() {
    let sidecar = Sidecar::start(&["--request-timeout", "2s"]);
    let answer = get(sidecar.data, "/stream?n=400&ms=20");
    assert_eq!(answer.status, 200);
    assert!(!answer.text().ends_with("0\r\n\r\n"), "it came to its own end");
    sidecar.wait_until_idle();
    let cut = r#"code="200",reason="upstream-timeout""#;
    assert_eq!(sidecar.metric("tidegate_requests_total", cut), 1.0);
}

/// Answers each head as soon as it is there, whatever body follows; counts its connections.
fn early(connections: &Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::clone(connections);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            connections.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || {
                let mut answers = stream.try_clone().unwrap();
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if line.is_empty() {
                        drop(answers.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
                    }
                }
            });
        }
    });
    address
}

/// Or the next request would be read as the rest of that body.
#[test]
fn a_connection_on_which_a_body_was_not_sent_to_its_end_is_not_kept() {
    let connections = Arc::new(AtomicUsize::new(0));
    let upstream = early(&connections).to_string();
    let (_process, data, admin) =
        proxy("sidecar", &["--upstream", &upstream, "--readiness", "none"]);
    let mut client = connect(data);
    write!(client, "POST / HTTP/1.1\r\nhost: me\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    write!(client, "4\r\nbody\r\n").unwrap();
    let mut answer = [0; 12];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    for (target, connected) in [("/next", 2), ("/last", 2)] {
        eventually("the slot is free", || metric(admin, "tidegate_requests_in_flight", "") == 0.0);
        assert_eq!(get(data, target).status, 200);
        assert_eq!(connections.load(Ordering::SeqCst), connected, "{target}");
    }
}

/// Sends an answer without end, as fast as it is taken; counts the connections that have ended.
fn endless(ended: &Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let ended = Arc::clone(ended);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let ended = Arc::clone(&ended);
            std::thread::spawn(move || {
                let part = [b'x'; 65536];
                if matches!(stream.read(&mut [0; 4096]), Ok(1..)) {
                    drop(stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n"));
                    while stream.write_all(&part).is_ok() {}
                    ended.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    address
}

#[test]
fn a_client_that_reads_nothing_loses_its_slot() {
    let ended = Arc::new(AtomicUsize::new(0));
    let upstream = endless(&ended).to_string();
    let flags = ["--upstream", &upstream, "--readiness", "none", "--write-timeout", "300ms"];
    // No hurry but that one.
    let more = [
        "--upstream-protocol",
        "http1",
        "--concurrency",
        "4",
        "--keep-alive-timeout",
        "1h",
        "--idle-timeout",
        "1h",
    ];
    let (_process, data, admin) = proxy("sidecar", &[&flags[..], &more].concat());
    let idle = |before: usize| {
        eventually("the slots are free, and the upstream is", || {
            metric(admin, "tidegate_requests_in_flight", "") == 0.0
                && ended.load(Ordering::SeqCst) == before
        });
    };
    let mut http1: TcpStream = connect(data);
    http1.write_all(b"GET / HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    idle(1);
    let mut all = Vec::new();
    assert!(http1.read_to_end(&mut all).is_err(), "the answer must not look whole");

    // Over HTTP/2: no window, the first window and no more, and a window without end of which
    // nothing is read.
    for (window, seen) in [(0, 2), (65_535, 3), (0x7fff_ffff, 4)] {
        let mut http2 = Raw::connect(data);
        http2.frame(&Frame::new(SETTINGS, 0, 0, [&[0, 4][..], &u32::to_be_bytes(window)].concat()));
        http2.frame(&Frame::number(WINDOW_UPDATE, 0, 0x7fff_ffff - 65_535));
        http2.get(1, "/");
        idle(seen);
        // What is on its way is read; then the stream is reset, not ended.
        let mut sent = 0;
        let end = http2.wait_for(|frame| {
            sent += if frame.kind == DATA { frame.payload.len() } else { 0 };
            frame.ends_stream()
        });
        assert_eq!(end.kind, RST_STREAM, "{window}: {end:?}");
        if window <= 65_535 {
            assert_eq!(sent, window as usize);
        }
        assert!(http2.is_alive(), "{window}: the connection is no worse for it");
    }
}

/// A slow reader takes a little of its answer each moment, and there always is more of it.
#[test]
fn a_slow_reader_s_request_ends_when_its_whole_time_is_over() {
    let ended = Arc::new(AtomicUsize::new(0));
    let upstream = endless(&ended).to_string();
    let flags = ["--upstream", &upstream, "--readiness", "none", "--upstream-protocol", "http1"];
    let (_process, data, admin) =
        proxy("sidecar", &[&flags[..], &["--request-timeout", "500ms"]].concat());
    let mut http1 = connect(data);
    http1.write_all(b"GET / HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    let mut part = [0; 1024];
    eventually("the upstream is free", || {
        http1.read(&mut part).is_err() || ended.load(Ordering::SeqCst) == 1
    });
    let mut http2 = Raw::connect(data);
    http2.get(1, "/");
    eventually("the upstream is free again", || {
        // Its windows grow by what it takes: a byte.
        http2.frame(&Frame::number(WINDOW_UPDATE, 0, 1));
        http2.frame(&Frame::number(WINDOW_UPDATE, 1, 1));
        ended.load(Ordering::SeqCst) == 2
    });
    assert_eq!(http2.wait_for(Frame::ends_stream).kind, RST_STREAM);
    let cut = r#"code="200",reason="upstream-timeout""#;
    assert_eq!(metric(admin, "tidegate_requests_total", cut), 2.0);
    assert_eq!(metric(admin, "tidegate_requests_in_flight", ""), 0.0);
}

/// Which is read before the request takes its turn.
#[test]
fn a_small_body_has_no_more_time_than_its_request() {
    for (flags, field) in
        [(&["--request-timeout", "300ms"][..], ""), (&[], "x-request-timeout-ms: 300\r\n")]
    {
        let sidecar = Sidecar::start(&[flags, &["--body-timeout", "1h"]].concat());
        let mut client = connect(sidecar.data);
        write!(client, "POST /echo HTTP/1.1\r\nhost: me\r\ncontent-length: 9\r\n{field}\r\nx")
            .unwrap();
        let answer = read_answer(&mut client);
        assert_eq!((answer.status, answer.reason()), (408, "request-timeout"), "{field}");
        assert_eq!(sidecar.model.count_lines("/echo"), 0);
    }
}

/// Whether nobody listens there yet, or who does says nothing.
#[test]
fn a_connection_is_waited_for_no_longer_than_the_request_s_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (absent, silent) = (free_address().to_string(), listener.local_addr().unwrap().to_string());
    for (flags, field) in [
        (&["--upstream", &absent][..], "x-request-timeout-ms: 300\r\n"),
        (&["--upstream", &absent, "--request-timeout", "300ms"], ""),
        (&["--upstream", &absent, "--first-byte-timeout", "300ms"], ""),
        (
            &["--upstream", &silent, "--upstream-protocol", "h2c", "--readiness", "none"],
            "x-request-timeout-ms: 300\r\n",
        ),
    ] {
        let (_process, data, admin) = proxy("sidecar", flags);
        let mut client = connect(data);
        write!(client, "GET / HTTP/1.1\r\nhost: me\r\nconnection: close\r\n{field}\r\n").unwrap();
        let answer = read_answer(&mut client);
        assert_eq!((answer.status, answer.reason()), (504, "upstream-timeout"), "{flags:?}");
        assert_eq!(metric(admin, "tidegate_requests_in_flight", ""), 0.0);
    }
}

/// Nobody can answer what is still being sent.
#[test]
fn the_first_byte_is_waited_for_from_the_body_s_last_part_on() {
    let http2 = Raw::serve(&[Frame::new(SETTINGS, 0, 0, [])], |mut raw, _| {
        if let Some(stream) = raw.next_request() {
            raw.wait_for(|frame| frame.kind == DATA && frame.ends_stream());
            raw.answer(stream, "ok");
        }
    });
    let (_model, http1) = plain_model(0);
    for (upstream, protocol) in [(http1, "http1"), (http2, "h2c")] {
        let upstream = upstream.to_string();
        let flags = ["--upstream", &upstream, "--upstream-protocol", protocol];
        let more = ["--readiness", "none", "--first-byte-timeout", "2s"];
        let (_process, data, _) = proxy("sidecar", &[flags, more].concat());
        let mut client = connect(data);
        write!(client, "POST /echo HTTP/1.1\r\nhost: me\r\nconnection: close\r\n").unwrap();
        write!(client, "transfer-encoding: chunked\r\n\r\n").unwrap();
        // It takes longer to send, part by part, than a first byte may take.
        let start = now();
        while now() - start < Duration::from_secs(3) {
            client.write_all(b"4\r\npart\r\n").unwrap();
            std::thread::sleep(Duration::from_millis(10));
        }
        client.write_all(b"0\r\n\r\n").unwrap();
        assert_eq!(read_answer(&mut client).status, 200, "{protocol}");
    }
    // A body that is not taken makes no such difference.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = silent.local_addr().unwrap().to_string();
    let flags = ["--upstream", &upstream, "--readiness", "none", "--first-byte-timeout", "500ms"];
    let (_process, data, _) = proxy("sidecar", &flags);
    let mut client = connect(data);
    write!(client, "POST / HTTP/1.1\r\nhost: me\r\ncontent-length: 1000000000\r\n\r\n").unwrap();
    let sender = client.try_clone().unwrap();
    std::thread::spawn(move || while (&sender).write_all(&[b'x'; 65536]).is_ok() {});
    let mut head = [0; 12];
    client.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 504");
}
