//! How many connections clients may hold, and what the one after the last is told.

use crate::support::http::{connect, get, metric, read_answer};
use crate::support::process::Process;
use crate::support::sidecar::{Sidecar, plain_model};
use crate::support::{binary, eventually};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

/// Opens a connection that is served, and keeps it.
fn held(sidecar: &Sidecar) -> TcpStream {
    let mut stream = connect(sidecar.data);
    stream.write_all(b"GET /held HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    let mut buffer = [0; 4096];
    let count = stream.read(&mut buffer).unwrap();
    assert!(buffer[..count].starts_with(b"HTTP/1.1 200 "));
    stream
}

#[test]
fn who_finds_no_place_is_told_so_and_a_place_that_is_left_is_taken() {
    let sidecar = Sidecar::start(&["--max-connections", "2"]);
    let (first, _second) = (held(&sidecar), held(&sidecar));
    assert_eq!(sidecar.metric("tidegate_connections", ""), 2.0);

    let refused = get(sidecar.data, "/refused");
    assert_eq!((refused.status, refused.reason()), (503, "too-many-connections"));
    assert_eq!((refused.header("connection"), refused.header("retry-after")), ("close", "1"));
    let counted = sidecar.metric("tidegate_requests_total", r#"reason="too-many-connections""#);
    assert_eq!(counted, 1.0);
    assert_eq!(sidecar.metric("tidegate_connections_refused_total", ""), 1.0);

    // Those who have a place are still served, and a place is free as soon as it is left.
    let mut kept = first;
    kept.write_all(b"GET /kept HTTP/1.1\r\nhost: me\r\nconnection: close\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut kept).status, 200);
    eventually("the place is free", || sidecar.metric("tidegate_connections", "") == 1.0);
    assert_eq!(get(sidecar.data, "/taken").status, 200);
    assert_eq!(sidecar.model.count_lines("/refused"), 0);
}

#[test]
fn who_finds_no_place_and_speaks_http2_is_sent_elsewhere() {
    let sidecar = Sidecar::start(&["--max-connections", "1"]);
    let _held = held(&sidecar);
    let mut stream = connect(sidecar.data);
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    // SETTINGS, then GOAWAY: the last stream is 0 and so is the error, then the reason's name.
    let (settings, goaway) = answer.split_at(9);
    assert_eq!(settings, b"\0\0\0\x04\0\0\0\0\0");
    assert_eq!(goaway[..9], *b"\0\0\x1c\x07\0\0\0\0\0");
    assert_eq!(goaway[9..], *b"\0\0\0\0\0\0\0\0too-many-connections");
    assert_eq!(sidecar.metric("tidegate_connections_refused_total", ""), 1.0);
}

#[test]
fn a_crowd_that_finds_no_place_costs_little_and_goes() {
    let sidecar = Sidecar::start(&["--max-connections", "1"]);
    let held = held(&sidecar);
    // More than are told why, and none of them says anything.
    let crowd: Vec<TcpStream> = (0..200).map(|_| connect(sidecar.data)).collect();
    eventually("all are refused", || {
        sidecar.metric("tidegate_connections_refused_total", "") == 200.0
    });
    for mut stream in crowd {
        assert!(!matches!(stream.read(&mut [0; 1]), Ok(1..)), "answered unasked");
    }
    drop(held);
    eventually("the place is free", || sidecar.metric("tidegate_connections", "") == 0.0);
    assert_eq!(get(sidecar.data, "/after").status, 200);
}

/// Or each connection would be taken, none of them would find the model, and no probe the admin port.
#[test]
fn there_are_no_more_places_than_files_for_them() {
    let (_model, upstream) = plain_model(0);
    let limited = format!(
        "ulimit -n 64; exec {} sidecar --upstream {upstream} --listen 127.0.0.1:0 --admin 127.0.0.1:0",
        binary("tidegate-proxy").display()
    );
    let process = Process::start(Command::new("sh").args(["-c", &limited]));
    let line = process.wait_for_line(r#""event":"listening""#);
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = |key: &str| line[key].as_str().unwrap().parse().unwrap();
    let (data, admin) = (address("data"), address("admin"));
    eventually("it is ready", || get(admin, "/readyz").status == 200);
    let mut crowd: Vec<TcpStream> = (0..60).map(|_| connect(data)).collect();
    eventually("the places are taken", || metric(admin, "tidegate_connections", "") == 16.0);
    for stream in &mut crowd[..16] {
        write!(stream, "GET / HTTP/1.1\r\nhost: me\r\nconnection: close\r\n\r\n").unwrap();
        assert_eq!(read_answer(stream).status, 200);
    }
    assert_eq!(get(admin, "/healthz").status, 200);
}
