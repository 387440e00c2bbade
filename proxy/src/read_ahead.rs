//! Reads a bounded part of a request's body before the request is queued.

use crate::error::{IncomingError, Refusal};
use crate::guard::HttpLimits;
use crate::incoming::IncomingBody;
use crate::request_body::RequestBody;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body;
use http_body_util::BodyExt;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tidegate_api::reason::Reason;

/// What has come of a body.
#[derive(Default)]
struct Ahead {
    chunks: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    /// Whether that is all.
    ended: bool,
}

// === impl Ahead ===

impl Ahead {
    fn bytes(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum()
    }

    /// The body of which this has come, and the rest perhaps still comes.
    fn body(self, rest: IncomingBody, limit: u64, stall: Duration) -> Result<RequestBody, Refusal> {
        if self.bytes() as u64 > limit {
            return Err(Reason::BodyTooLarge.into());
        }
        let Self { chunks, trailers, ended } = self;
        if ended && trailers.is_none() {
            return Ok(RequestBody::Whole(Some(join(chunks))));
        }
        Ok(RequestBody::streaming(chunks, trailers, rest, limit, stall))
    }
}

/// The body as it is after a bounded part of it was read.
///
/// A body of known and small length is awaited whole: until it is here the request takes neither a
/// slot nor a place in line. Of any other only what has come is taken, as its sender may itself
/// wait for an answer. A client that holds its body back (`Expect: 100-continue`) is not asked for
/// it until the request has its slot. What is awaited comes `within` this time.
///
/// # Errors
/// `request-timeout` if a small body takes longer; `client-gone` if it breaks off; `bad-request` if
/// it is malformed; `body-too-large`.
pub async fn read_ahead(
    mut body: IncomingBody,
    limits: &HttpLimits,
    within: Duration,
) -> Result<RequestBody, Refusal> {
    if body.is_end_stream() {
        return Ok(RequestBody::Empty);
    }
    let (limit, stall) = (limits.max_body_bytes, limits.body_timeout);
    if body.is_held_back() {
        return Ok(RequestBody::streaming(VecDeque::new(), None, body, limit, stall));
    }
    match body.size_hint().exact() {
        Some(length) if length <= limits.read_ahead_bytes as u64 => {
            read_whole(body, limits, within).await
        }
        Some(_) => Ok(RequestBody::streaming(VecDeque::new(), None, body, limit, stall)),
        None => {
            let ahead = read_ready(&mut body, Ahead::default(), limits.read_ahead_bytes).await?;
            body.pause();
            ahead.body(body, limit, stall)
        }
    }
}

/// The body after so much of it was read as `enough` asks for: it sees each part as it comes. `most`
/// bytes are read at the most, and `within` this time; a client that holds its body back is asked for
/// it.
///
/// # Errors
/// As [`read_ahead`]; `request-timeout` too if what was wanted did not come in time.
pub async fn read_until(
    mut body: IncomingBody,
    limits: &HttpLimits,
    within: Duration,
    most: usize,
    mut enough: impl FnMut(&[u8]) -> bool,
) -> Result<RequestBody, Refusal> {
    let (limit, stall) = (limits.max_body_bytes, limits.body_timeout);
    let length = body.size_hint().exact();
    if body.is_end_stream() || length.is_some_and(|all| all <= limits.read_ahead_bytes as u64) {
        let whole = if body.is_end_stream() {
            RequestBody::Empty
        } else {
            read_whole(body, limits, within).await?
        };
        let looked_at = whole.ahead().get(..most).unwrap_or_else(|| whole.ahead());
        enough(looked_at);
        return Ok(whole);
    }
    let wanted = read_wanted(&mut body, most, &mut enough);
    let Ok(wanted) = tokio::time::timeout(within, wanted).await else {
        return Err(Reason::RequestTimeout.into());
    };
    let mut ahead = wanted?;
    if !ahead.ended && length.is_none() {
        ahead = read_ready(&mut body, ahead, limits.read_ahead_bytes).await?;
    }
    body.pause();
    ahead.body(body, limit, stall)
}

/// What a client's fault in its body is answered with.
pub fn refusal(error: &IncomingError) -> Refusal {
    match error {
        IncomingError::Gone => Reason::ClientGone.into(),
        IncomingError::Malformed => Reason::BadRequest.into(),
    }
}

async fn read_whole(
    mut body: IncomingBody,
    limits: &HttpLimits,
    within: Duration,
) -> Result<RequestBody, Refusal> {
    let (limit, stall) = (limits.max_body_bytes, limits.body_timeout);
    match tokio::time::timeout(within, read_all(&mut body)).await {
        Ok(read) => read?.body(body, limit, stall),
        Err(_) => Err(Reason::RequestTimeout.into()),
    }
}

async fn read_all(body: &mut IncomingBody) -> Result<Ahead, Refusal> {
    let mut ahead = Ahead { ended: true, ..Ahead::default() };
    while !body.is_end_stream() {
        match body.frame().await {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => ahead.chunks.push_back(data),
                // HTTP/2 has them beside a length, too.
                Err(frame) => ahead.trailers = frame.into_trailers().ok(),
            },
            Some(Err(error)) => return Err(refusal(&error)),
            None => break,
        }
    }
    if ahead.chunks.len() > 1 {
        // In one piece: who looks for something in a body that is here looks at the first.
        ahead.chunks = VecDeque::from([join(ahead.chunks)]);
    }
    Ok(ahead)
}

/// What has come of the body, up to a bound.
async fn read_ready(
    body: &mut IncomingBody,
    mut ahead: Ahead,
    bound: usize,
) -> Result<Ahead, Refusal> {
    let mut read = ahead.bytes();
    poll_fn(|cx| {
        while read < bound {
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        read += data.len();
                        ahead.chunks.push_back(data);
                    }
                    Err(frame) => ahead.trailers = frame.into_trailers().ok(),
                },
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(refusal(&error))),
                Poll::Ready(None) => return Poll::Ready(Ok(true)),
                Poll::Pending => return Poll::Ready(Ok(false)),
            }
        }
        Poll::Ready(Ok(body.is_end_stream()))
    })
    .await
    .map(|ended| Ahead { ended, ..ahead })
}

/// Part after part until it is enough, or the end.
async fn read_wanted(
    body: &mut IncomingBody,
    most: usize,
    enough: &mut impl FnMut(&[u8]) -> bool,
) -> Result<Ahead, Refusal> {
    let mut ahead = Ahead::default();
    let mut left = most;
    while left > 0 && !body.is_end_stream() {
        let data = match body.frame().await {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => data,
                Err(frame) => {
                    ahead.trailers = frame.into_trailers().ok();
                    continue;
                }
            },
            Some(Err(error)) => return Err(refusal(&error)),
            None => break,
        };
        let is_enough = enough(data.get(..left).unwrap_or(&data));
        left = left.saturating_sub(data.len());
        ahead.chunks.push_back(data);
        if is_enough {
            break;
        }
    }
    ahead.ended = body.is_end_stream();
    Ok(ahead)
}

fn join(mut chunks: VecDeque<Bytes>) -> Bytes {
    if chunks.len() <= 1 {
        return chunks.pop_front().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
    for chunk in chunks {
        whole.extend_from_slice(&chunk);
    }
    whole.freeze()
}
