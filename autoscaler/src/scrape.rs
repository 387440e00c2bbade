//! Reads `/metrics` and `/readyz` over HTTP: in parallel, each with a deadline and a size limit.

mod page;

use crate::clock::Clock;
use crate::sample::{self, GatewaySample, ReplicaSample, SampleError};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::StatusCode;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidegate_api::names::path;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The largest answer that is read. A sidecar's is some ten KiB; a gateway's grows with its APIs, by as
/// much for each where it is an older one that tells all it has.
const MOST_BYTES: usize = 32 << 20;

/// The largest answer of a Prometheus that has scraped a cluster's pods.
#[cfg(feature = "kubernetes")]
const MOST_RECORDED_BYTES: usize = 64 << 20;

/// Scrapes that run at once: enough for a laptop's replicas, few enough to spare file descriptors.
const MOST_AT_ONCE: usize = 32;

/// Likewise, for a cluster's.
#[cfg(feature = "kubernetes")]
const MANY_AT_ONCE: usize = 128;

/// Reads other processes' admin ports.
#[derive(Debug, Clone)]
pub(crate) struct Scraper {
    client: Client<HttpConnector, Empty<Bytes>>,
    clock: Clock,
    deadline: Duration,
    at_once: usize,
    /// Where a sidecar has what is read of it, and only that.
    sidecar: Arc<str>,
    /// Likewise, a gateway.
    gateway: Arc<str>,
}

/// Why a scrape gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScrapeError {
    /// No answer in time.
    #[error("no answer from {from} within {deadline:?}")]
    Deadline {
        /// Who was asked.
        from: String,
        /// How long was waited.
        deadline: Duration,
    },
    /// No connection, or it broke.
    #[error("no answer from {from}: {source}")]
    Http {
        /// Who was asked.
        from: String,
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answered, but not with metrics.
    #[error("{from} answered {status}")]
    Status {
        /// Who was asked.
        from: String,
        /// What it answered.
        status: StatusCode,
    },
    /// The text is no sample.
    #[error("{from} does not answer as expected: {source}")]
    Sample {
        /// Who was asked.
        from: String,
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

/// What the gateway said.
pub(crate) type GatewayReading = Result<Reading<GatewaySample>, ScrapeError>;

impl Scraper {
    /// A scraper that waits for one answer no longer than `deadline`.
    pub(crate) fn new(clock: Clock, deadline: Duration) -> Self {
        Self::with(clock, deadline, MOST_AT_ONCE, 1)
    }

    /// A scraper of thousands. It keeps no connection open: they would outnumber what a process
    /// may open.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn of_many(clock: Clock, deadline: Duration) -> Self {
        Self::with(clock, deadline, MANY_AT_ONCE, 0)
    }

    fn with(clock: Clock, deadline: Duration, at_once: usize, idle: usize) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(idle)
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_timer(hyper_util::rt::TokioTimer::new())
            .build(connector);
        let (sidecar, gateway) = (only(&sample::REPLICA), only(&sample::GATEWAY));
        Self { client, clock, deadline, at_once, sidecar, gateway }
    }

    /// Scrapes all `targets`, some at once. Takes as long as the slowest, at most the deadline for
    /// each batch of as many as run at once.
    pub(crate) async fn replicas(&self, targets: Vec<(String, SocketAddr)>) -> ReplicaReadings {
        let workers = self.at_once.min(targets.len());
        let left = Arc::new(Mutex::new(targets.into_iter()));
        let work = (0..workers).map(|_| {
            let (scraper, left) = (self.clone(), Arc::clone(&left));
            async move {
                let (mut done, mut buffer) = (Vec::new(), Vec::new());
                let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
                while let Some((id, admin)) = next() {
                    let read = sample::replica;
                    let reading = scraper.own(admin, &scraper.sidecar, &mut buffer, read).await;
                    done.push((id, reading));
                }
                done
            }
        });
        let done: Vec<Vec<_>> = some_at_once(workers, work).await;
        done.into_iter().flatten().collect()
    }

    /// Scrapes the gateway.
    pub(crate) async fn gateway(&self, admin: SocketAddr) -> GatewayReading {
        self.own(admin, &self.gateway, &mut Vec::new(), sample::gateway).await
    }

    /// Reads what a process of ours has to say.
    async fn own<T>(
        &self,
        admin: SocketAddr,
        path: &str,
        buffer: &mut Vec<u8>,
        read: fn(&str) -> Result<T, SampleError>,
    ) -> Result<Reading<T>, ScrapeError> {
        let asked = page::page(admin, path, buffer, MOST_BYTES);
        let page = match tokio::time::timeout(self.deadline, asked).await {
            Ok(Ok(Some(page))) => page,
            Ok(Ok(None)) => return self.sample(&metrics(admin), read).await,
            Ok(Err(error)) => {
                return Err(ScrapeError::Http { from: metrics(admin), source: Box::new(error) });
            }
            Err(_) => {
                let deadline = self.deadline;
                return Err(ScrapeError::Deadline { from: metrics(admin), deadline });
            }
        };
        let at = self.clock.now();
        if page.status != StatusCode::OK.as_u16() {
            let status = StatusCode::from_u16(page.status).unwrap_or_default();
            return Err(ScrapeError::Status { from: metrics(admin), status });
        }
        let text = String::from_utf8_lossy(buffer.get(page.body).unwrap_or_default());
        let sample =
            read(&text).map_err(|source| ScrapeError::Sample { from: metrics(admin), source })?;
        Ok(Reading { at, sample })
    }

    /// Asks once whether a sidecar is ready.
    pub(crate) async fn is_ready(&self, admin: SocketAddr) -> bool {
        self.ok(&format!("http://{admin}{}", path::READYZ)).await.is_ok()
    }

    /// The value of a series that each of the `models` serves itself, in any order.
    pub(crate) async fn pod_metrics(
        &self,
        models: Vec<SocketAddr>,
        path: Arc<str>,
        read: impl Fn(&str) -> Result<f64, SampleError> + Clone + Send + 'static,
    ) -> Vec<Result<f64, ScrapeError>> {
        let asked = models.into_iter().map(|model| {
            let (scraper, url, read) =
                (self.clone(), format!("http://{model}{path}"), read.clone());
            async move { scraper.sample(&url, read).await.map(|reading| reading.sample) }
        });
        some_at_once(self.at_once, asked).await
    }

    /// What an HTTP server answers, whatever its status.
    pub(crate) async fn answer(&self, url: &str, deadline: Duration) -> Result<Bytes, ScrapeError> {
        self.get(url, deadline, MOST_BYTES).await.map(|(_, body)| body)
    }

    /// Likewise, of what a Prometheus has scraped of many.
    #[cfg(feature = "kubernetes")]
    pub(crate) async fn large_answer(
        &self,
        url: &str,
        deadline: Duration,
    ) -> Result<Bytes, ScrapeError> {
        self.get(url, deadline, MOST_RECORDED_BYTES).await.map(|(_, body)| body)
    }

    async fn sample<T>(
        &self,
        url: &str,
        read: impl FnOnce(&str) -> Result<T, SampleError>,
    ) -> Result<Reading<T>, ScrapeError> {
        let body = self.ok(url).await?;
        let at = self.clock.now();
        let sample = read(&String::from_utf8_lossy(&body))
            .map_err(|source| ScrapeError::Sample { from: url.to_owned(), source })?;
        Ok(Reading { at, sample })
    }

    /// What is answered with 200.
    async fn ok(&self, url: &str) -> Result<Bytes, ScrapeError> {
        match self.get(url, self.deadline, MOST_BYTES).await? {
            (StatusCode::OK, body) => Ok(body),
            (status, _) => Err(ScrapeError::Status { from: url.to_owned(), status }),
        }
    }

    async fn get(
        &self,
        url: &str,
        deadline: Duration,
        most: usize,
    ) -> Result<(StatusCode, Bytes), ScrapeError> {
        let failed = |source| ScrapeError::Http { from: url.to_owned(), source };
        let fetch = async {
            let uri: hyper::Uri = url.parse().map_err(|error| failed(Box::new(error)))?;
            let answer = self.client.get(uri).await.map_err(|error| failed(Box::new(error)))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), most);
            Ok((status, body.collect().await.map_err(failed)?.to_bytes()))
        };
        tokio::time::timeout(deadline, fetch)
            .await
            .unwrap_or_else(|_| Err(ScrapeError::Deadline { from: url.to_owned(), deadline }))
    }
}

/// Where the series of these names are, and only they; an older proxy tells all that it has.
fn only(names: &[&str]) -> Arc<str> {
    // Brackets must be escaped in a query.
    let name = path::METRICS_NAME.replace('[', "%5B").replace(']', "%5D");
    let names: Vec<String> = names.iter().map(|of| format!("{name}={of}")).collect();
    Arc::from(format!("{}?{}", path::METRICS, names.join("&")))
}

fn metrics(admin: SocketAddr) -> String {
    format!("http://{admin}{}", path::METRICS)
}

/// Runs them all, `at_once` at a time. One that panics is missing from what comes out, which
/// callers count as lost.
async fn some_at_once<T: Send + 'static, C: Default + Extend<T>>(
    at_once: usize,
    work: impl Iterator<Item = impl Future<Output = T> + Send + 'static>,
) -> C {
    let turns = Arc::new(Semaphore::new(at_once));
    let mut tasks = JoinSet::new();
    for one in work {
        let turns = Arc::clone(&turns);
        tasks.spawn(async move {
            // The semaphore is never closed; were it, there would just be no bound.
            let _turn = turns.acquire().await.ok();
            one.await
        });
    }
    let mut done = C::default();
    while let Some(ended) = tasks.join_next().await {
        done.extend(ended.ok());
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Answers each that comes with this page, whatever is asked for, and tells the targets.
    async fn serve(page: String, asked: usize) -> (SocketAddr, JoinSet<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut targets = Vec::new();
            for _ in 0..asked {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = vec![0; 4096];
                let count = stream.read(&mut head).await.unwrap();
                let head = String::from_utf8_lossy(&head[..count]).into_owned();
                targets.push(head.split(' ').nth(1).unwrap_or_default().to_owned());
                stream.write_all(page.as_bytes()).await.unwrap();
            }
            targets
        });
        (address, server)
    }

    fn answer(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    fn scraper() -> Scraper {
        Scraper::new(Clock::start(), Duration::from_secs(30))
    }

    /// An older one does not know of names, and tells some 9 KB of each API.
    #[tokio::test]
    async fn a_gateway_of_a_thousand_apis_that_tells_all_can_be_read() {
        let of = |api: usize| {
            let line = |le: usize| {
                format!(
                    "tidegate_request_duration_seconds_bucket{{api=\"a-{api}\",le=\"{le}\"}} 0\n"
                )
            };
            let rest: String = (0..160).map(line).collect();
            format!("{rest}tidegate_requests_queued{{api=\"a-{api}\"}} 1\n")
        };
        let page: String = (0..1000).map(of).collect();
        assert!(page.len() > 8 << 20, "{}", page.len());
        let (address, mut server) = serve(answer(&page), 1).await;
        let reading = scraper().gateway(address).await.unwrap();
        assert_eq!(reading.sample.queues.len(), 1000);
        let target = server.join_next().await.unwrap().unwrap().remove(0);
        assert!(
            target.starts_with("/metrics?name%5B%5D=tidegate_queue_seconds_total&"),
            "{target}"
        );
    }

    #[tokio::test]
    async fn many_are_read_some_at_once_and_an_unusual_answer_is_read_too() {
        let page = "tidegate_concurrency_seconds_total 1\ntidegate_queue_seconds_total 0\n\
                    tidegate_requests_in_flight 2\ntidegate_requests_queued 0\n";
        let chunked = format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n{:x}\r\n{page}\r\n0\r\n\r\n",
            page.len()
        );
        let (usual, _usual) = serve(answer(page), 100).await;
        // Asked again by the whole client.
        let (unusual, _unusual) = serve(chunked, 2).await;
        let (other, _other) = serve(answer("<html>"), 1).await;
        let mut targets: Vec<_> = (0..100).map(|id| (id.to_string(), usual)).collect();
        targets.push(("unusual".to_owned(), unusual));
        targets.push(("other".to_owned(), other));
        let readings = scraper().replicas(targets).await;
        assert_eq!(readings.len(), 102);
        let read = |id: &str| readings[id].as_ref().map(|reading| reading.sample.in_flight);
        assert!((0..100).all(|id| read(&id.to_string()).is_ok_and(|running| running == 2)));
        assert_eq!(read("unusual").unwrap(), 2);
        assert!(matches!(read("other"), Err(ScrapeError::Sample { .. })));
    }
}
