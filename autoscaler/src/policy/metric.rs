//! The `metric` rule: a number from elsewhere, divided by what a replica takes of it.
//!
//! In order: demand → tolerance → hold → certainty. It is the arithmetic of Kubernetes' own
//! autoscaler, which adds its tolerance and its delay.
//!
//! A reading that is missing or too old is neither zero nor forgotten: the scale stays, with the
//! reason. The last reading counts on for growth while it is young enough, but nothing shrinks by
//! it once a later one failed. Requests held while nothing is ready wake as many replicas as run
//! them at once.

use super::decision::{Numbers, Stage, Step};
use super::hold::Hold;
use super::observation::{Gap, Observation, Reading, is_load};
use super::reason::DecisionReason;
use super::rule::{Rule, Wish};
use super::snapshot::Snapshot;
use std::time::Duration;

/// Forgives what floating point adds before rounding up.
const ROUNDING: f64 = 1e-9;

/// The least a replica can be meant for; below it a division would ask for absurd numbers.
const LEAST_TARGET: f64 = 1e-9;

/// What a reading is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All replicas together.
    Total,
    /// One replica, on average over those that are ready.
    Replica,
}

/// Settings of one API.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricSettings {
    /// What a reading is of.
    pub scope: Scope,
    /// How much one replica takes.
    pub target: f64,
    /// The dead band around what the present replicas are meant for, as a share.
    pub tolerance: f64,
    /// How long fewer replicas must have been enough before some go.
    pub scale_down_delay: Duration,
    /// How old a reading may be to count.
    pub stale_after: Duration,
    /// Requests that one replica runs at once, at least 1.
    pub per_replica: u32,
}

/// What the rule looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricNumbers {
    /// What the reading is of.
    pub scope: Scope,
    /// How much one replica takes.
    pub target: f64,
    /// The reading, where there is one that counts.
    pub reading: Option<Reading>,
    /// What was wrong with the last one.
    pub gap: Option<Gap>,
}

/// The rule and what it remembers.
#[derive(Debug, Clone)]
pub struct Metric {
    settings: MetricSettings,
    hold: Hold,
}

impl Metric {
    /// The rule of an autoscaler that begins at `now` while `current` replicas run: they were
    /// wanted a moment ago, for all it knows.
    pub fn begin(settings: MetricSettings, current: u32, now: Duration) -> Self {
        let mut hold = Hold::new(settings.scale_down_delay);
        hold.record(current, now);
        Self {
            settings: MetricSettings { target: settings.target.max(LEAST_TARGET), ..settings },
            hold,
        }
    }

    /// The reading that counts, or what stands in its place.
    fn read(&self, seen: &Observation, now: Duration) -> Result<Reading, Gap> {
        let Some(reading) = seen.metric.reading else {
            return Err(seen.metric.gap.unwrap_or(Gap::NotRead));
        };
        if now.saturating_sub(reading.at) > self.settings.stale_after {
            Err(seen.metric.gap.unwrap_or(Gap::Stale))
        } else if is_load(reading.value) {
            Ok(reading)
        } else {
            Err(Gap::NotANumber)
        }
    }

    /// Replicas for a reading, before rounding.
    fn needed(&self, reading: Reading) -> f64 {
        let all = match self.settings.scope {
            Scope::Total => reading.value,
            // Not by those that are ready now: some came since, and took their share over.
            Scope::Replica => reading.value * f64::from(reading.replicas),
        };
        all / self.settings.target
    }

    /// Whether the last reading was whole and nothing failed since.
    fn is_certain(seen: &Observation) -> bool {
        seen.metric.gap.is_none() && seen.metric.reading.is_some_and(|reading| reading.complete)
    }

    fn recommend(
        &mut self,
        reading: Reading,
        seen: &Observation,
        now: Duration,
        steps: &mut Vec<Step>,
    ) -> (u32, DecisionReason) {
        let needed = self.needed(reading);
        let demand = (needed - ROUNDING).ceil() as u32;
        let off = (needed / f64::from(seen.current) - 1.0).abs();
        let (tolerated, reason) = if off <= self.settings.tolerance + ROUNDING {
            (seen.current, DecisionReason::Tolerance)
        } else {
            (demand, DecisionReason::Metric)
        };
        steps.push(Step::new(Stage::Demand, demand, tolerated));
        let held = self.hold.record(tolerated, now);
        // What was wanted once is no reason to grow now.
        let held = held.min(seen.current).max(tolerated);
        steps.push(Step::new(Stage::Hold, tolerated, held));
        let reason = if held > tolerated { DecisionReason::ScaleDownDelay } else { reason };
        if held < seen.current && !Self::is_certain(seen) {
            steps.push(Step::new(Stage::Certainty, held, seen.current));
            return (seen.current, DecisionReason::IncompleteSamples);
        }
        (held, reason)
    }

    fn numbers(&self, reading: Result<Reading, Gap>, seen: &Observation) -> Numbers {
        Numbers::Metric(MetricNumbers {
            scope: self.settings.scope,
            target: self.settings.target,
            reading: reading.ok(),
            gap: reading.err().or(seen.metric.gap),
        })
    }
}

impl Rule for Metric {
    fn wish(&mut self, seen: &Observation, now: Duration) -> Wish {
        let reading = self.read(seen, now);
        let mut steps = Vec::new();
        let (replicas, reason) = match reading {
            Ok(reading) => self.recommend(reading, seen, now, &mut steps),
            Err(_) => (seen.current, DecisionReason::NoSamples),
        };
        Wish { replicas, reason, numbers: self.numbers(reading, seen), steps }
    }

    /// The delay then holds it.
    fn wake(&mut self, seen: &Observation, now: Duration) -> Wish {
        let reading = self.read(seen, now);
        let needed = reading.map_or(0.0, |reading| self.needed(reading));
        let demand = (needed - ROUNDING).ceil() as u32;
        let held = seen.held.div_ceil(self.settings.per_replica.max(1)).max(1);
        let replicas = demand.max(held).max(seen.current);
        self.hold.record(replicas, now);
        let steps = vec![Step::new(Stage::Demand, demand, replicas)];
        let numbers = self.numbers(reading, seen);
        Wish { replicas, reason: DecisionReason::Wake, numbers, steps }
    }

    fn save(&self, to: &mut Snapshot, now: Duration) {
        self.hold.save("metric.hold", to, now);
    }

    fn load(&mut self, from: &Snapshot, taken: Duration) {
        self.hold.load("metric.hold", from, taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::observation::MetricSeen;

    const SETTINGS: MetricSettings = MetricSettings {
        scope: Scope::Total,
        target: 10.0,
        tolerance: 0.1,
        scale_down_delay: Duration::ZERO,
        stale_after: Duration::from_secs(60),
        per_replica: 4,
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// `value` read at 100 s, with so many replicas asked for and ready.
    fn seen(value: f64, current: u32, ready: u32) -> Observation {
        let reading = Some(Reading { value, replicas: ready, at: at(100), complete: true });
        let metric = MetricSeen { reading, gap: None };
        Observation { current, ready, metric, ..Observation::default() }
    }

    fn wish(settings: MetricSettings, seen: &Observation, now: u64) -> (u32, DecisionReason) {
        let wish = Metric::begin(settings, 0, at(0)).wish(seen, at(now));
        (wish.replicas, wish.reason)
    }

    #[test]
    fn a_total_is_divided_and_an_average_is_multiplied_first() {
        use DecisionReason::{Metric, Tolerance};
        for (scope, value, current, ready, want) in [
            (Scope::Total, 0.0, 3, 3, (0, Metric)),
            (Scope::Total, 25.0, 0, 0, (3, Metric)),
            (Scope::Total, 30.0, 5, 2, (3, Metric)),
            (Scope::Total, 30.0, 3, 3, (3, Tolerance)),
            (Scope::Total, 27.0, 3, 3, (3, Tolerance)),
            (Scope::Total, 33.0, 3, 3, (3, Tolerance)),
            (Scope::Total, 33.1, 3, 3, (4, Metric)),
            (Scope::Total, 26.0, 3, 3, (3, Metric)),
            (Scope::Total, 1e300, 3, 3, (u32::MAX, Metric)),
            (Scope::Replica, 15.0, 2, 2, (3, Metric)),
            (Scope::Replica, 5.0, 4, 4, (2, Metric)),
            // Of four, two are ready: they show what there is.
            (Scope::Replica, 30.0, 4, 2, (6, Metric)),
            (Scope::Replica, 20.0, 4, 2, (4, Tolerance)),
        ] {
            let got = wish(MetricSettings { scope, ..SETTINGS }, &seen(value, current, ready), 100);
            assert_eq!(got, want, "{scope:?} {value} with {ready} of {current}");
        }
    }

    #[test]
    fn an_average_stands_for_those_it_was_taken_of() {
        let average = MetricSettings { scope: Scope::Replica, ..SETTINGS };
        let later = Observation { ready: 3, current: 3, ..seen(15.0, 2, 2) };
        assert_eq!(wish(average, &later, 101), (3, DecisionReason::Tolerance));
        let crashed = Observation { ready: 0, starting: 3, ..later };
        assert_eq!(wish(average, &crashed, 101), (3, DecisionReason::Tolerance));
    }

    #[test]
    fn what_is_missing_no_number_or_too_old_changes_nothing() {
        let good = seen(200.0, 5, 5);
        for (metric, now) in [
            (MetricSeen::default(), 100),
            (MetricSeen { reading: None, gap: Some(Gap::Several) }, 100),
            (good.metric, 161),
            (seen(f64::NAN, 5, 5).metric, 100),
            (seen(f64::INFINITY, 5, 5).metric, 100),
            (seen(-1.0, 5, 5).metric, 100),
        ] {
            let got = wish(SETTINGS, &Observation { metric, ..good }, now);
            assert_eq!(got, (5, DecisionReason::NoSamples), "{metric:?} at {now}");
        }
        assert_eq!(wish(SETTINGS, &good, 160).0, 20);
    }

    #[test]
    fn after_a_failure_the_last_reading_adds_replicas_and_takes_none_away() {
        for (value, complete, gap, want) in [
            (200.0, true, Some(Gap::Unreachable), (20, DecisionReason::Metric)),
            (10.0, true, Some(Gap::Unreachable), (5, DecisionReason::IncompleteSamples)),
            (10.0, false, None, (5, DecisionReason::IncompleteSamples)),
            (10.0, true, None, (1, DecisionReason::Metric)),
        ] {
            let reading = Some(Reading { value, replicas: 5, at: at(100), complete });
            let metric = MetricSeen { reading, gap };
            let seen = Observation { metric, ..seen(0.0, 5, 5) };
            assert_eq!(wish(SETTINGS, &seen, 100), want, "{value} {complete} {gap:?}");
        }
    }

    #[test]
    fn fewer_must_have_been_enough_for_the_delay_also_after_a_start() {
        let settings = MetricSettings { scale_down_delay: at(10), ..SETTINGS };
        let mut rule = Metric::begin(settings, 5, at(100));
        let mut ask = |value, now| {
            let mut seen = seen(value, 5, 5);
            seen.metric.reading =
                seen.metric.reading.map(|reading| Reading { at: at(now), ..reading });
            let wish = rule.wish(&seen, at(now));
            (wish.replicas, wish.reason)
        };
        assert_eq!(ask(10.0, 101), (5, DecisionReason::ScaleDownDelay));
        assert_eq!(ask(10.0, 109), (5, DecisionReason::ScaleDownDelay));
        assert_eq!(ask(30.0, 110), (3, DecisionReason::Metric));
        assert_eq!(ask(10.0, 119), (3, DecisionReason::ScaleDownDelay));
        assert_eq!(ask(10.0, 120), (1, DecisionReason::Metric));
    }

    #[test]
    fn what_is_held_wakes_as_many_as_run_it_at_once_whatever_the_metric_says() {
        for (held, metric, want) in [
            (1, MetricSeen::default(), 1),
            (9, MetricSeen::default(), 3),
            (9, seen(0.0, 0, 0).metric, 3),
            (9, seen(70.0, 0, 0).metric, 7),
        ] {
            let seen = Observation { held, metric, ..Observation::default() };
            let wish = Metric::begin(SETTINGS, 0, at(0)).wake(&seen, at(100));
            assert_eq!((wish.replicas, wish.reason), (want, DecisionReason::Wake), "{held} held");
        }
    }
}
