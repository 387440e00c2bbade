//! The bound against cases solved by hand, against all schedules of small ones, and against what rules do.

use super::*;
use crate::comparison::{Optimum, compare};
use crate::document::Document;
use crate::engine::{Driver, run};
use crate::gateway::Limits;
use crate::outcome::{Outcome, Record, at};
use crate::rule::{POLICIES, Rule, Seen, Wanted};
use crate::span::SECOND;
use crate::sweep::contenders;
use crate::workload::shape::{Plan, Shape};
use indicatif::ProgressBar;
use proptest::prelude::*;
use serde_json::json;
use std::time::Duration;

fn load(list: &[(u64, u64)], end: u64) -> Workload {
    let tenth = SECOND / 10;
    let request = |(at, service): &(u64, u64)| Request {
        at: at * tenth,
        service: service * tenth,
        tenant: 0,
    };
    Workload::of(list.iter().map(request).collect(), end * SECOND)
}

fn scene(concurrency: u32, cold: &str) -> Scene {
    Scene::from_zero(Limits::patient(concurrency), cold)
}

#[test]
fn what_came_early_must_have_begun_before_another_is_in_time() {
    // Six of 4 s at once, and another that may wait until 12.2: the six and that one begin by then.
    let list = [(0, 40), (0, 40), (0, 40), (0, 40), (0, 40), (0, 40), (120, 40), (900, 40)];
    let workload = load(&list, 100);
    let mut scene = scene(1, "10s");
    // Seven times 4 s, where a place has 2.2 s and one more request: 4.5 places, of 10 s each.
    let by_hand = 7.0 * 4.0 * 10.0 / (2.2 + 4.0);
    let at =
        |scene: &Scene, workload: &Workload| Load::new(scene, workload).unwrap().before(4 * SECOND);
    let found = at(&scene, &workload);
    assert!((found[0] - by_hand).abs() < 1e-9 && found.len() == 1, "{found:?}, not {by_hand}");
    // A place is there for two: half as many replicas.
    scene.limits.concurrency = 2;
    assert!((at(&scene, &workload)[0] - by_hand / 2.0).abs() < 1e-9);
    scene.limits.concurrency = 1;
    // Those who have given up by 12.2 need not have begun.
    let hasty = Limits { cold_patience: 12 * SECOND, ..scene.limits };
    let left = at(&Scene { limits: hasty, ..scene }, &workload);
    assert!((left[0] - 4.0 * 10.0 / 6.2).abs() < 1e-9, "{left:?}");
    // Two of four after the early ones may be late: three and the six have begun by 12.2.
    let more: Vec<_> = list[..6].iter().copied().chain([(100, 40), (110, 40), (120, 40)]).collect();
    let found = at(&scene, &load(&more, 100));
    let by_hand = [7.0 / 4.2, 8.0 / 5.2, 9.0 / 6.2].map(|places| places * 40.0);
    assert!(found.iter().zip(by_hand).all(|(one, other)| (one - other).abs() < 1e-9), "{found:?}");
}

#[test]
fn who_draws_lots_is_on_a_line_below() {
    let scene = Scene {
        objective: crate::scene::Objective { late: 0.5, ..scene(1, "10s").objective },
        ..scene(1, "10s")
    };
    // Three are early of eight, of which four may be late: one more.
    let list = [(0, 9), (0, 9), (0, 9), (100, 9), (101, 9), (102, 9), (103, 9), (104, 9)];
    let workload = load(&list, 100);
    let load = Load::new(&scene, &workload).unwrap();
    assert_eq!((load.early, load.rest()), (3, 1));
    // From 9 to 3, or at 4 by tossing a coin for 6 and 2; a line from 10 to 0 leaves 8 of it.
    assert_eq!(load.below_all(&[9.0, 6.0, 3.0]), 6.0);
    assert_eq!(load.below_all(&[20.0, 6.0, 2.0, 1.0]), 6.0);
    assert!(
        load.below_all(&[9.0, 8.0, 2.0]) <= 5.5,
        "a coin between the first and the third pays that"
    );
    assert_eq!(load.below_all(&[9.0]), 0.0, "nothing is known of two");
}

#[test]
fn a_replica_is_there_where_requests_come() {
    // One in each tenth of a second for 100 s.
    let list: Vec<_> = (0..1000).map(|nth| (nth, 1)).collect();
    let workload = load(&list, 101);
    let in_time = |cold| Load::new(&scene(8, cold), &workload).map(|load| load.after(0));
    // Blocks of 1 s from 8.2 s on, the last of which ends at 100.2 and has none after it.
    assert!((in_time("8200ms").unwrap() - 91.0).abs() < 1e-9, "{:?}", in_time("8200ms"));
    let scene = scene(8, "8200ms");
    let ten_late = Load::new(&scene, &workload).unwrap().after(10);
    // A second of them comes in each block but the last, in which there are none after 99.9.
    assert!(ten_late < 91.0 && ten_late > 89.0, "{ten_late}");
    let heavy = Load::new(&scene, &workload).map(|load| load.after(1000));
    assert_eq!(heavy, Some(0.0), "who may be late for all needs nobody");
}

#[test]
fn it_says_nothing_of_other_lines() {
    let workload = load(&[(0, 10), (200, 10)], 60);
    let free = scene(1, "10s");
    assert!(blind(&free, &workload, 0.1, false).is_some());
    for other in [
        Scene { initial: 1, ..free },
        Scene { balancing: Balancing::Random, ..free },
        Scene { order: newest_first(), ..free },
    ] {
        assert_eq!(blind(&other, &workload, 0.1, false), None, "{other:?}");
    }
    let shared = Workload { tenants: vec!["a".to_owned(), "b".to_owned()], ..workload };
    assert_eq!(blind(&free, &shared, 0.1, false), None);
}

fn newest_first() -> QueueOrder {
    QueueOrder::LifoOnOverload { target: Duration::from_secs(1) }
}

/// The least that is paid by the moment of the first start, by all ways to ask for replicas at whole seconds.
fn by_trying(list: &[(u64, u64)], start: u64, begins: u64) -> u64 {
    /// Whether all in line begin by then, each as soon as it may.
    fn fits(list: &[(u64, u64)], asked: &[u64], start: u64, begins: u64) -> bool {
        let mut free: Vec<u64> = asked.iter().map(|at| (at + start) * 10).collect();
        list.iter().all(|(at, service)| {
            free.sort_unstable();
            let Some(first) = free.first_mut() else { return false };
            let from = (*first).max(*at);
            *first = from + service;
            from <= begins
        })
    }
    let mut best = u64::MAX;
    let mut tried = vec![Vec::new()];
    while let Some(asked) = tried.pop() {
        let paid = asked.iter().map(|at| start - at).sum();
        if paid >= best {
            continue;
        }
        if fits(list, &asked, start, begins) {
            best = paid;
            continue;
        }
        let from = asked.last().copied().unwrap_or(0);
        tried.extend((from..=(begins / 10 - start)).map(|at| [&asked[..], &[at]].concat()));
    }
    best
}

proptest! {
    #[test]
    fn no_way_to_ask_pays_less(early in prop::collection::vec((0_u64..60, 1_u64..40), 1..5), later in 72_u64..90, most in 1_u64..60) {
        let mut list = early;
        list.push((0, 5));
        list.push((later, 1));
        list.sort_unstable();
        let workload = load(&list, 100);
        let scene = scene(1, "7s");
        let found = Load::new(&scene, &workload).unwrap().before(most * SECOND / 10);
        let least = by_trying(&list, 7, later + 2);
        prop_assert!(found.first().is_none_or(|paid| *paid <= least as f64 + 1e-9), "{found:?}, {least}");
    }
}

fn drawn(service: &str, duration: f64, seed: u64) -> Workload {
    let plan = Plan {
        shape: Shape::Poisson,
        rate: 10.0,
        peak: 10.0,
        duration,
        change_at: 0.0,
        change_for: 1.0,
        period: 400.0,
        service: service.parse().unwrap(),
    };
    plan.draw(seed).unwrap()
}

/// So many replicas for the first requests, until one can be answered; then ten at the most.
struct Guess(u32);

impl Rule for Guess {
    fn decide(&mut self, seen: &Seen, _: Duration) -> Wanted {
        let replicas = match (seen.ready, seen.held) {
            (0, 0) => 0,
            (0, _) => self.0,
            _ => self.0.min(10),
        };
        Wanted { replicas, reason: "guess" }
    }
}

/// Replica-seconds of what was wanted before a moment.
fn wanted_until(record: &Record, end: Nanos) -> f64 {
    let ends = record.wanted.iter().skip(1).map(|(at, _)| *at).chain([end]);
    let each =
        record.wanted.iter().zip(ends).map(|((from, count), to)| {
            f64::from(*count) * seconds(to.min(end).saturating_sub(*from))
        });
    each.sum()
}

/// What each of two loads shows of a rule: until the first answer the same, and never less paid than the bound says
/// for as many late as there were. How close it came.
fn held_against(name: &str, scene: &Scene, loads: [&Workload; 2], outcomes: [&Outcome; 2]) -> f64 {
    let [long, short] = loads.map(|load| Load::new(scene, load).unwrap());
    let asked = outcomes.map(|outcome| wanted_until(&outcome.record, long.ready));
    assert_eq!(asked[0], asked[1], "{name} knew before");
    let early = long.early;
    let late = |outcome: &Outcome| outcome.ledger.tally(&scene.objective, |_| true).late - early;
    let [late_long, late_short] = outcomes.map(late);
    let most = |nth: u32| SECOND / 4 * Nanos::from(nth);
    let before = (1..40).filter_map(|nth| long.before(most(nth)).get(late_long).copied());
    let before = before.fold(0.0, f64::max);
    assert!(
        asked[0] + 1e-6 >= before,
        "{name}: {} before the first answer, not {before}",
        asked[0]
    );
    let paid = outcomes[1].replica_seconds;
    let least = before + short.after(late_short);
    assert!(paid >= least, "{name}: {paid}, not {least}");
    before / asked[0].max(1.0)
}

/// Every rule, with all that it may be told to keep ready, on requests of 1 s and of 0.05 s.
#[test]
fn no_rule_is_below_the_bound() {
    let document = Document::new()
        .with("concurrency.limit", json!(2))
        .with("concurrency.queueTimeout", json!("10m"))
        .with("timeouts.coldStart", json!("10m"))
        .with("autoscaling.maxReplicas", json!(100));
    let names: Vec<String> = POLICIES.iter().map(|name| (*name).to_owned()).collect();
    let mut closest = 0.0_f64;
    for (seed, cold) in [(1, "40s"), (2, "60s")] {
        let scene = Scene { seed, ..scene(2, cold) };
        let long = drawn("exponential:1s", 1000.0, seed);
        let short = shorter(&long, 0.05);
        for min in [0, 10, 40] {
            let document = document.clone().with("autoscaling.minReplicas", json!(min));
            let all = contenders(&document, &names, &[]).unwrap();
            let scene = Scene { min, ..scene };
            let [one, other] = [&long, &short]
                .map(|load| compare(&scene, load, &all, Optimum::Off, &ProgressBar::hidden()));
            for (which, row) in one.rows.iter().enumerate() {
                let name = format!("{} of {min} at the least, {cold}", row.policy);
                let outcomes = [&one.outcomes[which], &other.outcomes[which]];
                closest = closest.max(held_against(&name, &scene, [&long, &short], outcomes));
            }
        }
        for count in [8, 12, 20, 60] {
            let play = |load| run(&scene, load, Driver::Rule(&mut Guess(count)), &|_| ());
            let outcomes = [play(&long), play(&short)];
            let [one, other] = &outcomes;
            let name = format!("{count} at first, {cold}");
            closest = closest.max(held_against(&name, &scene, [&long, &short], [one, other]));
            assert_eq!(at(&one.record.wanted, SECOND * 30), count, "{name}");
        }
    }
    assert!(closest > 0.8, "the bound says next to nothing: {closest}");
}

/// A load on which who is in time pays for it where requests are short.
#[test]
fn nobody_is_in_time_on_both_for_little() {
    let scene = Scene { seed: 1, ..scene(8, "50s") };
    let long = drawn("exponential:4s", 6000.0, 1);
    let found = blind(&scene, &long, 0.05, true).unwrap();
    let ratio = found.ratio().unwrap();
    assert!(ratio > 1.1 && found.before > 0.1 * found.after, "{found:?}");
    let allowed = scene.objective.allowance(long.requests.len());
    let other = shorter(&long, 0.05);
    for count in [20, 80] {
        let play = |load| run(&scene, load, Driver::Rule(&mut Guess(count)), &|_| ());
        let in_time =
            |outcome: &Outcome| outcome.ledger.tally(&scene.objective, |_| true).late <= allowed;
        let [one, two] = [play(&long), play(&other)];
        let cheap = two.replica_seconds < found.paid();
        assert!(!(in_time(&one) && in_time(&two) && cheap), "{count}: {found:?}");
    }
}
