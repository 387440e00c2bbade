//! Reads `/metrics` and `/readyz` over HTTP: in parallel, each with a deadline and a size limit.

use crate::clock::Clock;
use crate::sample::{self, QueueSample, ReplicaSample, SampleError};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::StatusCode;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tidegate_api::names::path;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The largest answer that is read. A sidecar's is some ten KiB; a gateway's grows with its APIs.
const MOST_BYTES: usize = 4 << 20;

/// Scrapes that run at once: enough for a laptop's replicas, few enough to spare file descriptors.
const MOST_AT_ONCE: usize = 32;

/// Reads other processes' admin ports.
#[derive(Debug, Clone)]
pub(crate) struct Scraper {
    client: Client<HttpConnector, Empty<Bytes>>,
    clock: Clock,
    deadline: Duration,
}

/// Why a scrape gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScrapeError {
    /// No answer in time.
    #[error("no answer from {from} within {deadline:?}")]
    Deadline {
        /// Who was asked.
        from: SocketAddr,
        /// How long was waited.
        deadline: Duration,
    },
    /// No connection, or it broke.
    #[error("no answer from {from}: {source}")]
    Http {
        /// Who was asked.
        from: SocketAddr,
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answered, but not with metrics.
    #[error("{from} answered {status}")]
    Status {
        /// Who was asked.
        from: SocketAddr,
        /// What it answered.
        status: StatusCode,
    },
    /// The text is no sample.
    #[error("{from} does not answer as expected: {source}")]
    Sample {
        /// Who was asked.
        from: SocketAddr,
        /// What is wrong with it.
        source: SampleError,
    },
}

/// A sample and when it was taken, by our clock.
#[derive(Debug, Clone)]
pub(crate) struct Reading<T> {
    /// When the answer had come.
    pub(crate) at: Duration,
    /// What it said.
    pub(crate) sample: T,
}

/// What each replica said, by its id.
pub(crate) type ReplicaReadings = BTreeMap<String, Result<Reading<ReplicaSample>, ScrapeError>>;

/// What the gateway said, by API.
pub(crate) type GatewayReading = Result<Reading<BTreeMap<String, QueueSample>>, ScrapeError>;

impl Scraper {
    /// A scraper that waits for one answer no longer than `deadline`.
    pub(crate) fn new(clock: Clock, deadline: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_timer(hyper_util::rt::TokioTimer::new())
            .build(connector);
        Self { client, clock, deadline }
    }

    /// Scrapes all `targets`, some at once. Takes as long as the slowest, at most the deadline for
    /// each batch of [`MOST_AT_ONCE`].
    pub(crate) async fn replicas(&self, targets: Vec<(String, SocketAddr)>) -> ReplicaReadings {
        let turns = Arc::new(Semaphore::new(MOST_AT_ONCE));
        let mut scrapes = JoinSet::new();
        for (id, admin) in targets {
            let (scraper, turns) = (self.clone(), Arc::clone(&turns));
            scrapes.spawn(async move {
                // The semaphore is never closed; were it, there would just be no bound.
                let _turn = turns.acquire().await.ok();
                (id, scraper.sample(admin, sample::replica).await)
            });
        }
        // A scrape that panicked is missing, which the caller counts as lost.
        let mut readings = ReplicaReadings::new();
        while let Some(done) = scrapes.join_next().await {
            readings.extend(done.ok());
        }
        readings
    }

    /// Scrapes the gateway.
    pub(crate) async fn gateway(&self, admin: SocketAddr) -> GatewayReading {
        self.sample(admin, sample::gateway).await
    }

    /// Asks once whether a sidecar is ready.
    pub(crate) async fn is_ready(&self, admin: SocketAddr) -> bool {
        self.get(admin, path::READYZ).await.is_ok()
    }

    async fn sample<T>(
        &self,
        from: SocketAddr,
        read: fn(&str) -> Result<T, SampleError>,
    ) -> Result<Reading<T>, ScrapeError> {
        let body = self.get(from, path::METRICS).await?;
        let at = self.clock.now();
        let sample = read(&String::from_utf8_lossy(&body))
            .map_err(|source| ScrapeError::Sample { from, source })?;
        Ok(Reading { at, sample })
    }

    async fn get(&self, from: SocketAddr, path: &str) -> Result<Bytes, ScrapeError> {
        let failed = |source| ScrapeError::Http { from, source };
        let fetch = async {
            let uri: hyper::Uri =
                format!("http://{from}{path}").parse().map_err(|error| failed(Box::new(error)))?;
            let answer = self.client.get(uri).await.map_err(|error| failed(Box::new(error)))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MOST_BYTES);
            let body = body.collect().await.map_err(failed)?.to_bytes();
            if status == StatusCode::OK {
                Ok(body)
            } else {
                Err(ScrapeError::Status { from, status })
            }
        };
        tokio::time::timeout(self.deadline, fetch)
            .await
            .unwrap_or(Err(ScrapeError::Deadline { from, deadline: self.deadline }))
    }
}
