//! A connection on a port that speaks TLS: what a balancer says of it, the handshake, and then one
//! like any other.

use crate::clock;
use crate::connection::{answer_all, refuse};
use crate::inbound::Inbound;
use crate::proxy_protocol::{self, Arrival};
use crate::socket::Socket;
use crate::stack::Stack;
use crate::tls::{Greeting, ServerTls};
use crate::upstream::Connector;
use crate::wire::{Outgoing, Wire};
use std::net::IpAddr;
use std::sync::Arc;
use tidegate_api::reason::Reason;
use tokio::net::TcpStream;

/// Serves a connection to its end.
pub async fn serve(
    mut stream: TcpStream,
    from: IpAddr,
    stack: Arc<Stack>,
    connector: Arc<Connector>,
    tls: Arc<ServerTls>,
) {
    // Small writes go at once: a token must not wait for the next.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    // One deadline for the PROXY header and the handshake.
    let timeout = stack.limits.header_timeout;
    let until = clock::now() + timeout;
    let arriving =
        proxy_protocol::arrive(&mut stream, from, &stack.hops, timeout, &stack.refused_arrivals);
    let Some(Arrival { mut peer, early }) = arriving.await else { return };
    // What was read is nothing but the header: only what is neither a header nor TLS leaves more.
    let greeting = match early.is_empty() {
        true => tls.greet(stream, until.saturating_duration_since(clock::now())).await,
        false => tls.is_no_tls(stream),
    };
    match greeting {
        Greeting::Secured(socket, version) => {
            peer.tls = Some(version);
            answer_all(
                Inbound::new(Wire::new(socket), &stack.rooms.look_ahead),
                peer,
                stack,
                connector,
            )
            .await;
        }
        Greeting::Plaintext(stream) => {
            let inbound = Inbound::new(Wire::new(Socket::Tcp(stream)), &stack.rooms.look_ahead);
            let response = stack.refuse(Reason::TlsRequired, Some(&peer));
            refuse(&inbound, &mut Outgoing::default(), response).await;
        }
        Greeting::Failed => {}
    }
}
