//! Whole days of requests in a moment: how long who waits when others flood the queue.

use super::*;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// One kind of requests: when they come, whose they are, how long they take.
struct Source {
    claim: Claim,
    every: Duration,
    takes: Duration,
    count: u32,
}

/// What became of a source's requests.
#[derive(Debug, Default)]
struct Outcome {
    waits: Vec<Duration>,
    refused: u32,
    attained: Duration,
}

/// Runs all sources to `end` against so many slots.
fn run(rules: Rules, slots: u32, sources: &[Source], end: Duration) -> Vec<Outcome> {
    let start = Instant::now();
    let mut admission: Admission<(usize, Instant)> = Admission::new(rules, 1, start);
    admission.slots_mut().add(0, slots, Usability::Usable);
    let mut outcomes: Vec<Outcome> = sources.iter().map(|_| Outcome::default()).collect();
    let mut arrivals: BinaryHeap<_> = sources
        .iter()
        .enumerate()
        .flat_map(|(source, of)| (0..of.count).map(move |n| Reverse((of.every * n, source))))
        .collect();
    let mut ends: BinaryHeap<Reverse<(Instant, u64)>> = BinaryHeap::new();
    let mut running: BTreeMap<u64, Grant> = BTreeMap::new();
    let mut serial = 0;
    loop {
        let arrival = arrivals.peek().map(|Reverse((at, _))| start + *at);
        let ending = ends.peek().map(|Reverse((at, _))| *at);
        let Some(now) = arrival.into_iter().chain(ending).min().filter(|at| *at <= start + end)
        else {
            return outcomes;
        };
        let mut started = Vec::new();
        if ending == Some(now) {
            let Some(Reverse((_, id))) = ends.pop() else { continue };
            if let Some(grant) = running.remove(&id) {
                admission.finish(grant, true, now);
            }
        } else if let Some(Reverse((_, source))) = arrivals.pop() {
            let claim = &sources[source].claim;
            match admission.offer(claim, None, now) {
                Offer::Admitted(grant) => started.push((source, now, grant)),
                Offer::Refused(_) => outcomes[source].refused += 1,
                Offer::MustWait => {
                    let deadline = now + Duration::from_secs(86_400);
                    admission.wait(claim, None, deadline, (source, now), now);
                }
            }
        }
        while let Some(turn) = admission.poll(now) {
            match turn {
                Turn::Start(_, (source, since), grant) => started.push((source, since, grant)),
                Turn::Refuse((source, _), _) => outcomes[source].refused += 1,
            }
        }
        for (source, since, grant) in started {
            outcomes[source].waits.push(now - since);
            outcomes[source].attained += sources[source].takes;
            serial += 1;
            running.insert(serial, grant);
            ends.push(Reverse((now + sources[source].takes, serial)));
        }
    }
}

fn p99(waits: &mut [Duration]) -> Duration {
    waits.sort();
    waits[waits.len() * 99 / 100]
}

fn of_tenant(tenant: u64, weight: u32) -> Claim {
    Claim { tenant: TenantKey::of_hash(tenant), weight, ..Claim::default() }
}

const MS: Duration = Duration::from_millis(1);
const ROOMY: Rules = Rules { limits: QueueLimits { capacity: 1_000_000, bytes: 0 }, ..RULES };

/// A tenant within its share is served as if the one who floods were not there, but for the
/// requests that run already. First come, first served would let it wait behind the whole flood.
#[test]
fn a_flood_hurts_only_who_floods() {
    let flood = Source { claim: of_tenant(1, 1), every: 10 * MS, takes: 200 * MS, count: 12_000 };
    let victim = Source { claim: of_tenant(2, 1), every: 500 * MS, takes: 200 * MS, count: 240 };
    let end = Duration::from_secs(120);
    let mut fair = run(ROOMY, 4, &[flood, victim], end);
    let wait = p99(&mut fair[1].waits);
    assert!(wait <= 200 * MS, "the victim waits {wait:?}");
    assert_eq!(fair[1].waits.len(), 240);
    let floods = p99(&mut fair[0].waits);
    assert!(floods > Duration::from_secs(60), "the flood waits only {floods:?}");

    let blind = [of_tenant(1, 1), of_tenant(1, 1)].map(|claim| claim);
    let [flood, victim] = [(10 * MS, 12_000, blind[0]), (500 * MS, 240, blind[1])]
        .map(|(every, count, claim)| Source { claim, every, takes: 200 * MS, count });
    let mut unfair = run(ROOMY, 4, &[flood, victim], end);
    let wait = p99(&mut unfair[1].waits);
    assert!(wait > Duration::from_secs(60), "first come, first served: only {wait:?}");
}

/// In a queue of a hundred places the flood does not keep the other one out.
#[test]
fn a_flood_does_not_fill_the_queue_for_others() {
    let rules = Rules { limits: QueueLimits { capacity: 100, bytes: 0 }, ..RULES };
    let flood = Source { claim: of_tenant(1, 1), every: 10 * MS, takes: 200 * MS, count: 12_000 };
    let victim = Source { claim: of_tenant(2, 1), every: 500 * MS, takes: 200 * MS, count: 240 };
    let seen = run(rules, 4, &[flood, victim], Duration::from_secs(120));
    assert_eq!((seen[1].refused, seen[1].waits.len()), (0, 240));
    assert!(seen[0].refused > 5_000, "{} of the flood refused", seen[0].refused);
}

/// Shares are of time, whatever a single request takes, and follow the weights.
#[test]
fn time_is_shared_by_weight() {
    let sources = [(1, 1, 100), (2, 1, 700), (3, 3, 300)].map(|(tenant, weight, takes)| Source {
        claim: of_tenant(tenant, weight),
        every: 20 * MS,
        takes: MS * takes,
        count: 30_000,
    });
    let seen = run(ROOMY, 5, &sources, Duration::from_secs(600));
    let unit = seen.iter().map(|outcome| outcome.attained).sum::<Duration>() / 5;
    for (outcome, weight) in seen.iter().zip([1, 1, 3]) {
        let share = outcome.attained.as_secs_f64() / (unit * weight).as_secs_f64();
        assert!((0.95..=1.05).contains(&share), "{share} of its share of {weight}");
    }
}

/// The less urgent get their one start in ten, the others the rest.
#[test]
fn the_least_urgent_are_served_a_little() {
    let sources = Priority::ALL.map(|priority| Source {
        claim: Claim { priority, ..Claim::default() },
        every: 10 * MS,
        takes: 20 * MS,
        count: 10_000,
    });
    let seen = run(ROOMY, 1, &sources, Duration::from_secs(100));
    let served: Vec<usize> = seen.iter().map(|outcome| outcome.waits.len()).collect();
    let all = served.iter().sum::<usize>() as f64;
    for (served, expected) in served.iter().zip([0.8, 0.1, 0.1]) {
        let share = *served as f64 / all;
        assert!((share - expected).abs() < 0.03, "{share} where {expected} is due");
    }
}
