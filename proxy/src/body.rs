//! A response's body on its way to the client, with all that must end when it ends.

use crate::account::Account;
use crate::gate::Permit;
use crate::request_body::BodyError;
use crate::upstream::Lease;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tidegate_api::reason::Reason;
use tokio::time::{Instant, Sleep, sleep_until};

/// A response's body on its way to the client.
pub enum ProxyBody {
    /// Made here.
    Text(Option<Bytes>),
    /// The upstream's.
    Relayed(Box<Relay>),
}

/// The upstream's body, with all that ends when it ends.
pub struct Relay {
    body: Incoming,
    idle: Option<IdleTimer>,
    until: Option<Pin<Box<Sleep>>>,
    /// What is given back at the end: in this order the connection, then the slot, so that the
    /// request that gets the slot finds the connection.
    held: Option<Held>,
}

/// What an exchange holds until its end.
pub struct Held {
    /// The connection to the upstream.
    pub lease: Lease,
    /// The slot.
    pub permit: Permit,
    /// The books; says how the exchange ended.
    pub account: Account,
}

struct IdleTimer {
    timeout: Duration,
    /// Made at the first wait, so that a response that is there at once costs no timer.
    sleep: Option<Pin<Box<Sleep>>>,
}

// === impl ProxyBody ===

impl ProxyBody {
    /// A body made here.
    pub fn text(text: String) -> Self {
        Self::Text(Some(Bytes::from(text)))
    }

    /// No body.
    pub fn empty() -> Self {
        Self::Text(None)
    }

    /// The upstream's body. `idle` bounds each wait for its next part, `until` the whole.
    pub fn relay(
        body: Incoming,
        idle: Option<Duration>,
        until: Option<Instant>,
        held: Held,
    ) -> Self {
        let mut relay = Relay {
            body,
            idle: idle.map(|timeout| IdleTimer { timeout, sleep: None }),
            until: until.map(|instant| Box::pin(sleep_until(instant))),
            held: Some(held),
        };
        if relay.body.is_end_stream() {
            relay.end(None);
        }
        Self::Relayed(Box::new(relay))
    }
}

impl Body for ProxyBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Text(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Relayed(relay) => relay.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(bytes) => bytes.is_none(),
            Self::Relayed(relay) => relay.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Relayed(relay) => relay.body.size_hint(),
        }
    }
}

// === impl Relay ===

impl Relay {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(idle) = &mut self.idle {
                    idle.stop();
                }
                if self.body.is_end_stream() {
                    self.end(None);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.end(Some(Reason::UpstreamReset));
                Poll::Ready(Some(Err(BodyError::Broken(error))))
            }
            Poll::Ready(None) => {
                self.end(None);
                Poll::Ready(None)
            }
            Poll::Pending => self.poll_timeouts(cx),
        }
    }

    fn poll_timeouts(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let idle = self.idle.as_mut().and_then(|idle| idle.poll(cx));
        let over = self.until.as_mut().is_some_and(|until| until.as_mut().poll(cx).is_ready());
        let Some(timeout) = idle.or_else(|| over.then_some(Duration::ZERO)) else {
            return Poll::Pending;
        };
        self.end(Some(Reason::UpstreamTimeout));
        Poll::Ready(Some(Err(BodyError::Idle(timeout))))
    }

    fn end(&mut self, failed: Option<Reason>) {
        let Some(held) = self.held.take() else { return };
        held.end(failed);
    }
}

// === impl Held ===

impl Held {
    /// Gives everything back and closes the books.
    pub fn end(self, failed: Option<Reason>) {
        let Self { lease, permit, account } = self;
        if failed.is_none() {
            lease.give_back();
        }
        account.close(failed);
        drop(permit);
    }
}

// === impl IdleTimer ===

impl IdleTimer {
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<Duration> {
        let timeout = self.timeout;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        sleep.as_mut().poll(cx).is_ready().then_some(timeout)
    }

    fn stop(&mut self) {
        self.sleep = None;
    }
}
