//! Whether an endpoint speaks HTTP/2 where TLS has not agreed on it. There is no way to know but to
//! ask: its first bytes after the client's preface are a SETTINGS frame, or they are not (RFC 9113 section 3.4).

use crate::socket::Socket;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The preface, and a SETTINGS frame that sets nothing.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A frame's length (3 bytes), type, flags and stream (4 bytes).
const FRAME_HEAD_BYTES: usize = 9;
const SETTINGS: u8 = 4;
/// Who says nothing to a preface for so long does not know it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks over a connection of its own, so that no request is put at risk.
pub(super) async fn speaks_http2(mut socket: Socket) -> bool {
    let mut head = [0; FRAME_HEAD_BYTES];
    let asking = async {
        socket.write_all(HELLO).await?;
        socket.flush().await?;
        socket.read_exact(&mut head).await
    };
    let answered = tokio::time::timeout(PATIENCE, asking).await.is_ok_and(|read| read.is_ok());
    let [_, _, _, kind, flags, stream @ ..] = head;
    answered && kind == SETTINGS && flags & 1 == 0 && stream == [0; 4]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::Address;

    /// An endpoint that answers the first bytes with these.
    async fn asked(answer: &'static [u8]) -> bool {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::from(listener.local_addr().unwrap());
        let asking = async { speaks_http2(address.connect().await.unwrap()).await };
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut hello = [0; HELLO.len()];
            stream.read_exact(&mut hello).await.unwrap();
            stream.write_all(answer).await.unwrap();
        };
        tokio::join!(asking, serve).0
    }

    #[tokio::test]
    async fn only_settings_are_an_answer() {
        assert!(asked(b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64").await);
        assert!(!asked(b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
        assert!(!asked(b"\0\0").await);
        assert!(!asked(b"").await);
    }
}
