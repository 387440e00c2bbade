//! An endpoint without a sidecar that does one thing to every request.

use crate::support::eventually;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tidegate_api::endpoints::{EndpointEntry, EndpointState};

/// No status.
pub(super) const CLOSE: u16 = 0;

/// What it does.
#[derive(Clone)]
pub(super) enum Manner {
    /// Answers with this status.
    Status(u16),
    /// Answers with the status and the fields, each with its end, that this says, as soon as it does;
    /// with [`CLOSE`] for a status it closes the connection.
    Told(Arc<dyn Fn() -> (u16, &'static str) + Send + Sync>),
    /// Answers with these bytes.
    Bytes(&'static str),
    /// As the other does, and calls this once its client has read the answer.
    Heard(Box<Self>, Arc<dyn Fn() + Send + Sync>),
    /// Reads the request and closes the connection.
    Close,
    /// Reads the request and says nothing until its client leaves.
    Silent,
}

/// Begins one, for as long as the test's process lives. It counts as ready from the first.
pub(super) fn endpoint(id: &str, manner: Manner, concurrency: u32) -> EndpointEntry {
    counted(id, manner, concurrency).0
}

/// The same, and how often somebody has connected.
pub(super) fn counted(
    id: &str,
    manner: Manner,
    concurrency: u32,
) -> (EndpointEntry, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let connected = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connected);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            counted.fetch_add(1, Ordering::SeqCst);
            let manner = manner.clone();
            std::thread::spawn(move || serve(stream, &manner));
        }
    });
    let state = EndpointState::Active;
    (EndpointEntry { id: id.to_owned(), address, admin: None, concurrency, state }, connected)
}

/// Answers request after request until the client leaves. Bodies must be small and sent at once.
fn serve(stream: TcpStream, manner: &Manner) {
    let (manner, heard) = match manner {
        Manner::Heard(manner, heard) => (&**manner, Some(heard)),
        manner => (manner, None),
    };
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(said) = line.strip_prefix("content-length:") {
                length = said.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        if std::io::Read::read_exact(&mut reader, &mut body).is_err() {
            return;
        }
        let (status, fields) = match manner {
            Manner::Status(status) => (*status, ""),
            Manner::Told(status) => status(),
            Manner::Bytes(answer) => {
                if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                    return;
                }
                continue;
            }
            Manner::Close | Manner::Heard(..) => return,
            Manner::Silent => {
                drop(std::io::Read::read(&mut reader, &mut [0]));
                return;
            }
        };
        if status == CLOSE {
            return;
        }
        let answer = format!("HTTP/1.1 {status} Fake\r\n{fields}content-length: 0\r\n\r\n");
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
        if let Some(heard) = heard {
            eventually("the answer is read", || is_read(reader.get_ref()));
            heard();
        }
    }
}

/// Whether the other side has read all that was sent: the system has nothing left for it.
fn is_read(stream: &TcpStream) -> bool {
    let as_the_system_has_it = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => format!("{:08X}:{:04X}", u32::from_le_bytes(ip.octets()), address.port()),
        IpAddr::V6(_) => panic!("endpoints are at 127.0.0.1"),
    };
    let [own, peer] = [stream.local_addr(), stream.peer_addr()];
    let [own, peer] = [own, peer].map(|address| as_the_system_has_it(address.unwrap()));
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    // number, local address, remote address, state, bytes to send:bytes to read
    let mut sockets = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let socket = sockets.find(|socket| socket[1..3] == [&*peer, &*own]);
    socket.is_none_or(|socket| socket[4].ends_with(":00000000"))
}
