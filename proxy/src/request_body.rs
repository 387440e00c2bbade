//! A request's body on its way to the upstream.

use crate::access::Toll;
use crate::access_log::Received;
use crate::error::IncomingError;
use crate::incoming::IncomingBody;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// Why a request's body broke off.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The client's side failed.
    #[error("the client broke off")]
    Incoming(#[from] IncomingError),
    /// Nothing came for too long.
    #[error("nothing came within {0:?}")]
    Stalled(Duration),
    /// More came than is allowed.
    #[error("the body is larger than {0} bytes")]
    TooLarge(u64),
}

/// A request's body.
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
    rest: IncomingBody,
    /// Trailers that were read ahead.
    trailers: Option<HeaderMap>,
    remaining: u64,
    received: Arc<AtomicU64>,
    limit: u64,
    stall: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    /// What its parts cost, if their number was not known before.
    toll: Option<Box<Toll>>,
}

// === impl RequestBody ===

impl RequestBody {
    /// A body of which a part was read ahead, and the rest still comes: `limit` bytes at the most,
    /// and no part of it later than `stall` after the one before.
    pub fn streaming(
        ahead: VecDeque<Bytes>,
        trailers: Option<HeaderMap>,
        rest: IncomingBody,
        limit: u64,
        stall: Duration,
    ) -> Self {
        let read: u64 = ahead.iter().map(|chunk| chunk.len() as u64).sum();
        let remaining = limit.saturating_sub(read);
        let stalled = None;
        Self::Streaming(Box::new(Upload {
            ahead,
            rest,
            trailers,
            remaining,
            received: Arc::new(AtomicU64::new(read)),
            limit,
            stall,
            stalled,
            toll: None,
        }))
    }

    /// What is still to come costs this, if its length is not known.
    pub fn costs(&mut self, toll: impl FnOnce() -> Box<Toll>) {
        match self {
            Self::Streaming(upload) if upload.rest.size_hint().exact().is_none() => {
                upload.toll = Some(toll());
            }
            Self::Empty | Self::Whole(_) | Self::Streaming(_) => {}
        }
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

    /// How much of it has come, now or at any later time.
    pub fn received(&self) -> Received {
        match self {
            Self::Streaming(upload) => Received::SoFar(Arc::clone(&upload.received)),
            Self::Empty | Self::Whole(_) => Received::All(self.held_bytes()),
        }
    }

    /// The first part of what is held.
    pub fn ahead(&self) -> &[u8] {
        match self {
            Self::Whole(Some(bytes)) => bytes,
            Self::Streaming(upload) => upload.ahead.front().map_or(&[], |chunk| chunk),
            Self::Empty | Self::Whole(None) => &[],
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
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
            Self::Streaming(upload) => upload.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(_) => SizeHint::with_exact(self.held_bytes()),
            // A body that is framed by its length has no place for them.
            Self::Streaming(upload) if upload.trailers.is_some() => SizeHint::default(),
            Self::Streaming(upload) => match upload.rest.size_hint().exact() {
                Some(rest) => SizeHint::with_exact(self.held_bytes() + rest),
                None => SizeHint::default(),
            },
        }
    }
}

// === impl Upload ===

impl Upload {
    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.trailers.is_none() && self.rest.is_end_stream()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        if let Some(chunk) = self.ahead.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if let Some(trailers) = self.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        let polled = Pin::new(&mut self.rest).poll_frame(cx);
        if polled.is_pending() {
            let stall = self.stall;
            let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall)));
            ready!(stalled.as_mut().poll(cx));
            return Poll::Ready(Some(Err(UploadError::Stalled(stall))));
        }
        self.stalled = None;
        let Some(frame) = ready!(polled) else { return Poll::Ready(None) };
        let frame = frame?;
        let size = frame.data_ref().map_or(0, |data| data.len() as u64);
        let Some(remaining) = self.remaining.checked_sub(size) else {
            return Poll::Ready(Some(Err(UploadError::TooLarge(self.limit))));
        };
        self.remaining = remaining;
        self.received.fetch_add(size, Ordering::Relaxed);
        if let Some(toll) = &mut self.toll {
            toll.pay(size);
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::Framing;
    use crate::inbound::Inbound;
    use crate::room::Room;
    use crate::socket::Socket;
    use crate::wire::Wire;
    use std::future::poll_fn;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::yield_now;
    use tokio::time::advance;

    const STALL: Duration = Duration::from_millis(100);

    type Polled = Poll<Option<Result<Frame<Bytes>, UploadError>>>;

    /// A client, and a body of three bytes that it is to send.
    async fn upload() -> (TcpStream, RequestBody) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let inbound = Inbound::new(Wire::new(Socket::Tcp(socket)), &Room::new(0));
        let rest = inbound.begin_body(Framing::Length(3), false).unwrap();
        let rest = IncomingBody::Http1(rest);
        (client, RequestBody::streaming(VecDeque::new(), None, rest, 3, STALL))
    }

    async fn poll(body: &mut RequestBody) -> Polled {
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *body).poll_frame(cx))).await
    }

    /// The next part that is on its way. Time stands still, as nothing here sleeps.
    async fn part(body: &mut RequestBody) -> Bytes {
        loop {
            match poll(body).await {
                Poll::Pending => yield_now().await,
                Poll::Ready(frame) => return frame.unwrap().unwrap().into_data().unwrap(),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_counted_from_the_last_part() {
        let (client, mut body) = upload().await;
        for _ in 0..2 {
            assert!(poll(&mut body).await.is_pending());
            advance(STALL * 3 / 4).await;
            assert!(poll(&mut body).await.is_pending());
            client.try_write(b"x").unwrap();
            assert_eq!(part(&mut body).await, "x");
        }
        assert!(poll(&mut body).await.is_pending());
        advance(STALL * 5 / 4).await;
        let stalled = poll(&mut body).await;
        assert!(matches!(stalled, Poll::Ready(Some(Err(UploadError::Stalled(STALL))))));
    }
}
