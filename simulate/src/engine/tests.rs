//! The engine against what is known without it.

use super::*;
use crate::distribution::Distribution;
use crate::gateway::{Balancing, Limits};
use crate::ledger::Tally;
use crate::rule::{Fixed, of_document};
use crate::span::{SECOND, seconds};
use crate::workload::Request;
use crate::workload::shape::{Plan as Shaped, Shape};
use std::time::Duration;
use tidegate_api::InferenceApi;
use tidegate_proxy::policy::overload::QueueOrder;

fn scene() -> Scene {
    Scene::from_zero(Limits::patient(1), "10s")
}

fn poisson(rate: f64, duration: f64, service: &str) -> Workload {
    let service: Distribution = service.parse().unwrap();
    let plan = Shaped {
        shape: Shape::Poisson,
        rate,
        peak: 0.0,
        duration,
        change_at: 0.0,
        change_for: 0.0,
        period: 1.0,
        service,
    };
    plan.draw(11).unwrap()
}

fn document(limit: u32) -> InferenceApi {
    let text = format!(
        "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {{name: a}}\n\
         spec: {{container: {{command: [x]}}, concurrency: {{limit: {limit}}}, \
         autoscaling: {{maxReplicas: 100}}}}\n"
    );
    tidegate_api::parse(&text, "test", std::path::Path::new("/")).unwrap().remove(0)
}

fn tally(outcome: &Outcome, scene: &Scene) -> Tally {
    outcome.ledger.tally(&scene.objective, |_| true)
}

fn mean_wait(outcome: &Outcome, workload: &Workload) -> f64 {
    let count = workload.requests.len();
    let waits = (0..count).map(|request| seconds(outcome.ledger.wait(request)));
    waits.sum::<f64>() / count as f64
}

/// Erlang's C: the share of arrivals that must wait, for `load` Erlangs at `servers` servers, from
/// the recursion for Erlang's B.
fn erlang_c(servers: u32, load: f64) -> f64 {
    let blocked = (1..=servers).fold(1.0, |b, n| load * b / (f64::from(n) + load * b));
    let busy = load / f64::from(servers);
    blocked / (1.0 - busy * (1.0 - blocked))
}

#[test]
fn m_m_c_waits_as_erlang_says() {
    // 4 replicas with 2 slots each are 8 servers; 6.4 Erlangs is a utilization of 0.8.
    let mut scene = scene();
    (scene.limits.concurrency, scene.initial) = (2, 4);
    let workload = poisson(32.0, 6_000.0, "exponential:200ms");
    let outcome = run(&scene, &workload, Driver::Rule(&mut Fixed(4)), &|_| ());
    let must_wait = erlang_c(8, 6.4);
    let waited = (0..workload.requests.len()).filter(|request| outcome.ledger.wait(*request) > 0);
    let share = waited.count() as f64 / workload.requests.len() as f64;
    // Of the batch means of 30 s: one deviation is about 1.5 %.
    assert!((share / must_wait - 1.0).abs() < 0.05, "{share}, Erlang's C is {must_wait}");
    let mean = must_wait * 0.2 / (8.0 - 6.4);
    let seen = mean_wait(&outcome, &workload);
    assert!((seen / mean - 1.0).abs() < 0.1, "{seen} s, M/M/c says {mean} s");
    // An M/M/c wait is above t for a share of C·exp(-(c·μ - λ)·t).
    let late = tally(&outcome, &scene).late_share;
    let want = must_wait * (-(8.0 * 5.0 - 32.0) * 0.2_f64).exp();
    assert!((late / want - 1.0).abs() < 0.15, "{late} late, M/M/c says {want}");
}

#[test]
fn random_balancing_waits_as_single_servers_do() {
    // Without late binding each of 8 replicas is an M/M/1 queue of its own.
    let mut scene = scene();
    (scene.balancing, scene.initial) = (Balancing::Random, 8);
    let workload = poisson(28.0, 6_000.0, "exponential:200ms");
    let outcome = run(&scene, &workload, Driver::Rule(&mut Fixed(8)), &|_| ());
    let busy = 28.0 / 8.0 * 0.2;
    let mean = busy * 0.2 / (1.0 - busy);
    let seen = mean_wait(&outcome, &workload);
    assert!((seen / mean - 1.0).abs() < 0.05, "{seen} s, M/M/1 says {mean} s");
}

#[test]
fn equal_seeds_give_equal_outcomes_and_others_do_not() {
    let play = |seed, balancing| {
        let mut scene = scene();
        (scene.seed, scene.balancing) = (seed, balancing);
        scene.cold_start = "lognormal:10s:0.5".parse().unwrap();
        (scene.fail_every, scene.scrape_loss) = (300 * SECOND, 0.1);
        let workload = poisson(20.0, 600.0, "exponential:500ms");
        let mut rule = of_document(&document(1), 0, Duration::ZERO);
        let outcome = run(&scene, &workload, Driver::Rule(rule.as_mut()), &|_| ());
        format!("{:?}", (outcome.record, outcome.ledger, outcome.replica_seconds))
    };
    for balancing in [Balancing::LateBinding, Balancing::Random] {
        assert_eq!(play(1, balancing), play(1, balancing));
        assert_ne!(play(1, balancing), play(2, balancing));
    }
}

#[test]
fn no_request_is_lost_or_counted_twice() {
    for balancing in [Balancing::LateBinding, Balancing::Random] {
        let mut scene = scene();
        scene.balancing = balancing;
        (scene.limits.queue, scene.limits.patience) = (3, 2 * SECOND);
        scene.limits.cold_patience = 15 * SECOND;
        scene.limits.replicas = 10;
        (scene.fail_every, scene.scrape_loss) = (60 * SECOND, 0.2);
        let workload = poisson(30.0, 300.0, "lognormal:400ms:2");
        let mut rule = of_document(&document(1), 0, Duration::ZERO);
        let outcome = run(&scene, &workload, Driver::Rule(rule.as_mut()), &|_| ());
        let tally = tally(&outcome, &scene);
        let Tally { arrived, served, refused, failed, waiting, running, .. } = tally;
        assert_eq!(arrived, workload.requests.len());
        assert_eq!(arrived, served + refused + failed + waiting + running);
        assert!(served > arrived / 2 && refused > 0 && failed > 0, "{tally:?}");
        // Who may wait no longer is told so.
        for (request, asked) in workload.requests.iter().enumerate() {
            let wait = outcome.ledger.wait(request);
            assert!(wait <= scene.limits.cold_patience, "{request} at {}: {wait}", asked.at);
        }
    }
}

#[test]
fn a_lone_request_from_zero_waits_for_its_wake_up_and_the_cold_start() {
    let scene = scene();
    let mut workload = poisson(1.0, 200.0, "1s");
    workload.requests.truncate(1);
    let mut rule = of_document(&document(1), 0, Duration::ZERO);
    let outcome = run(&scene, &workload, Driver::Rule(rule.as_mut()), &|_| ());
    let wait = outcome.ledger.wait(0);
    assert_eq!(wait, 10 * SECOND + 1_000_000, "the push takes 1 ms");
    assert_eq!(tally(&outcome, &scene).served, 1);
    // One in flight at 0.7 a replica are two replicas, which go when the burst is forgotten.
    assert_eq!((outcome.most, outcome.started), (2, 2));
    assert_eq!(outcome.record.wanted.last().map(|last| last.1), Some(0));
    assert!(outcome.replica_seconds < 2.0 * 100.0, "{}", outcome.replica_seconds);
}

#[test]
fn a_drained_replica_finishes_what_it_has() {
    let mut scene = scene();
    scene.initial = 2;
    let mut workload = poisson(100.0, 60.0, "30s");
    workload.requests.truncate(2);
    let plan = Plan {
        lead: 0,
        orders: vec![(5 * SECOND, Event::PlannedDrain), (6 * SECOND, Event::PlannedDrain)],
    };
    let outcome = run(&scene, &workload, Driver::Plan(&plan), &|_| ());
    assert_eq!(tally(&outcome, &scene).served, 2);
    assert!((outcome.replica_seconds - 60.0).abs() < 1.0, "{}", outcome.replica_seconds);
    let last = outcome.record.ready.last().copied();
    assert_eq!(last, Some((6 * SECOND, 0)));
}

/// While the first replica starts, twenty come that then have to wait for each other.
#[test]
fn newest_first_is_in_time_for_those_who_come_once_a_replica_is_there() {
    let each = |nth: u64| Request { at: nth * SECOND / 2, service: SECOND / 5, tenant: 0 };
    let workload = Workload::of((0..120).map(each).collect(), 100 * SECOND);
    let newest = QueueOrder::LifoOnOverload { target: Duration::from_secs(1) };
    let late = |order| {
        let scene = Scene { order, ..scene() };
        let outcome = run(&scene, &workload, Driver::Rule(&mut Fixed(1)), &|_| ());
        outcome.ledger.tally(&scene.objective, |_| true).late
    };
    let [in_order, newest] = [QueueOrder::Fifo, newest].map(late);
    assert!(in_order > 30, "{in_order} wait, also those who come behind the first twenty");
    assert!(newest < 25, "{newest} wait, where only twenty came too early");
}
