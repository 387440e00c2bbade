//! A request's body over HTTP/2.

use crate::error::IncomingError;
use crate::framing::is_forbidden_trailer;
use crate::interim::Waiting;
use bytes::Bytes;
use h2::{Reason, RecvStream};
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The body of one stream's request.
pub struct Http2Body {
    stream: RecvStream,
    /// What is left of a body whose length was said.
    remaining: Option<u64>,
    data_ended: bool,
    ended: bool,
    /// Whom to tell that the body may come, if the client waits for that.
    owes_continue: Option<Waiting>,
}

// === impl Http2Body ===

impl Http2Body {
    /// The body that follows a head. `owes_continue` if the client waits for a word first.
    pub fn new(stream: RecvStream, length: Option<u64>, owes_continue: Option<Waiting>) -> Self {
        let ended = stream.is_end_stream();
        let owes_continue = owes_continue.filter(|_| !ended);
        Self { stream, remaining: length, data_ended: ended, ended, owes_continue }
    }

    /// Whether the client holds the body back until it is asked for it by the first read.
    pub fn is_held_back(&self) -> bool {
        self.owes_continue.is_some()
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, IncomingError>>> {
        let polled = self.stream.poll_data(cx);
        if polled.is_pending()
            && let Some(waiting) = self.owes_continue.take()
        {
            waiting.push_continue();
        }
        let Some(data) = ready!(polled) else { return Poll::Ready(None) };
        let data = data.map_err(|error| broken(&error))?;
        // Whoever reads takes part after part: what is taken makes room for more. If the
        // connection is gone there is nobody to tell.
        drop(self.stream.flow_control().release_capacity(data.len()));
        if let Some(remaining) = &mut self.remaining {
            *remaining = remaining.saturating_sub(data.len() as u64);
        }
        Poll::Ready(Some(Ok(data)))
    }
}

impl Body for Http2Body {
    type Data = Bytes;
    type Error = IncomingError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        let this = self.get_mut();
        if !this.data_ended {
            match ready!(this.poll_data(cx)) {
                Some(data) => return Poll::Ready(Some(data.map(Frame::data))),
                None => this.data_ended = true,
            }
        }
        if this.ended {
            return Poll::Ready(None);
        }
        let trailers = ready!(this.stream.poll_trailers(cx)).map_err(|error| broken(&error))?;
        this.ended = true;
        let Some(trailers) = trailers else { return Poll::Ready(None) };
        if trailers.keys().any(|name| is_forbidden_trailer(name.as_str())) {
            return Poll::Ready(Some(Err(IncomingError::Malformed)));
        }
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.remaining {
            _ if self.is_end_stream() => SizeHint::with_exact(0),
            Some(remaining) => SizeHint::with_exact(remaining),
            None => SizeHint::default(),
        }
    }
}

fn broken(error: &h2::Error) -> IncomingError {
    // What this side found wrong; all else is the client's own word or its connection's end.
    if error.is_library() && error.reason() == Some(Reason::PROTOCOL_ERROR) {
        return IncomingError::Malformed;
    }
    IncomingError::Gone
}
