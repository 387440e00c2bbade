//! The bound against cases solved by hand, against all schedules of small ones, and against what the rules do.

use super::*;
use crate::comparison::{Optimum, compare};
use crate::document::Document;
use crate::gateway::Limits;
use crate::outcome::at;
use crate::rule::POLICIES;
use crate::span::SECOND;
use crate::sweep::contenders;
use crate::workload::shape::{Plan, Shape};
use indicatif::ProgressBar;
use proptest::prelude::*;
use serde_json::json;

fn requests(list: &[(u64, u64)]) -> Vec<Request> {
    let tenth = SECOND / 10;
    list.iter()
        .map(|(at, service)| Request { at: at * tenth, service: service * tenth, tenant: 0 })
        .collect()
}

fn load(list: &[(u64, u64)], rises: &[u64]) -> Workload {
    let rises = rises.iter().map(|second| second * SECOND).collect();
    Workload { rises, ..Workload::of(requests(list), 1000 * SECOND) }
}

fn scene(concurrency: u32, cold: &str) -> Scene {
    Scene::from_zero(Limits::patient(concurrency), cold)
}

#[test]
fn what_comes_within_a_start_has_the_places_that_were_there() {
    // From 100 s on four at once, of 5 s each; a fifth finds what was started for the first.
    let workload =
        load(&[(0, 5), (1000, 50), (1000, 50), (1000, 50), (1000, 50), (1100, 50)], &[100]);
    let mut scene = scene(1, "7s");
    // Those that begin at once have ended at 105 and may be followed by nobody in time.
    assert_eq!(rises(&scene, &workload).late, [5, 4, 3, 2, 1], "the first of all among them");
    for (may_be, standing) in
        [(0.0, None), (0.2, Some(4)), (0.5, Some(2)), (0.7, Some(1)), (1.0, Some(0))]
    {
        scene.objective.late = may_be;
        assert_eq!(rises(&scene, &workload).standing, standing, "{may_be}");
    }
}

#[test]
fn short_requests_are_bounded_by_what_can_be_done() {
    // Each runs for less than it may wait, so at no moment must any of them run.
    let flood: Vec<_> = (0..1000).map(|n| (1000 + n / 10, 1)).collect();
    let workload = load(&flood, &[100]);
    let scene = Scene { initial: 1, ..scene(1, "10s") };
    let late = rises(&scene, &workload).late;
    // 0.1 s each at 100 a second keep ten busy.
    assert!(late[5] > 450 && late[5] <= 500 && late[10] == 0, "{late:?}");
}

#[test]
fn each_rise_counts_and_none_twice() {
    let twice = load(&[(1000, 30), (1000, 30), (1050, 30), (2000, 30)], &[100, 105, 200]);
    let scene = Scene { initial: 1, ..scene(1, "9s") };
    let once = load(&[(1000, 30), (1000, 30), (1050, 30), (2000, 30)], &[100, 200]);
    assert_eq!((rises(&scene, &twice).late[0], rises(&scene, &once).late[0]), (4, 4));
    assert_eq!(
        rises(&scene, &load(&[(1000, 30)], &[])).late,
        [0],
        "no rise, nothing to be ready for"
    );
}

/// The fewest that are late in any order on so many places.
fn by_trying(requests: &[Request], places: usize, wait: Nanos) -> usize {
    fn go(left: &[Request], free: &[Nanos], wait: Nanos) -> usize {
        let each = (0..left.len()).map(|next| {
            let mut rest = left.to_vec();
            let request = rest.remove(next);
            let mut free = free.to_vec();
            free.sort_unstable();
            let Some(first) = free.first_mut() else { return left.len() };
            let start = request.at.max(*first);
            if start > request.at + wait {
                return 1 + go(&rest, &free, wait);
            }
            *first = start + request.service;
            go(&rest, &free, wait)
        });
        each.min().unwrap_or(0)
    }
    go(requests, &vec![0; places], wait)
}

proptest! {
    #[test]
    fn no_order_has_fewer_late(
        list in prop::collection::vec((1000_u64..1040, 1_u64..40), 1..6), replicas in 0_u32..3, width in 1_u32..3,
    ) {
        let mut list = list;
        list.sort_unstable();
        let scene = Scene { initial: 1, ..scene(width, "50s") };
        let workload = load(&list, &[100]);
        let window = Window::new(&scene, &workload.requests, 100 * SECOND, 150 * SECOND);
        let least = by_trying(&workload.requests, (replicas * width) as usize, scene.objective.wait);
        prop_assert!(window.fewest_late(replicas) <= least);
    }
}

fn shaped(shape: Shape, seed: u64) -> Workload {
    let plan = Plan {
        shape,
        rate: if shape == Shape::OnOff { 0.0 } else { 3.0 },
        peak: 40.0,
        duration: 800.0,
        change_at: 400.0,
        change_for: 60.0,
        period: 400.0,
        service: "exponential:1s".parse().unwrap(),
    };
    plan.draw(seed).unwrap()
}

/// Every rule, with all that it may be told to keep ready, on loads that rise: none has fewer late than the bound
/// says for what it had there, and none has been moved by what was to come.
#[test]
fn no_rule_is_below_the_bound() {
    let document = Document::new()
        .with("concurrency.limit", json!(2))
        .with("concurrency.queueTimeout", json!("10m"))
        .with("autoscaling.maxReplicas", json!(100));
    let names: Vec<String> = POLICIES.iter().map(|name| (*name).to_owned()).collect();
    let axis = "autoscaling.minReplicas=0,3,10".parse().unwrap();
    let all = contenders(&document, &names, &[axis]).unwrap();
    let mut close = 0;
    for (shape, moments, seed, cold) in [
        (Shape::Step, vec![400], 1, "20s"),
        (Shape::Step, vec![400], 2, "60s"),
        (Shape::Ramp, vec![400], 3, "60s"),
        (Shape::OnOff, vec![200, 600], 4, "5s"),
        (Shape::OnOff, vec![200, 600], 5, "30s"),
    ] {
        let scene = Scene { seed, ..scene(2, cold) };
        let drawn = shaped(shape, seed);
        let rises_at: Vec<Nanos> = moments.iter().map(|second| second * SECOND).collect();
        let last = *rises_at.last().unwrap();
        let calm = drawn.requests.iter().copied().filter(|request| request.at < last).collect();
        let calm = Workload { requests: calm, ..drawn.clone() };
        let play = |load| compare(&scene, load, &all, Optimum::Off, &ProgressBar::hidden());
        let (played, calm) = (play(&drawn), play(&calm));
        for (which, row) in played.rows.iter().enumerate() {
            let had = |moment| at(&played.outcomes[which].record.wanted, moment);
            let calm = at(&calm.outcomes[which].record.wanted, last);
            let name = format!("{} {} {shape:?} {cold}", row.policy, row.settings);
            assert_eq!(had(last), calm, "{name} saw what was to come");
            let windows = bounds(&rises_at, scene.cold_start.least(), drawn.end);
            let fewest =
                |(from, to)| Window::new(&scene, &drawn.requests, from, to).fewest_late(had(from));
            let least: usize = windows.map(fewest).sum();
            let late = row.requests.late;
            assert!(late >= least, "{name}: {late}, not {least}");
            close += usize::from(least > 20 && late < 2 * least);
        }
    }
    assert!(close > 3, "the bound says next to nothing: {close}");
}
