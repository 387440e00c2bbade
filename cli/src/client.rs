//! A small HTTP client for answers that fit in memory.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;

/// Metrics and status of a few dozen replicas are far smaller.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// For what answers from memory on this machine.
const ANSWER_AT_MOST: Duration = Duration::from_secs(5);

/// Keeps connections and uses them again.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient(Client<HttpConnector, Full<Bytes>>);

impl HttpClient {
    pub(crate) fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }

    /// Sends a request and reads the whole answer. The caller limits the time.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>> {
        let (head, body) = self.0.request(request).await?.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        Ok(Response::from_parts(head, body))
    }

    /// The text at a URL; anything but 200 is an error.
    pub(crate) async fn get(&self, url: &str) -> Result<String> {
        let uri: Uri = url.parse().with_context(|| format!("{url:?} is no URL"))?;
        let request = Request::get(uri).body(Full::default())?;
        let answer = tokio::time::timeout(ANSWER_AT_MOST, self.send(request))
            .await
            .with_context(|| format!("{url} did not answer within {ANSWER_AT_MOST:?}"))?
            .with_context(|| format!("cannot read {url}"))?;
        ensure!(answer.status() == 200, "{url} answered {}", answer.status());
        Ok(String::from_utf8_lossy(answer.body()).into_owned())
    }

    /// Posts nothing to a URL; anything but a success is an error.
    pub(crate) async fn post(&self, url: &str) -> Result<()> {
        let request = Request::post(url).body(Full::default())?;
        let answer = tokio::time::timeout(ANSWER_AT_MOST, self.send(request))
            .await
            .with_context(|| format!("{url} did not answer within {ANSWER_AT_MOST:?}"))?
            .with_context(|| format!("cannot reach {url}"))?;
        ensure!(answer.status().is_success(), "{url} answered {}", answer.status());
        Ok(())
    }
}
