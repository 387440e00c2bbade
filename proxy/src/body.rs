//! A response's body on its way to the client, with all that must end when it ends.

use crate::account::Account;
use crate::clock;
use crate::gate::Permit;
use crate::outbound::ExchangeError;
use crate::policy::ejection::Unjudged;
use crate::upstream::Lease;
use crate::wire::Wire;
use bytes::Bytes;
use http::HeaderValue;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tidegate_api::reason::Reason;
use tokio::time::{Sleep, sleep_until};

/// Why a response broke off after its head was sent.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The upstream, or the request's body, broke off.
    #[error("the exchange broke off")]
    Broken(#[source] ExchangeError),
    /// Nothing came for too long, or the request's time was over.
    #[error("the upstream was too slow")]
    Timeout,
}

/// A body of events that are made here, and the upstream's after them.
pub trait Events: Body<Data = Bytes, Error = RelayError> + Send {
    /// As [`ProxyBody::poll_over`].
    fn poll_over(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;
}

/// A response's body.
pub enum ProxyBody {
    /// Made here.
    Text(Option<Bytes>),
    /// The upstream's.
    Relayed(Box<Relay>),
    /// Of events that are made here, and the upstream's after them.
    Events(Pin<Box<dyn Events>>),
    /// None: the connection has switched protocols.
    Tunnel(Box<Tunnel>),
}

/// The upstream's body.
pub struct Relay {
    held: Option<Held>,
    /// The longest that nothing may come.
    idle: Option<Duration>,
    /// Since when nothing has come, if that is waited for.
    waits_since: Option<Instant>,
    until: Option<Pin<Box<Sleep>>>,
}

/// The upstream's side of a connection that has switched protocols.
pub struct Tunnel {
    /// The upstream's bytes.
    pub wire: Wire,
    /// The protocol.
    pub protocol: HeaderValue,
    /// The longest that nothing may move.
    pub idle: Option<Duration>,
    /// The slot.
    pub permit: Permit,
    /// The books.
    pub account: Account,
}

/// What an exchange holds until its end.
pub struct Held {
    /// The connection to the upstream.
    pub lease: Lease,
    /// The slot.
    pub permit: Permit,
    /// The books; says how the exchange ended.
    pub account: Account,
    /// What is to be judged by its trailers.
    pub unjudged: Option<Unjudged>,
}

// === impl ProxyBody ===

impl ProxyBody {
    /// A body made here.
    pub fn text(text: String) -> Self {
        Self::Text(Some(Bytes::from(text)))
    }

    /// The upstream's body. `idle` bounds each wait for its next part, `until` the whole.
    pub fn relay(held: Held, idle: Option<Duration>, until: Option<Instant>) -> Self {
        let mut relay = Relay {
            held: Some(held),
            idle,
            waits_since: None,
            until: until.map(|instant| Box::pin(sleep_until(instant.into()))),
        };
        relay.end_if_done();
        Self::Relayed(Box::new(relay))
    }

    /// Ready when the request's time is over, which ends the exchange: for who can't take the next part yet.
    pub fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Relayed(relay) => relay.poll_over(cx),
            Self::Events(events) => events.as_mut().poll_over(cx),
            Self::Text(_) | Self::Tunnel(_) => Poll::Pending,
        }
    }

    /// Nobody wants what is still to come: the exchange ends, as what its head says.
    pub fn give_up(self) {
        if let Self::Relayed(mut relay) = self {
            relay.end(None);
        }
    }
}

impl Body for ProxyBody {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        match self.get_mut() {
            Self::Text(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Relayed(relay) => relay.poll(cx),
            Self::Events(events) => events.as_mut().poll_frame(cx),
            Self::Tunnel(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(bytes) => bytes.is_none(),
            Self::Relayed(relay) => relay.held.is_none(),
            Self::Events(events) => events.is_end_stream(),
            Self::Tunnel(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Relayed(relay) => match &relay.held {
                Some(held) => held.lease.body_size(),
                None => SizeHint::with_exact(0),
            },
            Self::Events(_) => SizeHint::default(),
            Self::Tunnel(_) => SizeHint::with_exact(0),
        }
    }
}

// === impl Relay ===

impl Relay {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        // First: an upstream that always has a next part would never be waited for.
        if self.poll_over(cx).is_ready() {
            return Poll::Ready(Some(Err(RelayError::Timeout)));
        }
        let Some(held) = &mut self.held else { return Poll::Ready(None) };
        match held.lease.poll_body(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.waits_since = None;
                if let Some(data) = frame.data_ref() {
                    held.account.pass(data);
                }
                if let Some(trailers) = frame.trailers_ref() {
                    held.account.trailers(trailers);
                }
                self.end_if_done();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let reason = match error {
                    ExchangeError::Upload(_) => Reason::ClientGone,
                    _ => Reason::UpstreamReset,
                };
                self.end(Some(reason));
                Poll::Ready(Some(Err(RelayError::Broken(error))))
            }
            Poll::Ready(None) => {
                self.end(None);
                Poll::Ready(None)
            }
            Poll::Pending => self.poll_idle(cx),
        }
    }

    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(until) = self.until.as_mut().filter(|_| self.held.is_some()) else {
            return Poll::Pending;
        };
        ready!(until.as_mut().poll(cx));
        self.end(Some(Reason::UpstreamTimeout));
        Poll::Ready(())
    }

    fn poll_idle(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let idle = self.idle.zip(self.held.as_mut()).is_some_and(|(idle, held)| {
            let since = *self.waits_since.get_or_insert_with(clock::now);
            held.lease.poll_timer(cx, since + idle).is_ready()
        });
        if !idle {
            return Poll::Pending;
        }
        self.end(Some(Reason::UpstreamTimeout));
        Poll::Ready(Some(Err(RelayError::Timeout)))
    }

    fn end_if_done(&mut self) {
        if self.held.as_ref().is_some_and(|held| held.lease.is_body_done()) {
            self.end(None);
        }
    }

    fn end(&mut self, failed: Option<Reason>) {
        if let Some(held) = self.held.take() {
            held.end(failed);
        }
    }
}

// === impl Held ===

impl Held {
    /// Gives everything back and closes the books: the connection before the slot, so that the
    /// request that gets the slot finds the connection.
    pub fn end(self, failed: Option<Reason>) {
        let now = clock::now();
        let Self { lease, mut permit, account, unjudged } = self;
        if let Some((unjudged, status)) = unjudged.zip(account.status()) {
            permit.judge(unjudged.outcome(status));
        }
        if failed.is_none() {
            permit.answered();
            lease.give_back(now);
        }
        account.close(failed, now);
        permit.ended(now);
        drop(permit);
    }
}
