//! When replicas go: table tests of the break-even rule.

use super::*;

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn need(replicas: u32, cold_start: f64) -> Need {
    Need {
        now: replicas,
        soon: replicas,
        most: replicas,
        again: None,
        rate: 0.05 * f64::from(replicas),
        fall: 0.0,
        cold_start,
        allowed_late: 0.01,
    }
}

/// Seconds until fewer than ten are kept, once three are needed; `late` of 10,000 were late.
fn kept_for(late: f64, cold_start: f64) -> f64 {
    let mut keep = Keep::begin(10, at(0.0));
    keep.came(10_000.0, late, 1.0);
    keep.keep(&need(10, cold_start), 10, at(0.0));
    let mut now = 0.0;
    loop {
        now += 1.0;
        if keep.keep(&need(3, cold_start), 10, at(now)).replicas < 10 {
            return now - 1.0;
        }
    }
}

#[test]
fn a_replica_is_kept_for_its_cold_start_while_the_budget_can_pay_for_a_return() {
    // From when it was last seen needed, at the second before.
    assert_eq!(kept_for(0.0, 30.0), 31.0);
    assert_eq!(kept_for(0.0, 1.0), SHORTEST + 1.0);
}

#[test]
fn and_for_longer_the_more_of_the_budget_is_spent() {
    let half_way = kept_for(55.0, 30.0);
    assert!((100.0..1000.0).contains(&half_way), "{half_way}");
    assert_eq!(kept_for(100.0, 30.0), 3001.0);
    assert_eq!(kept_for(10_000.0, 30.0), 3001.0);
}

#[test]
fn who_is_needed_again_within_a_start_stays_and_who_surely_is_not_goes_at_once() {
    let kept = |again: Option<u32>, seconds: f64| {
        let mut keep = Keep::begin(10, at(0.0));
        keep.came(10_000.0, 0.0, 1.0);
        let second = |now: u32| {
            let needed = if now == 0 { 10 } else { 3 };
            let need = Need { again, ..need(needed, 30.0) };
            keep.keep(&need, 10, at(f64::from(now))).replicas
        };
        (0..=seconds as u32).map(second).last()
    };
    assert_eq!([15.0, 28.0, 40.0].map(|seconds| kept(None, seconds)), [10, 10, 3].map(Some));
    assert_eq!([15.0, 17.0, 40.0].map(|seconds| kept(Some(6), seconds)), [10, 6, 6].map(Some));
    assert_eq!([15.0, 17.0].map(|seconds| kept(Some(0), seconds)), [10, 3].map(Some));
}

/// Seconds until the last replica goes, once it was asked `times`, late each time, `gap` seconds apart on
/// average: a third less and a third more by turns, so that no rule is known.
fn last_kept_for(times: u32, gap: u32, cold_start: f64) -> u32 {
    let mut keep = Keep::begin(0, at(0.0));
    let end = (times - 1) / 2 * 2 * gap;
    for second in 0..100_000 {
        let is_asked = second <= end && [0, gap * 2 / 3].contains(&(second % (2 * gap)));
        let count = f64::from(u8::from(is_asked));
        keep.came(count, count, 1.0);
        let need = need(u32::from(is_asked), cold_start);
        let kept = keep.keep(&need, 1, at(f64::from(second)));
        if kept.replicas == 0 && second > end {
            return second - end;
        }
    }
    u32::MAX
}

#[test]
fn one_that_was_asked_once_or_once_in_hours_goes_after_a_start() {
    for (cold_start, most) in [(5.0, 17), (30.0, 32), (120.0, 122)] {
        let once = last_kept_for(1, 1, cold_start);
        assert!(once <= most, "{once} s for a start of {cold_start} s");
        let rarely = last_kept_for(5, 7200, cold_start);
        assert!(rarely <= most + most / 4, "{rarely} s for a start of {cold_start} s");
    }
}

#[test]
fn and_one_that_is_asked_again_and_again_stays_for_as_long_as_that_takes() {
    let minutes = last_kept_for(160, 90, 5.0);
    assert!((300..=502).contains(&minutes), "{minutes}");
    let often = last_kept_for(400, 10, 5.0);
    assert!((400..=502).contains(&often), "{often}");
}

/// What is kept in each second of gaps of so many seconds, between which ten are needed for 100.
fn through(keep: &mut Keep, gaps: &[u32], from: &mut f64) -> Vec<Vec<u32>> {
    let mut play = |replicas: u32, seconds: u32| -> Vec<u32> {
        let second = |_| {
            *from += 1.0;
            keep.came(100.0, 100.0, 1.0);
            keep.keep(&need(replicas, 20.0), 10, at(*from)).replicas
        };
        (0..seconds).map(second).collect()
    };
    let gap = |gap: &u32| {
        play(10, 100);
        play(0, *gap)
    };
    gaps.iter().map(gap).collect()
}

#[test]
fn gaps_that_are_alike_are_slept_through_and_their_end_is_known() {
    let mut keep = Keep::begin(0, at(0.0));
    let seen = through(&mut keep, &[150, 152, 149, 150], &mut 0.0);
    assert!(seen[..2].iter().flatten().all(|kept| *kept == 10), "nothing is known yet");
    for gap in &seen[2..] {
        assert!(gap[..15].iter().all(|kept| *kept == 10), "{gap:?}");
        assert!(gap[20..110].iter().all(|kept| *kept == 0), "{gap:?}");
        assert!(gap[125..].iter().all(|kept| *kept == 10), "ready when it is needed: {gap:?}");
    }
}

#[test]
fn a_period_says_when_a_gap_ends_better_than_the_gaps_before() {
    let in_gap = |again: Option<u32>| {
        let (mut keep, mut from) = (Keep::begin(0, at(0.0)), 0.0);
        through(&mut keep, &[150, 152, 149], &mut from);
        through(&mut keep, &[100], &mut from);
        let need = Need { again, ..need(0, 20.0) };
        keep.keep(&need, 0, at(from + 30.0)).replicas
    };
    assert_eq!((in_gap(None), in_gap(Some(0))), (10, 0));
}

#[test]
fn gaps_that_are_not_alike_say_nothing() {
    let mut keep = Keep::begin(0, at(0.0));
    let seen = through(&mut keep, &[150, 300, 90, 150, 250], &mut 0.0);
    assert!(seen.iter().flatten().all(|kept| *kept == 10));
}

#[test]
fn no_more_are_kept_than_a_rise_that_no_forecast_saw_could_ask_for() {
    // A slow wave of up to 40 replicas; forecasts see all of it but two replicas.
    let wave = |second: u32| second.min(400 - second) / 5;
    let mut keep = Keep::begin(0, at(0.0));
    for second in 1..=400_u32 {
        keep.came(100.0, 100.0, 1.0);
        let foreseen = wave((second + 30).min(400)).saturating_sub(2);
        let now = Need { soon: foreseen, ..need(wave(second), 30.0) };
        keep.keep(&now, 80, at(f64::from(second)));
    }
    // Six that come while they catch up, and the two that no forecast saw.
    let kept = keep.keep(&need(0, 30.0), 80, at(401.0));
    assert!((6..=8).contains(&kept.replicas), "{kept:?}");
    let mut blind = Keep::begin(0, at(0.0));
    for second in 1..=400_u32 {
        blind.came(100.0, 100.0, 1.0);
        blind.keep(&need(wave(second), 30.0), 80, at(f64::from(second)));
    }
    assert!(blind.keep(&need(0, 30.0), 80, at(401.0)).replicas > kept.replicas);
}

/// One that needed as many for so long, up to 60,000 s, that no rise is remembered.
fn calm(replicas: u32) -> Keep {
    let mut keep = Keep::begin(replicas, at(0.0));
    for look in 0..6_000 {
        keep.keep(&need(replicas, 120.0), replicas, at(f64::from(look) * 10.0));
    }
    keep
}

/// What is kept of 40 replicas after `seconds` in which the need fell by one every ten seconds from 40 on, for sure or not.
fn kept_in_a_fall(seconds: u32, surely: bool) -> u32 {
    let mut keep = calm(40);
    let falling = |second: u32| {
        let now = 40 - second / 10;
        let need = need(now, 120.0);
        // Replicas a second, in the requests that those are for.
        let fall = if surely { need.rate / f64::from(now) / 10.0 } else { 0.0 };
        Need { fall, most: now + 1, soon: now, ..need }
    };
    (0..=seconds)
        .map(|second| {
            keep.came(100.0, 0.0, 1.0);
            keep.keep(&falling(second), 40, at(60_000.0 + f64::from(second))).replicas
        })
        .last()
        .unwrap()
}

#[test]
fn who_surely_falls_keeps_what_was_needed_a_moment_ago_less_what_it_fell_by_since() {
    // 20 are needed. A start before it was 32, and one more by chance.
    assert_eq!(kept_in_a_fall(205, false), 33);
    // A third of a start before it was 24, of which it has fallen by four; and it is still falling through the twenty-first.
    assert_eq!(kept_in_a_fall(205, true), 21);
}

#[test]
fn and_for_a_third_of_a_start() {
    let kept = |seconds: f64| {
        let mut keep = calm(30);
        // It falls so slowly that this takes nothing off.
        let falling = Need { fall: 1e-9, ..need(20, 120.0) };
        keep.keep(&falling, 30, at(59_990.0 + seconds)).replicas
    };
    assert_eq!([1.0, 39.0, 41.0].map(kept), [30, 30, 20]);
}

/// What is kept of 40, where the budget is spent and a rise from four to twelve was seen, while the need of 11 falls by so
/// many replicas a second for so many seconds.
fn kept_beyond(fall: f64, seconds: u32) -> u32 {
    let mut keep = Keep::begin(4, at(0.0));
    let mut now = 0.0;
    let mut play = |keep: &mut Keep, need: &Need, seconds: u32| {
        let second = |_| {
            now += 1.0;
            keep.came(100.0, 100.0, 1.0);
            keep.keep(need, 40, at(now)).replicas
        };
        (0..seconds).map(second).last().unwrap()
    };
    play(&mut keep, &need(4, 30.0), 100);
    play(&mut keep, &need(12, 30.0), 100);
    let eleven = need(11, 30.0);
    play(&mut keep, &eleven, 40);
    let falling = Need { fall: fall * eleven.rate / 11.0, ..eleven };
    play(&mut keep, &falling, seconds)
}

#[test]
fn no_more_is_kept_than_a_rise_came_to_and_less_while_the_load_surely_falls() {
    // Twelve, and not eight more than eleven.
    assert_eq!(kept_beyond(0.0, 100), 12);
    // Within two minutes, which is twice as long as those need that are started now, it falls by six: from five it may come
    // to twelve, as it did. By twelve: from none to eight.
    assert_eq!(kept_beyond(0.05, 100), 12);
    assert_eq!(kept_beyond(0.1, 100), 11);
    // What looks like a fall for some seconds is a step.
    assert_eq!(kept_beyond(0.1, 9), 12);
}

#[test]
fn a_larger_share_may_be_late_while_the_budget_is_whole_and_what_may_be_missed_leaves_some_of_it() {
    let share = |late: f64, rise: u32, cold_start: f64| {
        let mut keep = Keep::begin(10, at(0.0));
        keep.came(100_000.0, late, 1.0);
        for second in 0..200_u32 {
            let now = if second < 100 { 10 } else { 10 + rise };
            keep.keep(&need(now, cold_start), 10 + rise, at(f64::from(second)));
        }
        keep.keep(&need(10, cold_start), 10, at(200.0));
        keep.share(0.01)
    };
    let whole = share(0.0, 0, 5.0);
    assert!((whole - (0.01 + 0.04 * 0.999)).abs() < 1e-9, "{whole}");
    let half = share(500.0, 0, 5.0);
    assert!((half - (0.01 + 0.04 * 0.499)).abs() < 1e-9, "{half}");
    assert_eq!([share(1000.0, 0, 5.0), share(5000.0, 0, 5.0)], [0.01, 0.01]);
    // Twenty more at 0.05/s each, for two minutes: 120 of a budget of 1,000.
    let risk = share(0.0, 20, 60.0);
    assert!((risk - (0.01 + 0.04 * 0.879)).abs() < 1e-9, "{risk}");
    assert_eq!(share(0.0, 200, 120.0), 0.01, "more than all of it");
    assert_eq!(Keep::begin(0, at(0.0)).share(0.01), 0.01, "nothing came, so there is no budget");
    let keep = {
        let mut keep = Keep::begin(0, at(0.0));
        keep.came(1e6, 0.0, 1.0);
        keep
    };
    assert_eq!(keep.share(0.4), MOST_LATE);
}
