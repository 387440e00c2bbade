//! A decision in a sentence, with the numbers that decided it.

use super::decision::{Decision, Numbers};
use super::metric::{MetricNumbers, Scope};
use super::reason::DecisionReason as Why;
use super::slo::SloNumbers;
use super::window::Average;
use std::time::Duration;

impl Decision {
    /// The decision in a sentence, with its numbers.
    pub fn sentence(&self) -> String {
        let replicas = self.replicas;
        match self.reason {
            Why::MinReplicas => format!("{}, but {replicas} is the least", self.wanted()),
            Why::Schedule => format!("{}, but a schedule asks for {replicas}", self.wanted()),
            Why::MaxReplicas => format!("{}, but {replicas} is the most", self.wanted()),
            Why::Busy => "a request still runs or waits, so one stays".to_owned(),
            Why::Starting => "a replica is starting, so it is awaited".to_owned(),
            Why::ScaleToZeroGrace => format!("{}; one stays for the grace", self.calm()),
            Why::LastReplicaRetention => {
                format!("{}; the last request was not long ago", self.calm())
            }
            Why::Idle => format!("{}, and nothing runs or waits", self.calm()),
            _ => self.wanted(),
        }
    }

    /// What the rule wanted, and from what.
    fn wanted(&self) -> String {
        let (raw, current, ready) = (self.raw, self.facts.current, self.facts.ready);
        let (calm, hasty) = (self.calm(), self.hasty());
        let target = target(&self.facts.numbers);
        match self.cause {
            Why::Wake => {
                let held = self.facts.held;
                format!("{held} held and none ready, at {target}: {raw}")
            }
            Why::Burst => self.burst(),
            Why::ScaleUpRate => {
                format!("{hasty} at {target}, but one step from {ready} ready goes to {raw}")
            }
            Why::ScaleDownRate => {
                format!("{calm} at {target}, but one step from {ready} ready goes to {raw}")
            }
            Why::ScaleUpDelay => {
                format!("{calm} at {target}, but fewer were enough within the delay: {raw}")
            }
            Why::ScaleDownDelay => {
                format!("{calm} at {target}, but more were needed within the delay: {raw}")
            }
            Why::BreakEven => format!(
                "{calm}, but {raw} stay: to bring one back costs more than to keep it for {}",
                self.kept()
            ),
            Why::Forecast => format!("{calm}, and more when one started now is ready: {raw}"),
            Why::Backlog => format!("{calm}, and {} wait: {raw}", self.facts.held),
            Why::Objective => format!("{calm}: {raw}"),
            Why::Tolerance => format!("{calm} at {target}, near enough to what {raw} are for"),
            Why::NoSamples => match self.facts.numbers {
                Numbers::Metric(_) => format!("{calm}, so {current} stay"),
                _ => format!("no sample says what the load is, so {current} stay"),
            },
            Why::IncompleteSamples => {
                format!("{calm}, but a source was not read lately, so {current} stay")
            }
            Why::ShortHistory => {
                format!("{calm}, but less than half of that is known, so {current} stay")
            }
            Why::Restart => {
                format!("{calm}, but not for a whole window since a restart, so {current} stay")
            }
            _ => format!("{calm} at {target}: {raw}"),
        }
    }

    /// A burst wants what its window asks for now, or what it asked for earlier.
    fn burst(&self) -> String {
        let (raw, ready) = (self.raw, self.facts.ready);
        let (hasty, target) = (self.hasty(), target(&self.facts.numbers));
        let until = match self.facts.numbers {
            Numbers::Concurrency { stable: (_, length), .. } => seconds(length),
            Numbers::Window { .. } | Numbers::Slo(_) | Numbers::Metric(_) => String::new(),
        };
        format!(
            "a burst has asked for {raw} (now {hasty} at {target} with {ready} ready); \
             none go until it has been calm for {until}"
        )
    }

    /// The load over the window that decides in calm.
    fn calm(&self) -> String {
        match self.facts.numbers {
            Numbers::Concurrency { stable: window, .. }
            | Numbers::Window { average: window, .. } => load(window),
            Numbers::Slo(slo) => predicted(&slo),
            Numbers::Metric(metric) => reading(&metric),
        }
    }

    /// How long the `slo` rule keeps what it does not need.
    fn kept(&self) -> String {
        match self.facts.numbers {
            Numbers::Slo(slo) => {
                seconds(Duration::try_from_secs_f64(slo.kept_seconds).unwrap_or_default())
            }
            _ => String::new(),
        }
    }

    /// The load over the window that decides in a burst.
    fn hasty(&self) -> String {
        match self.facts.numbers {
            Numbers::Concurrency { panic, panicking: true, .. } => load(panic),
            _ => self.calm(),
        }
    }
}

fn target(numbers: &Numbers) -> String {
    match numbers {
        Numbers::Concurrency { target, .. } | Numbers::Window { target, .. } => {
            format!("{target:.2} a replica")
        }
        Numbers::Slo(slo) => format!("{} at once a replica", slo.per_replica),
        Numbers::Metric(metric) => format!("{:.2} a replica", metric.target),
    }
}

/// The metric's value, or what is wrong with it.
fn reading(metric: &MetricNumbers) -> String {
    match (metric.reading, metric.gap, metric.scope) {
        (Some(reading), _, Scope::Total) => format!("the metric is {:.2}", reading.value),
        (Some(reading), _, Scope::Replica) => {
            let (value, replicas) = (reading.value, reading.replicas);
            format!("the metric is {value:.2} on average over {replicas}")
        }
        (None, Some(gap), _) => format!("the metric {}", gap.what()),
        (None, None, _) => "the metric is unknown".to_owned(),
    }
}

/// What the `slo` rule expects, and the share that is late with the replicas it wants.
fn predicted(slo: &SloNumbers) -> String {
    if !slo.known {
        return "no sample in 60 s".to_owned();
    }
    let (rate, service, late) = (slo.expected.now, slo.service, slo.late * 100.0);
    format!("{rate:.2} requests a second of {service:.3} s each, {late:.2} % late")
}

fn load((average, length): (Option<Average>, Duration)) -> String {
    match average {
        Some(average) => format!("{:.2} in flight over {}", average.value, seconds(length)),
        None => format!("no sample in {}", seconds(length)),
    }
}

fn seconds(length: Duration) -> String {
    format!("{} s", (length.as_secs_f64() * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::decision::Facts;

    fn decision(reason: Why, cause: Why, replicas: u32, raw: u32) -> Decision {
        let numbers = Numbers::Concurrency {
            target: 1.4,
            stable: (Some(Average { value: 2.8, filled: 1.0 }), Duration::from_secs(60)),
            panic: (Some(Average { value: 0.34, filled: 1.0 }), Duration::from_secs(2)),
            panicking: cause == Why::Burst,
            burst_most: raw,
        };
        let facts = Facts { current: 1, ready: 0, starting: 1, running: 0, held: 60, numbers };
        Decision { replicas, raw, reason, cause, facts, steps: Vec::new() }
    }

    #[test]
    fn a_sentence_has_the_numbers_that_decided() {
        for (reason, cause, replicas, raw, sentence) in [
            (
                Why::StableWindow,
                Why::StableWindow,
                2,
                2,
                "2.80 in flight over 60 s at 1.40 a replica: 2",
            ),
            // A wake that the most cuts: what is held decided, not what a window has seen of it.
            (
                Why::MaxReplicas,
                Why::Wake,
                4,
                43,
                "60 held and none ready, at 1.40 a replica: 43, but 4 is the most",
            ),
            (
                Why::MaxReplicas,
                Why::Burst,
                4,
                43,
                "a burst has asked for 43 (now 0.34 in flight over 2 s at 1.40 a replica with 0 \
                 ready); none go until it has been calm for 60 s, but 4 is the most",
            ),
            (
                Why::Tolerance,
                Why::Tolerance,
                2,
                2,
                "2.80 in flight over 60 s at 1.40 a replica, near enough to what 2 are for",
            ),
            (Why::Busy, Why::StableWindow, 1, 0, "a request still runs or waits, so one stays"),
        ] {
            assert_eq!(decision(reason, cause, replicas, raw).sentence(), sentence);
        }
    }
}
