//! One client's HTTP/2 connection: each stream is a request, served in a task of its own that ends
//! with the stream.

use crate::body::{ProxyBody, RelayError};
use crate::clock;
use crate::framing::is_bodiless;
use crate::guard::HttpLimits;
use crate::h2_head::read_request;
use crate::h2_inbound::Http2Body;
use crate::hop::Peer;
use crate::incoming::IncomingBody;
use crate::interim::{Interim, Waiting};
use crate::message::{Request, Response};
use crate::outbound::ExchangeError;
use crate::stack::Stack;
use crate::upstream::Connector;
use crate::wire::Wire;
use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::Method;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE};
use http_body::{Body, Frame};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Sleep;

/// Requests that one connection may carry at once.
const MAX_STREAMS: u32 = 128;
/// Bytes of one request's body, and of all on a connection, that may be on their way unread.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Bytes of one answer that may wait to be written.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// Streams that a client has reset and nobody has looked at yet: more is a rapid reset
/// (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 20;
/// Streams that had to be reset for the client's faults, over a connection's life.
const MAX_FAULTS: usize = 256;
/// After the end was said: how long the client may take to see it.
const LINGER: Duration = Duration::from_secs(2);

/// How the end of a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    NotYet,
    /// GOAWAY was sent; streams that are open go on.
    Said,
}

/// An answer's body as it goes out.
struct Reply {
    stream: SendStream<Bytes>,
    body: ProxyBody,
    /// What the flow control has not yet let through.
    waiting: Bytes,
    /// Nothing follows what waits.
    last: bool,
    /// How long the client may take nothing.
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

/// Serves a connection from its preface on.
pub async fn serve(wire: Wire, peer: Arc<Peer>, stack: &Arc<Stack>, connector: &Arc<Connector>) {
    let limits = &stack.limits;
    let handshake = builder(limits).handshake::<_, Bytes>(wire);
    let Ok(Ok(mut connection)) = tokio::time::timeout(limits.header_timeout, handshake).await
    else {
        return;
    };
    let mut streams = JoinSet::new();
    let mut drain = stack.drain.clone();
    let late = drain.is_draining();
    let mut ending = pin!(async move {
        // Who comes after the announcement has not heard of it, and is served until the close.
        if late { drain.closing().await } else { drain.announced().await }
    });
    let mut end = End::NotYet;
    let mut quiet = pin!(tokio::time::sleep(limits.header_timeout));
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok(asked)) => begin(&mut streams, asked, &peer, stack, connector),
                Some(Err(error)) => {
                    tracing::debug!(%error, "HTTP/2 connection broke off");
                    break;
                }
                None => break,
            },
            Some(ended) = streams.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a stream's task failed");
                }
                if streams.is_empty() {
                    let patience = if end == End::Said { LINGER } else { limits.keep_alive_timeout };
                    quiet.as_mut().reset((clock::now() + patience).into());
                }
            }
            () = &mut ending, if end == End::NotYet => {
                end = End::Said;
                connection.graceful_shutdown();
                quiet.as_mut().reset((clock::now() + LINGER).into());
            }
            () = &mut quiet, if streams.is_empty() => {
                if end == End::Said {
                    // The client has not answered: it hears the end itself, if it still listens.
                    connection.abrupt_shutdown(Reason::NO_ERROR);
                    let closed = poll_fn(|cx| connection.poll_closed(cx));
                    drop(tokio::time::timeout(LINGER, closed).await);
                    break;
                }
                end = End::Said;
                connection.graceful_shutdown();
                quiet.as_mut().reset((clock::now() + LINGER).into());
            }
        }
    }
    // Whatever still runs has lost its client: dropping the tasks cancels them.
}

fn builder(limits: &HttpLimits) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(limits.max_head_bytes).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(Some(MAX_FAULTS));
    builder
}

/// Judges a request's head, and begins to serve it. A head that is refused is gone at once: those
/// of many streams are not held until each has its turn.
fn begin(
    streams: &mut JoinSet<()>,
    (request, mut respond): (http::Request<RecvStream>, SendResponse<Bytes>),
    peer: &Arc<Peer>,
    stack: &Arc<Stack>,
    connector: &Arc<Connector>,
) {
    let Some(place) = stack.connections.enter_stream() else {
        // RFC 9113 section 8.7: the client may send it again.
        return respond.send_reset(Reason::REFUSED_STREAM);
    };
    let (parts, stream) = request.into_parts();
    let method = parts.method.clone();
    match read_request(parts) {
        Ok((parts, notes)) => {
            let waiting = Waiting::default();
            let owes_continue = notes.expects_continue.then(|| waiting.clone());
            let body = Http2Body::new(stream, notes.length, owes_continue);
            let request = Request::from_parts(Box::new(parts), IncomingBody::Http2(Box::new(body)));
            let (peer, stack, connector) =
                (Arc::clone(peer), Arc::clone(stack), Arc::clone(connector));
            streams.spawn(async move {
                exchange(request, waiting, respond, &peer, &stack, &connector).await;
                drop(place);
            });
        }
        Err(reason) => {
            let (response, patience) =
                (stack.refuse(reason, Some(peer)), stack.limits.write_timeout);
            streams.spawn(async move {
                reply(respond, response, &method, patience).await;
                drop(place);
            });
        }
    }
}

/// One request and its answer. Ends early when the client resets the stream.
async fn exchange(
    request: Request<IncomingBody>,
    waiting: Waiting,
    mut respond: SendResponse<Bytes>,
    peer: &Peer,
    stack: &Stack,
    connector: &Connector,
) {
    let method = request.method().clone();
    let response = handle(request, waiting, &mut respond, peer, stack, connector).await;
    // Without one the client has reset the stream.
    if let Some(response) = response {
        reply(respond, response, &method, stack.limits.write_timeout).await;
    }
}

async fn handle(
    request: Request<IncomingBody>,
    waiting: Waiting,
    respond: &mut SendResponse<Bytes>,
    peer: &Peer,
    stack: &Stack,
    connector: &Connector,
) -> Option<Response<ProxyBody>> {
    let interim = Interim::Http2(waiting.clone());
    let mut handling = pin!(stack.handle(request, peer, connector, &interim));
    poll_fn(|cx| {
        let handled = handling.as_mut().poll(cx);
        while let Some(head) = waiting.pop() {
            // A hint that can't be sent is no loss.
            drop(respond.send_informational(head.into()));
        }
        match handled {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            Poll::Pending => respond.poll_reset(cx).map(|_| None),
        }
    })
    .await
}

/// Sends an answer.
async fn reply(
    mut respond: SendResponse<Bytes>,
    response: Response<ProxyBody>,
    method: &Method,
    patience: Duration,
) {
    let (mut parts, body) = response.into_parts();
    // What the end of a connection is here, GOAWAY says.
    parts.headers.remove(CONNECTION);
    if !parts.headers.contains(DATE) {
        // RFC 9110 section 6.6.1: who forwards an answer without a date adds one.
        parts.headers.append(DATE, clock::http_date());
    }
    let bodiless = is_bodiless(method, parts.status);
    let ended = bodiless || body.is_end_stream();
    if let Some(length) = body.size_hint().exact().filter(|length| !bodiless && *length > 0) {
        parts.headers.insert(CONTENT_LENGTH, itoa::Buffer::new().format(length));
    }
    let head = Response::from_parts(parts, ()).into();
    let Ok(stream) = respond.send_response(head, ended) else { return };
    if !ended {
        let (waiting, last, stalled) = (Bytes::new(), false, None);
        let mut reply = Reply { stream, body, waiting, last, patience, stalled };
        poll_fn(|cx| reply.poll(cx)).await;
    }
}

// === impl Reply ===

impl Reply {
    /// Sends parts as they come; ready when the last is sent, or nobody is there to read it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if !self.waiting.is_empty() {
                if ready!(self.poll_send(cx)).is_err() {
                    return Poll::Ready(());
                }
                continue;
            }
            if self.last {
                return Poll::Ready(());
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if self.queue(frame) {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(error = %crate::error::chain(&error), "answer broke off");
                    self.stream.send_reset(reason(&error));
                    return Poll::Ready(());
                }
                Poll::Ready(None) => {
                    // If it can't be sent, the client has gone.
                    drop(self.stream.send_data(Bytes::new(), true));
                    return Poll::Ready(());
                }
                // Nothing to do but to see whether anybody still listens.
                Poll::Pending => return self.stream.poll_reset(cx).map(drop),
            }
        }
    }

    /// Takes a frame; says whether it was the end.
    fn queue(&mut self, frame: Frame<Bytes>) -> bool {
        match frame.into_data() {
            Ok(data) => {
                self.last = self.body.is_end_stream();
                if data.is_empty() && self.last {
                    return self.stream.send_data(data, true).is_ok() || self.last;
                }
                self.waiting = data;
                false
            }
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                // If they can't be sent, the client has gone.
                drop(self.stream.send_trailers(trailers));
                true
            }
        }
    }

    /// Sends as much as the client's window has room for. An error: the client has gone, or reads
    /// nothing for too long.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        self.stream.reserve_capacity(self.waiting.len());
        let mut room = self.stream.capacity();
        if room == 0 {
            room = match self.stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(room))) => room,
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Err(())),
                Poll::Pending if self.body.poll_over(cx).is_ready() => {
                    self.stream.send_reset(reason(&RelayError::Timeout));
                    return Poll::Ready(Err(()));
                }
                Poll::Pending => return self.poll_stalled(cx).map(Err),
            };
        }
        self.stalled = None;
        let part = self.waiting.split_to(room.min(self.waiting.len()));
        let end = self.last && self.waiting.is_empty();
        Poll::Ready(self.stream.send_data(part, end).map_err(drop))
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stalled.as_mut().poll(cx));
        tracing::debug!("a client reads nothing of its answer");
        self.stream.send_reset(Reason::CANCEL);
        Poll::Ready(())
    }
}

/// What a broken answer is reset with. The upstream's own word is passed on.
fn reason(error: &RelayError) -> Reason {
    match error {
        RelayError::Broken(ExchangeError::Reset(reason)) => *reason,
        RelayError::Broken(ExchangeError::Upload(_)) => Reason::CANCEL,
        _ => Reason::INTERNAL_ERROR,
    }
}
