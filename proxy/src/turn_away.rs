//! What a client is told for whom there is no place.

use crate::connection::{HTTP2, LINGER, refuse};
use crate::error::Refusal;
use crate::inbound::Inbound;
use crate::socket::Socket;
use crate::stack::Stack;
use crate::wire::{Outgoing, Wire};
use std::io;
use std::sync::Arc;
use tidegate_api::reason::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The most that is read of what a client sent before it knew.
const MAX_UNREAD_BYTES: u64 = 64 << 10;

/// Tells a client that it finds no place, in the version of HTTP that it speaks.
pub async fn turn_away(mut stream: TcpStream, stack: Arc<Stack>) {
    let mut start = [0; HTTP2.len()];
    // Some clients take what answers before it is asked for a fault.
    match tokio::time::timeout(LINGER, stream.peek(&mut start)).await {
        Ok(Ok(1..)) if start == HTTP2 => {
            // It may have gone by itself.
            drop(tokio::time::timeout(LINGER, go_away(&mut stream)).await);
        }
        Ok(Ok(1..)) => {
            let refusal = Refusal { retry_after_s: Some(1), ..Reason::TooManyConnections.into() };
            let inbound = Inbound::new(Wire::new(Socket::Tcp(stream)), &stack.rooms.look_ahead);
            refuse(&inbound, &mut Outgoing::default(), stack.refuse(refusal, None)).await;
        }
        _ => {}
    }
}

/// Says before anything is read that no stream is served here: an empty SETTINGS frame, which a
/// server begins with, and GOAWAY without an error, so that the client takes all that it has
/// elsewhere (RFC 9113, sections 3.4 and 6.8).
async fn go_away(stream: &mut TcpStream) -> io::Result<()> {
    let why = Reason::TooManyConnections.code().as_bytes();
    let length = u8::try_from(8 + why.len()).unwrap_or(8);
    let settings = [0, 0, 0, 0x4, 0, 0, 0, 0, 0];
    let goaway = [0, 0, length, 0x7, 0, 0, 0, 0, 0];
    let no_stream_no_error = [0; 8];
    stream.write_all(&[&settings[..], &goaway, &no_stream_no_error, why].concat()).await?;
    stream.shutdown().await?;
    // What came and stays unread would reset the connection, and that would take GOAWAY along.
    tokio::io::copy(&mut stream.take(MAX_UNREAD_BYTES), &mut tokio::io::sink()).await?;
    Ok(())
}
