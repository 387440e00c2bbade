//! Prometheus text to the few numbers that a decision needs. Pure.
//!
//! `series` reads the format, `pod` finds the one series that the `metric` rule asks a model for.
//! A sidecar's series have no `api` label, a gateway's have one. Lines with other names are passed
//! over, whatever they look like; a number that is not finite, or a needed series that is missing,
//! makes the whole sample worthless.

mod pod;
mod series;
mod version;

pub(crate) use pod::pod;

use crate::policy::rollout::Tally;
use series::Series;
use std::borrow::Cow;
use std::collections::BTreeMap;
use tidegate_api::names::{label, metric};
use version::Versions;

/// What a sidecar says of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReplicaSample {
    /// Integral over time of requests running or waiting, in request-seconds.
    pub request_seconds: f64,
    /// Requests that the model has finished.
    pub completions: f64,
    /// Seconds that those took at the model.
    pub service_seconds: f64,
    /// Requests running at the model now.
    pub in_flight: u32,
    /// Requests waiting now.
    pub queued: u32,
    /// Whether it drains.
    pub draining: bool,
    /// Resident memory in bytes, where it says so.
    pub resident_bytes: Option<u64>,
}

/// What a gateway says, by API.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GatewaySample {
    /// Of the requests it has handed to no replica yet.
    pub queues: BTreeMap<String, QueueSample>,
    /// Of those that have ended.
    pub versions: BTreeMap<String, Tally>,
}

/// What a gateway says of the requests it has handed to no replica yet.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct QueueSample {
    /// Integral over time of requests waiting, in request-seconds.
    pub request_seconds: f64,
    /// Requests waiting now.
    pub queued: u32,
    /// Requests handed to a replica and not ended yet.
    pub in_flight: u32,
    /// Requests that have ended, however.
    pub ended: f64,
}

/// Why a text is no sample.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// A series that is always there is missing: another program answers at this address.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// More than one series fits where one is needed.
    #[error("several series fit; give labels that only one of them has")]
    Several,
    /// No series fits.
    #[error("no series fits")]
    NoSeries,
    /// A value that can't be a measurement.
    #[error("{name} is {value:?}, which is no finite number from 0 up")]
    Value {
        /// The metric.
        name: String,
        /// What was there.
        value: String,
    },
}

/// Reads a sidecar's metrics.
pub fn replica(text: &str) -> Result<ReplicaSample, SampleError> {
    let mut sums = [None; REPLICA.len()];
    for series in text.lines().filter_map(|line| Series::among(line, &REPLICA)) {
        let sum = REPLICA.iter().zip(&mut sums).find(|(name, _)| **name == series.name);
        if let Some((_, sum)) = sum.filter(|_| series.label(label::API).is_none()) {
            *sum = Some(sum.unwrap_or(0.0) + series.number()?);
        }
    }
    let sum = |name: &str| REPLICA.iter().zip(sums).find(|(of, _)| **of == name)?.1;
    let need = |name: &'static str| sum(name).ok_or(SampleError::Missing(name));
    let known = |name: &'static str| sum(name).unwrap_or_default();
    Ok(ReplicaSample {
        request_seconds: need(metric::CONCURRENCY_SECONDS)? + need(metric::QUEUE_SECONDS)?,
        completions: known(metric::UPSTREAM_DURATION_SECONDS_COUNT),
        service_seconds: known(metric::UPSTREAM_DURATION_SECONDS_SUM),
        in_flight: need(metric::REQUESTS_IN_FLIGHT)? as u32,
        queued: need(metric::REQUESTS_QUEUED)? as u32,
        draining: known(metric::DRAINING) > 0.0,
        resident_bytes: sum(metric::PROCESS_RESIDENT_MEMORY_BYTES).map(|bytes| bytes as u64),
    })
}

/// Reads a gateway's metrics: of each API it knows.
pub fn gateway(text: &str) -> Result<GatewaySample, SampleError> {
    let mut queues: BTreeMap<String, QueueSample> = BTreeMap::new();
    let mut versions = Versions::default();
    for series in text.lines().filter_map(|line| Series::among(line, &GATEWAY)) {
        let Some(api) = series.label(label::API).map(Cow::into_owned) else { continue };
        versions.take(&api, &series)?;
        match series.name {
            metric::QUEUE_SECONDS => {
                queues.entry(api).or_default().request_seconds += series.number()?;
            }
            metric::REQUESTS_QUEUED => {
                queues.entry(api).or_default().queued += series.number()? as u32;
            }
            metric::REQUESTS_IN_FLIGHT => {
                queues.entry(api).or_default().in_flight += series.number()? as u32;
            }
            metric::REQUESTS => {
                queues.entry(api).or_default().ended += series.number()?;
            }
            _ => {}
        }
    }
    Ok(GatewaySample { queues, versions: versions.tallies() })
}

/// The names a gateway's sample is made of.
pub(crate) const GATEWAY: [&str; 5] = [
    metric::QUEUE_SECONDS,
    metric::REQUESTS_QUEUED,
    metric::REQUESTS_IN_FLIGHT,
    metric::REQUESTS,
    metric::VERSION_DURATION_SECONDS_BUCKET,
];

/// The names a sidecar's sample is made of.
pub(crate) const REPLICA: [&str; 8] = [
    metric::CONCURRENCY_SECONDS,
    metric::QUEUE_SECONDS,
    metric::REQUESTS_IN_FLIGHT,
    metric::REQUESTS_QUEUED,
    metric::UPSTREAM_DURATION_SECONDS_SUM,
    metric::UPSTREAM_DURATION_SECONDS_COUNT,
    metric::DRAINING,
    metric::PROCESS_RESIDENT_MEMORY_BYTES,
];

#[cfg(test)]
mod tests {
    use super::*;

    const SIDECAR: &str = "\
# HELP tidegate_concurrency_seconds_total Requests running.
# TYPE tidegate_concurrency_seconds_total counter
tidegate_concurrency_seconds_total 12.5
tidegate_queue_seconds_total 0.25
tidegate_requests_in_flight 2
tidegate_requests_queued 1 1700000000000
tidegate_requests_total{code=\"200\",reason=\"\"} 40
tidegate_upstream_duration_seconds_bucket{le=\"+Inf\"} NaN
tidegate_upstream_duration_seconds_sum 8.5
tidegate_upstream_duration_seconds_count 40
tidegate_draining 0
process_resident_memory_bytes 4.194304e+06
";

    #[test]
    fn a_sidecar_counts_what_runs_and_what_waits() {
        assert_eq!(
            replica(SIDECAR),
            Ok(ReplicaSample {
                request_seconds: 12.75,
                completions: 40.0,
                service_seconds: 8.5,
                in_flight: 2,
                queued: 1,
                draining: false,
                resident_bytes: Some(4_194_304),
            })
        );
    }

    #[test]
    fn a_gateway_counts_only_its_queue_and_by_api() {
        let text = r#"
tidegate_concurrency_seconds_total{api="digits"} 900
tidegate_queue_seconds_total{api="digits"} 3.5
tidegate_requests_queued{ api = "digits" , zone="a}b" } 4
tidegate_requests_in_flight{api="digits"} 2
tidegate_requests_total{api="digits",code="200",reason=""} 30
tidegate_requests_total{api="digits",code="503",reason="queue-full"} 5
tidegate_queue_seconds_total{zone="x",api="a\"b\\c\nd"} 1
tidegate_queue_seconds_total 77
"#;
        let queues = gateway(text).unwrap().queues;
        assert_eq!(
            queues["digits"],
            QueueSample { request_seconds: 3.5, queued: 4, in_flight: 2, ended: 35.0 }
        );
        assert_eq!(queues["a\"b\\c\nd"].request_seconds, 1.0);
        assert_eq!(queues.len(), 2);
    }

    #[test]
    fn what_can_not_be_measured_is_refused() {
        for bad in ["NaN", "+Inf", "-Inf", "-1", "many"] {
            let text = SIDECAR.replace("_in_flight 2", &format!("_in_flight {bad}"));
            let error = replica(&text).unwrap_err();
            assert!(matches!(&error, SampleError::Value { value, .. } if value == bad), "{error}");
        }
    }

    #[test]
    fn another_program_is_no_sidecar() {
        let gateway = SIDECAR.replace("_total 12.5", "_total{api=\"digits\"} 12.5");
        for text in ["", "<html>busy</html>", "go_goroutines 8", gateway.as_str()] {
            assert_eq!(replica(text), Err(SampleError::Missing(metric::CONCURRENCY_SECONDS)));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC*|([a-z_]{1,9}(\\{[a-z=\",\\\\]*\\}?)? ?[0-9e.]*\n){0,9}") {
            replica(&text).ok();
            gateway(&text).ok();
        }
    }
}
