//! The upstream's side of a connection: one exchange after another, driven by whoever awaits the
//! answer. No task of its own: an answer that nobody awaits any more is a connection dropped.

use crate::framing::{Decoded, Decoder, Framing};
use crate::head::encode::{encode_chunk_size, encode_trailers};
use crate::head::{HeadScan, ResponseHead, parse_response};
use crate::lazy_timer::LazyTimer;
use crate::message::RequestParts;
use crate::request_body::{RequestBody, UploadError};
use crate::socket::Socket;
use crate::wire::{Outgoing, Wire};
use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use http_body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Interim answers (1xx) before the real one. More are no conversation.
const MAX_INTERIM: u32 = 16;

/// A request as it goes out: its head in bytes, its body.
pub struct Outbound {
    /// The head.
    pub head: Head,
    /// The method, which says what an answer may have.
    pub method: Method,
    /// How the body is delimited.
    pub framing: Framing,
    /// The body.
    pub body: RequestBody,
    /// Whether the body has gone with an attempt, and can't go with another.
    pub spent: bool,
}

/// A request's head as it goes out.
#[derive(Clone)]
pub enum Head {
    /// For HTTP/1.1, in bytes.
    Http1(BytesMut),
    /// For HTTP/2, to be written when its endpoint is known.
    Http2 {
        /// The request without its body.
        parts: Box<RequestParts>,
        /// Whether it may not go as HTTP/1.1 instead.
        only: bool,
    },
}

// === impl Outbound ===

impl Outbound {
    /// The same once more, if all of its body is here.
    pub fn again(&self) -> Option<Self> {
        let (head, method, framing) = (self.head.clone(), self.method.clone(), self.framing);
        Some(Self { head, method, framing, body: self.body.copy()?, spent: false })
    }
}

/// A connection to an upstream.
pub struct Connection {
    wire: Wire,
    out: Outgoing,
    upload: Option<RequestBody>,
    upload_chunked: bool,
    sent_parts: u32,
    method: Method,
    scan: HeadScan,
    max_head_bytes: usize,
    decoder: Decoder,
    keep_alive: bool,
    heard: bool,
    interim: u32,
    /// Bounds what is waited for. It stays with the connection, so that it is hardly ever set.
    pub timer: LazyTimer,
}

/// Why an exchange broke off.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The connection ended before the answer was complete.
    #[error("the upstream ended the connection")]
    Ended,
    /// The upstream has ended the stream.
    #[error("the upstream reset the stream: {0}")]
    Reset(h2::Reason),
    /// The upstream took the connection down, and did nothing with the request.
    #[error("the upstream did not take the request")]
    Unsent,
    /// The answer is not HTTP as it must be.
    #[error("the answer is malformed")]
    Malformed,
    /// The request's body broke off.
    #[error("the request's body broke off")]
    Upload(#[source] UploadError),
}

// === impl Connection ===

impl Connection {
    /// A new connection.
    pub fn new(socket: Socket, max_head_bytes: usize) -> Self {
        Self {
            wire: Wire::new(socket),
            out: Outgoing::default(),
            upload: None,
            upload_chunked: false,
            sent_parts: 0,
            method: Method::GET,
            scan: HeadScan::default(),
            max_head_bytes,
            decoder: Decoder::new(Framing::Length(0)),
            keep_alive: true,
            heard: false,
            interim: 0,
            timer: LazyTimer::default(),
        }
    }

    /// Begins an exchange.
    pub fn start(&mut self, head: &[u8], method: Method, framing: Framing, mut body: RequestBody) {
        self.out.encoded.extend_from_slice(head);
        if let RequestBody::Whole(bytes) = &mut body {
            // In the same write as the head.
            self.out.push(bytes.take().unwrap_or_default(), b"");
        }
        self.upload = (!body.is_end_stream()).then_some(body);
        self.upload_chunked = framing == Framing::Chunked;
        self.sent_parts = 0;
        // If this is dropped, the upstream is to see at once that the rest of the body does not come:
        // it may be busy, and read nothing of what was sent.
        self.wire.reset_on_close(self.upload.is_some());
        self.method = method;
        self.scan = HeadScan::default();
        self.heard = false;
        self.interim = 0;
    }

    /// How many parts of the body were taken since the exchange began, each when the one before was sent.
    pub fn sent_parts(&self) -> u32 {
        self.sent_parts
    }

    /// Whether a byte of the answer has come.
    pub fn heard(&self) -> bool {
        self.heard
    }

    /// Whether the other side has closed it, or spoken unasked.
    pub fn is_spent(&mut self) -> bool {
        self.wire.is_spent()
    }

    /// Whether it can carry a next exchange.
    pub fn is_reusable(&self) -> bool {
        self.keep_alive
            && self.decoder.is_done()
            && self.upload.is_none()
            && self.out.is_empty()
            && self.wire.is_flushed()
            && self.wire.read.is_empty()
    }

    /// Says that it is not used any more, where only the close would not.
    pub fn say_end(&mut self) {
        self.wire.say_end();
    }

    /// Gives back the memory of a quiet connection.
    pub fn rest(&mut self) {
        self.wire.rest();
        self.timer = LazyTimer::default();
        self.out.encoded = BytesMut::new();
    }

    /// The bare connection, after it has switched protocols.
    pub fn into_wire(self) -> Wire {
        self.wire
    }

    /// The answer's head, interim ones (1xx) first. Sends the request as far as it goes meanwhile.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, ExchangeError>> {
        let sending = self.poll_upload(cx);
        if let Poll::Ready(Err(error @ ExchangeError::Upload(_))) = sending {
            return Poll::Ready(Err(error));
        }
        // An upstream may answer and close before it has read everything: what it says counts.
        let failed = matches!(sending, Poll::Ready(Err(_)));
        loop {
            match self.scan.find(&self.wire.read, self.max_head_bytes) {
                Err(_) => return Poll::Ready(Err(ExchangeError::Malformed)),
                Ok(Some(length)) => {
                    let head = self.wire.read.split_to(length).freeze();
                    let head =
                        parse_response(head, &self.method).map_err(|_| ExchangeError::Malformed)?;
                    let status = head.response.status();
                    if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                        self.decoder = Decoder::new(head.framing);
                        self.keep_alive = head.keep_alive && !failed;
                        return Poll::Ready(Ok(head));
                    }
                    self.interim += 1;
                    if self.interim > MAX_INTERIM {
                        return Poll::Ready(Err(ExchangeError::Malformed));
                    }
                    self.scan = HeadScan::default();
                    return Poll::Ready(Ok(head));
                }
                Ok(None) => match self.wire.poll_fill(cx) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(ExchangeError::Ended)),
                    Poll::Ready(Ok(_)) => self.heard = true,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }

    /// The answer's body, part by part. Sends what is left of the request meanwhile.
    pub fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ExchangeError>>> {
        if self.upload.is_some() || !self.out.is_empty() || !self.wire.is_flushed() {
            match self.poll_upload(cx) {
                Poll::Ready(Err(error @ ExchangeError::Upload(_))) => {
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(Err(_)) => {
                    // The upstream has stopped reading; its answer still counts.
                    self.keep_alive = false;
                    self.upload = None;
                    self.out = Outgoing::default();
                }
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        loop {
            match self.decoder.decode(&mut self.wire.read) {
                Ok(Decoded::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Decoded::Trailers(map)) => return Poll::Ready(Some(Ok(Frame::trailers(map)))),
                Ok(Decoded::Done) => return Poll::Ready(None),
                Err(_) => return Poll::Ready(Some(Err(ExchangeError::Malformed))),
                Ok(Decoded::NeedMore) => match ready!(self.wire.poll_fill(cx)) {
                    Ok(1..) => {}
                    Ok(0) if self.decoder.end().is_ok() => return Poll::Ready(None),
                    Ok(0) => return Poll::Ready(Some(Err(ExchangeError::Ended))),
                    Err(error) => return Poll::Ready(Some(Err(error.into()))),
                },
            }
        }
    }

    /// Whether the answer's body is at its end.
    pub fn is_body_done(&self) -> bool {
        self.decoder.is_done()
    }

    /// What is left of the answer's body.
    pub fn body_size(&self) -> SizeHint {
        self.decoder.remaining().map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ExchangeError>> {
        loop {
            ready!(self.wire.poll_write(cx, &mut self.out))?;
            let Some(body) = &mut self.upload else {
                self.wire.reset_on_close(false);
                return Poll::Ready(Ok(()));
            };
            match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let ended = body.is_end_stream();
                    self.queue(frame);
                    if ended && self.upload.take().is_some() && self.upload_chunked {
                        self.end_chunks();
                    }
                }
                Some(Err(error)) => return Poll::Ready(Err(ExchangeError::Upload(error))),
                None => {
                    self.upload = None;
                    if self.upload_chunked {
                        self.end_chunks();
                    }
                }
            }
        }
    }

    fn queue(&mut self, frame: Frame<Bytes>) {
        self.sent_parts = self.sent_parts.wrapping_add(1);
        match frame.into_data() {
            Ok(data) if !data.is_empty() => {
                let mut tail: &[u8] = b"";
                if self.upload_chunked {
                    encode_chunk_size(data.len(), &mut self.out.encoded);
                    tail = b"\r\n";
                }
                self.out.push(data, tail);
            }
            Ok(_) => {}
            Err(frame) => {
                if let (true, Ok(trailers)) = (self.upload_chunked, frame.into_trailers()) {
                    self.out.encoded.extend_from_slice(b"0\r\n");
                    encode_trailers(&trailers, &mut self.out.encoded);
                    // The trailers were the body's end.
                    self.upload_chunked = false;
                }
            }
        }
    }

    fn end_chunks(&mut self) {
        self.out.end_chunks();
        self.upload_chunked = false;
    }
}
