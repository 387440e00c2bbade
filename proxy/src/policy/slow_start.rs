//! Slow start: an endpoint that has just become ready is given its slots one after the other, over a
//! time, as caches are cold and compilers have still to see what is asked.

use std::time::{Duration, Instant};

/// How many of `limit` slots an endpoint has that became ready at `since`: one at least, and all
/// after `period`; and when it will have more.
pub fn share(limit: u32, since: Instant, period: Duration, now: Instant) -> (u32, Option<Instant>) {
    let passed = now.saturating_duration_since(since);
    if passed >= period {
        return (limit, None);
    }
    let whole = u128::from(limit) * passed.as_nanos() / period.as_nanos();
    // Less than the limit, as less than the period has passed.
    let slots = u32::try_from(whole).unwrap_or(limit).max(1).min(limit);
    if slots == limit {
        return (limit, None);
    }
    // Rounded up, so that the slot is there by then.
    let next = (period.as_nanos() * u128::from(slots + 1)).div_ceil(u128::from(limit));
    let next = Duration::from_nanos(u64::try_from(next).unwrap_or(u64::MAX));
    (slots, since.checked_add(next))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "simulated time needs a start")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn slots_grow_linearly_from_one_to_all() {
        let since = Instant::now();
        let at = |ms| share(8, since, SECOND, since + Duration::from_millis(ms));
        for (ms, slots, next_ms) in [
            (0, 1, Some(250)),
            (249, 1, Some(250)),
            (250, 2, Some(375)),
            (999, 7, Some(1000)),
            (1000, 8, None),
        ] {
            let next = next_ms.map(|ms| since + Duration::from_millis(ms));
            assert_eq!(at(ms), (slots, next), "after {ms} ms");
        }
        for limit in [0, 1] {
            assert_eq!(share(limit, since, SECOND, since), (limit, None));
        }
        assert_eq!(share(8, since, Duration::ZERO, since), (8, None));
    }

    proptest! {
        #[test]
        fn who_comes_when_told_finds_one_more_each_time_until_all_are_there(
            limit in 0u32..2000,
            period_ms in 1u64..100_000,
        ) {
            let since = Instant::now();
            let period = Duration::from_millis(period_ms);
            let (mut now, mut before, mut steps) = (since, 0, 0);
            loop {
                let (slots, next) = share(limit, since, period, now);
                prop_assert!(slots <= limit && (slots > before || limit == 0));
                let Some(next) = next else {
                    prop_assert_eq!(slots, limit);
                    break;
                };
                prop_assert!(next > now && next <= since + period);
                (now, before, steps) = (next, slots, steps + 1);
            }
            prop_assert!(steps <= limit);
        }
    }
}
