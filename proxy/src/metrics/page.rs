//! The page of all metrics; or only the series that are asked for by name, as Prometheus' exporters have it:
//! `/metrics?name[]=a&name[]=b`. That spares who reads a few numbers of thousands of sidecars.

use prometheus::TextEncoder;
use prometheus::proto::MetricFamily;
use tidegate_api::names::path;

/// What a histogram's series are called after it.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// The page in Prometheus' text format.
///
/// # Errors
/// If a family can't be written, which none that is registered is.
pub fn page(families: Vec<MetricFamily>, query: Option<&str>) -> prometheus::Result<String> {
    let names: Vec<&str> = query.into_iter().flat_map(names).collect();
    if names.is_empty() {
        return TextEncoder::new().encode_to_string(&families);
    }
    let is_asked = |family: &MetricFamily| {
        names.iter().any(|name| {
            let rest = name.strip_prefix(family.name());
            rest.is_some_and(|rest| rest.is_empty() || PARTS.contains(&rest))
        })
    };
    let families: Vec<MetricFamily> = families.into_iter().filter(is_asked).collect();
    let page = TextEncoder::new().encode_to_string(&families)?;
    let mut asked = String::new();
    for line in page.lines() {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        if names.contains(&name) {
            asked.push_str(line);
            asked.push('\n');
        }
    }
    Ok(asked)
}

/// The names that a query asks for, with its brackets as they are or escaped.
fn names(query: &str) -> impl Iterator<Item = &str> {
    query.split('&').filter_map(|pair| {
        let (key, name) = pair.split_once('=')?;
        let key = key.replace("%5B", "[").replace("%5b", "[");
        let key = key.replace("%5D", "]").replace("%5d", "]");
        (key == path::METRICS_NAME && !name.is_empty()).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry};

    fn registry() -> Registry {
        let registry = Registry::new();
        let queued = IntGauge::new("queued", "Waiting.").unwrap();
        let ended = IntCounterVec::new(Opts::new("ended_total", "Ended."), &["code"]).unwrap();
        ended.with_label_values(&["200"]).inc();
        let took = Histogram::with_opts(HistogramOpts::new("took_seconds", "Took.")).unwrap();
        took.observe(2.0);
        registry.register(Box::new(queued)).unwrap();
        registry.register(Box::new(ended)).unwrap();
        registry.register(Box::new(took)).unwrap();
        registry
    }

    #[test]
    fn only_the_series_that_are_asked_for_are_told() {
        let of = |query| page(registry().gather(), query).unwrap();
        let whole = of(None);
        assert!(whole.contains("# HELP queued Waiting.") && whole.lines().count() > 15, "{whole}");
        let two = "ended_total{code=\"200\"} 1\ntook_seconds_sum 2\n";
        for query in [
            "name[]=ended_total&name[]=took_seconds_sum",
            "name%5B%5D=took_seconds_sum&name%5b%5d=ended_total&other=queued",
        ] {
            assert_eq!(of(Some(query)), two, "{query}");
        }
        for none in ["name[]=none", "name[]=took_seconds", "name[]=queued_sum", "name[]=queue"] {
            assert_eq!(of(Some(none)), "", "{none}");
        }
        for whole_too in ["", "name[]=", "names=queued", "name[]"] {
            assert_eq!(of(Some(whole_too)), whole, "{whole_too}");
        }
    }
}
