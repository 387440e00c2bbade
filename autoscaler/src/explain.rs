//! A decision as JSON: the answer, the reason, and each step's input and output.

use crate::policy::decision::{Decision, Numbers};
use crate::policy::observation::Gap;
use crate::policy::window::Average;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};
use std::time::Duration;

/// The decision for a line of `at` seconds.
#[derive(serde::Serialize)]
pub(crate) struct Answer<'a> {
    at: f64,
    replicas: u32,
    raw: u32,
    reason: &'static str,
    cause: &'static str,
    panicking: bool,
    detail: String,
    explain: Steps<'a>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    ignored: &'a [String],
}

/// Each step, in the order in which they were taken, and what the rule looked at.
struct Steps<'a>(&'a Decision);

impl<'a> Answer<'a> {
    pub(crate) fn new(at: f64, decision: &'a Decision, ignored: &'a [String]) -> Self {
        Self {
            at,
            replicas: decision.replicas,
            raw: decision.raw,
            reason: decision.reason.code(),
            cause: decision.cause.code(),
            panicking: decision.facts.numbers.is_panicking(),
            detail: decision.sentence(),
            explain: Steps(decision),
            ignored,
        }
    }
}

impl Serialize for Steps<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.steps.len() + 1))?;
        for step in &self.0.steps {
            let (of, to) = (step.from, step.to);
            map.serialize_entry(step.stage.code(), &json!({ "in": of, "out": to }))?;
        }
        map.serialize_entry("numbers", &numbers(self.0))?;
        map.end()
    }
}

/// What the rule looked at.
fn numbers(decision: &Decision) -> Value {
    let facts = &decision.facts;
    let mut all = json!({
        "current": facts.current,
        "ready": facts.ready,
        "starting": facts.starting,
        "running": facts.running,
        "held": facts.held,
    });
    let own = match facts.numbers {
        Numbers::Concurrency { target, stable, panic, burst_most, .. } => json!({
            "target": target,
            "stable": window(stable),
            "panic": window(panic),
            "burst_most": burst_most,
        }),
        Numbers::Window { target, average } => {
            json!({ "target": target, "window": window(average) })
        }
        Numbers::Metric(metric) => json!({
            "target": metric.target,
            "metric": metric.reading.map(|reading| reading.value),
            "gap": metric.gap.map(Gap::what),
        }),
        Numbers::Slo(slo) => json!({
            "arrivals_per_second": slo.expected.now,
            "arrivals_per_second_soon": slo.expected.soon,
            "arrivals_per_second_most": slo.expected.most,
            "arrivals_per_second_season": slo.expected.season,
            "period_seconds": slo.period,
            "service_seconds": slo.service,
            "service_variation": slo.service_variation,
            "peakedness": slo.peakedness,
            "cold_start_seconds": slo.cold_start,
            "per_replica": slo.per_replica,
            "late_predicted": slo.late,
            "late_allowed": slo.late_allowed,
            "late_seen": slo.late_seen,
            "kept_seconds": slo.kept_seconds,
        }),
    };
    if let (Some(all), Value::Object(own)) = (all.as_object_mut(), own) {
        all.extend(own);
    }
    all
}

/// An average with how much of its window is known; the average is `null` where nothing is.
fn window((average, length): (Option<Average>, Duration)) -> Value {
    json!({
        "average": average.map(|average| average.value),
        "filled": average.map_or(0.0, |average| average.filled),
        "seconds": length.as_secs_f64(),
    })
}
