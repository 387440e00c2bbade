//! Token buckets for any number of tenants, in memory that is fixed.
//!
//! A bucket is the time at which it will be full again. One that is full says nothing, and needs no
//! memory: so a table of as many places as there are tenants *in debt at once* is exact. Where more
//! are, who owes least is forgotten, so that nobody gets rid of a debt by making up names.

use std::time::{Duration, Instant};

/// Buckets that share one place in the table; the fewest-indebted of them gives way.
const WAYS: usize = 8;
const NANOS_PER_S: f64 = 1e9;

/// How fast a bucket fills, and how much is in it when it is full.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// How long one unit takes to come back, in nanoseconds.
    unit_ns: f64,
    /// How long an empty bucket takes to be full, in nanoseconds.
    full_ns: f64,
}

/// The buckets.
#[derive(Debug)]
pub struct Buckets {
    sets: Box<[[Bucket; WAYS]]>,
    epoch: Instant,
}

/// One bucket; key and time are 0 where there is none.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    key: u64,
    /// In nanoseconds since the epoch.
    full_at: u64,
}

/// How a bucket stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// Whole units that are in it.
    pub remaining: u64,
    /// Until there is one more; zero if it is full.
    pub next_in: Duration,
}

// === impl Rate ===

impl Rate {
    /// So many units a second, above 0, of which as many as come in `burst` may be taken at once,
    /// and at least one.
    pub fn new(per_second: f64, burst: Duration) -> Self {
        let unit_ns = NANOS_PER_S / per_second;
        Self { unit_ns, full_ns: (burst.as_secs_f64() * NANOS_PER_S).max(unit_ns) }
    }

    /// Whole units in a full bucket.
    pub fn capacity(&self) -> u64 {
        whole(self.full_ns / self.unit_ns)
    }

    /// How long an empty bucket takes to be full.
    pub fn window(&self) -> Duration {
        nanos(self.full_ns)
    }
}

// === impl Buckets ===

impl Buckets {
    /// Full buckets; `places` for those that are not.
    pub fn new(places: usize, now: Instant) -> Self {
        let sets = places.div_ceil(WAYS).max(1);
        Self { sets: vec![[Bucket::default(); WAYS]; sets].into(), epoch: now }
    }

    /// How long to wait until so many units can be taken; zero if they are there. What is more than
    /// a full bucket holds can be taken from a full one, which then owes it.
    pub fn wait(&self, key: u64, units: f64, rate: &Rate, now: Instant) -> Duration {
        let debt_ns = self.debt_ns(key, now);
        let room_ns = (rate.full_ns - units * rate.unit_ns).max(0.0);
        nanos((debt_ns - room_ns).max(0.0))
    }

    /// Takes so many units, whether or not they are there.
    pub fn take(&mut self, key: u64, units: f64, rate: &Rate, now: Instant) -> Level {
        let now_ns = self.since_epoch(now);
        let debt_ns = self.debt_ns(key, now) + units * rate.unit_ns;
        let full_at = now_ns.saturating_add(debt_ns as u64);
        let set = self.set(key);
        let ways = &mut self.sets[set];
        let own = ways.iter().position(|bucket| bucket.key == key);
        // Full buckets, and places never used, have the earliest times.
        let earliest = (0..WAYS).min_by_key(|way| ways[*way].full_at).unwrap_or(0);
        let way = own.unwrap_or(earliest);
        // A newcomer who owes less than all of them is the one that is forgotten.
        if own.is_some() || ways[way].full_at <= now_ns || ways[way].full_at < full_at {
            ways[way] = Bucket { key, full_at };
        }
        level(debt_ns, rate)
    }

    /// Puts back what was taken.
    pub fn give(&mut self, key: u64, units: f64, rate: &Rate) {
        let set = self.set(key);
        if let Some(own) = self.sets[set].iter_mut().find(|bucket| bucket.key == key) {
            own.full_at = own.full_at.saturating_sub((units * rate.unit_ns) as u64);
        }
    }

    /// How a bucket stands.
    pub fn level(&self, key: u64, rate: &Rate, now: Instant) -> Level {
        level(self.debt_ns(key, now), rate)
    }

    fn debt_ns(&self, key: u64, now: Instant) -> f64 {
        let ways = &self.sets[self.set(key)];
        let full_at = ways.iter().find(|bucket| bucket.key == key).map_or(0, |own| own.full_at);
        full_at.saturating_sub(self.since_epoch(now)) as f64
    }

    fn set(&self, key: u64) -> usize {
        // Less than the number of sets, which is a usize.
        (key % self.sets.len() as u64) as usize
    }

    fn since_epoch(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }
}

fn level(debt_ns: f64, rate: &Rate) -> Level {
    let remaining = whole((rate.full_ns - debt_ns).max(0.0) / rate.unit_ns);
    let next_ns = (remaining + 1) as f64 * rate.unit_ns - (rate.full_ns - debt_ns);
    Level { remaining, next_in: nanos(next_ns.min(debt_ns)) }
}

/// The whole units in a number that comes out of a division.
fn whole(units: f64) -> u64 {
    (units + 1e-6) as u64
}

fn nanos(nanos: f64) -> Duration {
    // A float beyond the type becomes its largest value.
    Duration::from_nanos(nanos.ceil() as u64)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "simulated time needs a start")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Takes one unit if it is there.
    fn ask(buckets: &mut Buckets, key: u64, rate: &Rate, now: Instant) -> bool {
        let free = buckets.wait(key, 1.0, rate, now).is_zero();
        if free {
            buckets.take(key, 1.0, rate, now);
        }
        free
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let start = Instant::now();
        let (rate, mut buckets) = (Rate::new(10.0, SECOND), Buckets::new(8, start));
        let passed = (0..50).filter(|_| ask(&mut buckets, 1, &rate, start)).count();
        assert_eq!((passed, rate.capacity(), rate.window()), (10, 10, SECOND));
        assert_eq!(buckets.wait(1, 1.0, &rate, start), SECOND / 10);
        let passed =
            (1..=2000).filter(|ms| ask(&mut buckets, 1, &rate, start + Duration::from_millis(*ms)));
        assert_eq!(passed.count(), 20);
        let later = start + SECOND * 60;
        assert_eq!(
            buckets.level(1, &rate, later),
            Level { remaining: 10, next_in: Duration::ZERO }
        );
    }

    #[test]
    fn one_request_always_fits_and_what_is_larger_than_the_bucket_is_owed() {
        let start = Instant::now();
        let mut buckets = Buckets::new(8, start);
        let slow = Rate::new(0.1, Duration::from_millis(1));
        assert_eq!((slow.capacity(), slow.window()), (1, SECOND * 10));
        assert!(ask(&mut buckets, 1, &slow, start) && !ask(&mut buckets, 1, &slow, start));
        let tokens = Rate::new(100.0, SECOND);
        assert!(buckets.wait(2, 1000.0, &tokens, start).is_zero());
        let level = buckets.take(2, 1000.0, &tokens, start);
        assert_eq!(level, Level { remaining: 0, next_in: nanos(9.01e9) });
        let level = buckets.take(3, 25.5, &tokens, start);
        assert_eq!((level.remaining, level.next_in.as_millis()), (74, 5));
        assert_eq!(buckets.wait(2, 1.0, &tokens, start), nanos(9.01e9));
        assert_eq!(buckets.wait(2, 1000.0, &tokens, start), SECOND * 10);
    }

    #[test]
    fn a_million_names_take_no_more_memory_and_free_nobody_of_a_debt() {
        let start = Instant::now();
        let (rate, mut buckets) = (Rate::new(10.0, SECOND), Buckets::new(1 << 14, start));
        let places = buckets.sets.len() * WAYS;
        // Keys of tenants are hashes.
        let hash = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let greedy = hash(u64::MAX / 3);
        while ask(&mut buckets, greedy, &rate, start) {}
        for number in 0..1_000_000 {
            assert!(ask(&mut buckets, hash(number), &rate, start), "{number}");
        }
        assert_eq!(buckets.sets.len() * WAYS, places);
        assert!(!ask(&mut buckets, greedy, &rate, start));
        assert!(ask(&mut buckets, greedy, &rate, start + SECOND / 10));
    }

    proptest! {
        #[test]
        fn no_more_passes_than_the_rate_allows_and_a_wait_is_never_in_vain(
            gaps_ms in prop::collection::vec(0..500_u64, 1..200),
            per_second in 0.5..50.0_f64,
            burst_ms in 1..3000_u64,
        ) {
            let start = Instant::now();
            let rate = Rate::new(per_second, Duration::from_millis(burst_ms));
            let (mut buckets, mut now, mut passed) = (Buckets::new(8, start), start, 0.0);
            for gap in gaps_ms {
                now += Duration::from_millis(gap);
                let wait = buckets.wait(7, 1.0, &rate, now);
                if wait.is_zero() {
                    buckets.take(7, 1.0, &rate, now);
                    passed += 1.0;
                } else {
                    prop_assert!(buckets.wait(7, 1.0, &rate, now + wait).is_zero());
                    prop_assert!(!buckets.wait(7, 1.0, &rate, now + wait / 2).is_zero());
                }
            }
            let capacity = (burst_ms as f64 / 1e3 * per_second).max(1.0);
            let allowed = capacity + (now - start).as_secs_f64() * per_second;
            prop_assert!(passed <= allowed + 1e-3, "{passed} of {allowed}");
        }
    }
}
