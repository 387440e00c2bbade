//! Connections to admin ports that say nothing, or not enough: each takes one of a few places.

use crate::support::gateway::Gateway;
use crate::support::http::{connect, get, read_answer};
use crate::support::sidecar::Sidecar;
use crate::support::up::{Up, document};
use crate::support::{eventually, now};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

#[test]
fn who_says_nothing_on_an_admin_port_is_closed() {
    let (sidecar, gateway) = (Sidecar::start(&[]), Gateway::start("60s", &[]));
    let up = Up::start(&document("[python3, app.py, '{port}']", ""), &[]);
    let ports =
        [("sidecar", sidecar.admin), ("gateway", gateway.admin), ("autoscaler", up.autoscaler)];
    let said = ["", "GET /hea", "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"];
    // All at once: the time until they are closed is the same for all.
    let open = ports.map(|(name, port)| {
        let streams = said.map(|said| {
            let mut stream = connect(port);
            stream.write_all(said.as_bytes()).unwrap();
            stream
        });
        (name, port, streams)
    });
    for (name, port, streams) in open {
        for (mut stream, said) in streams.into_iter().zip(said) {
            let mut answer = Vec::new();
            let ended = stream.read_to_end(&mut answer);
            assert!(ended.is_ok(), "{name}, after {said:?}: {ended:?}");
            assert_eq!(answer.is_empty(), !said.ends_with("\r\n\r\n"), "{name}, after {said:?}");
        }
        assert_eq!(get(port, "/healthz").status, 200, "{name}");
    }
}

/// More than an admin port has places.
const CROWD: usize = 70;

#[test]
fn a_crowd_that_says_nothing_keeps_no_probe_away() {
    let (sidecar, gateway) = (Sidecar::start(&[]), Gateway::start("60s", &[]));
    let up = Up::start(&document("[python3, app.py, '{port}']", ""), &[]);
    let ports =
        [("sidecar", sidecar.admin), ("gateway", gateway.admin), ("autoscaler", up.autoscaler)];
    let start = now();
    for round in 0..6 {
        for (name, port) in ports {
            // The silent are closed after ten seconds each: a probe that waits for that is late.
            let crowd: Vec<TcpStream> = (0..CROWD).map(|_| connect(port)).collect();
            for page in ["/healthz", "/readyz", "/metrics"] {
                assert_eq!(get(port, page).status, 200, "{name} {page}, round {round}");
            }
            drop(crowd);
        }
    }
    assert!(now() - start < Duration::from_secs(45), "{:?}", now() - start);
}

#[test]
fn a_crowd_does_not_cut_off_who_is_being_answered() {
    let sidecar = Sidecar::start(&[]);
    let mut running = connect(sidecar.data);
    write!(running, "GET /sleep?ms=600000 HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    sidecar.model.wait_for_line("/sleep");
    // Asked for something else first, it stays on the thread of the others, and is heard before those that come after it.
    let mut waiting = connect(sidecar.admin);
    write!(waiting, "GET /healthz HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    // Head and body come in one write.
    let mut answer = [0; 4096];
    let length = waiting.read(&mut answer).unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
    write!(waiting, "GET /room HTTP/1.1\r\nhost: me\r\nconnection: close\r\n\r\n").unwrap();
    assert_eq!(get(sidecar.admin, "/healthz").status, 200);
    let crowd: Vec<TcpStream> = (0..3 * CROWD).map(|_| connect(sidecar.admin)).collect();
    eventually("the first of them give way", || {
        crowd[0].set_nonblocking(true).unwrap();
        matches!((&crowd[0]).read(&mut [0]), Ok(0))
    });
    drop(running);
    assert_eq!(read_answer(&mut waiting).status, 200);
}
