//! How many endpoints an API has, by what they are up to, and how often any was taken out.

use super::api_label;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use tidegate_api::names::{label, metric};

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

/// Reads a gate's endpoints at each scrape.
pub struct EndpointCollector {
    read: ReadCounts,
    opts: [Opts; 2],
    descs: Vec<Desc>,
}

// === impl EndpointCollector ===

impl EndpointCollector {
    /// Registers a collector over what `read` returns.
    ///
    /// # Errors
    /// If one of that API is registered already.
    pub fn register(registry: &Registry, api: &str, read: ReadCounts) -> prometheus::Result<()> {
        let opts =
            |name: &str, help: &str| Opts::new(name, help).const_labels(api_label(Some(api)));
        let opts = [
            opts(metric::ENDPOINTS, "Endpoints, by what they are up to."),
            opts(metric::ENDPOINT_EJECTIONS, "Times that an endpoint was taken out, by cause."),
        ];
        let descs = opts
            .iter()
            .zip([label::STATE, label::REASON])
            .map(|(opts, label)| {
                let labels = opts.const_labels.clone();
                Desc::new(opts.name.clone(), opts.help.clone(), vec![label.to_owned()], labels)
            })
            .collect::<prometheus::Result<Vec<_>>>()?;
        registry.register(Box::new(Self { read, opts, descs }))
    }
}

impl Collector for EndpointCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let EndpointCounts { states, ejections } = (self.read)();
        let [gauge, counter] = self.opts.clone();
        let mut families = Vec::new();
        if let Ok(gauges) = IntGaugeVec::new(gauge, &[label::STATE]) {
            for (state, count) in states {
                gauges.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
            }
            families.extend(gauges.collect());
        }
        if let Ok(counters) = IntCounterVec::new(counter, &[label::REASON]) {
            for (reason, count) in ejections {
                counters.with_label_values(&[reason]).inc_by(count);
            }
            families.extend(counters.collect());
        }
        families
    }
}
