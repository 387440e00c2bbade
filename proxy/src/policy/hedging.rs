//! When a request is worth a second try beside the first: after a time that most answers don't take.

use super::percentile::Percentile;
use std::time::{Duration, Instant};

/// When there is a second try.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HedgeRules {
    /// After the time that this share of the answers' heads did not take,
    pub percentile: f64,
    /// but not before this.
    pub floor: Duration,
}

/// What the answers to an API's requests that may be sent twice took of late.
#[derive(Debug)]
pub struct Hedging {
    rules: HedgeRules,
    times: Percentile,
}

// === impl Hedging ===

impl Hedging {
    /// By these rules, if any, from now on. What was seen before counts.
    pub fn by(
        rules: Option<HedgeRules>,
        before: Option<Box<Self>>,
        now: Instant,
    ) -> Option<Box<Self>> {
        let rules = rules?;
        let mut hedging =
            before.unwrap_or_else(|| Box::new(Self { rules, times: Percentile::new(now) }));
        hedging.rules = rules;
        Some(hedging)
    }

    /// A first try took so long to be answered.
    pub fn took(&mut self, took: Duration, now: Instant) {
        self.times.add(took, now);
    }

    /// After how long there is a second try, if enough is known to say.
    pub fn after(&mut self, now: Instant) -> Option<Duration> {
        let slow = self.times.at(self.rules.percentile, now)?;
        Some(slow.max(self.rules.floor))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "simulated time needs a start")]
mod tests {
    use super::*;

    fn rules(percentile: f64, floor_ms: u64) -> Option<HedgeRules> {
        Some(HedgeRules { percentile, floor: Duration::from_millis(floor_ms) })
    }

    #[test]
    fn a_second_try_comes_after_what_most_answers_take() {
        let now = Instant::now();
        let mut hedging = Hedging::by(rules(0.9, 10), None, now);
        for ms in 1..=100 {
            let own = hedging.as_mut().unwrap();
            assert_eq!(own.after(now).is_some(), ms > 50, "{ms}");
            own.took(Duration::from_millis(ms), now);
        }
        // What was seen counts under other rules, too; steps are a tenth wide.
        for (percentile, floor_ms, expected_ms) in
            [(0.9, 10, 90..=100), (0.5, 10, 50..=56), (0.5, 80, 80..=80), (0.99, 1, 99..=109)]
        {
            hedging = Hedging::by(rules(percentile, floor_ms), hedging, now);
            let after = hedging.as_mut().unwrap().after(now).unwrap().as_millis();
            assert!(expected_ms.contains(&after), "{percentile} {floor_ms}: {after}");
        }
        // And what was switched off has forgotten.
        hedging = Hedging::by(rules(0.9, 10), Hedging::by(None, hedging, now), now);
        assert_eq!(hedging.unwrap().after(now), None);
    }
}
