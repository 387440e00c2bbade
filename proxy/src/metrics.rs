//! What is counted. Handles are resolved once for each API, never while a request runs.

#[cfg(feature = "kubernetes")]
pub mod discovery;
pub mod endpoints;
pub mod hedges;
pub mod page;
pub mod shadow;
pub mod tls;
pub mod tokens;
pub mod traffic;

use crate::policy::admission::Snapshot;
use hedges::HedgeCounts;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Counter, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tidegate_api::names::{label, metric};
use tidegate_api::reason::Reason;
use tokens::TokenMetrics;

/// From a hop that is barely there to a model that thinks for minutes; two to three a decade.
const LATENCY_BUCKETS_S: [f64; 18] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 120.0, 300.0,
];
/// Where the steps of the finer histogram begin, how much each is above the one before, and how many
/// there are: to five minutes. A version that is slower by a fifth is found by them.
const FINE_STEPS: (f64, f64, usize) = (0.0005, 1.12, 119);
/// Status codes have three digits, so that this many counters are enough for all.
const STATUS_CODES: usize = 1000;

/// The handles of one API.
pub struct ApiMetrics {
    /// The API's name; empty in a sidecar.
    pub api: String,
    requests: IntCounterVec,
    /// Answered by the upstream, by status code; looked up once for each code that occurs.
    answered: Box<[OnceLock<IntCounter>]>,
    /// Answered by the proxy itself, by reason.
    refused: Vec<IntCounter>,
    /// Wait before a request ran, was refused or left.
    pub queue_wait: Histogram,
    /// From arrival to the response head.
    pub first_byte: Histogram,
    /// From arrival to the end.
    pub duration: Histogram,
    /// From dispatch to the end.
    upstream_duration: Histogram,
    /// The same in finer steps, for an API that is compared with other versions.
    fine_duration: OnceLock<Histogram>,
    /// From a request's arrival at an API at zero to its dispatch. A sidecar knows of none.
    pub cold_start: Option<Histogram>,
    /// Requests that went to another API instead. A sidecar knows of none.
    pub fallbacks: Option<IntCounter>,
    /// Second tries. A sidecar knows of none.
    pub hedges: Option<HedgeCounts>,
    /// Tokens of answers, if they are counted.
    pub tokens: Option<TokenMetrics>,
}

/// Readiness and drain of the process.
pub struct ProcessMetrics {
    /// 1 while ready.
    pub ready: IntGauge,
    /// 1 while draining.
    pub draining: IntGauge,
    /// Connections that clients hold.
    pub connections: IntGauge,
    /// Connections that found no place.
    pub refused_connections: IntCounter,
    /// Connections closed for the PROXY header that they had or lacked.
    pub refused_arrivals: IntCounter,
    /// Lines of the access log that were dropped.
    pub dropped_lines: IntCounter,
    /// Files that changed and could not be used.
    pub reload_failures: IntCounter,
    /// Look-ups of endpoints' names that failed.
    pub lookup_failures: IntCounter,
}

/// Where one gate's numbers come from at a scrape.
pub type ReadSnapshot = Box<dyn Fn() -> Snapshot + Send + Sync>;

/// Reads the gates' state at each scrape, so that gauges and integrals are exact at that moment.
///
/// One collector for all: the registry tells collectors apart by the sum of their descriptions'
/// hashes, which is the same for many pairs of APIs.
#[derive(Clone)]
pub struct GateCollector {
    /// By the API's name; a sidecar's has none.
    gates: Arc<Mutex<BTreeMap<Option<String>, ReadSnapshot>>>,
    descs: Arc<[Desc]>,
}

// === impl ApiMetrics ===

impl ApiMetrics {
    /// Registers the metrics of one API; a gateway names it in a label, a sidecar has but one.
    ///
    /// # Errors
    /// If an API of that name is registered already.
    pub fn register(registry: &Registry, api: Option<&str>) -> prometheus::Result<Self> {
        let labels = api_label(api);
        let requests = IntCounterVec::new(
            Opts::new(
                metric::REQUESTS,
                "Requests ended, by status code (of a gRPC error the nearest) and by the proxy's reason.",
            )
            .const_labels(labels.clone()),
            &[label::CODE, label::REASON],
        )?;
        registry.register(Box::new(requests.clone()))?;
        let refused = Reason::ALL
            .iter()
            .map(|r| requests.get_metric_with_label_values(&[&r.status().to_string(), r.code()]))
            .collect::<prometheus::Result<Vec<_>>>()?;
        let histogram = |name: &str, help: &str| {
            let opts = HistogramOpts::new(name, help)
                .const_labels(labels.clone())
                .buckets(LATENCY_BUCKETS_S.to_vec());
            let histogram = Histogram::with_opts(opts)?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        Ok(Self {
            api: api.unwrap_or_default().to_owned(),
            requests,
            answered: (0..STATUS_CODES).map(|_| OnceLock::new()).collect(),
            refused,
            queue_wait: histogram(
                metric::QUEUE_WAIT_SECONDS,
                "Wait of a request before it ran, was refused or left.",
            )?,
            first_byte: histogram(
                metric::TIME_TO_FIRST_BYTE_SECONDS,
                "From a request's arrival to the upstream's response head.",
            )?,
            duration: histogram(
                metric::REQUEST_DURATION_SECONDS,
                "From a request's arrival to the end of its response.",
            )?,
            upstream_duration: histogram(
                metric::UPSTREAM_DURATION_SECONDS,
                "From dispatch to the upstream to the end of the response.",
            )?,
            fine_duration: OnceLock::new(),
            cold_start: match api {
                Some(_) => Some(histogram(
                    metric::COLD_START_SECONDS,
                    "Wait of a request that found its API at zero.",
                )?),
                None => None,
            },
            fallbacks: match api {
                Some(_) => {
                    let help = "Requests that found their API at zero and went to another.";
                    let opts = Opts::new(metric::FALLBACKS, help).const_labels(labels.clone());
                    let fallbacks = IntCounter::with_opts(opts)?;
                    registry.register(Box::new(fallbacks.clone()))?;
                    Some(fallbacks)
                }
                None => None,
            },
            hedges: api.map(|_| HedgeCounts::register(registry, labels.clone())).transpose()?,
            tokens: None,
        })
    }

    /// From now on measures how long requests take at the upstream in finer steps, too.
    ///
    /// # Errors
    /// None that are known: the API's name is there once.
    pub fn measure_finely(&self, registry: &Registry) -> prometheus::Result<()> {
        if self.fine_duration.get().is_some() {
            return Ok(());
        }
        let (first, growth, count) = FINE_STEPS;
        let micros = |seconds: f64| (seconds * 1e6).round() / 1e6;
        let buckets = prometheus::exponential_buckets(first, growth, count)?;
        let help =
            "From dispatch to the end of the response, of an API that is compared with others.";
        let opts = HistogramOpts::new(metric::VERSION_DURATION_SECONDS, help)
            .const_label(label::API, &*self.api)
            .buckets(buckets.into_iter().map(micros).collect());
        let histogram = Histogram::with_opts(opts)?;
        registry.register(Box::new(histogram.clone()))?;
        // Whoever was faster has registered the same; there is one catalog, so nobody was.
        self.fine_duration.get_or_init(|| histogram);
        Ok(())
    }

    /// A request has left the upstream after so many seconds.
    pub fn observe_upstream(&self, seconds: f64) {
        self.upstream_duration.observe(seconds);
        if let Some(fine) = self.fine_duration.get() {
            fine.observe(seconds);
        }
    }

    /// Takes them off the page, for an API that is no more.
    pub fn unregister(&self, registry: &Registry) {
        let histograms =
            [&self.queue_wait, &self.first_byte, &self.duration, &self.upstream_duration];
        let own: [Box<dyn Collector>; 1] = [Box::new(self.requests.clone())];
        let histograms = histograms.into_iter().chain(&self.cold_start);
        let histograms = histograms.chain(self.fine_duration.get());
        let histograms = histograms.map(|own| -> Box<dyn Collector> { Box::new(own.clone()) });
        let fallbacks =
            self.fallbacks.iter().map(|own| -> Box<dyn Collector> { Box::new(own.clone()) });
        let hedges = self.hedges.iter();
        let hedges = hedges.map(|own| -> Box<dyn Collector> { Box::new(own.all.clone()) });
        let tokens = self.tokens.iter().flat_map(TokenMetrics::collectors);
        let others = fallbacks.chain(hedges).chain(tokens);
        for collector in own.into_iter().chain(histograms).chain(others) {
            if let Err(error) = registry.unregister(collector) {
                tracing::warn!(%error, api = self.api, "a metric stays behind");
            }
        }
    }

    /// Counts a request that ended as the upstream answered it.
    pub fn count_answered(&self, code: u16) {
        let Some(cell) = self.answered.get(usize::from(code)) else { return };
        cell.get_or_init(|| self.requests.with_label_values(&[&code.to_string(), ""])).inc();
    }

    /// Counts a request that the proxy ended, with the status it was given.
    pub fn count_failed(&self, code: u16, reason: Reason) {
        if code == reason.status() {
            self.refused[reason as usize].inc();
        } else {
            // The head had been sent when it failed: rare, and bounded by codes times reasons.
            self.requests.with_label_values(&[&code.to_string(), reason.code()]).inc();
        }
    }
}

// === impl ProcessMetrics ===

impl ProcessMetrics {
    /// Registers what is true of the process as a whole.
    ///
    /// # Errors
    /// If they are registered already.
    pub fn register(registry: &Registry, role: &str) -> prometheus::Result<Self> {
        let ready = IntGauge::new(metric::READY, "1 while ready for traffic.")?;
        let draining = IntGauge::new(metric::DRAINING, "1 while draining.")?;
        let connections = IntGauge::new(metric::CONNECTIONS, "Connections that clients hold now.")?;
        let refused_connections =
            IntCounter::new(metric::CONNECTIONS_REFUSED, "Connections that found no place.")?;
        let refused_arrivals = IntCounter::new(
            metric::PROXY_PROTOCOL_REFUSED,
            "Connections closed for the PROXY header that they had or lacked.",
        )?;
        let dropped_lines =
            IntCounter::new(metric::ACCESS_LOG_DROPPED, "Lines of the access log dropped.")?;
        let reload_failures = IntCounter::new(
            metric::RELOAD_FAILURES,
            "Files of settings, documents, keys or certificates that changed and could not be used.",
        )?;
        let lookup_failures = IntCounter::new(
            metric::LOOKUP_FAILURES,
            "Look-ups of the names of endpoints that failed.",
        )?;
        let build = IntGauge::with_opts(
            Opts::new(metric::BUILD_INFO, "Which build runs; always 1.")
                .const_label("version", env!("CARGO_PKG_VERSION"))
                .const_label("role", role),
        )?;
        build.set(1);
        registry.register(Box::new(ready.clone()))?;
        registry.register(Box::new(draining.clone()))?;
        registry.register(Box::new(connections.clone()))?;
        registry.register(Box::new(refused_connections.clone()))?;
        registry.register(Box::new(refused_arrivals.clone()))?;
        registry.register(Box::new(dropped_lines.clone()))?;
        registry.register(Box::new(reload_failures.clone()))?;
        registry.register(Box::new(lookup_failures.clone()))?;
        registry.register(Box::new(build))?;
        let process = prometheus::process_collector::ProcessCollector::for_self();
        registry.register(Box::new(process))?;
        Ok(Self {
            ready,
            draining,
            connections,
            refused_connections,
            refused_arrivals,
            dropped_lines,
            reload_failures,
            lookup_failures,
        })
    }
}

// === impl GateCollector ===

impl GateCollector {
    /// Registers a collector that reads no gate yet.
    ///
    /// # Errors
    /// If there is one already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let descs = Self::families().into_iter().map(|(name, help)| {
            Desc::new(name.to_owned(), help.to_owned(), Vec::new(), HashMap::new())
        });
        let descs = descs.collect::<prometheus::Result<_>>()?;
        let own = Self { gates: Arc::default(), descs };
        registry.register(Box::new(own.clone()))?;
        Ok(own)
    }

    /// From now on reads this gate, too.
    pub fn add(&self, api: Option<&str>, read: ReadSnapshot) {
        self.lock().insert(api.map(str::to_owned), read);
    }

    /// Reads this API's gate no more.
    pub fn remove(&self, api: Option<&str>) {
        self.lock().remove(&api.map(str::to_owned));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Option<String>, ReadSnapshot>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn families() -> [(&'static str, &'static str); 6] {
        [
            (metric::REQUESTS_IN_FLIGHT, "Requests running at the upstream now."),
            (metric::REQUESTS_QUEUED, "Requests waiting in the queue now."),
            (metric::CONCURRENCY_LIMIT, "How many requests may run at once."),
            (metric::QUEUE_CAPACITY, "How many requests may wait at once."),
            (metric::CONCURRENCY_SECONDS, "Integral of running requests, in request-seconds."),
            (metric::QUEUE_SECONDS, "Integral of waiting requests, in request-seconds."),
        ]
    }

    fn opts(index: usize, api: Option<&str>) -> Opts {
        let (name, help) = Self::families()[index];
        Opts::new(name, help).const_labels(api_label(api))
    }
}

impl Collector for GateCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = Vec::new();
        for (api, read) in self.lock().iter() {
            let seen = read();
            let gauges =
                [seen.running, seen.waiting, seen.limit, seen.queue_capacity].map(f64::from);
            for (index, value) in gauges.into_iter().enumerate() {
                if let Ok(gauge) = Gauge::with_opts(Self::opts(index, api.as_deref())) {
                    gauge.set(value);
                    families.append(&mut gauge.collect());
                }
            }
            for (index, value) in [(4, seen.running_seconds), (5, seen.waiting_seconds)] {
                if let Ok(counter) = Counter::with_opts(Self::opts(index, api.as_deref())) {
                    counter.inc_by(value);
                    families.append(&mut counter.collect());
                }
            }
        }
        families
    }
}

fn api_label(api: Option<&str>) -> HashMap<String, String> {
    api.map(|name| (label::API.to_owned(), name.to_owned())).into_iter().collect()
}
