//! A decision as JSON: the answer, the reason, and each step's input and output.

use crate::policy::decision::{Decision, Numbers};
use crate::policy::observation::Gap;
use crate::policy::window::Average;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The decision for a line of `at` seconds.
pub(crate) fn decision(at: f64, decision: &Decision, ignored: &[String]) -> Value {
    let mut explain = Map::new();
    explain.insert("numbers".to_owned(), numbers(decision));
    for step in &decision.steps {
        explain.insert(step.stage.code().to_owned(), json!({ "in": step.from, "out": step.to }));
    }
    let mut answer = json!({
        "at": at,
        "replicas": decision.replicas,
        "raw": decision.raw,
        "reason": decision.reason.code(),
        "cause": decision.cause.code(),
        "panicking": decision.facts.numbers.is_panicking(),
        "detail": decision.sentence(),
        "explain": explain,
    });
    if let (false, Some(answer)) = (ignored.is_empty(), answer.as_object_mut()) {
        answer.insert("ignored".to_owned(), json!(ignored));
    }
    answer
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
