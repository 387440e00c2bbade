//! A stream socket, TCP, TLS or Unix, and the address it is reached at.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;

const UNIX: &str = "unix:";
const LOCAL: &str = "localhost:";

/// Where something listens: `127.0.0.1:8080`, `localhost:8080` or `unix:/run/model.sock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// A port of this machine, by IPv4 or IPv6.
    Local(u16),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// Text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be IP:PORT, such as 127.0.0.1:8080, localhost:PORT, or unix:/PATH")]
pub struct ParseAddressError(());

/// A connected socket.
#[derive(Debug)]
pub enum Socket {
    /// Over IP.
    Tcp(TcpStream),
    /// Within this machine.
    Unix(UnixStream),
    /// Over IP, in TLS. Its state is large, and most sockets have none.
    Tls(Box<TlsStream<TcpStream>>),
}

// === impl Address ===

impl Address {
    /// Connects. Small writes go at once: a token must not wait for the next.
    ///
    /// # Errors
    /// What the system says.
    pub async fn connect(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream))
            }
            Self::Local(port) => {
                let first = TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).await;
                // Who is asked to listen on `::` by Python's asyncio does so for IPv6 alone.
                let stream = match first {
                    Ok(stream) => stream,
                    Err(error) => {
                        let second = TcpStream::connect((Ipv6Addr::LOCALHOST, *port)).await;
                        second.map_err(|_| error)?
                    }
                };
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream))
            }
            Self::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
        }
    }

    /// What stands for it in `Host` and `:authority` where nothing better is known.
    pub fn authority(&self) -> String {
        match self {
            Self::Tcp(address) => address.to_string(),
            Self::Local(port) => format!("{LOCAL}{port}"),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        let failed = |_| ParseAddressError(());
        match (text.strip_prefix(UNIX), text.strip_prefix(LOCAL)) {
            (Some(path), _) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            (Some(_), _) => Err(ParseAddressError(())),
            (None, Some(port)) => port.parse().map(Self::Local).map_err(failed),
            (None, None) => text.parse().map(Self::Tcp).map_err(|_| ParseAddressError(())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Local(port) => write!(f, "{LOCAL}{port}"),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

// === impl Socket ===

impl Socket {
    /// Ready when there is something to read, or an end. In TLS what comes may be no more than a
    /// note to the connection itself: then there is nothing to read after all.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
            Self::Tls(stream) => match stream.get_ref() {
                (stream, session) if session.wants_read() => stream.poll_read_ready(cx),
                // It was decrypted with what came before, or that was the end.
                _ => Poll::Ready(Ok(())),
            },
        }
    }

    /// What was agreed on to speak inside of TLS.
    pub fn agreed_protocol(&self) -> Option<&[u8]> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => None,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }

    /// Whether all that was written has been given to the system.
    pub fn is_flushed(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => true,
            Self::Tls(stream) => !stream.get_ref().1.wants_write(),
        }
    }

    /// Says in TLS that this is the end (RFC 9112 section 9.8), as far as that can be said at once.
    /// Elsewhere the close says so.
    pub fn say_end(&mut self) {
        if let Self::Tls(stream) = self {
            let mut nobody = Context::from_waker(Waker::noop());
            // Who has gone already need not hear it.
            drop(Pin::new(stream).poll_shutdown(&mut nobody));
        }
    }

    /// Whether the system has told of anything to read since all was read. Nobody is woken later.
    pub fn may_be_readable(&self) -> bool {
        let nothing = || Ok(());
        match self {
            Self::Tcp(stream) => stream.try_io(Interest::READABLE, nothing).is_ok(),
            Self::Unix(stream) => stream.try_io(Interest::READABLE, nothing).is_ok(),
            Self::Tls(stream) => match stream.get_ref() {
                (stream, session) if session.wants_read() => {
                    stream.try_io(Interest::READABLE, nothing).is_ok()
                }
                _ => true,
            },
        }
    }

    /// Lets the connection end with a reset, which nobody takes for the end of a body, and which does
    /// not wait until what was sent before is read.
    pub fn reset_on_close(&self) {
        let stream = match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
            Self::Unix(_) => return,
        };
        // If the system refuses, the connection ends plainly: all that is left to do.
        drop(socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)));
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.get_ref().0.as_fd(),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // Nothing is held back here.
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_text() {
        for text in ["127.0.0.1:8080", "[::1]:80", "localhost:80", "unix:/run/model.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "localhost",
            "localhost:x",
            "elsewhere:80",
            "127.0.0.1",
            "unix:",
            "unix:model.sock",
            "/run/a.sock",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_port_of_this_machine_is_found_by_either_family() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let listener = tokio::net::TcpListener::bind(host).await.unwrap();
            let address = Address::Local(listener.local_addr().unwrap().port());
            assert!(address.connect().await.is_ok(), "{host}");
            drop(listener);
            let error = address.connect().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{host}");
        }
    }
}
