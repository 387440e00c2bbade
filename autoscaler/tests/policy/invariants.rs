//! What holds for every sequence of observations, however mad.

use super::{at, concurrency, settings};
use proptest::prelude::*;
use tidegate_autoscaler::policy::bounds::{Limits, Rates};
use tidegate_autoscaler::policy::concurrency::ConcurrencySettings;
use tidegate_autoscaler::policy::decide::{RuleSettings, Scaler, ScalerSettings};
use tidegate_autoscaler::policy::decision::{Decision, Numbers};
use tidegate_autoscaler::policy::observation::{Load, Observation};

/// One tick's news; what is asked for follows from the decisions before.
#[derive(Debug, Clone)]
struct Tick {
    pause: f64,
    load: Option<f64>,
    complete: bool,
    unready: u32,
    running: u32,
    held: u32,
}

fn tick() -> impl Strategy<Value = Tick> {
    let load = prop_oneof![
        6 => (0.0..50.0).prop_map(Some),
        2 => Just(Some(0.0)),
        1 => Just(None),
        1 => prop_oneof![
            Just(f64::NAN),
            Just(f64::INFINITY),
            Just(f64::NEG_INFINITY),
            Just(-3.0),
            Just(f64::MAX),
            Just(f64::MIN_POSITIVE),
        ].prop_map(Some),
    ];
    let pause = prop_oneof![8 => Just(1.0), 1 => Just(0.0), 1 => 0.01..200.0];
    (pause, load, prop::bool::weighted(0.9), 0..3_u32, 0..3_u32, 0..4_u32).prop_map(
        |(pause, load, complete, unready, running, held)| Tick {
            pause,
            load,
            complete,
            unready,
            running: running.saturating_sub(1),
            held: held.saturating_sub(2),
        },
    )
}

fn any_settings() -> impl Strategy<Value = ScalerSettings> {
    let windows = (1.0..90.0_f64, 0.01..1.0_f64);
    let rates = (1.0..20.0, 1.0..5.0, 1.1..4.0);
    (windows, rates, 0..3_u32, 1..9_u32, 0..40_u32, 1..4_u32).prop_map(
        |((stable, share), (up_rate, down_rate, threshold), min, more, delay, activation)| {
            let rule = ConcurrencySettings {
                stable_window: at(stable),
                panic_window: at((stable * share).max(1.0)),
                panic_threshold: threshold,
                rates: Rates { up: up_rate, down: down_rate },
                scale_down_delay: at(f64::from(delay)),
                activation_replicas: activation,
                ..concurrency()
            };
            ScalerSettings {
                rule: RuleSettings::Concurrency(rule),
                limits: Limits { min, max: min + more },
                ..settings()
            }
        },
    )
}

/// Plays the ticks; `check` sees what was observed and what was decided.
fn play(
    settings: &ScalerSettings,
    begin: u32,
    ticks: &[Tick],
    mut check: impl FnMut(&Observation, &Decision),
) -> Vec<u32> {
    let mut now = 50.0;
    let mut current = begin.clamp(settings.limits.min, settings.limits.max);
    let mut scaler = Scaler::begin(settings, current, at(now));
    let mut decided = Vec::new();
    for tick in ticks {
        let from = now;
        now += tick.pause;
        let starting = tick.unready.min(current);
        let seen = Observation {
            current,
            ready: current - starting,
            starting,
            load: tick.load.map(|average| Load { from: at(from), average }),
            complete: tick.complete,
            running: tick.running,
            held: tick.held,
            ..Observation::default()
        };
        let decision = scaler.decide(&seen, at(now));
        check(&seen, &decision);
        current = decision.replicas;
        decided.push(current);
    }
    decided
}

fn is_known(seen: &Observation) -> bool {
    seen.load.is_some_and(|load| load.average.is_finite() && load.average >= 0.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_decision_is_within_bounds_and_never_shrinks_blindly(
        settings in any_settings(),
        begin in 0..12_u32,
        ticks in prop::collection::vec(tick(), 1..120),
    ) {
        play(&settings, begin, &ticks, |seen, decision| {
            let (to, from) = (decision.replicas, seen.current);
            assert!(to >= settings.limits.min && to <= settings.limits.max, "bounds: {decision:?}");
            assert!(!decision.sentence().is_empty());
            if to >= from {
                return;
            }
            assert!(is_known(seen), "shrank without a sample: {seen:?} {decision:?}");
            assert!(seen.complete, "shrank on a guess: {seen:?} {decision:?}");
            let Numbers::Concurrency { stable, panicking, .. } = decision.facts.numbers else {
                panic!("another rule: {decision:?}")
            };
            assert!(!panicking, "shrank in a burst: {decision:?}");
            assert!(stable.0.is_some_and(|stable| stable.filled >= 0.5));
            if to == 0 {
                assert_eq!((seen.starting, seen.running, seen.held), (0, 0, 0), "{decision:?}");
            }
        });
    }

    #[test]
    fn the_same_inputs_give_the_same_decisions(
        settings in any_settings(),
        begin in 0..12_u32,
        ticks in prop::collection::vec(tick(), 1..60),
    ) {
        let once = play(&settings, begin, &ticks, |_, _| {});
        let twice = play(&settings, begin, &ticks, |_, _| {});
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn a_restart_with_no_history_keeps_the_scale(
        settings in any_settings(),
        begin in 0..12_u32,
        ticks in prop::collection::vec(tick(), 1..40),
    ) {
        let blind: Vec<Tick> =
            ticks.into_iter().map(|tick| Tick { load: None, held: 0, ..tick }).collect();
        let kept = begin.clamp(settings.limits.min, settings.limits.max);
        for decided in play(&settings, begin, &blind, |_, _| {}) {
            prop_assert_eq!(decided, kept);
        }
    }

    #[test]
    fn growth_obeys_the_rate_and_is_at_least_one(
        settings in any_settings(),
        begin in 0..12_u32,
        ticks in prop::collection::vec(tick(), 1..60),
    ) {
        let RuleSettings::Concurrency(rule) = settings.rule else { unreachable!() };
        let mut burst_before = 0;
        play(&settings, begin, &ticks, |seen, decision| {
            let Numbers::Concurrency { burst_most, .. } = decision.facts.numbers else {
                panic!("another rule: {decision:?}")
            };
            let ready = seen.ready.max(1);
            let most = ((f64::from(ready) * rule.rates.up).ceil() as u32)
                .max(ready + 1)
                .max(rule.activation_replicas)
                .max(settings.limits.min)
                .max(seen.current)
                .max(burst_before)
                .max(burst_most);
            burst_before = burst_most;
            // The delay may give back what an earlier tick, with more ready, could ask for.
            if rule.scale_down_delay.is_zero() {
                assert!(decision.replicas <= most, "{seen:?} {decision:?}");
            }
        });
    }
}
