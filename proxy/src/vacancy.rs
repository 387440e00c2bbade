//! Has a busy sidecar tell when it has room: a gateway that was refused a slot need not ask again and
//! again. Without an answer the gate goes by time.

use crate::clock;
use crate::endpoint::Endpoint;
use crate::policy::admission::Load;
use crate::socket::Address;
use bytes::Bytes;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::time::{Duration, Instant};
use tidegate_api::names::path;
use tokio::time::{sleep, timeout};

/// So long the connection is kept when all have found room.
const LINGER: Duration = Duration::from_secs(1);
/// An answer that takes longer is none: it comes after five seconds if there is no room.
const TIMEOUT: Duration = Duration::from_secs(8);
/// Between two questions of which neither had to wait: that is a race between gateways, or refusals
/// that have nothing to do with slots.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// The longest time between two questions.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// An answer has a few bytes; one that has more is something else.
const MAX_ANSWER_BYTES: usize = 1 << 10;

/// What a sidecar says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct Said {
    held: u32,
    limit: u32,
    waited: bool,
    pass: Option<u64>,
}

/// Why nothing is told.
#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error("can't reach it")]
    Connect(#[source] std::io::Error),
    #[error("the exchange broke off")]
    Exchange(#[from] hyper::Error),
    #[error("no answer within {TIMEOUT:?}")]
    Timeout,
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("its answer can't be understood")]
    Answer,
    #[error("can't ask that")]
    Request(#[from] http::Error),
}

/// The time between questions.
#[derive(Debug, Default)]
struct Pace(Duration);

/// While it is there, an endpoint is asked; then it does not tell any more.
struct Telling<'a>(&'a Endpoint);

/// Asks the sidecar whose admin port is at `address` for room whenever it refused a request for want
/// of it, for ever, and passes on what it says.
pub async fn watch(
    endpoint: &Endpoint,
    address: &Address,
    mut said: impl FnMut(Load, Option<u64>),
) {
    let mut pace = Pace::default();
    endpoint.set_tells_room(true);
    let _telling = Telling(endpoint);
    loop {
        let since = endpoint.fullness().await;
        if let Err(error) = ask_while_full(endpoint, address, since, &mut pace, &mut said).await {
            tracing::trace!(endpoint = endpoint.id, %error, "it does not tell when it has room");
            endpoint.set_tells_room(false);
            sleep(pace.longer()).await;
        }
    }
}

/// Over one connection, until no request was refused for a while.
async fn ask_while_full(
    endpoint: &Endpoint,
    address: &Address,
    mut since: Instant,
    pace: &mut Pace,
    said: &mut impl FnMut(Load, Option<u64>),
) -> Result<(), WatchError> {
    let connecting = timeout(TIMEOUT, address.connect()).await.map_err(|_| WatchError::Timeout)?;
    let stream = connecting.map_err(WatchError::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let asking = async {
        loop {
            let Said { held, limit, waited, pass } = ask(&mut sender, address, since).await?;
            endpoint.set_tells_room(true);
            said(Load { held, limit }, pass);
            let pause = if waited { pace.reset() } else { pace.longer() };
            // A sleep of no time would last until the timer's next millisecond.
            if !pause.is_zero() {
                sleep(pause).await;
            }
            let Ok(refused) = timeout(LINGER, endpoint.fullness()).await else {
                pace.reset();
                return Ok(());
            };
            since = refused;
        }
    };
    tokio::select! {
        asked = asking => asked,
        ended = connection => ended.map_err(WatchError::Exchange),
    }
}

async fn ask(
    sender: &mut SendRequest<Empty<Bytes>>,
    address: &Address,
    since: Instant,
) -> Result<Said, WatchError> {
    let waited = clock::now().saturating_duration_since(since).as_micros();
    let asked = format!("{}?{}={waited}", path::ROOM, path::ROOM_WAITED);
    let request = Request::get(asked).header(HOST, address.authority()).body(Empty::new())?;
    let asking = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(WatchError::Status(status));
        }
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|_| WatchError::Answer)?.to_bytes();
        serde_json::from_slice(&body).map_err(|_| WatchError::Answer)
    };
    timeout(TIMEOUT, asking).await.unwrap_or(Err(WatchError::Timeout))
}

// === impl Telling ===

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.0.set_tells_room(false);
    }
}

// === impl Pace ===

impl Pace {
    fn reset(&mut self) -> Duration {
        self.0 = Duration::ZERO;
        self.0
    }

    /// The first of a row is at once.
    fn longer(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_never_kept_waiting_asks_less_and_less_often() {
        let mut pace = Pace::default();
        let pauses: Vec<_> = (0..11).map(|_| pace.longer().as_millis()).collect();
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 64, 128, 250, 250]);
        pace.reset();
        assert_eq!(pace.longer(), Duration::ZERO);
    }
}
