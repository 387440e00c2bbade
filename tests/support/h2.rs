//! HTTP/2 by the library, for clients and upstreams that behave.

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Bytes that may be on their way unread.
const WINDOW: u32 = 1 << 20;

/// A client's connection, which lives as long as its task.
pub(crate) async fn connect(to: SocketAddr, tasks: &mut JoinSet<()>) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(to).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW);
    let (sender, connection) = builder.handshake(stream).await.unwrap();
    // Its end is seen by the streams.
    tasks.spawn(async move { drop(connection.await) });
    sender
}

/// Sends so many bytes, in parts as large as there is room for, and ends the body.
pub(crate) async fn send_bytes(
    stream: &mut SendStream<Bytes>,
    part: &Bytes,
    mut left: u64,
) -> Option<()> {
    while left > 0 {
        stream.reserve_capacity(part.len());
        let mut room = stream.capacity();
        if room == 0 {
            room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await?.ok()?;
        }
        let count = room.min(part.len()).min(usize::try_from(left).unwrap_or(usize::MAX));
        left -= count as u64;
        stream.send_data(part.slice(..count), left == 0).ok()?;
    }
    Some(())
}

/// Reads a body to its end; how many bytes it had. `None` if it broke off.
pub(crate) async fn count_bytes(mut stream: RecvStream) -> Option<u64> {
    let mut count = 0;
    while let Some(data) = stream.data().await {
        let data = data.ok()?;
        count += data.len() as u64;
        stream.flow_control().release_capacity(data.len()).ok()?;
    }
    Some(count)
}
