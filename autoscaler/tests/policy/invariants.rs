//! What holds for every sequence of observations, however mad.

use super::{at, settings};
use proptest::prelude::*;
use tidegate_autoscaler::policy::bounds::Bounds;
use tidegate_autoscaler::policy::decide::{
    ConcurrencySettings, Decision, Load, Observation, State, decide,
};

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

fn any_settings() -> impl Strategy<Value = ConcurrencySettings> {
    let windows = (1.0..90.0_f64, 0.01..1.0_f64);
    let rates = (1.0..20.0, 1.0..5.0, 1.1..4.0);
    (windows, rates, 0..3_u32, 1..9_u32, 0..40_u32, 1..4_u32).prop_map(
        |((stable, share), (up_rate, down_rate, threshold), min, more, delay, activation)| {
            ConcurrencySettings {
                stable_window: at(stable),
                panic_window: at((stable * share).max(1.0)),
                panic_threshold: threshold,
                bounds: Bounds { min, max: min + more, up_rate, down_rate },
                scale_down_delay: at(f64::from(delay)),
                activation_replicas: activation,
                ..settings()
            }
        },
    )
}

/// Plays the ticks; `check` sees what was observed, what was decided, and the state before.
fn play(
    settings: &ConcurrencySettings,
    begin: u32,
    ticks: &[Tick],
    mut check: impl FnMut(&Observation, &Decision, &State, &State),
) -> Vec<u32> {
    let mut now = 50.0;
    let mut current = begin.clamp(settings.bounds.min, settings.bounds.max);
    let mut state = State::begin(settings, current, at(now));
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
        };
        let before = state.clone();
        let decision = decide(settings, &seen, &mut state, at(now));
        check(&seen, &decision, &before, &state);
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
        play(&settings, begin, &ticks, |seen, decision, _, after| {
            let (to, from) = (decision.replicas, seen.current);
            assert!(to >= settings.bounds.min && to <= settings.bounds.max, "bounds: {decision:?}");
            assert!(!decision.sentence().is_empty());
            if to >= from {
                return;
            }
            assert!(is_known(seen), "shrank without a sample: {seen:?} {decision:?}");
            assert!(seen.complete, "shrank on a guess: {seen:?} {decision:?}");
            assert!(!after.burst().is_active(), "shrank in a burst: {decision:?}");
            assert!(decision.facts.stable.0.is_some_and(|stable| stable.filled >= 0.5));
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
        let once = play(&settings, begin, &ticks, |_, _, _, _| {});
        let twice = play(&settings, begin, &ticks, |_, _, _, _| {});
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
        let kept = begin.clamp(settings.bounds.min, settings.bounds.max);
        for decided in play(&settings, begin, &blind, |_, _, _, _| {}) {
            prop_assert_eq!(decided, kept);
        }
    }

    #[test]
    fn growth_obeys_the_rate_and_is_at_least_one(
        settings in any_settings(),
        begin in 0..12_u32,
        ticks in prop::collection::vec(tick(), 1..60),
    ) {
        play(&settings, begin, &ticks, |seen, decision, before, after| {
            let ready = seen.ready.max(1);
            let most = ((f64::from(ready) * settings.bounds.up_rate).ceil() as u32)
                .max(ready + 1)
                .max(settings.activation_replicas)
                .max(settings.bounds.min)
                .max(seen.current)
                .max(before.burst().most())
                .max(after.burst().most());
            // The delay may give back what an earlier tick, with more ready, could ask for.
            if settings.scale_down_delay.is_zero() {
                assert!(decision.replicas <= most, "{seen:?} {decision:?}");
            }
        });
    }
}
