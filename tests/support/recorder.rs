//! An upstream of HTTP/1.1 that keeps every byte it is sent, and answers as it is told to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

/// One step of a case.
pub(crate) enum Step {
    /// Sends bytes.
    Send(Vec<u8>),
    /// Waits for the other side to end.
    Pause,
    /// Ends its own side.
    End,
}

/// An upstream that keeps every byte it is sent, and answers each head with the same bytes.
pub(crate) struct Upstream {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// All that came, in the order in which it came.
    pub(crate) seen: Arc<Mutex<Vec<u8>>>,
}

impl Upstream {
    /// One that plays these steps as its answer.
    pub(crate) fn start(answer: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (all, answer) = (Arc::clone(&seen), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (all, answer) = (Arc::clone(&all), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream, &all, &answer));
            }
        });
        Self { address, seen }
    }

    /// All that came, as text with one character a byte.
    pub(crate) fn seen(&self) -> String {
        self.seen.lock().unwrap().iter().map(|byte| char::from(*byte)).collect()
    }
}

fn serve(mut stream: TcpStream, all: &Mutex<Vec<u8>>, answer: &[Step]) {
    let mut buffer = vec![0; 65536];
    let mut unanswered = Vec::new();
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        all.lock().unwrap().extend_from_slice(&buffer[..count]);
        unanswered.extend_from_slice(&buffer[..count]);
        while let Some(end) = request_end(&unanswered) {
            let head: Vec<u8> = unanswered.drain(..end).collect();
            if String::from_utf8_lossy(&head).contains("upgrade: websocket") {
                // From here on bytes are only kept.
                drop(stream.write_all(SWITCH));
                continue;
            }
            if !play(&mut stream, answer) {
                return;
            }
        }
    }
}

/// Where the first request ends, by its head's end and the length that it announces.
fn request_end(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
    let length = text.split_once("content-length: ").and_then(|(_, rest)| rest.lines().next());
    let end = head + length.map_or(0, |length| length.parse::<usize>().unwrap());
    (bytes.len() >= end).then_some(end)
}

/// Plays steps; false when the connection is to end.
pub(crate) fn play(stream: &mut TcpStream, steps: &[Step]) -> bool {
    for step in steps {
        match step {
            Step::Send(bytes) => {
                if stream.write_all(bytes).is_err() {
                    return false;
                }
            }
            // The other side is to end it. It may not be left waiting for ever either.
            Step::Pause => {
                stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                let mut rest = [0; 1];
                drop(stream.peek(&mut rest));
                return true;
            }
            Step::End => {
                drop(stream.shutdown(std::net::Shutdown::Write));
            }
        }
    }
    true
}
