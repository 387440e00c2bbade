//! Clients of HTTP/1.1, each with a connection of its own.

use super::Seen;
use crate::support::now;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Reads a head; its content length, if it has one.
pub(super) async fn read_head(stream: &mut BufReader<TcpStream>) -> Option<Head> {
    let mut head = Head::default();
    for first in [true].into_iter().chain(std::iter::repeat(false)) {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if first {
            head.status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        } else if line.is_empty() {
            return Some(head);
        }
        let line = line.to_ascii_lowercase();
        match line.split_once(": ") {
            Some(("content-length", length)) => head.length = length.parse().ok(),
            Some(("connection", "close")) => head.close = true,
            _ => {}
        }
    }
    None
}

#[derive(Default)]
pub(super) struct Head {
    pub(super) status: u16,
    length: Option<usize>,
    close: bool,
}

/// One client after another on one connection, until one leaves.
pub(super) async fn client(data: SocketAddr, seen: Arc<Seen>, requests: u64, until: Instant) {
    let mut connection: Option<BufReader<TcpStream>> = None;
    for _ in 0..requests {
        if now() > until {
            return;
        }
        let mut stream = match connection.take() {
            Some(stream) => stream,
            None => BufReader::new(TcpStream::connect(data).await.unwrap()),
        };
        if stream.write_all(request().as_bytes()).await.is_err() {
            continue;
        }
        seen.sent();
        let patience = match fastrand::u32(0..10) {
            0 => Duration::ZERO,
            1 => Duration::from_micros(fastrand::u64(0..30_000)),
            _ => Duration::from_secs(60),
        };
        match tokio::time::timeout(patience, answer(&mut stream)).await {
            Ok(Some(head)) => {
                seen.answered(head.status);
                connection = (!head.close).then_some(stream);
                if head.status == 503 {
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..20))).await;
                }
            }
            Ok(None) | Err(_) => seen.left(),
        }
    }
}

fn request() -> String {
    let (method, path, fields) = super::request();
    let fields = fields.map(|(name, value)| format!("{name}: {value}\r\n")).concat();
    let length = if method == "POST" { "content-length: 0\r\n" } else { "" };
    format!("{method} {path} HTTP/1.1\r\nhost: me\r\n{fields}{length}\r\n")
}

/// Reads an answer to its end; its head. `None` if it broke off.
async fn answer(stream: &mut BufReader<TcpStream>) -> Option<Head> {
    let head = read_head(stream).await?;
    assert!(head.status >= 200, "a status {}", head.status);
    match head.length {
        Some(length) => {
            stream.read_exact(&mut vec![0; length]).await.ok()?;
        }
        None => loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
            if line == "0\r\n" {
                stream.read_line(&mut line).await.ok()?;
                break;
            }
        },
    }
    Some(head)
}
