//! A restart forgets nothing: what a scaler remembers goes on in the next one.

use super::{at, concurrency, seen, settings};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;
use tidegate_autoscaler::policy::concurrency::ConcurrencySettings;
use tidegate_autoscaler::policy::cortex::CortexSettings;
use tidegate_autoscaler::policy::decide::{RuleSettings, Scaler, ScalerSettings};
use tidegate_autoscaler::policy::decision::Numbers;
use tidegate_autoscaler::policy::demand::Target;
use tidegate_autoscaler::policy::idle::IdleSettings;
use tidegate_autoscaler::policy::metric::{MetricSettings, Scope};
use tidegate_autoscaler::policy::observation::{MetricSeen, Observation, Reading, Traffic};
use tidegate_autoscaler::policy::ray::RaySettings;
use tidegate_autoscaler::policy::reason::DecisionReason;
use tidegate_autoscaler::policy::slo::SloSettings;
use tidegate_autoscaler::policy::snapshot::Snapshot;

/// Every rule, with the length of its window, each with a wait before it shrinks that is longer.
fn rules() -> Vec<(RuleSettings, f64)> {
    let target = Target::new(1.0, 1.0, None);
    let cortex = CortexSettings {
        target,
        window: at(30.0),
        upscale_stabilization: at(5.0),
        downscale_stabilization: at(200.0),
        max_upscale_factor: 10.0,
        max_downscale_factor: 0.0,
        upscale_tolerance: 0.05,
        downscale_tolerance: 0.05,
    };
    let ray = RaySettings {
        target,
        upscale_delay: at(5.0),
        downscale_delay: at(200.0),
        downscale_to_zero_delay: at(200.0),
        upscaling_factor: 1.0,
        downscaling_factor: 1.0,
        look_back: at(30.0),
    };
    let metric = MetricSettings {
        scope: Scope::Total,
        target: 1.0,
        tolerance: 0.0,
        scale_down_delay: at(200.0),
        stale_after: at(10.0),
        per_replica: 1,
    };
    let concurrency = ConcurrencySettings { scale_down_delay: at(200.0), ..concurrency() };
    let slo = SloSettings { wait: 0.2, late: 0.01, cold_start: at(200.0), per_replica: 1 };
    vec![
        (RuleSettings::Concurrency(concurrency), 60.0),
        (RuleSettings::Cortex(cortex), 30.0),
        (RuleSettings::Ray(ray), 30.0),
        (RuleSettings::Metric(metric), 10.0),
        (RuleSettings::Slo(slo), 60.0),
    ]
}

/// Requests of half a second, `load` of them in flight, all of it also as a metric.
fn observation(current: u32, load: f64, now: f64) -> Observation {
    let from = at(now - 1.0);
    let (arrivals, completions, service_seconds) = (load * 2.0, load * 2.0, load);
    let reading = Reading { value: load, replicas: current, at: at(now), complete: true };
    Observation {
        traffic: Some(Traffic { from, arrivals, completions, service_seconds }),
        metric: MetricSeen { reading: Some(reading), gap: None },
        ..seen(current, load, now)
    }
}

/// A scaler in its world: seconds go by, loads are seen.
struct World {
    scaler: Scaler,
    current: u32,
    now: f64,
}

impl World {
    fn new(settings: &ScalerSettings) -> Self {
        Self { scaler: Scaler::begin(settings, 0, at(0.0)), current: 0, now: 0.0 }
    }

    fn tick(&mut self, load: f64) -> (u32, DecisionReason) {
        self.now += 1.0;
        let seen = observation(self.current, load, self.now);
        let decision = self.scaler.decide(&seen, at(self.now));
        self.current = decision.replicas;
        (self.current, decision.reason)
    }

    /// The next process, whose time begins elsewhere, a second after the last tick of this one.
    fn restarted(&self, settings: &ScalerSettings, begin: f64) -> Self {
        let series = self.scaler.snapshot(at(self.now)).into_series();
        let snapshot = Snapshot::from_series(series);
        let (current, now) = (self.current, at(begin));
        let scaler = Scaler::restore(settings, &snapshot, current, Duration::ZERO, now);
        Self { scaler, current, now: begin }
    }
}

/// What the `slo` rule goes by: service time, its variation, burstiness, rate, time that is kept.
fn learned(world: &mut World) -> [f64; 5] {
    let seen = observation(world.current, 0.5, world.now + 1.0);
    let decision = world.scaler.decide(&seen, at(world.now + 1.0));
    let Numbers::Slo(slo) = decision.facts.numbers else { panic!("another rule") };
    [slo.service, slo.service_variation, slo.peakedness, slo.expected.now, slo.kept_seconds]
}

#[test]
fn what_waits_to_shrink_goes_on_waiting_and_does_not_begin_anew() {
    for (rule, _) in rules() {
        let settings = ScalerSettings { rule, ..settings() };
        let mut first = World::new(&settings);
        for _ in 0..300 {
            first.tick(6.0);
        }
        let high = first.current;
        assert!(high >= 5, "{rule:?}: {high}");
        // The load falls, and the wait begins; then the process is another.
        for _ in 0..100 {
            assert_eq!(first.tick(0.5).0, high, "{rule:?} waits");
        }
        let mut second = first.restarted(&settings, 5000.0);
        let mut fresh =
            World { scaler: Scaler::begin(&settings, high, at(900.0)), current: high, now: 900.0 };
        let (mut same, mut later) = (0, 0);
        for _ in 0..150 {
            let (one, other) = (first.tick(0.5).0, second.tick(0.5).0);
            assert_eq!(one, other, "{rule:?} at {}", second.now);
            same += u32::from(other < high);
            later += u32::from(fresh.tick(0.5).0 < high);
        }
        if let RuleSettings::Slo(_) = rule {
            // It keeps for longer than this lasts; what it has learned shows.
            let [one, other] = [learned(&mut first), learned(&mut second)];
            let near = one.iter().zip(other).all(|(one, other)| (one - other).abs() < 1e-6);
            assert!(near && one[0] > 0.0 && one[0] < 0.6, "{one:?} {other:?}");
            continue;
        }
        assert!(same > 0, "{rule:?} shrinks when the first would have");
        assert!(later < same, "{rule:?} without memory waits all over again");
    }
}

#[test]
fn nothing_shrinks_before_a_whole_window_was_seen() {
    for (rule, window) in rules() {
        let settings = ScalerSettings { rule, ..settings() };
        let mut first = World::new(&settings);
        for _ in 0..300 {
            first.tick(6.0);
        }
        // All waits are over when it comes back.
        let snapshot = first.scaler.snapshot(at(first.now));
        for snapshot in [snapshot, Snapshot::default()] {
            let begin = 5000.0;
            let scaler = Scaler::restore(&settings, &snapshot, 7, at(3600.0), at(begin));
            let mut world = World { scaler, current: 7, now: begin };
            while world.now < begin + window - 1.0 {
                let (replicas, reason) = world.tick(0.0);
                assert_eq!(replicas, 7, "{rule:?} at {}: {reason:?}", world.now - begin);
            }
            // More may always come.
            assert!(world.tick(1000.0).0 >= 7);
        }
    }
}

#[test]
fn the_sentence_says_why_they_stay() {
    let settings = ScalerSettings { rule: RuleSettings::Concurrency(concurrency()), ..settings() };
    let begin = at(5000.0);
    let scaler = Scaler::restore(&settings, &Snapshot::default(), 1, at(1.0), begin);
    let mut world = World { scaler, current: 1, now: 5000.0 };
    (0..40).for_each(|_| assert_eq!(world.tick(0.0).0, 1));
    let decision = world.scaler.decide(&observation(1, 0.0, 5041.0), at(5041.0));
    assert_eq!(decision.reason, DecisionReason::Restart);
    assert!(decision.sentence().contains("since a restart, so 1 stay"), "{}", decision.sentence());
}

#[test]
fn other_settings_begin_no_grace_and_no_retention_anew_and_a_restart_does() {
    let rule = RuleSettings::Concurrency(concurrency());
    let idle = IdleSettings { grace: Duration::ZERO, retention: at(500.0) };
    let settings = ScalerSettings { rule, idle, ..settings() };
    let mut world = World::new(&settings);
    (0..100).for_each(|_| _ = world.tick(1.0));
    (0..300).for_each(|_| _ = world.tick(0.0));
    let mut next = world.restarted(&settings, 5000.0);
    world.scaler.revise(&settings, &settings, world.current, at(world.now));
    let waits = |world: &mut World| (0..).find(|_| world.tick(0.0).0 == 0);
    assert!(waits(&mut world).is_some_and(|seconds| seconds < 250));
    assert!(waits(&mut next).is_some_and(|seconds| seconds >= 490));
}

proptest! {
    #[test]
    fn any_snapshot_is_survived_and_takes_nothing_away_at_once(
        numbers in prop::collection::vec(
            prop::collection::vec(
                prop_oneof![
                    -10.0..100_000.0_f64,
                    Just(f64::NAN), Just(f64::INFINITY), Just(-1.0), Just(f64::MAX), Just(1e18),
                ],
                0..40,
            ),
            17,
        ),
        ago in 0.0..1e7_f64,
    ) {
        let names = [
            "concurrency.window", "concurrency.burst", "concurrency.hold", "cortex.window",
            "cortex.records", "cortex.began", "ray.window", "ray.pending", "metric.hold",
            "slo.arrivals", "slo.learned", "slo.levels", "slo.needed", "slo.possible", "slo.budget",
            "slo.period", "slo.period.open",
        ];
        let series: BTreeMap<String, Vec<f64>> =
            names.iter().map(|name| (*name).to_owned()).zip(numbers).collect();
        let snapshot = Snapshot::from_series(series);
        for (rule, _) in rules() {
            let settings = ScalerSettings { rule, ..settings() };
            let begin = 100_000.0;
            let scaler = Scaler::restore(&settings, &snapshot, 4, at(ago), at(begin));
            let mut world = World { scaler, current: 4, now: begin };
            for _ in 0..5 {
                let (replicas, _) = world.tick(0.0);
                prop_assert!((4..=10).contains(&replicas), "{:?}: {}", rule, replicas);
            }
        }
    }
}
