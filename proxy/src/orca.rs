//! The load of this process in an answer's head, for balancers that ask for it: ORCA's native HTTP
//! form, `endpoint-load-metrics: TEXT name=value, …` or `JSON {…}`.
//!
//! Only trusted hops are told. What the upstream itself reports stays, and what it does not report
//! is added to it.

use crate::fields::Fields;
use crate::policy::admission::{Load, Snapshot};
use http::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value};
use tidegate_api::names::header;

const FORMAT: HeaderName = HeaderName::from_static(header::LOAD_METRICS_FORMAT);
const METRICS: HeaderName = HeaderName::from_static(header::LOAD_METRICS);
/// How requests and limit compare, in ORCA's own name for it.
const UTILIZATION: &str = "application_utilization";
/// Where metrics are that ORCA has no field for.
const NAMED: &str = "named_metrics";

/// In which form the load is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `name=value` pairs.
    Text,
    /// An object.
    Json,
}

/// Whether a request asks for the load, and in which form. A stranger's wish goes no further.
pub fn asked(headers: &mut Fields, trusted: bool) -> Option<Format> {
    if !trusted {
        headers.remove(FORMAT);
        return None;
    }
    let said = headers.get(FORMAT)?;
    let formats = [(&b"text"[..], Format::Text), (b"json", Format::Json)];
    formats.into_iter().find(|(name, _)| said.eq_ignore_ascii_case(name)).map(|(_, format)| format)
}

/// Asks a sidecar for its load. Returns whether the client has asked for it itself.
pub fn ask(headers: &mut Fields) -> bool {
    let asked = headers.contains(FORMAT);
    if !asked {
        headers.insert(FORMAT, "text");
    }
    asked
}

/// What a sidecar says of its load: the last it says of each, as it adds its own word to its model's.
pub fn read(headers: &Fields) -> Option<Load> {
    let said = std::str::from_utf8(headers.get(METRICS)?).ok()?.strip_prefix("TEXT ")?;
    let pairs = said.split(',').filter_map(|part| part.trim().strip_prefix(NAMED)?.split_once('='));
    let (mut running, mut waiting, mut limit) = (None, None, None);
    for (name, number) in pairs {
        let number = || number.parse::<u32>().ok();
        match name {
            ".tidegate.in_flight" => running = number(),
            ".tidegate.queued" => waiting = number(),
            ".tidegate.limit" => limit = number(),
            _ => {}
        }
    }
    Some(Load { held: running?.saturating_add(waiting?), limit: limit? })
}

/// Takes from an answer to a stranger what the upstream says of its load.
pub fn conceal(headers: &mut Fields) {
    headers.remove(METRICS);
}

/// Adds the load to an answer's head. A report of the upstream's that is in another form, or in
/// none, stays as it is.
pub fn report(headers: &mut Fields, format: Format, load: &Snapshot) {
    let whole = match (headers.get(METRICS), format) {
        (None, Format::Text) => text("", load),
        (None, Format::Json) => json(Map::new(), load),
        (Some(said), _) => std::str::from_utf8(said).ok().and_then(|said| match format {
            Format::Text => text(said.strip_prefix("TEXT ")?, load),
            Format::Json => json(serde_json::from_str(said.strip_prefix("JSON ")?).ok()?, load),
        }),
    };
    if let Some(whole) = whole {
        headers.insert(METRICS, whole);
    }
}

/// The numbers that ORCA has no field for.
fn named(load: &Snapshot) -> [(&'static str, u32); 4] {
    [
        ("tidegate.in_flight", load.running),
        ("tidegate.queued", load.waiting),
        ("tidegate.limit", load.limit),
        ("tidegate.queue_capacity", load.queue_capacity),
    ]
}

/// Requests here, for each that may run at once; to the thousandth.
fn utilization(load: &Snapshot) -> Option<f64> {
    let here = f64::from(load.running) + f64::from(load.waiting);
    (load.limit > 0).then(|| (1000.0 * here / f64::from(load.limit)).round() / 1000.0)
}

fn text(said: &str, load: &Snapshot) -> Option<HeaderValue> {
    let mut parts: Vec<String> = said.split(',').map(|part| part.trim().to_owned()).collect();
    parts.retain(|part| !part.is_empty());
    let knows = parts.iter().any(|part| part.starts_with(UTILIZATION));
    parts.extend(utilization(load).filter(|_| !knows).map(|part| format!("{UTILIZATION}={part}")));
    parts.extend(named(load).map(|(name, number)| format!("{NAMED}.{name}={number}")));
    HeaderValue::try_from(format!("TEXT {}", parts.join(", "))).ok()
}

fn json(mut said: Map<String, Value>, load: &Snapshot) -> Option<HeaderValue> {
    if let Some(utilization) = utilization(load) {
        said.entry(UTILIZATION).or_insert(utilization.into());
    }
    if let Value::Object(metrics) = said.entry(NAMED).or_insert_with(|| Map::new().into()) {
        metrics.extend(named(load).map(|(name, number)| (name.to_owned(), number.into())));
    }
    // JSON that was read may hold, escaped, what a header may not.
    HeaderValue::try_from(format!("JSON {}", Value::Object(said))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(running: u32, waiting: u32, limit: u32) -> Snapshot {
        Snapshot { running, waiting, limit, queue_capacity: 100, ..Snapshot::default() }
    }

    fn reported(format: Format, upstream: Option<&str>, load: &Snapshot) -> String {
        let mut headers: Fields = upstream.map(|said| (METRICS, said)).into_iter().collect();
        report(&mut headers, format, load);
        assert_eq!(headers.get_all(METRICS).count(), 1);
        String::from_utf8(headers.get(METRICS).unwrap().to_vec()).unwrap()
    }

    const OWN: &str = "named_metrics.tidegate.in_flight=2, named_metrics.tidegate.queued=1, \
         named_metrics.tidegate.limit=8, named_metrics.tidegate.queue_capacity=100";

    #[test]
    fn text_is_added_to() {
        let load = load(2, 1, 8);
        let with = |said| reported(Format::Text, said, &load);
        assert_eq!(with(None), format!("TEXT application_utilization=0.375, {OWN}"));
        assert_eq!(
            with(Some("TEXT named_metrics.kv_cache_usage_perc=0.4,cpu_utilization=0.1")),
            format!(
                "TEXT named_metrics.kv_cache_usage_perc=0.4, cpu_utilization=0.1, \
                 application_utilization=0.375, {OWN}"
            )
        );
        let said = "TEXT application_utilization=0.9";
        assert_eq!(with(Some(said)), format!("{said}, {OWN}"));
        for other in ["JSON {}", "BIN AAAA", "a=b", ""] {
            assert_eq!(with(Some(other)), other);
        }
    }

    #[test]
    fn json_is_added_to() {
        let load = load(2, 1, 8);
        let with = |said: Option<&str>| {
            let value = reported(Format::Json, said, &load);
            serde_json::from_str::<Value>(value.strip_prefix("JSON ").unwrap()).unwrap()
        };
        let own = serde_json::json!({
            "tidegate.in_flight": 2, "tidegate.queued": 1, "tidegate.limit": 8,
            "tidegate.queue_capacity": 100
        });
        let alone = with(None);
        assert_eq!(
            (&alone["application_utilization"], &alone["named_metrics"]),
            (&0.375.into(), &own)
        );
        let both = with(Some(r#"JSON {"named_metrics":{"a":1.5},"application_utilization":0.9}"#));
        assert_eq!(both["named_metrics"]["a"], 1.5);
        assert_eq!(both["named_metrics"]["tidegate.limit"], 8);
        assert_eq!(both["application_utilization"], 0.9);
        for other in ["TEXT a=b", "JSON {", "JSON []", r#"JSON {"a":"\u007f"}"#] {
            assert_eq!(reported(Format::Json, Some(other), &load), other);
        }
    }

    #[test]
    fn what_one_says_another_reads() {
        let mut headers = Fields::default();
        assert_eq!(read(&headers), None);
        report(&mut headers, Format::Text, &load(2, 1, 8));
        assert_eq!(read(&headers), Some(Load { held: 3, limit: 8 }));
        for (said, expected) in [
            ("TEXT named_metrics.tidegate.limit=5", Some(Load { held: 3, limit: 8 })),
            ("TEXT named_metrics.tidegate.in_flight=x", Some(Load { held: 3, limit: 8 })),
        ] {
            let mut headers = Fields::default();
            headers.insert(METRICS, said);
            assert_eq!(read(&headers), None, "a model alone is not believed");
            report(&mut headers, Format::Text, &load(2, 1, 8));
            assert_eq!(read(&headers), expected);
        }
    }

    #[test]
    fn only_a_trusted_hop_is_told() {
        for trusted in [true, false] {
            let mut headers = Fields::default();
            assert!(!ask(&mut headers));
            assert_eq!(asked(&mut headers, trusted), trusted.then_some(Format::Text));
            assert!(!ask(&mut headers) || trusted, "the first hop's wish goes on if it is trusted");
        }
    }

    #[test]
    fn nothing_is_divided_by_no_limit() {
        assert!(reported(Format::Text, None, &load(0, 3, 0)).starts_with("TEXT named_metrics."));
    }

    #[test]
    fn only_trusted_hops_ask() {
        for (said, expected) in [
            ("text", Some(Format::Text)),
            ("TEXT", Some(Format::Text)),
            ("Json", Some(Format::Json)),
            ("bin", None),
            ("", None),
        ] {
            let mut headers: Fields = [(FORMAT, said)].into_iter().collect();
            assert_eq!(asked(&mut headers, true), expected);
            assert!(headers.contains(FORMAT), "the upstream may know more");
            assert_eq!(asked(&mut headers, false), None);
            assert!(!headers.contains(FORMAT));
        }
    }
}
