//! How long to wait before the API server is asked again for what it did not give.

use kube::runtime::utils::Backoff;
use std::time::Duration;

/// Before the first try.
const FIRST: Duration = Duration::from_millis(800);
/// The longest, without what chance adds: a gateway hears nothing of new pods meanwhile. kube's own
/// goes up to a minute.
const LONGEST: Duration = Duration::from_secs(5);

/// Waits that grow with each failure in a row, each with up to as much again by chance, so that not
/// all who were cut off come back at once.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    failures: u32,
}

/// The wait after so many failures; `chance` is between 0 and 1.
fn wait(failures: u32, chance: f64) -> Duration {
    let factor = 1u32.checked_shl(failures).unwrap_or(u32::MAX);
    FIRST.saturating_mul(factor).min(LONGEST).mul_f64(1.0 + chance)
}

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = wait(self.failures, fastrand::f64());
        self.failures = self.failures.saturating_add(1).min(31);
        Some(wait)
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {
        self.failures = 0;
    }
}

#[test]
fn waits_grow_but_a_server_that_is_back_is_found_within_seconds() {
    let seconds = |failures| wait(failures, 0.0).as_secs_f64();
    assert_eq!([0, 1, 2, 3, 31, 40].map(seconds), [0.8, 1.6, 3.2, 5.0, 5.0, 5.0]);
    let mut patience = Patience::default();
    let most = patience.by_ref().take(100).max().unwrap_or_default();
    assert!(most > LONGEST && most <= LONGEST * 2, "{most:?}");
    patience.reset();
    assert!(patience.next().unwrap_or_default() <= FIRST * 2);
}
