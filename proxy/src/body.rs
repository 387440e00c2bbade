//! Bodies: what goes to the upstream, and what goes back to the client.

use crate::account::Account;
use crate::gate::Permit;
use crate::upstream::Lease;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tidegate_api::reason::Reason;
use tokio::time::{Instant, Sleep, sleep_until};

/// Why a body that is passed on broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The other side broke off.
    #[error("the sender broke off")]
    Broken(#[source] hyper::Error),
    /// More came than is allowed.
    #[error("the body is larger than {0} bytes")]
    TooLarge(u64),
    /// Nothing came for too long.
    #[error("nothing came within {0:?}")]
    Idle(Duration),
}

/// A request's body on its way to the upstream.
pub enum RequestBody {
    /// There is none.
    Empty,
    /// It is here as a whole, and can be sent again.
    Whole(Option<Bytes>),
    /// It is passed on as it comes.
    Streaming(Box<Upload>),
}

/// A body that is passed on as it comes, with what was read ahead of it.
pub struct Upload {
    ahead: VecDeque<Bytes>,
    rest: Incoming,
    remaining: u64,
    limit: u64,
    too_large: Arc<AtomicBool>,
}

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

// === impl RequestBody ===

impl RequestBody {
    /// A body of which a part was read ahead, and the rest still comes.
    pub fn streaming(ahead: VecDeque<Bytes>, rest: Incoming, limit: u64) -> Self {
        let read: u64 = ahead.iter().map(|chunk| chunk.len() as u64).sum();
        let remaining = limit.saturating_sub(read);
        let too_large = Arc::new(AtomicBool::new(false));
        Self::Streaming(Box::new(Upload { ahead, rest, remaining, limit, too_large }))
    }

    /// The same body once more, if all of it is here.
    pub fn copy(&self) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Whole(bytes) => Some(Self::Whole(bytes.clone())),
            Self::Streaming(_) => None,
        }
    }

    /// Bytes that are held in memory.
    pub fn held_bytes(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Whole(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Self::Streaming(upload) => upload.ahead.iter().map(|chunk| chunk.len() as u64).sum(),
        }
    }

    /// Tells later whether the body turned out larger than allowed.
    pub fn too_large_flag(&self) -> Option<Arc<AtomicBool>> {
        match self {
            Self::Streaming(upload) => Some(Arc::clone(&upload.too_large)),
            Self::Empty | Self::Whole(_) => None,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Streaming(upload) => upload.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(bytes) => bytes.is_none(),
            Self::Streaming(upload) => upload.ahead.is_empty() && upload.rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(_) => SizeHint::with_exact(self.held_bytes()),
            Self::Streaming(upload) => match upload.rest.size_hint().exact() {
                Some(rest) => SizeHint::with_exact(self.held_bytes() + rest),
                None => SizeHint::default(),
            },
        }
    }
}

// === impl Upload ===

impl Upload {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(chunk) = self.ahead.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        let Some(frame) = ready!(Pin::new(&mut self.rest).poll_frame(cx)) else {
            return Poll::Ready(None);
        };
        let frame = frame.map_err(BodyError::Broken)?;
        let size = frame.data_ref().map_or(0, |data| data.len() as u64);
        let Some(remaining) = self.remaining.checked_sub(size) else {
            self.too_large.store(true, Ordering::Release);
            return Poll::Ready(Some(Err(BodyError::TooLarge(self.limit))));
        };
        self.remaining = remaining;
        Poll::Ready(Some(Ok(frame)))
    }
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
