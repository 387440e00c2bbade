//! Connects to endpoints, and leases connections to one exchange at a time.

mod detect;

use crate::clock;
use crate::drain::DrainWatch;
use crate::endpoint::Endpoint;
use crate::h2_outbound::StreamExchange;
use crate::head::ResponseHead;
use crate::outbound::{Connection, ExchangeError};
use crate::pool::{MAX_STREAMS, Streams};
use crate::socket::Socket;
use crate::tls::{EndpointTls, Offer};
use crate::wire::Wire;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::future::poll_fn;
use std::io::{self, ErrorKind::UnexpectedEof};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::timeout_at;
use tokio_util::task::TaskTracker;

/// How long to try for a connection. An endpoint is near; one that is slower than this is gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How soon a model that has not started yet is tried again.
const START_RETRY: Duration = Duration::from_millis(25);
/// Bytes of one answer, and of all on a connection, that may be on their way unread.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 2 << 20;
/// Stands for a number of streams that the upstream has not yet told.
const UNKNOWN_MAX_STREAMS: usize = MAX_STREAMS + 1;
/// Bytes of one request's body that may wait to be written.
const SEND_BUFFER_BYTES: usize = 64 << 10;

/// A connection, or a share of one, for the time of one exchange.
pub struct Lease {
    /// What carries the exchange.
    pub carrier: Carrier,
    /// Whether the connection has served before: then the upstream may have closed it unseen.
    pub reused: bool,
    endpoint: Arc<Endpoint>,
    worker: usize,
}

/// What carries an exchange.
pub enum Carrier {
    /// A connection of its own.
    Http1(Box<Connection>),
    /// A stream of a shared connection.
    Http2(Box<StreamExchange>),
}

/// What a worker connects with.
#[derive(Debug, Clone)]
pub struct Connector {
    /// Which of an endpoint's pools is this worker's.
    pub worker: usize,
    /// The most bytes a response head may have.
    pub max_head_bytes: usize,
    /// TLS with endpoints, where it is spoken.
    pub tls: Option<Arc<EndpointTls>>,
    /// Runs HTTP/2 connections, which many exchanges share.
    pub tasks: TaskTracker,
    /// Until when requests may wait.
    pub drain: DrainWatch,
}

/// How long a request waits for a connection.
#[derive(Debug, Clone, Copy)]
pub struct By {
    /// Until when a model is tried for that has not been seen ready yet.
    pub start: Instant,
    /// When the request's own time is over.
    pub end: Option<Instant>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// None could be made.
    #[error("can't connect")]
    Io(#[from] io::Error),
    /// It does not speak HTTP/2.
    #[error("no HTTP/2 on the connection")]
    Http2(#[from] h2::Error),
    /// None was made in time.
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    /// None was made before the request's own time was over.
    #[error("no connection before the request's time was over")]
    Late,
}

// === impl By ===

impl By {
    async fn end<T>(
        self,
        connecting: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        let Some(end) = self.end else { return connecting.await };
        timeout_at(end.into(), connecting).await.unwrap_or(Err(ConnectError::Late))
    }
}

// === impl Connector ===

impl Connector {
    /// An idle connection for HTTP/1.1, or a new one.
    ///
    /// # Errors
    /// If none can be made.
    pub async fn lease(
        &self,
        endpoint: &Arc<Endpoint>,
        now: Instant,
        by: By,
    ) -> Result<Lease, ConnectError> {
        match endpoint.pools[self.worker].take(now) {
            Some(connection) => Ok(self.leased(endpoint, Carrier::Http1(connection), true)),
            None => self.lease_new(endpoint, by).await,
        }
    }

    /// A new connection for HTTP/1.1.
    ///
    /// # Errors
    /// If none can be made.
    pub async fn lease_new(&self, endpoint: &Arc<Endpoint>, by: By) -> Result<Lease, ConnectError> {
        let socket = Box::pin(by.end(self.connect(endpoint, by.start, Offer::Http1))).await?;
        let connection = Connection::new(socket, self.max_head_bytes);
        Ok(self.leased(endpoint, Carrier::Http1(Box::new(connection)), false))
    }

    /// A stream of a connection that has room for one, or of a new connection.
    ///
    /// # Errors
    /// If none can be made.
    pub async fn lease_stream(
        &self,
        endpoint: &Arc<Endpoint>,
        by: By,
    ) -> Result<Lease, ConnectError> {
        while let Some(mut streams) = endpoint.pools[self.worker].share() {
            if poll_fn(|cx| streams.sender.poll_ready(cx)).await.is_ok() {
                let exchange = Carrier::Http2(Box::new(StreamExchange::new(streams)));
                return Ok(self.leased(endpoint, exchange, true));
            }
        }
        self.lease_new_stream(endpoint, by).await
    }

    /// A stream of a new connection.
    ///
    /// # Errors
    /// If none can be made.
    pub async fn lease_new_stream(
        &self,
        endpoint: &Arc<Endpoint>,
        by: By,
    ) -> Result<Lease, ConnectError> {
        let opening = async {
            let socket = self.connect(endpoint, by.start, Offer::Http2).await?;
            self.open(endpoint, socket).await
        };
        let streams = by.end(opening).await?;
        let exchange = Carrier::Http2(Box::new(StreamExchange::new(streams)));
        Ok(self.leased(endpoint, exchange, false))
    }

    /// Whether an endpoint speaks HTTP/2; asked once.
    ///
    /// # Errors
    /// If there is no connection.
    pub async fn speaks_http2(
        &self,
        endpoint: &Arc<Endpoint>,
        by: By,
    ) -> Result<bool, ConnectError> {
        if let Some(known) = endpoint.speaks_http2() {
            return Ok(known);
        }
        let socket = by.end(self.connect(endpoint, by.start, Offer::Either)).await?;
        let agreed = socket.agreed_protocol().map(|protocol| protocol == b"h2");
        let asked = Arc::clone(endpoint);
        let learn = move |speaks: bool| {
            asked.set_speaks_http2(speaks);
            tracing::debug!(endpoint = asked.id, http2 = speaks, "asked for its protocol");
            speaks
        };
        if let Some(speaks) = agreed {
            return Ok(learn(speaks));
        }
        // Goes on beyond the request's time: who is silent for longer than clients wait is known all the same.
        let asking = self.tasks.spawn(async move { learn(detect::speaks_http2(socket).await) });
        by.end(async { asking.await.map_err(|error| io::Error::other(error).into()) }).await
    }

    async fn open(
        &self,
        endpoint: &Arc<Endpoint>,
        socket: Socket,
    ) -> Result<Streams, ConnectError> {
        let handshake = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(self.max_head_bytes).unwrap_or(u32::MAX))
            .max_send_buffer_size(SEND_BUFFER_BYTES)
            .initial_max_send_streams(UNKNOWN_MAX_STREAMS)
            .handshake(socket)
            .await?;
        let (sender, mut connection) = handshake;
        // Before the upstream has said how many streams it takes at once, none may be begun: one
        // too many would wait on this connection for the others to end.
        let told = poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
            _ if sender.current_max_send_streams() != UNKNOWN_MAX_STREAMS => Poll::Ready(Ok(())),
            Poll::Ready(Ok(())) => Poll::Ready(Err(io::Error::from(UnexpectedEof).into())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(ConnectError::Http2(error))),
            Poll::Pending => Poll::Pending,
        });
        match tokio::time::timeout(CONNECT_TIMEOUT, told).await {
            Ok(told) => told?,
            Err(_) => return Err(ConnectError::Timeout(CONNECT_TIMEOUT)),
        }
        self.tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "HTTP/2 connection to the upstream ended");
            }
        });
        // The connection is new and its streams are all free.
        let streams = Streams::new(sender.ready().await?);
        endpoint.pools[self.worker].put_shared(streams.clone());
        Ok(streams)
    }

    /// A new connection. One to a model that has not been seen ready yet is tried for until
    /// `start_by`.
    async fn connect(
        &self,
        endpoint: &Endpoint,
        start_by: Instant,
        offer: Offer,
    ) -> Result<Socket, ConnectError> {
        loop {
            let connecting = async {
                let socket = endpoint.address.connect().await?;
                match &self.tls {
                    Some(tls) => Box::pin(tls.secure(socket, &endpoint.address, offer)).await,
                    None => Ok(socket),
                }
            };
            let error = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
                Ok(Ok(socket)) => return Ok(socket),
                Ok(Err(error)) => error,
                Err(_) => return Err(ConnectError::Timeout(CONNECT_TIMEOUT)),
            };
            let absent =
                matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound);
            if !absent || endpoint.has_started() || clock::now() >= start_by {
                return Err(error.into());
            }
            tokio::time::sleep(START_RETRY).await;
        }
    }

    fn leased(&self, endpoint: &Arc<Endpoint>, carrier: Carrier, reused: bool) -> Lease {
        Lease { carrier, reused, endpoint: Arc::clone(endpoint), worker: self.worker }
    }
}

// === impl Lease ===

impl Lease {
    /// The answer's head, interim ones (1xx) first. Sends the request as far as it goes meanwhile.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, ExchangeError>> {
        match &mut self.carrier {
            Carrier::Http1(connection) => connection.poll_head(cx),
            Carrier::Http2(stream) => stream.poll_head(cx),
        }
    }

    /// The answer's body, part by part. Sends what is left of the request meanwhile.
    pub fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ExchangeError>>> {
        match &mut self.carrier {
            Carrier::Http1(connection) => connection.poll_body(cx),
            Carrier::Http2(stream) => stream.poll_body(cx),
        }
    }

    /// How many parts of a body that is passed on as it comes were sent, but for those still on their way.
    pub fn sent_parts(&self) -> u32 {
        match &self.carrier {
            Carrier::Http1(connection) => connection.sent_parts(),
            Carrier::Http2(stream) => stream.sent_parts(),
        }
    }

    /// Ready when this time is over.
    pub fn poll_timer(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        match &mut self.carrier {
            Carrier::Http1(connection) => connection.timer.poll(cx, until),
            Carrier::Http2(stream) => stream.timer.poll(cx, until),
        }
    }

    /// Whether the answer's body is at its end.
    pub fn is_body_done(&self) -> bool {
        match &self.carrier {
            Carrier::Http1(connection) => connection.is_body_done(),
            Carrier::Http2(stream) => stream.is_body_done(),
        }
    }

    /// What is left of the answer's body.
    pub fn body_size(&self) -> SizeHint {
        match &self.carrier {
            Carrier::Http1(connection) => connection.body_size(),
            Carrier::Http2(stream) => stream.body_size(),
        }
    }

    /// Whether a request that failed so may go out again: the upstream says that it did nothing
    /// with it, or it was sent on a kept connection, which the upstream had closed, as no byte came
    /// back.
    pub fn was_stale(&self, error: &ExchangeError) -> bool {
        let heard = match &self.carrier {
            Carrier::Http1(connection) => connection.heard(),
            Carrier::Http2(stream) => stream.heard(),
        };
        self.reused && !heard && matches!(error, ExchangeError::Ended | ExchangeError::Io(_))
    }

    /// The bare connection, after it has switched protocols. A stream has none.
    pub fn into_wire(self) -> Option<Wire> {
        match self.carrier {
            Carrier::Http1(connection) => Some(connection.into_wire()),
            Carrier::Http2(_) => None,
        }
    }

    /// Keeps the connection for the next exchange, if this one has left it clean.
    pub fn give_back(self, now: Instant) {
        match self.carrier {
            Carrier::Http1(connection) if connection.is_reusable() => {
                self.endpoint.pools[self.worker].put(connection, now);
            }
            Carrier::Http1(_) | Carrier::Http2(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
