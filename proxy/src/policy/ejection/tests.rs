//! Ejection under a simulated clock.

use super::*;
use proptest::prelude::*;

const FAST: Outcome = Outcome::Answered(Duration::from_millis(10));

fn ejection(rules: EjectionRules, endpoints: usize) -> (Ejection, Instant) {
    let now = Instant::now();
    let mut ejection = Ejection::new(rules);
    (0..endpoints).for_each(|index| ejection.add(index, now));
    (ejection, now)
}

fn repeat(ejection: &mut Ejection, index: usize, outcome: Outcome, times: u32, now: Instant) {
    for _ in 0..times {
        ejection.record(index, outcome, now);
    }
}

#[test]
fn broken_exchanges_in_a_row_take_an_endpoint_out_for_longer_each_time() {
    let (mut ejection, mut now) = ejection(EjectionRules::default(), 4);
    for seconds in [5, 10, 20, 40, 60, 60] {
        repeat(&mut ejection, 1, Outcome::Broken, 4, now);
        ejection.record(1, FAST, now);
        repeat(&mut ejection, 1, Outcome::Broken, 4, now);
        assert_eq!(ejection.out(1), None, "not in a row");
        assert_eq!(ejection.record(1, Outcome::Broken, now), Some(Cause::Broken));
        assert_eq!(ejection.record(1, Outcome::Broken, now), None, "it is out already");
        let until = now + Duration::from_secs(seconds);
        assert_eq!(ejection.out(1), Some((until, Cause::Broken)));
        assert_eq!(ejection.next_deadline(), Some(until));
        assert_eq!(ejection.poll(until - Duration::from_millis(1)), None);
        assert_eq!((ejection.poll(until), ejection.poll(until)), (Some(1), None));
        now = until;
    }
    now += Duration::from_secs(60);
    repeat(&mut ejection, 1, Outcome::Broken, 5, now);
    assert_eq!(ejection.next_deadline(), Some(now + Duration::from_secs(5)), "it was well since");
}

#[test]
fn one_stays_in_however_many_may_be_out() {
    let (mut ejection, now) =
        ejection(EjectionRules { max_share: 1.0, ..EjectionRules::default() }, 3);
    (0..3).for_each(|index| repeat(&mut ejection, index, Outcome::Broken, 9, now));
    let out: Vec<_> = (0..3).filter(|index| ejection.out(*index).is_some()).collect();
    assert_eq!(out, [0, 1]);
}

#[test]
fn a_share_of_errors_takes_an_endpoint_out_and_old_ones_are_forgotten() {
    let (mut ejection, now) = ejection(EjectionRules::default(), 4);
    repeat(&mut ejection, 0, Outcome::Error, 19, now);
    assert_eq!(ejection.out(0), None, "too few to judge");
    let later = now + 2 * WINDOW;
    repeat(&mut ejection, 0, FAST, 11, later);
    repeat(&mut ejection, 0, Outcome::Error, 10, later);
    assert_eq!(ejection.out(0), None, "10 of 21, and those of long ago");
    assert_eq!(ejection.record(0, Outcome::Error, later), Some(Cause::Errors));
}

#[test]
fn a_slow_endpoint_is_taken_out_by_setting_only() {
    for (slow_factor, expected) in [(0.0, None), (3.0, Some(Cause::Slow)), (5.0, None)] {
        let (mut ejection, now) =
            ejection(EjectionRules { slow_factor, ..EjectionRules::default() }, 4);
        (0..3).for_each(|index| repeat(&mut ejection, index, FAST, 20, now));
        let slow = Outcome::Answered(Duration::from_millis(40));
        repeat(&mut ejection, 3, slow, 19, now);
        assert_eq!(ejection.record(3, slow, now), expected, "{slow_factor}");
    }
}

proptest! {
    #[test]
    fn no_more_are_out_than_the_share_allows_and_never_all(
        endpoints in 1usize..10,
        max_share in 0.0f64..=1.0,
        events in prop::collection::vec((0usize..10, 0u8..3, 0u64..2000), 0..500),
    ) {
        let rules = EjectionRules { max_share, consecutive_errors: 2, ..EjectionRules::default() };
        let (mut ejection, mut now) = ejection(rules, endpoints);
        for (index, outcome, passed_ms) in events {
            now += Duration::from_millis(passed_ms);
            while let Some(back) = ejection.poll(now) {
                prop_assert_eq!(ejection.out(back), None);
            }
            let outcome = [FAST, Outcome::Error, Outcome::Broken][usize::from(outcome)];
            ejection.record(index, outcome, now);
            let out = (0..endpoints).filter_map(|index| ejection.out(index));
            prop_assert!(out.clone().all(|(until, _)| until > now && until <= now + rules.max_time));
            prop_assert!(out.clone().count() as f64 <= max_share * endpoints as f64);
            prop_assert!(out.count() < endpoints);
        }
    }
}
