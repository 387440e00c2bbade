//! One client's connection: head after head in, answer after answer out.

use crate::body::{ProxyBody, Tunnel};
use crate::clock;
use crate::drain::DrainWatch;
use crate::framing::{Framing, is_bodiless};
use crate::guard::HttpLimits;
use crate::h2_connection;
use crate::head::encode::{ResponseHop, encode_chunk_size, encode_response, encode_trailers};
use crate::head::{HeadScan, RequestHead, parse_request};
use crate::hop::Peer;
use crate::inbound::Inbound;
use crate::incoming::IncomingBody;
use crate::interim::Interim;
use crate::lazy_timer::LazyTimer;
use crate::message::Response;
use crate::stack::Stack;
use crate::tunnel;
use crate::upstream::Connector;
use crate::wire::Outgoing;
use bytes::Bytes;
use http::header::{CONNECTION, DATE};
use http::{Method, Version};
use http_body::{Body, Frame};
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tidegate_api::reason::Reason;
use tokio::net::TcpStream;
use tokio::task::coop;

mod ending;
mod stall;

pub(crate) use ending::LINGER;
use ending::{close, discard};
use stall::Stall;

/// How HTTP/2 begins, which is not refused in HTTP/1.
pub(crate) const HTTP2: [u8; 3] = *b"PRI";

/// A connection that is quiet for this long gives its buffer back; one in use keeps it.
const QUIET: Duration = Duration::from_secs(1);

/// What to do with the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// Wait for the next request.
    KeepAlive,
    /// Say the end and close.
    Close,
}

/// What a connection brings next.
enum Next {
    /// A request's head.
    Head(Bytes),
    /// HTTP/2, from its first byte on.
    Http2,
    /// Nothing more.
    End,
}

/// What of a request says how its answer is written.
struct Asked {
    method: Method,
    version: Version,
    keep_alive: bool,
}

/// Tells when a connection that carries nothing is to be closed.
struct Closing<F> {
    closing: F,
    drain: DrainWatch,
    /// Whether it wakes the task at the next news.
    is_heard: bool,
}

/// An answer as it goes out.
struct Reply<'a> {
    inbound: &'a Inbound,
    out: &'a mut Outgoing,
    body: ProxyBody,
    framing: Framing,
    /// Whether a part of the body was taken.
    begun: bool,
    /// Once there is no more to come: how it ended. What came before is written all the same.
    ended: Option<Result<(), BrokenOff>>,
    stall: Stall<'a>,
}

/// The answer broke off: the client is gone, or must see that what it has is not all.
#[derive(Clone, Copy)]
struct BrokenOff;

/// Serves a connection to its end.
pub async fn serve(stream: TcpStream, from: IpAddr, stack: Arc<Stack>, connector: Arc<Connector>) {
    // Small writes go at once: a token must not wait for the next.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    if let Some((peer, inbound)) = stack.arrive(stream, from).await {
        answer_all(inbound, peer, stack, connector).await;
    }
}

/// Answers one request after the other, to the connection's end.
pub(crate) async fn answer_all(
    inbound: Inbound,
    peer: Peer,
    stack: Arc<Stack>,
    connector: Arc<Connector>,
) {
    let mut drain = stack.drain.clone();
    let closing = pin!(drain.closing());
    let mut closing = Closing { closing, drain: stack.drain.clone(), is_heard: false };
    let mut out = Outgoing::default();
    let mut timer = LazyTimer::default();
    let mut first = true;
    loop {
        let waiting = next_head(&inbound, &stack.limits, &mut timer, first, &mut closing);
        let head = match waiting.await {
            Ok(Next::Head(head)) => parse_request(head),
            Ok(Next::Http2) => {
                if let Some(wire) = inbound.into_wire() {
                    // In a box: its state is far larger than what most connections need.
                    let peer = Arc::new(peer);
                    Box::pin(h2_connection::serve(wire, peer, &stack, &connector)).await;
                }
                return;
            }
            Ok(Next::End) => return inbound.say_end(),
            Err(reason) => Err(reason),
        };
        let RequestHead { request, framing, keep_alive, expects_continue } = match head {
            Ok(head) => head,
            Err(reason) => {
                return refuse(&inbound, &mut out, stack.refuse(reason, Some(&peer))).await;
            }
        };
        first = false;
        let (method, version) = (request.method().clone(), request.version());
        let body = inbound.begin_body(framing, expects_continue);
        let request = request.map(|()| body.map_or(IncomingBody::Empty, IncomingBody::Http1));
        let interim = match version {
            Version::HTTP_10 => Interim::Nowhere,
            _ => Interim::Http1(inbound.clone()),
        };
        let response = {
            let mut handling = pin!(stack.handle(request, &peer, &connector, &interim));
            // Dropping what handles the request is what cancels it.
            let gone = poll_fn(|cx| match handling.as_mut().poll(cx) {
                Poll::Ready(response) => Poll::Ready(Some(response)),
                Poll::Pending => inbound.poll_gone(cx).map(|()| None),
            });
            match gone.await {
                Some(response) => response,
                None => return,
            }
        };
        drop(interim);
        let (parts, body) = response.into_parts();
        let body = match body {
            ProxyBody::Tunnel(tunnel) => {
                let response = Response::from_parts(parts, ());
                return switch(inbound, &mut out, response, *tunnel).await;
            }
            body => body,
        };
        let response = Response::from_parts(parts, body);
        let stall = Stall { timer: &mut timer, patience: stack.limits.write_timeout, since: None };
        let asked = Asked { method, version, keep_alive };
        match reply(&inbound, &mut out, stall, response, &asked).await {
            Ok(After::KeepAlive) => {}
            Ok(After::Close) => return close(&inbound).await,
            Err(BrokenOff) => return inbound.reset_on_close(true),
        }
        if !discard(&inbound, &stack.limits, &mut timer, &mut closing).await {
            return close(&inbound).await;
        }
    }
}

/// The next request's head, or what there is instead.
async fn next_head(
    inbound: &Inbound,
    limits: &HttpLimits,
    timer: &mut LazyTimer,
    first: bool,
    closing: &mut Closing<Pin<&mut impl Future<Output = ()>>>,
) -> Result<Next, Reason> {
    let mut scan = HeadScan::default();
    let mut deadline: Option<Instant> = None;
    let mut rest_at: Option<Instant> = None;
    let mut begun = first;
    let mut may_be_http2 = first;
    poll_fn(|cx| {
        if may_be_http2 && let Poll::Ready(is_http2) = inbound.poll_speaks_http2(cx) {
            if is_http2 {
                return Poll::Ready(Ok(Next::Http2));
            }
            may_be_http2 = false;
        }
        if !may_be_http2
            && let Poll::Ready(head) = inbound.poll_head(cx, &mut scan, limits.max_head_bytes)
        {
            return Poll::Ready(head.map(|head| head.map_or(Next::End, Next::Head)));
        }
        let has_bytes = inbound.has_bytes();
        if !has_bytes && closing.poll(cx).is_ready() {
            return Poll::Ready(Ok(Next::End));
        }
        // From a head's first byte on, and for the first head from the beginning.
        let begins = has_bytes && !begun;
        begun |= has_bytes;
        let timeout = if begun { limits.header_timeout } else { limits.keep_alive_timeout };
        let until = match deadline.filter(|_| !begins) {
            Some(until) => until,
            None => {
                let now = clock::now();
                rest_at = Some(now + QUIET);
                *deadline.insert(now + timeout)
            }
        };
        if let Some(at) = rest_at.filter(|at| *at < until) {
            ready!(timer.poll(cx, at));
            inbound.rest();
            rest_at = None;
        }
        ready!(timer.poll(cx, until));
        Poll::Ready(if has_bytes { Err(Reason::RequestTimeout) } else { Ok(Next::End) })
    })
    .await
}

/// Writes an answer.
async fn reply(
    inbound: &Inbound,
    out: &mut Outgoing,
    stall: Stall<'_>,
    response: Response<ProxyBody>,
    asked: &Asked,
) -> Result<After, BrokenOff> {
    let Asked { ref method, version, keep_alive } = *asked;
    let (mut parts, body) = response.into_parts();
    let is_asked_to_close = parts.headers.remove(CONNECTION);
    let mut after = if keep_alive && !is_asked_to_close && inbound.may_carry_another() {
        After::KeepAlive
    } else {
        After::Close
    };
    let bodiless = is_bodiless(method, parts.status);
    let framing = match body.size_hint().exact() {
        _ if bodiless => Framing::Length(0),
        Some(length) => Framing::Length(length),
        None if version == Version::HTTP_11 => Framing::Chunked,
        None => {
            after = After::Close;
            Framing::UntilClose
        }
    };
    // RFC 9110 section 6.6.1: who forwards an answer without a date adds one.
    let date = (!parts.headers.contains(DATE)).then(clock::http_date);
    let connection = match (after, version) {
        (After::Close, _) => Some("close"),
        (After::KeepAlive, Version::HTTP_10) => Some("keep-alive"),
        (After::KeepAlive, _) => None,
    };
    let hop =
        ResponseHop { framing: (!bodiless).then_some(framing), connection, date, upgrade: None };
    encode_response(&parts, hop, &mut out.encoded);
    let ended = bodiless.then_some(Ok(()));
    let mut reply = Reply { inbound, out, body, framing, begun: false, ended, stall };
    // Whatever drops it half-way: a client would take the connection's end for the body's.
    let ends_with_it = framing == Framing::UntilClose;
    if ends_with_it {
        inbound.reset_on_close(true);
    }
    poll_fn(|cx| reply.poll(cx)).await?;
    if ends_with_it {
        inbound.reset_on_close(false);
    }
    Ok(after)
}

/// Refuses a head that can't be read, and closes.
pub(crate) async fn refuse(inbound: &Inbound, out: &mut Outgoing, response: Response<ProxyBody>) {
    let mut timer = LazyTimer::default();
    let stall = Stall { timer: &mut timer, patience: LINGER, since: None };
    let asked = Asked { method: Method::GET, version: Version::HTTP_11, keep_alive: false };
    if reply(inbound, out, stall, response, &asked).await.is_ok() {
        close(inbound).await;
    }
}

/// Says that protocols are switched, and passes bytes on from then.
async fn switch(inbound: Inbound, out: &mut Outgoing, response: Response<()>, tunnel: Tunnel) {
    let (parts, ()) = response.into_parts();
    let hop = ResponseHop { upgrade: Some(&tunnel.protocol), ..ResponseHop::default() };
    encode_response(&parts, hop, &mut out.encoded);
    if poll_fn(|cx| inbound.poll_write(cx, out)).await.is_err() {
        return;
    }
    // The request's body is done and dropped: nobody else holds the connection.
    if let Some(wire) = inbound.into_wire() {
        tunnel::run(wire, tunnel).await;
    }
}

// === impl Closing ===

impl<F: Future<Output = ()>> Closing<Pin<&mut F>> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_heard && !self.drain.has_news() {
            return Poll::Pending;
        }
        // A task that has had its turn is not heard by anything that it polls.
        self.is_heard = coop::has_budget_remaining();
        self.closing.as_mut().poll(cx)
    }
}

// === impl Reply ===

impl Reply<'_> {
    /// Writes parts as they come; ready when the last is written.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BrokenOff>> {
        loop {
            // The first part goes in the same write as the head.
            let mut waits = false;
            if self.ended.is_none() && (!self.begun || self.out.is_empty()) {
                match Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => self.queue(frame),
                    Poll::Ready(Some(Err(error))) => {
                        tracing::debug!(error = %crate::error::chain(&error), "answer broke off");
                        self.ended = Some(Err(BrokenOff));
                    }
                    Poll::Ready(None) => self.end(),
                    Poll::Pending => waits = true,
                }
            }
            match (self.inbound.poll_write(cx, self.out), self.ended) {
                (Poll::Ready(Ok(())), Some(ended)) => return Poll::Ready(ended),
                (Poll::Ready(Ok(())), None) if !waits => {}
                (Poll::Ready(Err(_)), _) => return Poll::Ready(Err(BrokenOff)),
                (written, _) => {
                    if written.is_pending() {
                        let left = self.out.encoded.len() + self.out.data.len();
                        let stalled = self.stall.poll(cx, left).is_ready();
                        if stalled || self.body.poll_over(cx).is_ready() {
                            tracing::debug!("a client is too slow to read its answer");
                            return Poll::Ready(Err(BrokenOff));
                        }
                    } else {
                        self.stall.since = None;
                    }
                    // Nothing to do but to see whether anybody still listens.
                    ready!(self.inbound.poll_gone(cx));
                    return Poll::Ready(Err(BrokenOff));
                }
            }
        }
    }

    fn queue(&mut self, frame: Frame<Bytes>) {
        self.begun = true;
        match frame.into_data() {
            Ok(data) => {
                let mut tail: &[u8] = b"";
                if self.framing == Framing::Chunked && !data.is_empty() {
                    encode_chunk_size(data.len(), &mut self.out.encoded);
                    tail = b"\r\n";
                }
                self.out.push(data, tail);
                if self.body.is_end_stream() {
                    self.end();
                }
            }
            Err(frame) => {
                if let (Framing::Chunked, Ok(trailers)) = (self.framing, frame.into_trailers()) {
                    self.out.encoded.extend_from_slice(b"0\r\n");
                    encode_trailers(&trailers, &mut self.out.encoded);
                    self.ended = Some(Ok(()));
                }
            }
        }
    }

    fn end(&mut self) {
        self.ended = Some(Ok(()));
        if self.framing == Framing::Chunked {
            self.out.end_chunks();
        }
    }
}
