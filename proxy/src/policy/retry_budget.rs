//! How many requests may be sent once more: a share of all requests, and a few a second whatever
//! their number, so that retries cannot multiply a fault and a quiet API still has some.

use super::two_windows::TwoWindows;
use std::time::{Duration, Instant};

/// Over how long requests and retries are compared: one to two of these.
const WINDOW: Duration = Duration::from_secs(10);

/// How many retries there may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryRules {
    /// For one request, after it was first sent.
    pub attempts: u32,
    /// Retries for each request.
    pub share: f64,
    /// Retries for each second, beside the share.
    pub floor_per_second: f64,
}

/// What was used of the budget of late.
#[derive(Debug)]
pub struct RetryBudget {
    rules: RetryRules,
    seen: TwoWindows<Seen>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    requests: u32,
    retries: u32,
}

// === impl RetryRules ===

impl Default for RetryRules {
    fn default() -> Self {
        Self { attempts: 2, share: 0.2, floor_per_second: 3.0 }
    }
}

// === impl RetryBudget ===

impl RetryBudget {
    /// Nothing was used yet.
    pub fn new(rules: RetryRules, now: Instant) -> Self {
        Self { rules, seen: TwoWindows::new(WINDOW, now) }
    }

    /// A request comes.
    pub fn request(&mut self, now: Instant) {
        let current = self.seen.current(now);
        current.requests = current.requests.saturating_add(1);
    }

    /// Other rules from now on. What was used counts.
    pub fn set_rules(&mut self, rules: RetryRules) {
        self.rules = rules;
    }

    /// Whether a request that was sent on so often may be sent once more.
    pub fn may(&mut self, retried: u32, now: Instant) -> bool {
        self.seen.current(now);
        let (current, previous) = self.seen.both();
        let requests = f64::from(current.requests) + f64::from(previous.requests);
        let retries = f64::from(current.retries) + f64::from(previous.retries);
        let floor = self.rules.floor_per_second * WINDOW.as_secs_f64();
        retried < self.rules.attempts && retries < self.rules.share * requests + floor
    }

    /// The same; counts it if so.
    pub fn take(&mut self, retried: u32, now: Instant) -> bool {
        let may = self.may(retried, now);
        self.seen.current(now).retries += u32::from(may);
        may
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "simulated time needs a start")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_quiet_api_has_the_floor_and_a_busy_one_its_share() {
        let mut now = Instant::now();
        let rules = RetryRules { attempts: 2, share: 0.2, floor_per_second: 1.0 };
        let mut budget = RetryBudget::new(rules, now);
        assert!(!budget.take(2, now), "it was sent on often enough");
        assert_eq!((0..100).filter(|_| budget.take(0, now)).count(), 10);
        (0..100).for_each(|_| budget.request(now));
        assert_eq!((0..100).filter(|_| budget.take(1, now)).count(), 20);
        now += WINDOW;
        assert!(!budget.take(0, now), "ten seconds ago counts");
        now += 2 * WINDOW;
        assert_eq!((0..100).filter(|_| budget.take(0, now)).count(), 10);
    }

    proptest! {
        #[test]
        fn retries_stay_within_share_and_floor(
            share in 0.0f64..1.0,
            floor_per_second in 0.0f64..5.0,
            steps in prop::collection::vec((any::<bool>(), 0u64..500), 1..400),
        ) {
            let mut now = Instant::now();
            let start = now;
            let rules = RetryRules { attempts: 1, share, floor_per_second };
            let mut budget = RetryBudget::new(rules, now);
            let (mut requests, mut retries) = (0.0, 0.0);
            for (fails, passed_ms) in steps {
                now += Duration::from_millis(passed_ms);
                budget.request(now);
                requests += 1.0;
                retries += f64::from(u8::from(fails && budget.take(0, now)));
                let windows = ((now - start).as_secs_f64() / WINDOW.as_secs_f64()).floor() + 1.0;
                let floor = windows * floor_per_second * WINDOW.as_secs_f64();
                // A window's requests count for the next one's retries, too.
                prop_assert!(retries <= 2.0 * share * requests + floor + windows);
            }
        }
    }
}
