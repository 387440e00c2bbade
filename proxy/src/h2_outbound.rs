//! The upstream's side of one HTTP/2 stream, driven by whoever awaits the answer. Dropping it
//! resets the stream.

use crate::framing::is_bodiless;
use crate::h2_head::read_response;
use crate::head::ResponseHead;
use crate::lazy_timer::LazyTimer;
use crate::outbound::ExchangeError;
use crate::pool::Streams;
use crate::request_body::RequestBody;
use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request};
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// One exchange over a connection that it shares with others.
pub struct StreamExchange {
    streams: Streams,
    method: Method,
    upload: Option<Upload>,
    sent_parts: u32,
    response: Option<ResponseFuture>,
    download: Option<Download>,
    heard: bool,
    /// Bounds what is waited for.
    pub timer: LazyTimer,
}

/// A request's body on its way.
struct Upload {
    body: RequestBody,
    stream: SendStream<Bytes>,
    /// What the flow control has not yet let through.
    waiting: Bytes,
    /// Nothing follows what waits.
    last: bool,
}

/// An answer's body.
struct Download {
    stream: RecvStream,
    /// What is left of a body whose length was said.
    remaining: Option<u64>,
    data_ended: bool,
    ended: bool,
}

// === impl StreamExchange ===

impl StreamExchange {
    /// An exchange to be, over this connection. It must be ready.
    pub fn new(streams: Streams) -> Self {
        let (upload, response, download) = (None, None, None);
        let (sent_parts, heard, timer) = (0, false, LazyTimer::default());
        Self { streams, method: Method::GET, upload, sent_parts, response, download, heard, timer }
    }

    /// Begins the exchange.
    ///
    /// # Errors
    /// `Unsent` if the connection takes no more.
    pub fn start(&mut self, request: Request<()>, body: RequestBody) -> Result<(), ExchangeError> {
        self.method = request.method().clone();
        let bodiless = body.is_end_stream();
        let (response, stream) = self
            .streams
            .sender
            .send_request(request, bodiless)
            .map_err(|_| ExchangeError::Unsent)?;
        self.response = Some(response);
        self.upload =
            (!bodiless).then(|| Upload { body, stream, waiting: Bytes::new(), last: false });
        Ok(())
    }

    /// How many parts of the body were taken, each when the one before was sent.
    pub fn sent_parts(&self) -> u32 {
        self.sent_parts
    }

    /// Whether anything of the answer has come.
    pub fn heard(&self) -> bool {
        self.heard
    }

    /// The answer's head, interim ones (1xx) first. Sends the request as far as it goes meanwhile.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, ExchangeError>> {
        if let Poll::Ready(Err(error)) = self.poll_upload(cx) {
            return Poll::Ready(Err(error));
        }
        let Some(response) = &mut self.response else {
            return Poll::Ready(Err(ExchangeError::Ended));
        };
        if let Poll::Ready(Some(Ok(interim))) = response.poll_informational(cx) {
            let head = read_response(interim, &self.method).ok_or(ExchangeError::Malformed)?;
            return Poll::Ready(Ok(head.0));
        }
        let response = ready!(Pin::new(response).poll(cx)).map_err(|error| broken(&error))?;
        self.heard = true;
        self.response = None;
        let (parts, stream) = response.into_parts();
        let response = http::Response::from_parts(parts, ());
        let (head, remaining) =
            read_response(response, &self.method).ok_or(ExchangeError::Malformed)?;
        // No body follows, though a frame that only says so may.
        let ended = is_bodiless(&self.method, head.response.status()) || stream.is_end_stream();
        self.download = Some(Download { stream, remaining, data_ended: ended, ended });
        Poll::Ready(Ok(head))
    }

    /// The answer's body, part by part. Sends what is left of the request meanwhile.
    pub fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ExchangeError>>> {
        if let Poll::Ready(Err(error)) = self.poll_upload(cx) {
            return Poll::Ready(Some(Err(error)));
        }
        match &mut self.download {
            Some(download) => download.poll(cx),
            None => Poll::Ready(None),
        }
    }

    /// Whether the answer's body is at its end.
    pub fn is_body_done(&self) -> bool {
        self.download.as_ref().is_none_or(Download::is_done)
    }

    /// What is left of the answer's body.
    pub fn body_size(&self) -> SizeHint {
        match &self.download {
            Some(download) if !download.is_done() => {
                download.remaining.map_or_else(SizeHint::default, SizeHint::with_exact)
            }
            _ => SizeHint::with_exact(0),
        }
    }

    /// Sends the body. Only the client's faults are errors: an upstream may answer without having
    /// read everything, and what it says counts.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ExchangeError>> {
        let Some(upload) = &mut self.upload else { return Poll::Ready(Ok(())) };
        let sent = ready!(upload.poll(cx, &mut self.sent_parts));
        self.upload = None;
        match sent {
            Err(error @ ExchangeError::Upload(_)) => Poll::Ready(Err(error)),
            Ok(()) | Err(_) => Poll::Ready(Ok(())),
        }
    }
}

// === impl Upload ===

impl Upload {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        sent_parts: &mut u32,
    ) -> Poll<Result<(), ExchangeError>> {
        loop {
            if !self.waiting.is_empty() {
                ready!(self.poll_send(cx))?;
            } else if self.last {
                return Poll::Ready(Ok(()));
            } else {
                match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        *sent_parts = sent_parts.wrapping_add(1);
                        if self.queue(frame)? {
                            return Poll::Ready(Ok(()));
                        }
                    }
                    Some(Err(error)) => {
                        self.stream.send_reset(Reason::CANCEL);
                        return Poll::Ready(Err(ExchangeError::Upload(error)));
                    }
                    None => {
                        let end = self.stream.send_data(Bytes::new(), true);
                        return Poll::Ready(end.map_err(|error| broken(&error)));
                    }
                }
            }
        }
    }

    /// Takes a frame; says whether it was the body's end.
    fn queue(&mut self, frame: Frame<Bytes>) -> Result<bool, ExchangeError> {
        match frame.into_data() {
            Ok(data) => {
                self.last = self.body.is_end_stream();
                if data.is_empty() && self.last {
                    self.stream.send_data(data, true).map_err(|error| broken(&error))?;
                    return Ok(true);
                }
                self.waiting = data;
                Ok(false)
            }
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                self.stream.send_trailers(trailers).map_err(|error| broken(&error))?;
                Ok(true)
            }
        }
    }

    /// Sends as much as the upstream's window has room for.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ExchangeError>> {
        self.stream.reserve_capacity(self.waiting.len());
        let mut room = self.stream.capacity();
        if room == 0 {
            room = match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(room)) => room,
                Some(Err(error)) => return Poll::Ready(Err(broken(&error))),
                None => return Poll::Ready(Err(ExchangeError::Ended)),
            };
        }
        let part = self.waiting.split_to(room.min(self.waiting.len()));
        let end = self.last && self.waiting.is_empty();
        Poll::Ready(self.stream.send_data(part, end).map_err(|error| broken(&error)))
    }
}

// === impl Download ===

impl Download {
    fn is_done(&self) -> bool {
        self.ended || self.stream.is_end_stream()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ExchangeError>>> {
        if !self.data_ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // Taken part after part: what is taken makes room for more. If the connection
                    // is gone there is nobody to tell.
                    drop(self.stream.flow_control().release_capacity(data.len()));
                    if let Some(remaining) = &mut self.remaining {
                        *remaining = remaining.saturating_sub(data.len() as u64);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(broken(&error)))),
                None => self.data_ended = true,
            }
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let trailers = ready!(self.stream.poll_trailers(cx)).map_err(|error| broken(&error))?;
        self.ended = true;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }
}

/// What an error of the connection or the stream says of the request.
fn broken(error: &h2::Error) -> ExchangeError {
    match error.reason() {
        // RFC 9113 section 8.7: no processing has happened on a refused stream, nor on those above
        // the last that a GOAWAY names, which are the ones that see it as their error.
        Some(Reason::REFUSED_STREAM) => ExchangeError::Unsent,
        Some(Reason::NO_ERROR) if error.is_go_away() && error.is_remote() => ExchangeError::Unsent,
        Some(reason) if error.is_reset() && error.is_remote() => ExchangeError::Reset(reason),
        Some(_) if error.is_library() => ExchangeError::Malformed,
        _ => ExchangeError::Ended,
    }
}
