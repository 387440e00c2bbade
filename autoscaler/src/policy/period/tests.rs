//! What repeats has its period, what does not has none, and what was one is forgotten.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::f64::consts::TAU;

const TASK: Task = Task { peakedness: 1.0, ahead: 60.0 };

fn at(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

/// A load and what is known of it.
struct World<F> {
    period: Period,
    rate: F,
    now: u32,
    seed: u64,
}

impl<F: Fn(u32) -> f64> World<F> {
    fn new(rate: F) -> Self {
        Self { period: Period::new(), rate, now: 0, seed: 7 }
    }

    /// Second by second, with as many arrivals as chance makes of the rate.
    fn until(&mut self, end: u32) -> &Period {
        while self.now < end {
            let arrivals = poisson((self.rate)(self.now), &mut self.seed);
            self.period.record(arrivals, at(self.now), at(self.now + 1), TASK);
            self.now += 1;
        }
        &self.period
    }

    fn ahead(&self, seconds: f64) -> f64 {
        self.period.most(seconds, seconds, at(self.now)).unwrap_or(-1.0)
    }
}

/// A Poisson number by counting exponential gaps; the generator is xorshift with a fixed seed.
fn poisson(mean: f64, seed: &mut u64) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    loop {
        sum -= uniform(seed).ln();
        if sum > mean {
            return count;
        }
        count += 1.0;
    }
}

fn uniform(seed: &mut u64) -> f64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    ((*seed >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

fn sine(low: f64, high: f64, length: f64) -> impl Fn(u32) -> f64 {
    move |second| low + (high - low) * (1.0 - (TAU * f64::from(second) / length).cos()) / 2.0
}

/// `high` in the last `busy` seconds of each period, else `low`.
fn pulses(low: f64, high: f64, length: u32, busy: u32) -> impl Fn(u32) -> f64 {
    move |second| if second % length >= length - busy { high } else { low }
}

#[test]
fn what_repeats_has_the_period_with_which_it_does_from_a_little_after_the_second_on() {
    type Rate = Box<dyn Fn(u32) -> f64>;
    let loads: [(&str, Rate, u32); 9] = [
        ("sine", Box::new(sine(20.0, 180.0, 600.0)), 600),
        ("sine of no whole bins", Box::new(sine(5.0, 50.0, 433.0)), 433),
        ("slow sine", Box::new(sine(20.0, 180.0, 1500.0)), 1500),
        ("faint sine", Box::new(sine(2.0, 6.0, 900.0)), 900),
        ("on-off", Box::new(pulses(0.0, 80.0, 600, 300)), 600),
        ("on-off of no whole bins", Box::new(pulses(10.0, 60.0, 1507, 750)), 1507),
        ("bursts", Box::new(pulses(1.0, 30.0, 420, 40)), 420),
        ("reports each hour", Box::new(pulses(2.0, 40.0, 3600, 120)), 3600),
        ("the shortest", Box::new(pulses(1.0, 20.0, 130, 60)), 130),
    ];
    for (name, rate, length) in loads {
        let mut world = World::new(rate);
        assert_eq!(world.until(length * 9 / 5).length(), None, "{name}");
        world.until(length * 5 / 2);
        for part in 0..40 {
            world.until(length * 5 / 2 + part * length / 20);
            let found = world.period.length().unwrap_or(-1.0);
            assert!((found - f64::from(length)).abs() <= 2.0 * BIN, "{name}: {found}");
        }
    }
}

#[test]
fn it_says_what_comes_and_when() {
    let mut world = World::new(pulses(0.0, 80.0, 600, 300));
    world.until(4 * 600);
    for (ahead, least, most) in
        [(5.0, 0.0, 0.1), (285.0, 0.0, 0.1), (305.0, 75.0, 85.0), (595.0, 75.0, 85.0)]
    {
        let seen = world.ahead(ahead);
        assert!((least..=most).contains(&seen), "{ahead}: {seen}");
    }
    assert!(world.period.most(200.0, 320.0, at(2400)).unwrap() > 75.0);
    let mut wave = World::new(sine(20.0, 180.0, 600.0));
    wave.until(4 * 600);
    let seen = [150.0, 300.0, 450.0].map(|ahead| wave.ahead(ahead));
    assert!(seen.iter().zip([100.0, 180.0, 100.0]).all(|(a, b)| (a - b).abs() < 15.0), "{seen:?}");
}

#[test]
fn what_does_not_repeat_has_no_period() {
    let mut seed = 99;
    // On and off for exponential times of five minutes on average.
    let mut turns = vec![0];
    while turns.last().is_some_and(|last| *last < 40_000) {
        let length = 300.0 * -uniform(&mut seed).ln();
        turns.push(turns.last().unwrap() + length as u32 + 1);
    }
    let irregular = move |second: u32| {
        let turn = turns.partition_point(|turn| *turn <= second);
        if turn % 2 == 0 { 40.0 } else { 1.0 }
    };
    let mut walk = vec![50.0_f64];
    for second in 1..40_000 {
        let step = (uniform(&mut seed) - 0.5) * 3.0;
        walk.push((walk[second - 1] + step).clamp(1.0, 200.0));
    }
    type Rate = Box<dyn Fn(u32) -> f64>;
    let loads: [(&str, Rate, f64); 7] = [
        ("flat", Box::new(|_| 40.0), 0.0),
        ("quiet", Box::new(|_| 0.05), 0.0),
        ("nothing", Box::new(|_| 0.0), 0.0),
        ("ramp", Box::new(|second| f64::from(second) / 100.0), 0.0),
        ("step", Box::new(|second| if second < 9000 { 6.0 } else { 600.0 }), 0.0),
        ("irregular on-off", Box::new(irregular), 0.01),
        ("random walk", Box::new(move |second| walk[second as usize]), 0.01),
    ];
    for (name, rate, allowed) in loads {
        let mut world = World::new(rate);
        let mut wrong = 0.0;
        for number in 1..=2000 {
            wrong += f64::from(u8::from(world.until(number * 10).length().is_some()));
        }
        assert!(wrong / 2000.0 <= allowed, "{name}: {wrong} of 2000");
    }
}

#[test]
fn two_busy_times_that_are_much_alike_are_no_period_but_for_chance() {
    // Between them five to fifteen minutes, and each for two to four: so some are alike by chance.
    let (mut wrong, mut looks) = (0.0, 0.0);
    for first in 1..=20 {
        let mut seed = first * 1_000_003;
        let mut begin = 0;
        let mut busy = Vec::new();
        while begin < 10_000 {
            begin += 300 + (600.0 * uniform(&mut seed)) as u32;
            let length = 120 + (120.0 * uniform(&mut seed)) as u32;
            busy.push(begin..begin + length);
            begin += length;
        }
        let is_busy = |second: u32| busy.iter().any(|times| times.contains(&second));
        let mut world = World::new(|second| if is_busy(second) { 40.0 } else { 5.0 });
        for number in 1..=1000 {
            wrong += f64::from(u8::from(world.until(number * 10).length().is_some()));
            looks += 1.0;
        }
    }
    assert!(wrong / looks <= 0.07, "{wrong} of {looks}");
}

#[test]
fn a_period_that_is_over_says_nothing_half_a_minute_later() {
    // It stops in the middle of a busy time, or goes on where it should be quiet.
    let on_off = pulses(1.0, 80.0, 600, 300);
    for (begin, after) in [(4 * 600 + 450, 1.0), (4 * 600 + 600, 80.0)] {
        let on_off = &on_off;
        let mut world = World::new(|second| if second < begin { on_off(second) } else { after });
        assert!(world.until(begin).length().is_some(), "{begin}");
        assert_eq!(world.until(begin + 31).length(), None, "{begin}");
        assert_eq!(world.until(begin + 590).length(), None, "{begin}");
    }
}

#[test]
fn another_period_takes_over_and_a_slow_drift_is_followed() {
    let (first, second) = (pulses(1.0, 80.0, 600, 300), pulses(1.0, 80.0, 420, 200));
    let mut world = World::new(|at| if at < 4200 { first(at) } else { second(at - 4200) });
    assert_eq!(world.until(4190).length(), Some(600.0));
    assert_eq!(world.until(4200 + 420).length(), None);
    assert_eq!(world.until(4200 + 4 * 420).length(), Some(420.0));
    // A tenth more each time.
    let wave = sine(10.0, 90.0, 600.0);
    let mut drift = World::new(|at| wave(at) * (1.0 + 0.1 * f64::from(at / 600)));
    let length = drift.until(5 * 600).length().unwrap_or(-1.0);
    assert!((length - 600.0).abs() <= 2.0 * BIN, "{length}");
}

#[test]
fn where_what_is_there_now_says_more_of_the_next_minutes_the_period_says_nothing() {
    let wave = sine(20.0, 180.0, 4000.0);
    let height = |at: u32| [1.0, 1.15, 0.9, 1.1, 0.95][(at / 4000) as usize % 5];
    let mut world = World::new(|at| wave(at) * height(at));
    world.until(13_000);
    assert_eq!(world.period.lags.period(1.0).map(|bins| bins / 8), Some(50), "it has one");
    assert_eq!(world.period.length(), None);
}

#[test]
fn what_was_not_seen_is_no_quiet_time() {
    let mut world = World::new(pulses(0.0, 80.0, 600, 300));
    world.until(1800);
    // Nobody looks for two and a half periods: then nothing is known of any three in a row.
    world.now = 3300;
    assert_eq!(world.until(3900).length(), None);
    assert_eq!(world.until(3300 + 2100).length(), Some(600.0));
}

#[test]
fn a_restart_forgets_nothing() {
    let mut world = World::new(pulses(0.0, 80.0, 600, 300));
    for taken in [2400, 2405, 2410] {
        world.until(taken);
        let mut snapshot = Snapshot::default();
        world.period.save(&mut snapshot, at(taken));
        let mut next = Period::new();
        next.load(&Snapshot::from_series(snapshot.into_series()), at(50));
        for ahead in [0.0, 250.0, 290.0, 310.0, 500.0] {
            let before = world.ahead(ahead);
            let after = next.most(ahead, ahead, at(50)).unwrap_or(-1.0);
            assert!((before - after).abs() < 0.1, "{taken} {ahead}: {before} {after}");
        }
        let (count, from) = (2.0, at(50));
        (1..20)
            .for_each(|second| next.record(count, from + at(second - 1), from + at(second), TASK));
        assert_eq!(next.length(), Some(600.0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_comes_it_is_bounded_and_says_no_more_than_ever_came(
        samples in prop::collection::vec(
            (prop_oneof![0.0..1e6_f64, Just(f64::NAN), Just(-1.0), Just(1e300)], 0_u32..400, 0_u32..90),
            1..300,
        ),
        odd in prop::collection::vec(prop_oneof![-10.0..1e4_f64, Just(1e300), Just(f64::NAN)], 0..40),
    ) {
        let odd = ["slo.period.open", "slo.period"].map(|name| (name.to_owned(), odd.clone()));
        let mut period = Period::new();
        period.load(&Snapshot::from_series(BTreeMap::from(odd)), at(5));
        let _ = period.most(0.0, 1e9, at(5));
        let mut period = Period::new();
        let (mut now, mut most) = (0, 0.0_f64);
        for (arrivals, gap, length) in samples {
            // Again and again the same, so that there is something to be found.
            for turn in 0..3 {
                let (from, to) = (now + gap * turn, now + gap * turn + length);
                period.record(arrivals, at(from), at(to), TASK);
                now = to;
                most = most.max(if arrivals.is_finite() { arrivals } else { 0.0 });
            }
            prop_assert!(period.lags.values().count() <= MOST_VALUES);
            for ahead in [-5.0, 0.0, 30.0, 1e9, f64::NAN] {
                let seen = period.most(0.0, ahead, at(now)).unwrap_or(0.0);
                prop_assert!(seen.is_finite() && seen >= 0.0 && seen <= most * 2.0 + 1.0, "{seen}");
            }
        }
    }
}

#[test]
fn sums_are_the_same_whether_values_come_one_by_one_or_at_once() {
    let mut seed = 5;
    let value = |_| (uniform(&mut seed) > 0.1).then(|| uniform(&mut seed) as f32 * 50.0);
    let values: Vec<_> = (0..MOST_VALUES * 3 + 7).map(value).collect();
    let mut lags = Lags::default();
    values.iter().for_each(|value| lags.push(*value));
    let kept: Vec<_> = lags.values().collect();
    assert_eq!(kept, values[values.len() - MOST_VALUES..]);
    let again = Lags::of(kept.into_iter());
    for noise in [1.0, 50.0] {
        assert_eq!(lags.period(noise), again.period(noise));
    }
    assert!(lags.sums_differ_from(&again) < 1e-6);
}
