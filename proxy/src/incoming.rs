//! The body of a client's request, whatever protocol it comes over.

use crate::error::IncomingError;
use crate::h2_inbound::Http2Body;
use crate::inbound::Http1Body;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// A request's body as it comes in.
pub enum IncomingBody {
    /// There is none.
    Empty,
    /// Over HTTP/1.
    Http1(Http1Body),
    /// Over HTTP/2.
    Http2(Box<Http2Body>),
}

// === impl IncomingBody ===

impl IncomingBody {
    /// Nobody waits for the body's next part for now: the connection watches for leaving again.
    pub fn pause(&self) {
        match self {
            Self::Http1(body) => body.pause(),
            // A client's leaving is a frame of its own, seen whoever waits.
            Self::Http2(_) | Self::Empty => {}
        }
    }

    /// Whether the client holds the body back until it is asked for it by the first read.
    pub fn is_held_back(&self) -> bool {
        match self {
            Self::Empty => false,
            Self::Http1(body) => body.is_held_back(),
            Self::Http2(body) => body.is_held_back(),
        }
    }
}

impl Body for IncomingBody {
    type Data = Bytes;
    type Error = IncomingError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Http1(body) => Pin::new(body).poll_frame(cx),
            Self::Http2(body) => Pin::new(&mut **body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}
