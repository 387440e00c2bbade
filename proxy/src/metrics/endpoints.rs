//! How many endpoints an API has, by what they are up to, and how often any was taken out.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidegate_api::names::{label, metric};

/// Name, help and the label beside the API.
const ENDPOINTS: (&str, &str, &str) =
    (metric::ENDPOINTS, "Endpoints, by what they are up to.", label::STATE);
const EJECTIONS: (&str, &str, &str) =
    (metric::ENDPOINT_EJECTIONS, "Times that an endpoint was taken out, by cause.", label::REASON);

/// The numbers of one moment, each with the word for its label.
#[derive(Debug, Clone, Default)]
pub struct EndpointCounts {
    /// Endpoints, by state.
    pub states: Vec<(&'static str, u64)>,
    /// Ejections so far, by reason.
    pub ejections: Vec<(&'static str, u64)>,
}

/// Where one gate's numbers come from at a scrape.
pub type ReadCounts = Box<dyn Fn() -> EndpointCounts + Send + Sync>;

/// Reads the endpoints of all gates at each scrape. One collector for all, as for their requests.
#[derive(Clone)]
pub struct EndpointCollector {
    /// By the API's name.
    gates: Arc<Mutex<BTreeMap<String, ReadCounts>>>,
    descs: Arc<[Desc]>,
}

// === impl EndpointCollector ===

impl EndpointCollector {
    /// Registers a collector that reads no gate yet.
    ///
    /// # Errors
    /// If there is one already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let descs = [ENDPOINTS, EJECTIONS].into_iter().map(|(name, help, label)| {
            let labels = vec![label::API.to_owned(), label.to_owned()];
            Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())
        });
        let descs = descs.collect::<prometheus::Result<_>>()?;
        let own = Self { gates: Arc::default(), descs };
        registry.register(Box::new(own.clone()))?;
        Ok(own)
    }

    /// From now on reads this API's endpoints, too.
    pub fn add(&self, api: &str, read: ReadCounts) {
        self.lock().insert(api.to_owned(), read);
    }

    /// Reads this API's endpoints no more.
    pub fn remove(&self, api: &str) {
        self.lock().remove(api);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ReadCounts>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for EndpointCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (name, help, state) = ENDPOINTS;
        let gauges = IntGaugeVec::new(Opts::new(name, help), &[label::API, state]);
        let (name, help, reason) = EJECTIONS;
        let counters = IntCounterVec::new(Opts::new(name, help), &[label::API, reason]);
        let (Ok(gauges), Ok(counters)) = (gauges, counters) else { return Vec::new() };
        for (api, read) in self.lock().iter() {
            let EndpointCounts { states, ejections } = read();
            for (state, count) in states {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                gauges.with_label_values(&[api, state]).set(count);
            }
            for (reason, count) in ejections {
                counters.with_label_values(&[api, reason]).inc_by(count);
            }
        }
        gauges.collect().into_iter().chain(counters.collect()).collect()
    }
}
