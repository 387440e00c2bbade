//! Sends the images at the times of the schedule and sees what comes back.

use super::images::Image;
use super::tally::{Ended, Outcome, Tally};
use crate::client::HttpClient;
use crate::clock::now;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, Request, Response};
use serde::Deserialize;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tidegate_api::names::header;
use tidegate_api::reason::Reason;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Longer than the queue, the cold start and the model take together.
const ANSWER_AT_MOST: Duration = Duration::from_secs(180);

/// More than this are not sent at once: each costs a few file descriptors of this process.
const OUTSTANDING_MAX: usize = 1_000;

/// The counts, shared with who shows them. Locked only to count or to copy.
#[derive(Debug, Clone)]
pub(crate) struct SharedTally(Arc<Mutex<Tally>>);

/// What is sent, and where.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) gateway: SocketAddr,
    pub(crate) images: Vec<Image>,
    /// When each request is due, since the start, in order.
    pub(crate) arrivals: Vec<Duration>,
    /// Which image each request gets.
    pub(crate) seed: u64,
}

/// Ends the load early: first nothing more is sent, then answers are not waited for either.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    pub(crate) sending: CancellationToken,
    pub(crate) waiting: CancellationToken,
}

#[derive(Deserialize)]
struct Answer {
    digit: u8,
}

impl SharedTally {
    pub(crate) fn new(tally: Tally) -> Self {
        Self(Arc::new(Mutex::new(tally)))
    }

    /// Counting can't panic half way, so a poisoned lock guards sound numbers.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Load {
    /// Sends everything that is due since `start`, and waits for the answers.
    pub(crate) async fn run(self, start: Instant, tally: SharedTally, stop: Stop) {
        let client = HttpClient::new();
        let mut random = fastrand::Rng::with_seed(self.seed);
        let mut requests = JoinSet::new();
        for arrival in self.arrivals {
            let due = start + arrival;
            if stop.sending.run_until_cancelled(wait_until(due, &mut requests)).await.is_none() {
                break;
            }
            let Some(image) = random.choice(&self.images).cloned() else { break };
            let (client, tally, gateway) = (client.clone(), tally.clone(), self.gateway);
            tally.lock().sends();
            requests.spawn(async move {
                let (outcome, cold_start) = send(&client, gateway, image).await;
                let latency = now().saturating_duration_since(due);
                tally.lock().ends(Ended { outcome, latency, cold_start });
            });
        }
        stop.waiting
            .run_until_cancelled(async { while requests.join_next().await.is_some() {} })
            .await;
    }
}

/// Waits until a request is due and may be sent.
async fn wait_until(due: Instant, requests: &mut JoinSet<()>) {
    tokio::time::sleep_until(due.into()).await;
    while requests.try_join_next().is_some() {}
    while requests.len() >= OUTSTANDING_MAX {
        requests.join_next().await;
    }
}

/// Sends one image; its outcome, and how long it was held for a cold start.
async fn send(
    client: &HttpClient,
    gateway: SocketAddr,
    image: Image,
) -> (Outcome, Option<Duration>) {
    let request = Request::post(format!("http://{gateway}/predict"))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(image.body));
    let request = match request {
        Ok(request) => request,
        Err(error) => return (Outcome::Failed(error.to_string()), None),
    };
    match tokio::time::timeout(ANSWER_AT_MOST, client.send(request)).await {
        Ok(Ok(response)) => (outcome(&response, image.label), cold_start(response.headers())),
        Ok(Err(error)) => (Outcome::Failed(format!("{error:#}")), None),
        Err(_) => (Outcome::Failed(format!("no answer within {ANSWER_AT_MOST:?}")), None),
    }
}

/// What an answer means. A refusal is one that kept the request from the model on purpose; an
/// upstream that failed under it is a loss, even though Tidegate says why.
fn outcome(response: &Response<Bytes>, label: u8) -> Outcome {
    let status = response.status();
    let reason = response.headers().get(header::REASON).and_then(|value| value.to_str().ok());
    if status == 200 {
        return match serde_json::from_slice::<Answer>(response.body()) {
            Ok(answer) => Outcome::Answered { right: answer.digit == label },
            Err(error) => Outcome::Failed(format!("200 without a digit: {error}")),
        };
    }
    match reason.and_then(Reason::from_code) {
        Some(
            reason @ (Reason::QueueFull
            | Reason::QueueTimeout
            | Reason::RateLimited
            | Reason::Draining
            | Reason::ColdStartTimeout),
        ) if status == reason.status() => Outcome::Refused(reason),
        _ => Outcome::Failed(format!("{status}, reason: {}", reason.unwrap_or("none given"))),
    }
}

fn cold_start(headers: &HeaderMap) -> Option<Duration> {
    let millis = headers.get(header::COLD_START)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, reason: Option<&str>, body: &'static str) -> Response<Bytes> {
        let mut response = Response::builder().status(status);
        if let Some(reason) = reason {
            response = response.header(header::REASON, reason);
        }
        response.body(body.into()).unwrap()
    }

    #[test]
    fn an_answer_is_right_wrong_or_none() {
        let body = "{\"digit\":4,\"probability\":1.0}";
        assert_eq!(outcome(&response(200, None, body), 4), Outcome::Answered { right: true });
        assert_eq!(outcome(&response(200, None, body), 5), Outcome::Answered { right: false });
        assert!(matches!(outcome(&response(200, None, "<html>"), 4), Outcome::Failed(_)));
    }

    #[test]
    fn only_a_refusal_with_its_reason_and_status_is_no_loss() {
        let refused = outcome(&response(503, Some("queue-full"), ""), 4);
        assert_eq!(refused, Outcome::Refused(Reason::QueueFull));
        for (status, reason) in [
            (503, None),
            (503, Some("")),
            (500, Some("queue-full")),
            (502, Some("upstream-reset")),
            (504, Some("upstream-timeout")),
            (422, None),
        ] {
            let outcome = outcome(&response(status, reason, ""), 4);
            assert!(matches!(outcome, Outcome::Failed(_)), "{status} {reason:?} {outcome:?}");
        }
    }

    #[test]
    fn a_cold_start_is_read_from_its_header() {
        let mut headers = HeaderMap::new();
        assert_eq!(cold_start(&headers), None);
        headers.insert(header::COLD_START, "2345".parse().unwrap());
        assert_eq!(cold_start(&headers), Some(Duration::from_millis(2345)));
        headers.insert(header::COLD_START, "soon".parse().unwrap());
        assert_eq!(cold_start(&headers), None);
    }
}
