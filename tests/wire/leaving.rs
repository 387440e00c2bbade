//! Clients that leave with much of a body unread: in line, and behind a model that reads nothing.

use crate::support::eventually;
use crate::support::http::{connect, metric, read_answer};
use crate::support::memory::own_bytes;
use crate::support::sidecar::{Sidecar, proxy};
use socket2::SockRef;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

const MIB: usize = 1 << 20;

/// How a client leaves.
#[derive(Debug, Clone, Copy)]
enum By {
    /// What it has sent is still delivered first.
    Close,
    /// At once.
    Reset,
}

/// What it has sent by then of how much.
#[derive(Debug, Clone, Copy)]
struct Case {
    promised: usize,
    sent: usize,
    by: By,
}

/// No time that could be over first.
const PATIENT: &[&str] =
    &["--queue-timeout", "1h", "--first-byte-timeout", "1h", "--body-timeout", "1h"];

/// More than anybody takes: as much as goes.
const ALL: usize = usize::MAX;

const CASES: [Case; 6] = [
    Case { promised: 100 << 10, sent: 100 << 10, by: By::Close },
    Case { promised: MIB, sent: MIB, by: By::Close },
    Case { promised: MIB, sent: MIB, by: By::Reset },
    Case { promised: 10 * MIB, sent: 2 * MIB, by: By::Close },
    Case { promised: 10 * MIB, sent: 2 * MIB, by: By::Reset },
    Case { promised: 100 * MIB, sent: ALL, by: By::Reset },
];

/// Accepts, and reads nothing.
fn silent() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Sends what of a body is sent, or as much of it as is taken.
fn send(client: &mut TcpStream, case: Case) {
    write!(client, "POST / HTTP/1.1\r\nhost: me\r\ncontent-length: {}\r\n\r\n", case.promised)
        .unwrap();
    let part = vec![b'x'; 64 << 10];
    // What is not taken for so long never is: nobody reads it.
    client.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut left = case.sent;
    while left > 0 {
        match client.write(&part[..left.min(part.len())]) {
            Ok(count) => left -= count,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                assert_eq!(case.sent, ALL, "{case:?}: {left} bytes found no place");
                return;
            }
        }
    }
}

fn leave(client: TcpStream, by: By) {
    if let By::Reset = by {
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    }
    drop(client);
}

#[test]
fn whoever_leaves_the_line_frees_its_place() {
    let (_listener, address) = silent();
    let upstream = address.to_string();
    let (_process, data, admin) =
        proxy("sidecar", &[&["--upstream", &upstream, "--readiness", "none"], PATIENT].concat());
    let mut running = connect(data);
    running.write_all(b"GET / HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    eventually("it runs", || metric(admin, "tidegate_requests_in_flight", "") == 1.0);
    for case in CASES {
        let mut client = connect(data);
        send(&mut client, case);
        eventually("it waits", || metric(admin, "tidegate_requests_queued", "") == 1.0);
        leave(client, case.by);
        eventually(&format!("its place is free: {case:?}"), || {
            metric(admin, "tidegate_requests_queued", "") == 0.0
        });
    }
    assert_eq!(metric(admin, "tidegate_requests_in_flight", ""), 1.0);
}

#[test]
fn whoever_leaves_a_model_that_reads_nothing_frees_its_slot() {
    let (listener, address) = silent();
    let upstream = address.to_string();
    let (_process, data, admin) =
        proxy("sidecar", &[&["--upstream", &upstream, "--readiness", "none"], PATIENT].concat());
    for case in CASES {
        let mut client = connect(data);
        send(&mut client, case);
        eventually("it runs", || metric(admin, "tidegate_requests_in_flight", "") == 1.0);
        let (model, _) = listener.accept().unwrap();
        leave(client, case.by);
        eventually(&format!("its slot is free: {case:?}"), || {
            metric(admin, "tidegate_requests_in_flight", "") == 0.0
        });
        if case.sent != case.promised {
            // It is told too, before it has read anything.
            eventually(&format!("the model knows: {case:?}"), || {
                model.take_error().unwrap().is_some()
            });
        }
    }
}

/// What was read only to see whether its client waits goes on all the same, and what was not too.
#[test]
fn who_stays_is_served_whatever_was_read_ahead() {
    let sidecar = Sidecar::start(&[]);
    let mut running = connect(sidecar.data);
    write!(running, "GET /sleep?ms=600000 HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    sidecar.model.wait_for_line("REQUEST");
    let sizes = [65 << 10, MIB, 6 * MIB + 1];
    let clients = sizes.map(|size| {
        let mut client = connect(sidecar.data);
        std::thread::spawn(move || {
            let body: Vec<u8> = (0_u8..=250).cycle().take(size).collect();
            write!(client, "POST /echo HTTP/1.1\r\nhost: me\r\nconnection: close\r\n").unwrap();
            write!(client, "content-length: {size}\r\n\r\n").unwrap();
            client.write_all(&body).unwrap();
            let answer = read_answer(&mut client);
            (answer.status, answer.body == body)
        })
    });
    eventually("all wait", || sidecar.metric("tidegate_requests_queued", "") == 3.0);
    drop(running);
    for client in clients {
        assert_eq!(client.join().unwrap(), (200, true));
    }
}

#[test]
fn what_is_read_ahead_is_bounded() {
    /// As many would hold 160 MiB if each could have as much as it may.
    const CLIENTS: usize = 40;
    let (_listener, address) = silent();
    let upstream = address.to_string();
    let (process, data, admin) =
        proxy("sidecar", &[&["--upstream", &upstream, "--readiness", "none"], PATIENT].concat());
    let mut running = connect(data);
    running.write_all(b"GET / HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    eventually("it runs", || metric(admin, "tidegate_requests_in_flight", "") == 1.0);
    let before = own_bytes(process.pid());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut client = connect(data);
            std::thread::spawn(move || {
                send(&mut client, Case { promised: 100 * MIB, sent: ALL, by: By::Reset });
                client
            })
        })
        .collect();
    let clients: Vec<TcpStream> = clients.into_iter().map(|sent| sent.join().unwrap()).collect();
    let grown = own_bytes(process.pid()).saturating_sub(before);
    assert!(grown < 96 << 20, "{grown} bytes for {CLIENTS} bodies that nobody reads");
    for client in clients {
        leave(client, By::Reset);
    }
    eventually("all have left", || metric(admin, "tidegate_requests_queued", "") == 0.0);
    // The room is free again.
    let mut client = connect(data);
    send(&mut client, Case { promised: 3 * MIB, sent: 3 * MIB, by: By::Close });
    eventually("it waits", || metric(admin, "tidegate_requests_queued", "") == 1.0);
    drop(client);
    eventually("it has left", || metric(admin, "tidegate_requests_queued", "") == 0.0);
}
