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

/// The body as it is after a bounded part of it was read.
///
/// A body of known and small length is awaited whole: until it is here the request takes neither a
/// slot nor a place in line. Of any other only what has come is taken, as its sender may itself
/// wait for an answer. A client that holds its body back (`Expect: 100-continue`) is not asked for
/// it until the request has its slot.
///
/// # Errors
/// `request-timeout` if a small body takes longer than a stall may; `client-gone` if it breaks
/// off; `bad-request` if it is malformed; `body-too-large`.
pub async fn read_ahead(
    mut body: IncomingBody,
    limits: &HttpLimits,
) -> Result<RequestBody, Refusal> {
    if body.is_end_stream() {
        return Ok(RequestBody::Empty);
    }
    let (limit, stall) = (limits.max_body_bytes, limits.body_timeout);
    if body.is_held_back() {
        return Ok(RequestBody::streaming(VecDeque::new(), None, body, limit, stall));
    }
    match body.size_hint().exact() {
        Some(length) if length <= limits.read_ahead_bytes as u64 => read_whole(body, stall).await,
        Some(_) => Ok(RequestBody::streaming(VecDeque::new(), None, body, limit, stall)),
        None => {
            let Ahead { chunks, trailers, ended } =
                read_ready(&mut body, limits.read_ahead_bytes).await?;
            body.pause();
            if chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>() > limit {
                return Err(Reason::BodyTooLarge.into());
            }
            if ended && trailers.is_none() {
                return Ok(RequestBody::Whole(Some(join(chunks))));
            }
            Ok(RequestBody::streaming(chunks, trailers, body, limit, stall))
        }
    }
}

/// What a client's fault in its body is answered with.
pub fn refusal(error: &IncomingError) -> Refusal {
    match error {
        IncomingError::Gone => Reason::ClientGone.into(),
        IncomingError::Malformed => Reason::BadRequest.into(),
    }
}

async fn read_whole(body: IncomingBody, time: Duration) -> Result<RequestBody, Refusal> {
    match tokio::time::timeout(time, read_all(body)).await {
        Ok(read) => read,
        Err(_) => Err(Reason::RequestTimeout.into()),
    }
}

async fn read_all(mut body: IncomingBody) -> Result<RequestBody, Refusal> {
    let mut chunks = VecDeque::new();
    while !body.is_end_stream() {
        match body.frame().await {
            Some(Ok(frame)) => chunks.extend(frame.into_data().ok()),
            Some(Err(error)) => return Err(refusal(&error)),
            None => break,
        }
    }
    Ok(RequestBody::Whole(Some(join(chunks))))
}

/// What has come of the body, up to a bound.
async fn read_ready(body: &mut IncomingBody, bound: usize) -> Result<Ahead, Refusal> {
    let mut ahead = Ahead::default();
    let mut read = 0;
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
