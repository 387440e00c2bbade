//! What a Prometheus has last scraped of pods, as the pods' own pages would say it. Pure.
//!
//! The raw samples of a range have the times at which they were scraped; an instant query's have that
//! of the query, and a counter that has not been scraped again would look as if it stood still.

use super::Answer;
use crate::policy::observation::Gap;
use crate::sample;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use tidegate_api::names::{label, metric};

/// How far back is looked. Who is scraped less often than twice in this time is lost now and then.
const RANGE: &str = "1m";

/// The labels that the page is read by.
const LABELS: [&str; 3] = [label::API, label::CODE, label::LE];

/// What one pod said at one scrape.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Page {
    /// When, in seconds since the Unix epoch by Prometheus' clock.
    pub(crate) at: f64,
    /// The series that are needed, in the text format.
    pub(crate) text: String,
}

/// The query for all sidecars of a namespace, or of all.
pub(crate) fn sidecars(namespace: Option<&str>) -> String {
    let namespace = namespace.map(|name| format!(",namespace=\"{name}\"")).unwrap_or_default();
    // Of other pods, too, there are series of a process.
    let ours = sample::REPLICA.into_iter().filter(|name| name.starts_with("tidegate_"));
    let names = ours.collect::<Vec<_>>().join("|");
    format!("{{__name__=~\"{names}\",pod!=\"\",{}=\"\"{namespace}}}[{RANGE}]", label::API)
}

/// The query for these gateways, each as namespace and name; nothing where there are none.
pub(crate) fn gateways<'a>(ids: impl Iterator<Item = &'a str>) -> Option<String> {
    let (mut namespaces, mut pods) = (BTreeSet::new(), BTreeSet::new());
    for (namespace, pod) in ids.filter_map(|id| id.split_once('/')) {
        namespaces.insert(namespace);
        // The only letter of a pod's name that means something else in an expression.
        pods.insert(pod.replace('.', "\\\\."));
    }
    let any = |all: Vec<String>| all.join("|");
    // One that has no API yet says no more than what it is.
    let names = [&[metric::BUILD_INFO], &sample::GATEWAY[..]].concat().join("|");
    let namespaces = any(namespaces.into_iter().map(str::to_owned).collect());
    let pods = any(pods.into_iter().collect());
    let range =
        format!("{{__name__=~\"{names}\",namespace=~\"{namespaces}\",pod=~\"{pods}\"}}[{RANGE}]");
    (!pods.is_empty()).then_some(range)
}

/// The last page of each pod, by namespace and name.
pub(crate) fn pages(answer: &[u8]) -> Result<BTreeMap<String, Page>, Gap> {
    let answer: Answer = serde_json::from_slice(answer).map_err(|_| Gap::Unreachable)?;
    if answer.status != "success" {
        return Err(Gap::Refused);
    }
    let data = answer.data.filter(|data| data.kind == "matrix").ok_or(Gap::Unreachable)?;
    let all: Vec<Range> = serde_json::from_value(data.result).map_err(|_| Gap::Unreachable)?;
    let mut pages: BTreeMap<String, Page> = BTreeMap::new();
    for range in all {
        let Some((at, value)) = range.values.last() else { continue };
        let of = |name: &str| range.metric.get(name).map(String::as_str);
        let (Some(name), Some(namespace), Some(pod)) = (of("__name__"), of("namespace"), of("pod"))
        else {
            continue;
        };
        let page = pages
            .entry(format!("{namespace}/{pod}"))
            .or_insert_with(|| Page { at: *at, text: String::new() });
        // A series that was not there at the last scrape has ended.
        if *at < page.at {
            continue;
        }
        if *at > page.at {
            *page = Page { at: *at, text: String::new() };
        }
        let labels = LABELS.into_iter().filter_map(|label| Some((label, of(label)?)));
        let labels: Vec<String> =
            labels.map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
        // Writing to a string can't fail.
        writeln!(page.text, "{name}{{{}}} {value}", labels.join(",")).ok();
    }
    Ok(pages)
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// A series and its samples: when, and the number as text.
#[derive(Deserialize)]
struct Range {
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn series(name: &str, labels: Value, values: Value) -> Value {
        let mut metric = json!({"__name__": name, "namespace": "n", "instance": "x:1"});
        metric.as_object_mut().unwrap().extend(labels.as_object().unwrap().clone());
        json!({"metric": metric, "values": values})
    }

    fn answer(result: &[Value]) -> Vec<u8> {
        json!({"status": "success", "data": {"resultType": "matrix", "result": result}})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn a_pods_last_scrape_is_read_as_its_own_page_is() {
        let pod = json!({"pod": "a-1"});
        let of = |name: &str, old: &str, new: &str| {
            series(name, pod.clone(), json!([[100.5, old], [115.5, new]]))
        };
        let all = [
            of(metric::CONCURRENCY_SECONDS, "9", "12.5"),
            of(metric::QUEUE_SECONDS, "0", "1.5"),
            of(metric::REQUESTS_IN_FLIGHT, "1", "2"),
            of(metric::REQUESTS_QUEUED, "1", "3"),
            // It was not there any more.
            series(metric::DRAINING, pod.clone(), json!([[100.5, "1"]])),
            series(metric::QUEUE_SECONDS, json!({"pod": "b-1"}), json!([[110.0, "NaN"]])),
        ];
        let pages = pages(&answer(&all)).unwrap();
        assert_eq!((pages.len(), pages["n/a-1"].at), (2, 115.5));
        let sample = sample::replica(&pages["n/a-1"].text).unwrap();
        assert_eq!((sample.request_seconds, sample.in_flight, sample.queued), (14.0, 2, 3));
        assert!(!sample.draining);
        assert!(sample::replica(&pages["n/b-1"].text).is_err(), "it is no number");
    }

    #[test]
    fn a_gateways_series_keep_what_tells_them_apart() {
        let of = |name: &str, labels: Value, value: &str| {
            let mut all = json!({"pod": "g", "api": "n/a\"b"});
            all.as_object_mut().unwrap().extend(labels.as_object().unwrap().clone());
            series(name, all, json!([[1.0, value]]))
        };
        let all = [
            of(metric::REQUESTS_QUEUED, json!({}), "4"),
            of(metric::REQUESTS, json!({"code": "200", "reason": ""}), "7"),
            of(metric::REQUESTS, json!({"code": "500", "reason": ""}), "2"),
            of(metric::VERSION_DURATION_SECONDS_BUCKET, json!({"le": "+Inf"}), "9"),
        ];
        let pages = pages(&answer(&all)).unwrap();
        let sample = sample::gateway(&pages["n/g"].text).unwrap();
        let queue = sample.queues["n/a\"b"];
        assert_eq!((queue.queued, queue.ended), (4, 9.0));
        let tally = &sample.versions["n/a\"b"];
        assert_eq!((tally.well, tally.failed, tally.latency.beyond), (7.0, 2.0, 9.0));
    }

    #[test]
    fn what_is_no_answer_is_no_page() {
        for (answer, gap) in [
            (r#"{"status":"error","error":"x"}"#, Gap::Refused),
            ("<html>", Gap::Unreachable),
            (
                r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
                Gap::Unreachable,
            ),
            (
                r#"{"status":"success","data":{"resultType":"matrix","result":[1]}}"#,
                Gap::Unreachable,
            ),
        ] {
            assert_eq!(pages(answer.as_bytes()), Err(gap), "{answer}");
        }
        assert_eq!(pages(&answer(&[])), Ok(BTreeMap::new()));
    }

    #[test]
    fn the_queries_name_what_is_needed() {
        let want = "{__name__=~\"tidegate_concurrency_seconds_total|tidegate_queue_seconds_total|\
            tidegate_requests_in_flight|tidegate_requests_queued|tidegate_upstream_duration_seconds_sum|\
            tidegate_upstream_duration_seconds_count|tidegate_draining\",pod!=\"\",api=\"\",\
            namespace=\"models\"}[1m]";
        assert_eq!(sidecars(Some("models")), want);
        assert!(sidecars(None).ends_with("api=\"\"}[1m]"));
        let two = gateways(["t/g-1", "t/g.2"].into_iter()).unwrap();
        assert!(two.ends_with(r#"",namespace=~"t",pod=~"g-1|g\\.2"}[1m]"#), "{two}");
        assert_eq!(gateways(std::iter::empty()), None);
    }
}
