//! What goes between head and body: hints (103), `Expect: 100-continue`, and trailers at the end.

use crate::support::eventually;
use crate::support::frames::{DATA, Frame, HEADERS, RST_STREAM, Raw, field, request};
use crate::support::http::{connect, metric, read_answer};
use crate::support::recorder::{Step, Upstream};
use crate::support::sidecar::{Sidecar, proxy};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

/// A request that runs until it is dropped.
fn occupy(sidecar: &Sidecar) -> TcpStream {
    let mut running = connect(sidecar.data);
    write!(running, "GET /sleep?ms=600000 HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    sidecar.model.wait_for_line("ms=600000");
    running
}

fn wait_for_queue(sidecar: &Sidecar, length: f64) {
    eventually("the queue is so long", || sidecar.metric("tidegate_requests_queued", "") == length);
}

fn expecting(stream: u32) -> Frame {
    let fields = [("content-length", "4"), ("expect", "100-continue")];
    Frame::headers(stream, request("POST", "/echo", &fields), false)
}

fn send(client: &mut Raw, frames: &[Frame]) {
    for frame in frames {
        client.frame(frame);
    }
}

const EXPECTING: &[u8] =
    b"POST /echo HTTP/1.1\r\nhost: me\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n";

#[test]
fn a_body_is_asked_for_when_its_request_is_admitted() {
    let sidecar = Sidecar::start(&["--queue-capacity", "2"]);
    let running = occupy(&sidecar);
    let mut http1 = connect(sidecar.data);
    http1.write_all(EXPECTING).unwrap();
    wait_for_queue(&sidecar, 1.0);
    let mut http2 = Raw::connect(sidecar.data);
    http2.frame(&expecting(1));
    wait_for_queue(&sidecar, 2.0);
    // Neither is asked while it waits.
    http1.set_nonblocking(true).unwrap();
    assert_eq!(http1.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    http1.set_nonblocking(false).unwrap();
    assert!(http2.is_alive_without(|frame| frame.kind == HEADERS), "asked too early");
    // Who is refused is told so instead.
    let mut refused = connect(sidecar.data);
    refused.write_all(EXPECTING).unwrap();
    let answer = read_answer(&mut refused);
    assert_eq!((answer.status, answer.reason()), (503, "queue-full"));
    http2.frame(&expecting(3));
    let answer = http2.wait_for(|frame| frame.stream == 3 && frame.kind == HEADERS);
    assert_eq!(answer.status(), Some(503));

    drop(running);
    let mut line = [0; 25];
    http1.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"HTTP/1.1 100 Continue\r\n\r\n");
    wait_for_queue(&sidecar, 1.0);
    http1.write_all(b"body").unwrap();
    let mut answer = [0; 12];
    http1.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let asked = http2.wait_for(|frame| frame.stream == 1 && frame.kind == HEADERS);
    assert_eq!(asked.status(), Some(100));
    http2.frame(&Frame::data(1, "body", true));
    assert_eq!(http2.wait_for(|frame| frame.kind == DATA && frame.stream == 1).payload, b"body");
    sidecar.wait_until_idle();
}

#[test]
fn who_does_not_wait_to_be_asked_is_not_asked() {
    let sidecar = Sidecar::start(&[]);
    let mut client = connect(sidecar.data);
    client.write_all(&[EXPECTING, b"body"].concat()).unwrap();
    let mut answer = [0; 12];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[test]
fn hints_come_before_the_answer() {
    let hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n".repeat(2);
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec();
    let upstream = Upstream::start(vec![Step::Send(hint), Step::Send(answer)]);
    let address = upstream.address.to_string();
    let (_process, data, _) = proxy("sidecar", &["--upstream", &address, "--readiness", "none"]);
    let mut http1 = connect(data);
    http1.write_all(b"GET / HTTP/1.1\r\nhost: me\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    http1.read_to_string(&mut text).unwrap();
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n";
    let rest = text.to_lowercase().replace("\r\n", "\n");
    let hint = hint.to_lowercase().replace("\r\n", "\n");
    assert!(rest.starts_with(&format!("{hint}{hint}http/1.1 200 ")), "{text}");
    // HTTP/1.0 knows of none.
    let mut old = connect(data);
    old.write_all(b"GET / HTTP/1.0\r\nhost: me\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut old).status, 200);

    let mut http2 = Raw::connect(data);
    http2.get(1, "/");
    let statuses = [(); 3].map(|()| http2.wait_for(|frame| frame.kind == HEADERS).status());
    assert_eq!(statuses, [Some(103), Some(103), Some(200)]);
    assert_eq!(http2.wait_for(|frame| frame.kind == DATA).payload, b"ok");
}

#[test]
fn trailers_pass_between_the_versions() {
    let answer =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n";
    let upstream = Upstream::start(vec![Step::Send(answer.to_vec())]);
    let address = upstream.address.to_string();
    let (_process, data, _) = proxy("sidecar", &["--upstream", &address, "--readiness", "none"]);
    let mut http2 = Raw::connect(data);
    // A small body of known length is read before its request is sent on, and any other is not.
    for (stream, fields, sum) in [(1, &[][..], "2"), (3, &[("content-length", "4")], "4")] {
        // At once: this upstream answers as soon as it has the head.
        let whole = [
            Frame::headers(stream, request("POST", "/", fields), false),
            Frame::data(stream, "body", false),
            Frame::headers(stream, field("x-sum", sum), true),
        ];
        http2.send(&whole.iter().flat_map(Frame::bytes).collect::<Vec<_>>());
        assert_eq!(http2.wait_for(|frame| frame.kind == HEADERS).status(), Some(200));
        assert_eq!(http2.wait_for(|frame| frame.kind == DATA).payload, b"ok");
        let trailers = http2.wait_for(|frame| frame.kind == HEADERS);
        assert!(trailers.ends_stream() && trailers.status().is_none(), "{trailers:?}");
        eventually("the upstream has them too", || {
            upstream.seen().ends_with(&format!("\r\n\r\n4\r\nbody\r\n0\r\nx-sum: {sum}\r\n\r\n"))
        });
    }
    let mut http1 = connect(data);
    let head = "POST / HTTP/1.1\r\nhost: me\r\nconnection: close\r\n";
    let body = "transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nx-sum: 3\r\n\r\n";
    http1.write_all(format!("{head}{body}").as_bytes()).unwrap();
    assert!(read_answer(&mut http1).text().ends_with("2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n"));
    eventually("and those", || {
        upstream.seen().ends_with("\r\n\r\n4\r\nbody\r\n0\r\nx-sum: 3\r\n\r\n")
    });
}

/// Whatever of its request is here, read or not.
#[test]
fn a_stream_that_is_reset_frees_its_place_and_its_slot() {
    let sidecar = Sidecar::start(&[]);
    let requests: Vec<Box<dyn Fn(u32) -> Vec<Frame>>> = vec![
        Box::new(|id| vec![Frame::headers(id, request("GET", "/sleep?ms=600001", &[]), true)]),
        Box::new(|id| {
            let head = request("POST", "/sleep?ms=600001", &[("content-length", "4")]);
            vec![Frame::headers(id, head, false), Frame::data(id, "body", true)]
        }),
        Box::new(|id| {
            let head = request("POST", "/sleep?ms=600001", &[("content-length", "1000000")]);
            vec![Frame::headers(id, head, false), Frame::data(id, "part", false)]
        }),
        Box::new(|id| {
            let head = request("POST", "/sleep?ms=600001", &[]);
            vec![Frame::headers(id, head, false), Frame::data(id, "part", false)]
        }),
        Box::new(|id| vec![expecting(id)]),
    ];
    let mut client = Raw::connect(sidecar.data);
    let mut id = 1;
    let mut gone = 0.0;
    let reset = |id| Frame::number(RST_STREAM, id, crate::support::frames::CANCEL);
    for frames in &requests {
        // In line, then at the model.
        let running = occupy(&sidecar);
        send(&mut client, &frames(id));
        wait_for_queue(&sidecar, 1.0);
        client.frame(&reset(id));
        wait_for_queue(&sidecar, 0.0);
        drop(running);
        sidecar.wait_until_idle();
        send(&mut client, &frames(id + 2));
        eventually("it runs", || sidecar.metric("tidegate_requests_in_flight", "") == 1.0);
        client.frame(&reset(id + 2));
        sidecar.wait_until_idle();
        id += 4;
        gone += 3.0;
        eventually("each is in the books", || {
            sidecar.metric("tidegate_requests_total", "client-gone") == gone
        });
    }
    // And all of them, when the connection ends.
    for frames in &requests {
        send(&mut client, &frames(id));
        id += 2;
    }
    wait_for_queue(&sidecar, 4.0);
    drop(client);
    sidecar.wait_until_idle();
    assert_eq!(metric(sidecar.admin, "tidegate_requests_total", "client-gone"), gone + 5.0);
}
