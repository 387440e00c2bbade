//! The server behind all peers: a small answer, a sink for large bodies, a stream of events.

use crate::clock;
use crate::ticker::Ticker;
use crate::workload::{ANSWER, EVENT_GAP, EVENTS, SERVICE_KEY, STREAM_KEY, event_chunk};
use anyhow::{Context, Result};
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The largest request head. What a proxy adds to ours is far less.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// Space for a head, and for large parts of a body.
const BUFFER_BYTES: usize = 64 << 10;
/// The largest body that is looked at.
const MAX_WISH_BYTES: u64 = 4 << 10;
/// Fields of a request's head.
const MAX_FIELDS: usize = 64;

/// What of a request's head counts here.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    /// Its bytes.
    length: usize,
    body: u64,
    close: bool,
}

/// What of a small body counts here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wish {
    /// Whether a stream is asked for.
    stream: bool,
    /// How long the answer is to take.
    service_micros: u64,
}

/// Serves at all these addresses until it is ended.
///
/// # Errors
/// If it can't listen.
pub(crate) fn run(listen: Vec<SocketAddr>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut doors = JoinSet::new();
        for at in listen {
            let listener =
                TcpListener::bind(at).await.with_context(|| format!("can't listen at {at}"))?;
            doors.spawn(accept(listener));
        }
        while let Some(ended) = doors.join_next().await {
            ended.context("a listener broke down")??;
        }
        Ok(())
    })
}

async fn accept(listener: TcpListener) -> Result<()> {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.context("can't accept")?;
                connections.spawn(serve(stream));
            }
            // How a connection ended is the peer's to say.
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut filled = 0;
    loop {
        let head = loop {
            if let Some(head) = parse(buffer.get(..filled).unwrap_or_default())? {
                break head;
            }
            if filled > MAX_HEAD_BYTES {
                return Err(invalid("the head is too large"));
            }
            let count = stream.read(buffer.get_mut(filled..).unwrap_or_default()).await?;
            if count == 0 {
                return Ok(());
            }
            filled += count;
        };
        let here = (filled - head.length) as u64;
        if here > head.body {
            return Err(invalid("a request came before the answer to the last"));
        }
        let mut wish = Wish::default();
        let mut left = head.body - here;
        if head.body <= MAX_WISH_BYTES {
            while left > 0 {
                let count = stream.read(buffer.get_mut(filled..).unwrap_or_default()).await?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                (filled, left) = (filled + count, left.saturating_sub(count as u64));
            }
            wish = Wish::read(buffer.get(head.length..filled).unwrap_or_default());
        }
        while left > 0 {
            let count = stream.read(&mut buffer).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left = left.saturating_sub(count as u64);
        }
        filled = 0;
        if wish.service_micros > 0 {
            Ticker::new()?.until(clock::now() + wish.service_micros * 1000).await?;
        }
        if wish.stream {
            send_events(&mut stream).await?;
        } else {
            stream.write_all(answer().as_bytes()).await?;
        }
        if head.close {
            return Ok(());
        }
    }
}

async fn send_events(stream: &mut TcpStream) -> io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let ticker = Ticker::new()?;
    let begin = clock::now();
    for number in 1..=EVENTS {
        ticker.until(begin + u64::from(number) * EVENT_GAP).await?;
        stream.write_all(&event_chunk(clock::now(), number)).await?;
    }
    stream.write_all(b"0\r\n\r\n").await
}

fn answer() -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{ANSWER}",
        ANSWER.len()
    )
}

/// The head at the front of `read`, if it is complete.
fn parse(read: &[u8]) -> io::Result<Option<Head>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(read) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(invalid(&error.to_string())),
    };
    let close = request.version != Some(1);
    let mut head = Head { length, body: 0, close };
    for field in request.headers {
        let value = std::str::from_utf8(field.value).unwrap_or_default();
        if field.name.eq_ignore_ascii_case("content-length") {
            head.body = value.parse().map_err(|_| invalid("the length is no number"))?;
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(invalid("a body with a length was sent on in chunks"));
        } else if field.name.eq_ignore_ascii_case("connection") {
            head.close = value.eq_ignore_ascii_case("close");
        }
    }
    Ok(Some(head))
}

// === impl Wish ===

impl Wish {
    fn read(body: &[u8]) -> Self {
        let after = |key: &[u8]| {
            let start = memchr::memmem::find(body, key)? + key.len();
            body.get(start..)
        };
        let micros = after(SERVICE_KEY).map(|rest| {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
            digits.fold(0_u64, |sum, digit| sum.saturating_mul(10) + u64::from(digit - b'0'))
        });
        Self { stream: after(STREAM_KEY).is_some(), service_micros: micros.unwrap_or(0) }
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{
        body_request, post_request, small_request, stream_request, timed_request,
    };

    #[test]
    fn what_the_load_sends_is_understood() {
        let small = small_request();
        let head = parse(&small).expect("good").expect("whole");
        assert_eq!(head, Head { length: small.len(), body: 0, close: false });
        assert_eq!(parse(small.split_at(20).0).expect("good so far"), None);
        let body = parse(&body_request()).expect("good").expect("whole");
        assert_eq!(body.body, 220_000);
        let wish = |request: Vec<u8>| {
            let head = parse(&request).expect("good").expect("whole");
            Wish::read(&request[head.length..])
        };
        assert_eq!(wish(post_request()), Wish::default());
        assert_eq!(wish(stream_request()), Wish { stream: true, service_micros: 0 });
        assert_eq!(wish(timed_request(20_500_000)), Wish { stream: false, service_micros: 20_500 });
    }

    #[test]
    fn a_chunked_body_is_refused_as_peers_must_not_change_it() {
        let chunked = b"POST /prompt HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(parse(chunked).is_err());
    }
}
