//! The space that a body takes while nobody reads it.

use super::*;
use crate::socket::Socket;
use std::future::poll_fn;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// More than a client's system and this one hold of it unread, less than may be read ahead.
const BODY_BYTES: usize = 2 << 20;

/// What a connection may keep of a body that is through: the largest read, twice.
const KEPT_BYTES: usize = 128 << 10;

async fn connected(room: &Arc<Room>) -> (TcpStream, Inbound) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (socket, _) = listener.accept().await.unwrap();
    (client, Inbound::new(Wire::new(Socket::Tcp(socket)), room))
}

#[tokio::test]
async fn what_a_body_took_that_was_read_ahead_goes_back_with_its_space() {
    let room = Room::new(LOOK_AHEAD_ROOM_BYTES);
    let (mut client, inbound) = connected(&room).await;
    let sent = async { client.write_all(&vec![b'x'; BODY_BYTES]).await.unwrap() };
    let mut body = inbound.begin_body(Framing::Length(BODY_BYTES as u64), false).unwrap();
    // The request waits for its slot, and its body is read meanwhile, to see the client leave.
    let read_ahead = poll_fn(|cx| {
        assert!(inbound.poll_gone(cx).is_pending(), "the client is there");
        let read = inbound.lock().wire.read.len();
        if read == BODY_BYTES { Poll::Ready(()) } else { Poll::Pending }
    });
    tokio::join!(sent, read_ahead);
    assert!(!room.none_taken().take(LOOK_AHEAD_ROOM_BYTES), "it has taken some");

    let mut through = 0;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        through += frame.unwrap().into_data().unwrap().len();
    }
    drop(body);
    assert_eq!(through, BODY_BYTES);
    assert!(room.none_taken().take(LOOK_AHEAD_ROOM_BYTES), "all of it is back");
    let mut state = inbound.lock();
    state.wire.read.reserve(1);
    assert!(state.wire.read.capacity() <= KEPT_BYTES, "{}", state.wire.read.capacity());
}
