//! A client's connection: sends a request that is ready in bytes, reads the whole answer.

use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// The largest answer.
const BUFFER_BYTES: usize = 16 << 10;
/// Fields of an answer's head.
const MAX_FIELDS: usize = 64;

/// A connection that is kept for one request after the other.
pub(crate) struct Connection<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
    filled: usize,
}

// === impl Connection ===

impl Connection {
    /// A new connection.
    ///
    /// # Errors
    /// If it is refused.
    pub(crate) async fn open(to: SocketAddr) -> io::Result<Self> {
        Ok(Self::over(connect(to).await?))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// One over a stream that is connected.
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, buffer: vec![0; BUFFER_BYTES], filled: 0 }
    }

    /// Sends a request and reads its answer of a known length.
    ///
    /// # Errors
    /// If the connection fails, or the answer is not 200.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<()> {
        self.send(request).await?;
        loop {
            self.fill().await?;
            if let Some(length) = answer_length(self.read())? {
                while self.filled < length {
                    self.fill().await?;
                }
                return if self.filled == length {
                    Ok(())
                } else {
                    Err(invalid("more came than the answer"))
                };
            }
        }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// If the connection fails.
    pub(crate) async fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.filled = 0;
        self.stream.write_all(request).await?;
        self.stream.flush().await
    }

    /// Reads more.
    ///
    /// # Errors
    /// If the connection fails or ends.
    pub(crate) async fn fill(&mut self) -> io::Result<()> {
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        if room.is_empty() {
            return Err(invalid("the answer is too large"));
        }
        match self.stream.read(room).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection")),
            count => {
                self.filled += count;
                Ok(())
            }
        }
    }

    /// What was read and not yet taken.
    pub(crate) fn read(&self) -> &[u8] {
        self.buffer.get(..self.filled).unwrap_or_default()
    }

    /// Takes so many bytes off the front.
    pub(crate) fn take(&mut self, count: usize) {
        self.buffer.copy_within(count..self.filled, 0);
        self.filled -= count;
    }
}

/// Connects. What is written goes at once.
///
/// # Errors
/// If it is refused.
pub(super) async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Opens so many connections.
///
/// # Errors
/// If one is refused.
pub(crate) async fn open_many(to: SocketAddr, count: u16) -> io::Result<Vec<Connection>> {
    let mut opened = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        opened.push(Connection::open(to).await?);
    }
    Ok(opened)
}

/// The bytes of the answer, head and body, once its head is here.
fn answer_length(read: &[u8]) -> io::Result<Option<usize>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut answer = httparse::Response::new(&mut fields);
    let head = match answer.parse(read) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(invalid(&format!("the answer is malformed: {error}"))),
    };
    if answer.code != Some(200) {
        let text = String::from_utf8_lossy(read);
        return Err(invalid(&format!("the answer is not 200: {}", text.trim())));
    }
    let length =
        answer.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    length
        .and_then(|field| std::str::from_utf8(field.value).ok()?.parse::<usize>().ok())
        .map(|body| Some(head + body))
        .ok_or_else(|| invalid("the answer has no length"))
}

/// An answer that is not as it must be.
pub(super) fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_its_body() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 5\r\n\r\n";
        assert_eq!(answer_length(answer).expect("good"), Some(answer.len() + 5));
        assert_eq!(answer_length(b"HTTP/1.1 200 OK\r\n").expect("good so far"), None);
    }

    #[test]
    fn what_is_no_plain_success_is_an_error() {
        for bad in ["503 Busy\r\nContent-Length: 0", "200 OK\r\nTransfer-Encoding: chunked"] {
            let answer = format!("HTTP/1.1 {bad}\r\n\r\n");
            assert!(answer_length(answer.as_bytes()).is_err(), "{bad}");
        }
    }
}
