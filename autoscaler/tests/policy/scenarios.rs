//! What a person would expect, second by second.

use super::{at, concurrency, seen, settings};
use std::time::Duration;
use tidegate_autoscaler::policy::bounds::{Limits, Rates};
use tidegate_autoscaler::policy::concurrency::ConcurrencySettings;
use tidegate_autoscaler::policy::decide::{RuleSettings, Scaler, ScalerSettings};
use tidegate_autoscaler::policy::decision::Decision;
use tidegate_autoscaler::policy::idle::IdleSettings;
use tidegate_autoscaler::policy::observation::Observation;
use tidegate_autoscaler::policy::reason::DecisionReason as Why;

/// One API whose replicas are ready a tick after they were asked for.
struct World {
    scaler: Scaler,
    now: f64,
    current: u32,
}

impl World {
    fn new(settings: ScalerSettings, current: u32) -> Self {
        Self { scaler: Scaler::begin(&settings, current, at(100.0)), now: 100.0, current }
    }

    /// One second with `load` in flight.
    fn tick(&mut self, load: f64) -> Decision {
        self.tick_as(|current, now| seen(current, load, now))
    }

    fn tick_as(&mut self, see: impl Fn(u32, f64) -> Observation) -> Decision {
        self.now += 1.0;
        let observation = see(self.current, self.now);
        let decision = self.scaler.decide(&observation, at(self.now));
        self.current = decision.replicas;
        decision
    }

    fn ticks(&mut self, seconds: u32, load: f64) -> Decision {
        (0..seconds).map(|_| self.tick(load)).last().unwrap()
    }
}

/// Settings with another rule.
fn by(rule: ConcurrencySettings) -> ScalerSettings {
    ScalerSettings { rule: RuleSettings::Concurrency(rule), ..settings() }
}

#[test]
fn a_held_request_wakes_at_once_and_a_backlog_wakes_as_many_as_it_needs() {
    for (held, activation, want) in [(1, 1, 1), (2, 1, 2), (5, 1, 4), (1, 3, 3), (900, 1, 10)] {
        let rule = ConcurrencySettings { activation_replicas: activation, ..concurrency() };
        let mut world = World::new(by(rule), 0);
        let decision = world.tick_as(|current, now| Observation {
            held,
            load: None,
            ..seen(current, 0.0, now)
        });
        assert_eq!(decision.replicas, want, "{held} held");
        let reason = if held == 900 { Why::MaxReplicas } else { Why::Wake };
        assert_eq!(decision.reason, reason);
        if held == 900 {
            let sentence = "900 held and none ready, at 1.40 a replica: 643, but 10 is the most";
            assert_eq!(decision.sentence(), sentence);
        }
    }
}

#[test]
fn what_was_woken_is_not_taken_back_by_windows_that_have_not_seen_it_yet() {
    let mut world = World::new(settings(), 0);
    world.ticks(60, 0.0);
    world.tick_as(|current, now| Observation { held: 5, ..seen(current, 5.0, now) });
    assert_eq!(world.current, 4);
    for _ in 0..60 {
        assert_eq!(world.tick(1.0).replicas, 4);
    }
    // A calm minute later the stable window decides.
    let first = std::iter::repeat_with(|| world.tick(1.0)).take(5).find(|next| next.replicas < 4);
    let first = first.map(|decision| (decision.replicas, decision.reason));
    assert_eq!(first, Some((2, Why::ScaleDownRate)));
    assert_eq!(world.tick(1.0).replicas, 1);
}

#[test]
fn a_steady_load_is_met_exactly() {
    let mut world = World::new(settings(), 1);
    assert_eq!(world.ticks(120, 4.2).replicas, 3, "4.2 at 1.4 a replica");
}

#[test]
fn a_burst_grows_within_the_panic_window_and_only_grows() {
    let mut world = World::new(settings(), 1);
    world.ticks(60, 1.0);
    let decision = world.ticks(6, 12.0);
    assert_eq!((decision.replicas, decision.reason), (9, Why::Burst), "12 at 1.4 a replica");
    let mut most = 0;
    for _ in 0..50 {
        let decision = world.tick(0.5);
        assert!(decision.replicas >= most);
        most = decision.replicas;
    }
    assert_eq!(world.ticks(90, 0.5).replicas, 1);
}

#[test]
fn the_last_replica_goes_after_window_and_grace() {
    let mut world = World::new(settings(), 1);
    world.ticks(60, 1.0);
    assert_eq!(world.ticks(59, 0.0).reason, Why::StableWindow);
    assert_eq!(world.tick(0.0).reason, Why::ScaleToZeroGrace);
    assert_eq!(world.ticks(29, 0.0).replicas, 1);
    let decision = world.tick(0.0);
    assert_eq!((decision.replicas, decision.reason), (0, Why::Idle));
    assert_eq!(world.ticks(100, 0.0).replicas, 0);
}

#[test]
fn the_last_replica_stays_while_it_would_be_missed() {
    let idle = IdleSettings { grace: Duration::ZERO, retention: Duration::ZERO };
    for (change, reason) in [
        ((1, 0, 0, true), Why::Busy),
        ((0, 1, 0, true), Why::Busy),
        ((0, 0, 1, true), Why::Starting),
        ((0, 0, 0, false), Why::IncompleteSamples),
    ] {
        let mut world = World::new(ScalerSettings { idle, ..settings() }, 1);
        let (running, held, starting, complete) = change;
        for _ in 0..200 {
            let decision = world.tick_as(|current, now| Observation {
                running,
                held,
                starting,
                complete,
                ..seen(current, 0.0, now)
            });
            assert_eq!(decision.replicas, 1, "{change:?}");
        }
        let last = world.tick_as(|current, now| Observation {
            running,
            held,
            starting,
            complete,
            ..seen(current, 0.0, now)
        });
        assert_eq!(last.reason, reason);
        assert_eq!(world.tick(0.0).replicas, 0, "afterwards it goes");
    }
}

#[test]
fn the_delay_holds_what_was_needed_lately() {
    let rule = ConcurrencySettings { scale_down_delay: at(300.0), ..concurrency() };
    let mut world = World::new(by(rule), 1);
    world.ticks(100, 4.2);
    assert_eq!(world.current, 3);
    let decision = world.ticks(200, 0.7);
    assert_eq!((decision.replicas, decision.reason), (3, Why::ScaleDownDelay));
    assert_eq!(world.ticks(300, 0.7).replicas, 1);
}

#[test]
fn bounds_and_rates_name_themselves() {
    let rates = Rates { up: 2.0, down: 2.0 };
    let limits = Limits { min: 2, max: 5 };
    let rule = ConcurrencySettings { rates, ..concurrency() };
    let mut world = World::new(ScalerSettings { limits, ..by(rule) }, 0);
    let first = world.tick(0.0);
    assert_eq!((first.replicas, first.reason), (2, Why::MinReplicas));
    let up = world.ticks(2, 100.0);
    assert_eq!(up.replicas, 5);
    assert_eq!(
        up.sentence(),
        "66.67 in flight over 6 s at 1.40 a replica, but one step from 4 ready goes to 8, \
         but 5 is the most"
    );
    assert_eq!(world.tick(100.0).reason, Why::MaxReplicas);
}

#[test]
fn after_a_restart_the_scale_is_kept_until_enough_is_known() {
    let mut world = World::new(settings(), 7);
    let nothing =
        world.tick_as(|current, now| Observation { load: None, ..seen(current, 0.0, now) });
    assert_eq!((nothing.replicas, nothing.reason), (7, Why::NoSamples));
    assert_eq!(world.tick(1.0).replicas, 7);
    assert_eq!(world.ticks(58, 1.0).replicas, 7);
    assert_eq!(world.ticks(60, 1.0).replicas, 1);

    let mut single = World::new(ScalerSettings { idle: no_wait(), ..settings() }, 1);
    assert_eq!(single.tick(0.0).reason, Why::ShortHistory);
    assert_eq!(single.ticks(28, 0.0).replicas, 1);
    assert_eq!(single.ticks(3, 0.0).replicas, 0, "half of the window is known");
}

fn no_wait() -> IdleSettings {
    IdleSettings { grace: Duration::ZERO, retention: Duration::ZERO }
}

#[test]
fn lost_scrapes_hold_the_scale_and_a_long_gap_does_not_become_idleness() {
    let mut world = World::new(settings(), 1);
    world.ticks(100, 4.2);
    for _ in 0..200 {
        let decision =
            world.tick_as(|current, now| Observation { load: None, ..seen(current, 0.0, now) });
        assert_eq!(decision.replicas, 3);
    }
    assert_eq!(world.tick(0.0).replicas, 3, "one sample does not speak for a minute");
}
