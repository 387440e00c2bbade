//! Replicas for the requests that are held for them.

use super::{Need, Numbers, ROUNDING, Slo};
use crate::policy::decision::{Stage, Step};
use crate::policy::observation::Observation;
use crate::policy::reason::DecisionReason;
use crate::policy::rule::Wish;
use std::time::Duration;

impl Slo {
    /// As many as run at once what is held, or as the arrivals need, whichever is more.
    pub(super) fn woken(&mut self, seen: &Observation, now: Duration) -> Wish {
        self.learn(seen, now);
        let expected = self.expect(false, now);
        let ahead = self.learned.cold_start();
        let per_replica = self.settings.per_replica.max(1);
        let service = self.learned.service();
        let horizon = ahead.max(service);
        let (rate, meanwhile) = expected
            .map_or((0.0, 0.0), |expected| (expected.soon, expected.now.midpoint(expected.soon)));
        let at_once = f64::from(seen.held).max(rate * service);
        let waiting = f64::from(seen.held) + meanwhile * self.learned.until_ready(now);
        // Of a backlog that grows through a cold start, only what clears it in another one.
        let cleared = at_once.min(waiting * service / horizon + rate * service);
        let held = (cleared / f64::from(per_replica) - ROUNDING).ceil().max(1.0) as u32;
        let held = held.min(self.came);
        let demand = expected.map_or(0, |expected| self.replicas_seen(expected.soon));
        let replicas = demand.max(held).max(seen.current);
        let need = Need {
            now: self.certain(demand).max(1),
            soon: 0,
            most: replicas,
            again: None,
            rate: 0.0,
            fall: 0.0,
            cold_start: ahead,
            allowed_late: self.settings.late,
        };
        self.keep.keep(&need, seen.current, now);
        let steps = vec![
            Step::new(Stage::Demand, demand, demand),
            Step::new(Stage::Backlog, demand, replicas),
        ];
        let numbers = Numbers::Slo(self.numbers(expected, replicas));
        Wish { replicas, reason: DecisionReason::Wake, numbers, steps }
    }
}
