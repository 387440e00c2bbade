//! Reads a bounded part of a request's body before the request is queued.

use crate::error::Refusal;
use crate::guard::{HttpLimits, content_length};
use crate::request_body::RequestBody;
use bytes::{Bytes, BytesMut};
use http::header::{EXPECT, HeaderMap};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tidegate_api::reason::Reason;

/// The body as it is after a bounded part of it was read.
///
/// A body of known and small length is awaited whole: until it is here the request takes neither a
/// slot nor a place in line. Of any other only what has come is taken, as its sender may itself
/// wait for an answer. With `Expect: 100-continue` nothing is read: the client holds the body back
/// until the request has its slot.
///
/// # Errors
/// `request-timeout` if a small body stalls for longer than `idle`; `client-gone` if it breaks off.
pub async fn read_ahead(
    headers: &HeaderMap,
    mut body: Incoming,
    limits: &HttpLimits,
    idle: Option<Duration>,
) -> Result<RequestBody, Refusal> {
    if body.is_end_stream() {
        return Ok(RequestBody::Empty);
    }
    let limit = limits.max_body_bytes;
    if headers.contains_key(EXPECT) {
        return Ok(RequestBody::streaming(VecDeque::new(), body, limit));
    }
    match content_length(headers) {
        Some(length) if length <= limits.read_ahead_bytes as u64 => read_whole(body, idle).await,
        Some(_) => Ok(RequestBody::streaming(VecDeque::new(), body, limit)),
        None => {
            let (ahead, ended) = read_ready(&mut body, limits.read_ahead_bytes).await?;
            if ahead.iter().map(|chunk| chunk.len() as u64).sum::<u64>() > limit {
                return Err(Reason::BodyTooLarge.into());
            }
            if ended {
                return Ok(RequestBody::Whole(Some(join(ahead))));
            }
            Ok(RequestBody::streaming(ahead, body, limit))
        }
    }
}

async fn read_whole(mut body: Incoming, idle: Option<Duration>) -> Result<RequestBody, Refusal> {
    let mut chunks = VecDeque::new();
    while !body.is_end_stream() {
        let frame = match idle {
            // Polled before the timer is made: most bodies came with their head.
            Some(idle) => match tokio::time::timeout(idle, body.frame()).await {
                Ok(frame) => frame,
                Err(_) => return Err(Reason::RequestTimeout.into()),
            },
            None => body.frame().await,
        };
        match frame {
            Some(Ok(frame)) => chunks.extend(frame.into_data().ok()),
            Some(Err(_)) => return Err(Reason::ClientGone.into()),
            None => break,
        }
    }
    Ok(RequestBody::Whole(Some(join(chunks))))
}

/// What has come of the body, up to a bound, and whether that is all.
async fn read_ready(body: &mut Incoming, bound: usize) -> Result<(VecDeque<Bytes>, bool), Refusal> {
    let mut chunks = VecDeque::new();
    let mut read = 0;
    poll_fn(|cx| {
        while read < bound {
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        read += data.len();
                        chunks.push_back(data);
                    }
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(Reason::ClientGone.into())),
                Poll::Ready(None) => return Poll::Ready(Ok(true)),
                Poll::Pending => return Poll::Ready(Ok(false)),
            }
        }
        Poll::Ready(Ok(body.is_end_stream()))
    })
    .await
    .map(|ended| (chunks, ended))
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
