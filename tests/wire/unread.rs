//! Requests that are refused with much or all of their body unread, and what follows on their
//! connections.

use crate::support::http::{connect, read_answer};
use crate::support::sidecar::Sidecar;
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::TcpStream;

/// A sidecar that is busy for good, and refuses whatever comes.
fn busy(flags: &[&str]) -> (Sidecar, TcpStream) {
    let sidecar = Sidecar::start(&[&["--queue-capacity", "0"], flags].concat());
    let mut running = connect(sidecar.data);
    write!(running, "GET /sleep?ms=600000 HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    sidecar.model.wait_for_line("/sleep");
    (sidecar, running)
}

/// Promises a body of so many bytes, and sends some of them.
fn post(sidecar: &Sidecar, fields: &str, promised: usize, sent: usize) -> TcpStream {
    let mut client = connect(sidecar.data);
    let head = format!("POST / HTTP/1.1\r\nhost: me\r\n{fields}content-length: {promised}\r\n\r\n");
    client.write_all(&[head.as_bytes(), &vec![b'x'; sent]].concat()).unwrap();
    client
}

/// Reads one refusal, whose body is known by its end.
fn read_refusal(client: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(b"}\n") {
        assert_eq!(client.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&read));
        read.push(byte[0]);
    }
    let text = String::from_utf8(read).unwrap();
    assert!(text.contains("x-tidegate-reason: queue-full"), "{text}");
    text
}

#[test]
fn a_body_that_does_not_come_holds_no_connection() {
    let (sidecar, _running) = busy(&["--body-timeout", "300ms"]);
    let mut client = post(&sidecar, "", 100_000, 100);
    assert!(!read_refusal(&mut client).contains("connection: close"));
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "the connection ends");
}

#[test]
fn a_body_that_does_not_come_holds_up_no_drain() {
    let (mut sidecar, running) =
        busy(&["--body-timeout", "1h", "--drain-timeout", "1h", "--read-ahead", "0"]);
    let mut client = post(&sidecar, "", 100_000, 100);
    read_refusal(&mut client);
    sidecar.process.signal(Signal::TERM);
    sidecar.process.wait_for_line("draining");
    drop(running);
    assert!(sidecar.process.wait().success());
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn who_is_not_listened_to_any_longer_is_told_so() {
    let (sidecar, _running) = busy(&[]);
    for (fields, promised) in [("", 10 << 20), ("expect: 100-continue\r\n", 5)] {
        let mut client = post(&sidecar, fields, promised, 0);
        let answer = read_answer(&mut client);
        assert_eq!((answer.status, answer.reason()), (503, "queue-full"));
        assert_eq!(answer.header("connection"), "close", "{fields}{promised}");
    }
    // A body that is soon read and dropped costs nobody a connection.
    let mut client = post(&sidecar, "", 100_000, 100_000);
    assert!(!read_refusal(&mut client).contains("connection: close"));
    write!(client, "GET / HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    read_refusal(&mut client);
}
