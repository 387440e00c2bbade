//! Sees that the other side has left, though what it sent before lies unread.

use std::io;
use std::os::fd::BorrowedFd;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// A second look at a socket that is not read for now.
///
/// It is told of the end by the system as soon as that has come, whatever lies before it. It has a
/// registration of its own, since it forgets what it hears of bytes; the socket must not, or nobody
/// would ever read them.
#[derive(Debug)]
pub struct Leaving(TcpStream);

// === impl Leaving ===

impl Leaving {
    /// Looks at this socket, which does not block; needs a runtime. The connection does not end
    /// before this is dropped.
    ///
    /// # Errors
    /// If no more files may be open.
    pub fn watch(socket: BorrowedFd<'_>) -> io::Result<Self> {
        TcpStream::from_std(socket.try_clone_to_owned()?.into()).map(Self)
    }

    /// Ready when the other side has ended or reset the connection.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if ready!(self.0.poll_read_ready(cx)).is_err() {
                return Poll::Ready(());
            }
            match ready!(pin!(self.0.ready(Interest::READABLE)).poll(cx)) {
                Ok(told) if !told.is_read_closed() => {}
                Ok(_) | Err(_) => return Poll::Ready(()),
            }
            // No more than bytes: they are forgotten, until others come.
            let forgotten = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
            drop(self.0.try_io(Interest::READABLE, forgotten));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;
    use std::future::poll_fn;
    use std::os::fd::AsFd;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn an_end_is_seen_behind_bytes_which_stay_to_be_read() {
        for reset in [false, true] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let mut client = TcpStream::connect(address).await.unwrap();
            let (mut socket, _) = listener.accept().await.unwrap();
            client.write_all(&[b'x'; 10_000]).await.unwrap();
            socket.readable().await.unwrap();
            let leaving = Leaving::watch(socket.as_fd()).unwrap();
            for _ in 0..3 {
                // Bytes are no end.
                let soon =
                    tokio::time::timeout(Duration::from_millis(10), poll_fn(|cx| leaving.poll(cx)));
                assert!(soon.await.is_err(), "{reset}");
                client.write_all(&[b'x'; 10_000]).await.unwrap();
            }
            if reset {
                SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
            }
            drop(client);
            poll_fn(|cx| leaving.poll(cx)).await;
            drop(leaving);
            let mut all = Vec::new();
            let read = socket.read_to_end(&mut all).await;
            // A reset takes along what was not read.
            assert!(if reset { read.is_err() } else { all.len() == 40_000 }, "{reset}: {read:?}");
        }
    }
}
