//! Rollouts of versions that are alike, fail, or are slow, in virtual time.

use super::*;
use proptest::prelude::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn plan() -> Plan {
    let step = |weight| Step { weight, pause: at(60) };
    let condition = Condition {
        success_rate: 0.99,
        percentile: 0.95,
        factor: 1.2,
        min_requests: 50.0,
        max_wait: at(600),
    };
    Plan { steps: vec![step(10), step(50)], condition }
}

/// Requests that took from 90 to 110 ms, but for `slow` of them, which took two seconds.
fn tally(well: f64, failed: f64, slow: f64) -> Tally {
    let all = well + failed;
    let buckets =
        vec![(0.09, 0.0), (0.1, (all - slow) / 2.0), (0.11, (all - slow) / 2.0), (0.2, 0.0)];
    Tally { well, failed, latency: Latency { buckets, beyond: slow } }
}

/// What comes of looks at a version that has these counts at a time, in its first step.
fn looked(plan: Plan, own: &Tally, others: &Tally, now: u64) -> (u32, RolloutReason) {
    let mut rollout = Rollout::begin(plan, at(0));
    let look = rollout.look(own, others, at(now)).unwrap();
    assert_eq!(look.is_change, rollout.weight() != 10, "{look:?}");
    (rollout.weight(), look.reason)
}

#[test]
fn the_counts_of_a_step_decide() {
    use RolloutReason::*;
    let others = tally(10_000.0, 10.0, 100.0);
    for (own, now, weight, reason) in [
        (tally(100.0, 0.0, 0.0), 59, 10, Pause),
        (tally(100.0, 0.0, 0.0), 60, 50, Passed),
        (tally(49.0, 0.0, 0.0), 600, 10, TooFewRequests),
        (tally(49.0, 0.0, 0.0), 660, 0, MaxWait),
        (tally(0.0, 0.0, 0.0), 60, 10, TooFewRequests),
        // One of fifty may be chance, whatever it looks like.
        (tally(49.0, 1.0, 0.0), 60, 10, Unsure),
        (tally(199.0, 1.0, 0.0), 60, 50, Passed),
        (tally(49.0, 1.0, 0.0), 660, 0, MaxWait),
        // Sure at once, with fewer requests than it takes to go on.
        (tally(0.0, 3.0, 0.0), 1, 0, SuccessRate),
        (tally(80.0, 20.0, 0.0), 1, 0, SuccessRate),
        (tally(0.0, 1.0, 0.0), 1, 10, Pause),
        // As many as may fail, and many more than elsewhere.
        (tally(1985.0, 15.0, 0.0), 60, 0, MoreFailures),
        // One in ten is slow, then half.
        (tally(50.0, 0.0, 5.0), 1, 10, Pause),
        (tally(54.0, 0.0, 5.0), 60, 10, Unsure),
        (tally(60.0, 0.0, 30.0), 1, 0, Latency),
        (tally(1000.0, 0.0, 50.0), 60, 50, Passed),
    ] {
        assert_eq!(looked(plan(), &own, &others, now), (weight, reason), "{own:?} after {now} s");
    }
}

#[test]
fn who_is_slow_beside_few_others_is_not_surely_slow() {
    let own = tally(1000.0, 0.0, 200.0);
    assert_eq!(looked(plan(), &own, &tally(20.0, 0.0, 0.0), 1).1, RolloutReason::Pause);
    assert_eq!(looked(plan(), &own, &tally(20.0, 0.0, 0.0), 60).1, RolloutReason::TooFewRequests);
    assert_eq!(looked(plan(), &own, &tally(60.0, 0.0, 0.0), 1).1, RolloutReason::Latency);
    let mut off = plan();
    off.condition.factor = 0.0;
    assert_eq!(looked(off, &own, &tally(0.0, 0.0, 0.0), 60), (50, RolloutReason::Passed));
}

#[test]
fn a_version_that_does_well_gets_all_and_one_that_does_not_gets_nothing() {
    let (well, others) = (tally(60.0, 0.0, 0.0), tally(100.0, 0.0, 0.0));
    let mut rollout = Rollout::begin(plan(), at(0));
    let mut weights = vec![rollout.weight()];
    for now in (0..200).step_by(10) {
        rollout.look(&well, &others, at(now));
        weights.push(rollout.weight());
    }
    weights.dedup();
    assert_eq!((weights, rollout.stage()), (vec![10, 50, 100], Stage::Promoted));
    let bad = tally(0.0, 1000.0, 0.0);
    assert_eq!(rollout.look(&bad, &others, at(300)), None, "it is over");

    let mut rollout = Rollout::begin(plan(), at(0));
    rollout.look(&well, &others, at(60)).unwrap();
    // What came before the step counts no more.
    let few = rollout.look(&tally(1.0, 0.0, 0.0), &others, at(120)).unwrap();
    assert_eq!((few.reason, rollout.weight()), (RolloutReason::TooFewRequests, 50));
    let look = rollout.look(&bad, &others, at(121)).unwrap();
    let said = "1000 of 1001 requests failed (100 %), where 1 % may";
    assert_eq!((look.is_change, look.detail.as_str()), (true, said));
    assert_eq!((rollout.weight(), rollout.look(&well, &others, at(999))), (0, None));
}

#[test]
fn a_restart_forgets_nothing_and_nonsense_begins() {
    let mut rollout = Rollout::begin(plan(), at(0));
    rollout.look(&tally(60.0, 0.0, 0.0), &tally(90.0, 0.0, 0.0), at(60)).unwrap();
    rollout.look(&tally(40.0, 0.0, 0.0), &tally(60.0, 0.0, 0.0), at(90)).unwrap();
    let kept = Snapshot::from_series(rollout.snapshot(at(90)).into_series());
    // The next process counts its time anew; ten seconds have passed.
    let mut again = Rollout::restore(plan(), &kept, at(10), at(1000));
    assert_eq!((again.stage(), again.weight()), (Stage::Step(1), 50));
    let (own, others) = (tally(10.0, 0.0, 0.0), tally(1.0, 0.0, 0.0));
    assert_eq!(again.look(&own, &others, at(1019)).unwrap().reason, RolloutReason::Pause);
    assert_eq!(again.look(&own, &others, at(1020)).unwrap().reason, RolloutReason::Promoted);
    for stage in [Stage::Promoted, Stage::TakenBack] {
        rollout.stage = stage;
        let kept = rollout.snapshot(at(200));
        assert_eq!(Rollout::restore(plan(), &kept, at(1), at(5)).stage(), stage);
    }
    for (stage, age) in [(2.0, 0.0), (-3.0, 0.0), (f64::NAN, 0.0)] {
        let mut kept = Snapshot::default();
        kept.put("stage", [[stage, age]]);
        assert_eq!(Rollout::restore(plan(), &kept, at(1), at(5)).stage(), Stage::Step(0));
    }
}

#[test]
fn time_in_which_nobody_counted_is_no_wait_for_requests() {
    let (few, others) = (tally(10.0, 0.0, 0.0), tally(10_000.0, 0.0, 0.0));
    let mut rollout = Rollout::begin(plan(), at(0));
    rollout.look(&few, &others, at(100)).unwrap();
    // Away for a day after 100 s of 60 s and ten minutes at the most; then once more, after 50 s.
    let mut again = Rollout::restore(plan(), &rollout.snapshot(at(100)), at(86_400), at(1000));
    let look = again.look(&few, &others, at(1050)).unwrap();
    assert_eq!((look.reason, look.is_change), (RolloutReason::TooFewRequests, false));
    let mut again = Rollout::restore(plan(), &again.snapshot(at(1050)), at(86_400), at(2000));
    assert!(!again.look(&Tally::default(), &others, at(2449)).unwrap().is_change);
    let look = again.look(&Tally::default(), &others, at(2450)).unwrap();
    assert_eq!(look.reason, RolloutReason::MaxWait);
}

#[test]
fn a_version_that_can_not_be_started_is_taken_back_at_once() {
    let mut rollout = Rollout::begin(plan(), at(0));
    let look = rollout.fail("exit status: 3", at(1)).unwrap();
    assert_eq!((look.is_change, look.reason), (true, RolloutReason::StartFailed));
    assert_eq!(look.detail, "its replicas don't start: exit status: 3");
    assert_eq!((rollout.weight(), rollout.fail("again", at(2))), (0, None));
}

/// A source of numbers that are the same in each run.
struct Draws(u64);

impl Draws {
    fn draw(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// So many requests of a version: one in `fails` fails, and they take exponential times.
    fn tally(&mut self, requests: u32, fails: f64, mean: f64) -> Tally {
        let ends: Vec<f64> = (0..119).map(|n| 0.0005 * 1.12_f64.powi(n)).collect();
        let mut tally = Tally::default();
        tally.latency.buckets = ends.iter().map(|end| (*end, 0.0)).collect();
        for _ in 0..requests {
            let took = -mean * (1.0 - self.draw()).ln();
            match tally.latency.buckets.iter_mut().find(|(end, _)| took <= *end) {
                Some((_, count)) => *count += 1.0,
                None => tally.latency.beyond += 1.0,
            }
            if self.draw() < fails { tally.failed += 1.0 } else { tally.well += 1.0 }
        }
        tally
    }
}

/// How many of fifty rollouts end promoted, of a version of this share of failures and this mean time
/// beside one with 0.2 % and 100 ms; ten requests a second, a look each five.
fn promoted(fails: f64, mean: f64) -> usize {
    let run = |seed| {
        let mut draws = Draws(seed);
        let mut rollout = Rollout::begin(plan(), at(0));
        let mut now = 0;
        while let Stage::Step(_) = rollout.stage() {
            now += 5;
            let requests = rollout.weight() / 2;
            let own = draws.tally(requests, fails, mean);
            let others = draws.tally(50 - requests, 0.002, 0.1);
            rollout.look(&own, &others, at(now));
        }
        rollout.stage() == Stage::Promoted
    };
    (0..50).filter(|seed| run(*seed)).count()
}

#[test]
fn a_version_like_the_old_one_is_promoted_and_a_worse_one_is_not() {
    let (like, failing, slow) = (promoted(0.002, 0.1), promoted(0.04, 0.1), promoted(0.002, 0.15));
    assert!(like >= 49, "{like} of 50 that are like the old one");
    assert!(failing == 0, "{failing} of 50 that fail four times as often as they may");
    assert!(slow <= 3, "{slow} of 50 that take half as long again");
}

proptest! {
    #[test]
    fn any_counts_are_looked_at_without_harm(
        counts in prop::collection::vec((0.0..1e9_f64, 0.0..1e9_f64, 0.0..1e9_f64), 2..20),
    ) {
        let mut rollout = Rollout::begin(plan(), at(0));
        for (second, pair) in counts.windows(2).enumerate() {
            let [own, others] = [pair[0], pair[1]].map(|(well, failed, beyond)| {
                let buckets = vec![(0.1, well), (0.2, failed)];
                Tally { well, failed, latency: Latency { buckets, beyond } }
            });
            rollout.look(&own, &others, at(second as u64 * 30));
            prop_assert!([0, 10, 50, 100].contains(&rollout.weight()));
            let kept = rollout.snapshot(at(900));
            let back = Rollout::restore(plan(), &kept, Duration::ZERO, at(900));
            prop_assert_eq!(back.weight(), rollout.weight());
        }
    }
}

#[test]
fn who_takes_over_keeps_the_pause_and_waits_as_long_as_anybody_for_requests() {
    let (few, others) = (tally(10.0, 0.0, 0.0), tally(10_000.0, 0.0, 0.0));
    // 50 s of the pause are over when the new one begins at 1000 s.
    let resume = |stage, stood_for| Rollout::resume(plan(), stage, at(stood_for), at(1000));
    let mut rollout = resume(Stage::Step(1), 50);
    assert_eq!(rollout.weight(), 50);
    assert_eq!(rollout.look(&few, &others, at(1009)).unwrap().reason, RolloutReason::Pause);
    rollout.look(&tally(90.0, 0.0, 0.0), &others, at(1010)).unwrap();
    assert_eq!(rollout.stage(), Stage::Promoted);
    // It was over long ago: what nobody has counted is no reason to take it back.
    let mut rollout = resume(Stage::Step(0), 900);
    let at_once = rollout.look(&few, &others, at(1001)).unwrap();
    assert_eq!((at_once.reason, at_once.is_change), (RolloutReason::TooFewRequests, false));
    assert!(!rollout.look(&few, &others, at(1599)).unwrap().is_change);
    assert_eq!(rollout.look(&few, &others, at(1600)).unwrap().reason, RolloutReason::MaxWait);
    for (stage, weight) in [(Stage::TakenBack, 0), (Stage::Promoted, 100), (Stage::Step(2), 10)] {
        assert_eq!(resume(stage, 5).weight(), weight);
    }
}
