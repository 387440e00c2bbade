//! What the `slo` rule promises, second by second, with replicas that are ready after a cold start.

use super::at;
use std::time::Duration;
use tidegate_autoscaler::policy::bounds::Limits;
use tidegate_autoscaler::policy::decide::{RuleSettings, Scaler, ScalerSettings};
use tidegate_autoscaler::policy::decision::{Decision, Numbers, Stage};
use tidegate_autoscaler::policy::idle::IdleSettings;
use tidegate_autoscaler::policy::observation::{Load, Observation, Traffic};
use tidegate_autoscaler::policy::reason::DecisionReason as Why;
use tidegate_autoscaler::policy::slo::SloSettings;

/// One request at a time a replica, each of a tenth of a second.
struct World {
    scaler: Scaler,
    now: u32,
    seen: Observation,
}

const SERVICE: f64 = 0.1;

impl World {
    fn new(current: u32, cold_start: f64) -> Self {
        let rule = RuleSettings::Slo(SloSettings {
            wait: 0.2,
            late: 0.01,
            cold_start: at(cold_start),
            per_replica: 1,
        });
        let limits = Limits { min: 0, max: 1000 };
        let idle = IdleSettings { grace: Duration::ZERO, retention: Duration::ZERO };
        let settings = ScalerSettings { rule, limits, idle };
        let scaler = Scaler::begin(&settings, current, at(1000.0));
        let seen =
            Observation { current, ready: current, complete: true, ..Observation::default() };
        Self { scaler, now: 1000, seen }
    }

    /// A second in which `rate` requests came and were served; what was asked for is ready at once.
    fn tick(&mut self, rate: f64) -> Decision {
        self.look(1, rate)
    }

    /// The same, of as many seconds.
    fn look(&mut self, seconds: u32, rate: f64) -> Decision {
        let from = at(f64::from(self.now));
        self.now += seconds;
        self.seen.load = Some(Load { from, average: rate * SERVICE });
        let arrivals = rate * f64::from(seconds);
        self.seen.traffic = Some(Traffic {
            from,
            arrivals,
            completions: arrivals,
            service_seconds: arrivals * SERVICE,
        });
        let decision = self.scaler.decide(&self.seen, at(f64::from(self.now)));
        (self.seen.current, self.seen.ready) = (decision.replicas, decision.replicas);
        decision
    }

    fn ticks(&mut self, seconds: u32, rate: f64) -> Decision {
        (0..seconds).map(|_| self.tick(rate)).last().unwrap()
    }
}

#[test]
fn steady_load_gets_the_fewest_that_meet_the_objective_and_one_more_at_most() {
    let mut world = World::new(4, 5.0);
    // Three busy servers on average. Of four, half of the requests would wait, by Erlang's C, and
    // less than one in a hundred of those longer than the two service times that are allowed.
    let decision = world.ticks(300, 30.0);
    let demand = decision.steps.iter().find(|step| step.stage == Stage::Demand).unwrap();
    assert_eq!(demand.to, 4, "{}", decision.sentence());
    assert!([4, 5].contains(&decision.replicas), "{}", decision.sentence());
}

#[test]
fn a_step_to_a_hundred_times_the_load_is_answered_within_two_seconds() {
    let mut world = World::new(1, 30.0);
    world.ticks(300, 10.0);
    let decision = world.ticks(2, 1000.0);
    assert!(decision.replicas >= 90 && decision.replicas <= 130, "{}", decision.sentence());
}

#[test]
fn replicas_are_kept_for_what_a_return_costs() {
    for cold_start in [15_u32, 50] {
        let mut world = World::new(1, f64::from(cold_start));
        world.ticks(8000, 100.0);
        let most = world.seen.current;
        let kept = world.ticks(cold_start, 85.0);
        assert_eq!(kept.replicas, most);
        assert_eq!(kept.reason, Why::BreakEven, "{}", kept.sentence());
        // The cold start, after the windows that show so small a fall.
        assert!(world.ticks(90, 85.0).replicas < most, "{cold_start}");
    }
}

#[test]
fn who_has_seen_less_than_half_a_minute_takes_nothing_away() {
    let mut world = World::new(9, 1.0);
    let early: Vec<_> = (0..29).map(|_| world.tick(1.0)).collect();
    assert!(early.iter().all(|decision| decision.replicas == 9));
    assert_eq!(early[28].reason, Why::ShortHistory, "{}", early[28].sentence());
    assert!(world.ticks(60, 1.0).replicas < 9);
}

#[test]
fn nobody_asking_leads_to_zero_and_a_held_request_back() {
    let mut world = World::new(1, 5.0);
    world.ticks(300, 10.0);
    // Fifty would be late at the return, and so few have come that this is more than one in a
    // hundred: the last one stays for the cold start divided by the allowed share, 500 s.
    assert!(world.ticks(490, 0.0).replicas >= 1);
    let decision = world.ticks(100, 0.0);
    assert_eq!((decision.replicas, decision.reason), (0, Why::Idle));
    world.seen.held = 7;
    let decision = world.tick(7.0);
    assert_eq!(decision.reason, Why::Wake);
    assert!(decision.replicas >= 1);
}

#[test]
fn the_first_request_of_all_starts_no_fleet() {
    let mut world = World::new(0, 30.0);
    // One request, a tenth of a second before somebody looks: it may be one of ten a second.
    world.seen.held = 1;
    let woken = world.scaler.decide(&world.seen, at(1000.0)).replicas;
    (world.seen.current, world.seen.starting) = (woken, woken);
    let from = at(1000.9);
    world.seen.traffic =
        Some(Traffic { from, arrivals: 1.0, completions: 0.0, service_seconds: 0.0 });
    world.seen.load = Some(Load { from, average: 1.0 });
    let first = world.scaler.decide(&world.seen, at(1001.0));
    assert_eq!((woken, first.replicas), (1, 1), "{first:?}");
}

#[test]
fn a_process_that_begins_among_long_requests_does_not_count_only_those_that_come() {
    let mut world = World::new(100, 5.0);
    world.seen.running = 100;
    for second in 1..=300 {
        let (from, now) = (at(999.0 + f64::from(second)), at(1000.0 + f64::from(second)));
        // One in six seconds, of ten minutes each.
        let each = if second % 6 == 0 { 1.0 } else { 0.0 };
        let service_seconds = 600.0 * each;
        let traffic = Traffic { from, arrivals: each, completions: each, service_seconds };
        let load = Some(Load { from, average: 100.0 });
        let seen = Observation { load, traffic: Some(traffic), ..world.seen };
        let decision = world.scaler.decide(&seen, now);
        assert!(decision.replicas >= 100, "{second}: {decision:?}");
    }
}

#[test]
fn what_is_counted_a_moment_later_is_not_guessed_meanwhile() {
    let mut world = World::new(20, 5.0);
    let calm = (0..120).map(|_| world.tick(100.0).replicas).last().unwrap();
    for _ in 0..60 {
        // The gateway can't be read, and what replicas said last adds up to twice what runs.
        world.now += 1;
        let from = at(f64::from(world.now - 1));
        let load = Some(Load { from, average: 200.0 * SERVICE });
        let seen = Observation { load, traffic: None, lost: true, ..world.seen };
        let decision = world.scaler.decide(&seen, at(f64::from(world.now)));
        assert_eq!(decision.replicas, calm, "{decision:?}");
        // The next count has both seconds.
        world.now -= 1;
        assert_eq!(world.look(2, 100.0).replicas, calm);
    }
}

#[test]
fn while_requests_are_late_nothing_goes() {
    let mut world = World::new(9, 5.0);
    world.ticks(100, 50.0);
    world.seen.held = 1000;
    for _ in 0..300 {
        let before = world.seen.current;
        assert!(world.tick(1.0).replicas >= before);
    }
}

#[test]
fn what_waits_is_cleared_the_sooner_the_more_of_the_budget_is_spent() {
    let asked = |late_for: u32| {
        let mut world = World::new(8, 30.0);
        world.ticks(1500, 40.0);
        for _ in 0..late_for {
            (world.seen.held, world.seen.ready) = (20, 6);
            world.tick(40.0);
        }
        // All four are busy; a fifth, which is ready as soon as another could be, clears it in ten seconds.
        (world.seen.held, world.seen.ready, world.seen.starting) = (100, 4, 1);
        world.seen.current = 5;
        let decision = world.tick(40.0);
        decision.steps.iter().find(|step| step.stage == Stage::Backlog).unwrap().to
    };
    let (unspent, spent) = (asked(0), asked(120));
    assert!(unspent <= 6 && spent >= 8, "{unspent} {spent}");
}

#[test]
fn a_growth_that_is_over_is_paid_for_no_longer() {
    let mut world = World::new(10, 30.0);
    let rate = |second: u32| 50.0 + 3.0 * f64::from(second.min(300));
    for second in 0..420 {
        world.tick(rate(second));
    }
    // Two minutes after it ended: what serves 950 a second and what chance makes of them, and no more for a trend.
    let ended = world.tick(rate(420)).steps;
    let soon = ended.iter().find(|step| step.stage == Stage::Forecast).unwrap();
    assert!(soon.to <= soon.from + 2, "{soon:?}");
}

#[test]
fn a_flat_random_load_rarely_changes_direction() {
    let mut world = World::new(1, 5.0);
    let mut seed = 7_u64;
    let mut directions = Vec::new();
    for _ in 0..4 * 3600 {
        let before = world.seen.current;
        let after = world.tick(poisson(40.0, &mut seed)).replicas;
        let direction = after.cmp(&before);
        if direction.is_ne() && directions.last() != Some(&direction) {
            directions.push(direction);
        }
    }
    assert!(directions.len() <= 8, "{} in four hours", directions.len());
}

/// At the same time on the fourth day, with `base` requests a second at all times: what there is a little
/// before a busy hour, and right before it.
fn before_a_busy_hour(base: f64) -> (Decision, Decision) {
    const DAY: u32 = 86_400;
    // Busy from ten to twenty, and for a while at another hour of each night, so that no gap is like
    // the one before.
    let rate = |now: u32| {
        let (day, time) = (now / DAY, now % DAY);
        let night = [3600, 14_400, 25_200, 7200][(day % 4) as usize];
        let is_busy = (36_000..72_000).contains(&time) || (night..night + 1200).contains(&time);
        if is_busy { 50.0 } else { base }
    };
    let mut world = World::new(0, 60.0);
    let mut until = |moment: u32| {
        let mut last = None;
        while world.now < moment {
            last = Some(world.look(20, rate(world.now)));
        }
        last.unwrap()
    };
    (until(3 * DAY + 35_900), until(3 * DAY + 35_980))
}

#[test]
fn at_a_time_of_day_that_was_busy_for_three_days_replicas_are_there_before_anybody_asks() {
    let (before, ready) = before_a_busy_hour(0.0);
    assert_eq!(before.replicas, 0, "{}", before.sentence());
    assert!(ready.replicas >= 5, "{}", ready.sentence());
    assert_eq!(ready.reason, Why::Forecast, "{}", ready.sentence());
}

#[test]
fn and_more_are_there_where_some_always_ask() {
    let (before, ready) = before_a_busy_hour(4.0);
    assert!(before.replicas <= 2, "{}", before.sentence());
    assert!(ready.replicas >= 5, "{}", ready.sentence());
    assert_eq!(ready.reason, Why::Forecast, "{}", ready.sentence());
}

/// A Poisson number by counting exponential gaps; the generator is xorshift with a fixed seed.
fn poisson(mean: f64, seed: &mut u64) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    loop {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        sum -= (((*seed >> 11) as f64 + 0.5) / (1_u64 << 53) as f64).ln();
        if sum > mean {
            return count;
        }
        count += 1.0;
    }
}

/// Two hours of a load that is there in the second half of each ten minutes.
fn on_off(cold_start: f64) -> World {
    let mut world = World::new(0, cold_start);
    let mut seed = 11_u64;
    while world.now < 1000 + 2 * 3600 {
        let rate = busy_half(world.now);
        world.tick(poisson(rate, &mut seed));
    }
    world
}

fn busy_half(now: u32) -> f64 {
    if (now - 1000) % 600 >= 300 { 50.0 } else { 0.0 }
}

#[test]
fn a_load_with_a_period_is_met_before_it_comes_and_let_go_when_it_is_over() {
    let mut world = on_off(30.0);
    let mut ready_for = 0;
    let mut gone = None;
    for second in 0..600 {
        let decision = world.tick(busy_half(world.now));
        let Numbers::Slo(slo) = decision.facts.numbers else { panic!("another rule") };
        assert_eq!(slo.period, 600.0, "{second}");
        if second < 300 && decision.replicas >= 5 && gone.is_some() {
            ready_for += 1;
        }
        if decision.replicas == 0 && gone.is_none() {
            gone = Some(second);
        }
    }
    // The start and at the most as long again.
    assert!((30..=60).contains(&ready_for), "{ready_for}");
    assert!(gone.is_some_and(|second| second < 60), "{gone:?}");
}

#[test]
fn a_period_that_does_not_come_again_takes_nothing_away_and_is_forgotten() {
    let mut world = on_off(30.0);
    let most = world.seen.current;
    assert!(most >= 5);
    // It stays busy: none goes, though at all other times it was quiet now.
    for second in 0..600 {
        let decision = world.tick(50.0);
        assert!(decision.replicas >= most - 1, "{second}: {}", decision.sentence());
    }
    // It stays quiet after another quiet half: those that came for nothing go again.
    let mut world = on_off(30.0);
    world.ticks(300, 0.0);
    assert!(world.seen.current >= 5, "they are there in time");
    // Not at once: they may only be late. What a return costs has its own time.
    world.ticks(3300, 0.0);
    let again = (0..1200).map(|_| world.tick(0.0).replicas).max();
    assert_eq!(again, Some(0), "nobody believes in it any more");
}

#[test]
fn more_than_the_objective_may_be_late_only_where_a_period_is_known_and_waits_are_seen() {
    let wave = |now: u32| {
        let phase = std::f64::consts::TAU * f64::from(now) / 600.0;
        100.0 - 80.0 * phase.cos()
    };
    let late_allowed = |held: u32, periods: u32| {
        let mut world = World::new(5, 5.0);
        let mut seed = 5_u64;
        world.seen.held = held;
        world.tick(wave(0));
        world.seen.held = 0;
        for second in 1..periods * 600 {
            world.tick(poisson(wave(second), &mut seed));
        }
        let Numbers::Slo(slo) = world.tick(wave(0)).facts.numbers else { panic!("another rule") };
        slo.late_allowed
    };
    assert_eq!(late_allowed(0, 4), 0.01, "who sees no queue can't know what is late");
    assert_eq!(late_allowed(1, 1), 0.01, "what comes is not known yet");
    let known = late_allowed(1, 4);
    assert!((0.02..=0.05).contains(&known), "{known}");
}
