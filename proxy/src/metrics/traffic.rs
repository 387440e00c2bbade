//! How the requests of APIs are split among their versions.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts, Registry};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_api::names::{label, metric};

const HELP: &str = "How many of a hundred requests a version gets now.";

/// Where the weights of one API come from at a scrape.
pub type ReadWeights = Box<dyn Fn() -> Vec<(String, u32)> + Send + Sync>;

/// Reads the weights in force at each scrape.
#[derive(Clone)]
pub struct TrafficCollector {
    /// By the API's name.
    splits: Arc<Mutex<BTreeMap<String, ReadWeights>>>,
    desc: Desc,
}

// === impl TrafficCollector ===

impl TrafficCollector {
    /// Registers a collector that reads nothing yet.
    ///
    /// # Errors
    /// If there is one already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let labels = vec![label::API.to_owned(), label::VERSION.to_owned()];
        let (name, help) = (metric::TRAFFIC_WEIGHT.to_owned(), HELP.to_owned());
        let desc = Desc::new(name, help, labels, HashMap::new())?;
        let own = Self { splits: Arc::default(), desc };
        registry.register(Box::new(own.clone()))?;
        Ok(own)
    }

    /// From now on reads these, and no others.
    pub fn read(&self, splits: BTreeMap<String, ReadWeights>) {
        *self.splits.lock().unwrap_or_else(PoisonError::into_inner) = splits;
    }
}

impl Collector for TrafficCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let opts = Opts::new(metric::TRAFFIC_WEIGHT, HELP);
        let Ok(gauges) = IntGaugeVec::new(opts, &[label::API, label::VERSION]) else {
            return Vec::new();
        };
        for (api, read) in self.splits.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            for (version, weight) in read() {
                gauges.with_label_values(&[api, &version]).set(i64::from(weight));
            }
        }
        gauges.collect()
    }
}
