//! What a scheduler could do that knows all arrivals and all service times.
//!
//! Two numbers, because the exact optimum can't be computed for real traces (packing jobs with
//! release times and deadlines is NP-hard):
//!
//! - [`bound`]: no schedule that meets the objective costs less. It is a bound from below; nothing
//!   says that it can be reached.
//! - [`clairvoyant`]: a plan that was found, played through the same engine with the same gateway,
//!   and seen to meet the objective. Its cost is a bound of the optimum from above.
//!
//! The true optimum lies between the two. A third number is for those who don't know the future:
//! [`unseen`], the requests that are late under every rule that asks for no more than it has seen. Two more
//! hold for every rule: [`rises`], the replicas that must be there before a rise without a sign, and [`blind`], what
//! must be asked for before a request has shown how long it takes. And [`Oracle`]s, who know some of what rules
//! don't, can be played beside these.

mod blind;
mod demand;
mod levels;
mod line;
mod oracle;
mod rise;
mod unseen;

pub(crate) use blind::{Blind, blind};
pub(crate) use oracle::Oracle;
pub(crate) use rise::{Rises, rises};
pub(crate) use unseen::{early, unseen};

use crate::engine::{Driver, Plan, Progress, run};
use crate::events::Event;
use crate::outcome::Outcome;
use crate::scene::Scene;
use crate::seed::{Stream, nth};
use crate::span::{Nanos, seconds};
use crate::workload::Workload;
use demand::{demand, forced};
use levels::{Segment, bridge, cost};

/// Halvings of the search for what to give up: they leave one of 16,384 segments.
const GIVE_UPS: usize = 14;
/// Halvings of the search for how much to trim: they leave a 256th of a start.
const TRIMS: usize = 8;
/// Shares of what the search gives up that are played, one after the other until a play meets the
/// objective: the search itself goes by a simpler line than the gateway's, and may be off a little.
const SHARES: [f64; 5] = [1.0, 0.95, 0.8, 0.5, 0.0];
/// Shorter starts that the bound also argues with, each half as long as the one before.
const HALVED_STARTS: u32 = 8;
/// The most plays of the whole search.
pub(crate) const MOST_PLAYS: usize = SHARES.len();

/// The fewest replica-seconds of any schedule that answers all but an allowed number of the
/// requests in time, from three arguments of which the strongest counts.
///
/// - Work: what is answered must be run, and a replica runs `concurrency` at once at the most.
/// - Presence: a request in time begins at most `wait` after it came. So it surely runs from then
///   to the earliest it can end, and at each moment there are replicas for all that surely run.
/// - Presence with starts: a replica that goes must be started again, which costs its cold start.
///   The cheapest way to have what is needed is then known for each level by itself: stay through
///   gaps shorter than a start (Lu, Chen and Andrew, "Simple and Effective Dynamic Provisioning
///   for Power-Proportional Data Centers", 2013).
///
/// The allowed number may be late: each argument leaves out those by which it loses most.
pub(crate) fn bound(scene: &Scene, workload: &Workload) -> f64 {
    let allowed = scene.objective.allowance(workload.requests.len());
    let wait = scene.objective.wait;
    let cold = scene.cold_start.least();
    let work = work(scene, workload, allowed);
    let first_start = if scene.initial == 0 { seconds(cold) } else { 0.0 };

    let forced = forced(&workload.requests, workload.end, wait);
    let lengths: Vec<Nanos> = forced.iter().map(|(from, to)| to - from).collect();
    let most_lost = |each: Nanos| {
        let losses = lengths.iter().map(|length| length + each).collect();
        total(&lengths, each) - without_largest(losses, allowed)
    };
    let needed = levels::of_intervals(&forced, scene.limits.concurrency);
    let present = cost(&needed, 0, 0) - most_lost(0);
    let started = |cold: Nanos| cost(&needed, cold, scene.initial) - most_lost(cold);
    // Whatever is done costs no less than with shorter starts, for which the argument may be
    // stronger: what is left out loses a start each, while longer starts bridge more gaps.
    let shorter = (0..HALVED_STARTS).map(|halvings| started(cold >> halvings));
    shorter.chain([work + first_start, present]).fold(0.0, f64::max)
}

/// Replica-seconds in which the work is done at the least of all but so many requests.
fn work(scene: &Scene, workload: &Workload, late: usize) -> f64 {
    // A late request must be run, too, but perhaps after the end.
    let wait = scene.objective.wait;
    let each = workload.requests.iter().map(|request| {
        request.service.min(workload.end.saturating_sub(request.at.saturating_add(wait)))
    });
    without_largest(each.collect(), late) / f64::from(scene.limits.concurrency)
}

/// Looks for a cheap plan that meets the objective.
///
/// It begins with the plan under which nobody is late: another replica comes when the first in
/// line would otherwise wait too long, and goes when the others could hold what runs. Each level
/// stays through gaps that are shorter than a start costs. Then it gives up as many stretches of
/// replicas as the objective allows, those first that do the least work for what they cost, and lets
/// each of the others begin as much later as it allows. Where even the first plan misses the
/// objective, because replicas fail to be balanced well, it is what comes back.
pub(crate) fn clairvoyant(scene: &Scene, workload: &Workload, progress: Progress<'_>) -> Outcome {
    let start_costs = crate::span::nanos(scene.cold_start.mean()) + scene.drain_delay;
    let segments = demand(workload, scene.limits.concurrency, scene.objective.wait);
    let mut segments = bridge(segments, start_costs, scene.initial);
    segments.sort_by(|one, other| {
        let (one, other) = (one.use_of(start_costs), other.use_of(start_costs));
        one.total_cmp(&other)
    });
    let allowed = scene.objective.allowance(workload.requests.len());
    let meets = |segments: &[Segment]| line::is_in_time(segments, scene, workload, allowed);
    // Late requests grow with what is given up, but for small accidents of the line.
    let given_up = most_that(segments.len(), GIVE_UPS, |count| meets(&segments[count..]));
    let longest = usize::try_from(start_costs).unwrap_or(usize::MAX);
    let kept = &segments[given_up..];
    let trimmed =
        most_that(longest, TRIMS, |length| meets(&trim(kept, length as Nanos, scene.initial)));
    let play = |share: f64| {
        let of = |count: usize| (count as f64 * share) as usize;
        let segments = trim(&segments[of(given_up)..], of(trimmed) as Nanos, scene.initial);
        let plan = plan(scene, &segments);
        let outcome = run(scene, workload, Driver::Plan(&plan), progress);
        let late = (0..workload.requests.len())
            .filter(|request| outcome.ledger.is_late(*request, &scene.objective));
        (late.count() <= allowed, outcome)
    };
    let [first, rest @ ..] = SHARES;
    let (mut meets, mut outcome) = play(first);
    for share in rest {
        if meets {
            break;
        }
        (meets, outcome) = play(share);
    }
    outcome
}

/// The largest number below `end` found by halving for which something holds that holds for 0.
fn most_that(end: usize, halvings: usize, mut holds: impl FnMut(usize) -> bool) -> usize {
    let (mut least, mut most) = (0_usize, end);
    for _ in 0..halvings {
        let middle = least.midpoint(most);
        if middle == least {
            break;
        }
        if holds(middle) {
            least = middle;
        } else {
            most = middle;
        }
    }
    least
}

/// Each segment so much later; those that were shorter are gone. Those of the first `initial` levels that
/// begin at 0 stay as they are: later, each would cost a start.
fn trim(segments: &[Segment], length: Nanos, initial: u32) -> Vec<Segment> {
    let later = segments.iter().map(|segment| match segment {
        Segment { from: 0, level, .. } if *level <= initial => *segment,
        _ => Segment { from: segment.from.saturating_add(length), ..*segment },
    });
    later.filter(|segment| segment.from < segment.to).collect()
}

/// Starts, each early enough to be ready when its segment begins, and ends.
fn plan(scene: &Scene, segments: &[Segment]) -> Plan {
    let mut turns: Vec<(Nanos, bool)> =
        segments.iter().flat_map(|segment| [(segment.from, true), (segment.to, false)]).collect();
    // An end before a beginning of the same moment would only be more work.
    turns.sort_by_key(|(at, begins)| (*at, !begins));
    let mut there = scene.initial;
    let mut starts = Vec::new();
    let mut ends = Vec::new();
    for (at, begins) in turns {
        match (begins, at) {
            // Those who are there at the beginning need no start.
            (true, 0) if there > 0 => there -= 1,
            (true, at) => {
                let number = starts.len() as u64;
                let mut random = nth(scene.seed, Stream::ColdStart, number);
                starts.push((at, scene.cold_start.sample(&mut random)));
            }
            (false, at) => ends.push(at),
        }
    }
    ends.extend((0..there).map(|_| 1));
    let lead = starts.iter().map(|(at, cold)| cold.saturating_sub(*at)).max().unwrap_or(0);
    let start = |(at, cold): (Nanos, Nanos)| (lead + at - cold, Event::PlannedStart(cold));
    let mut orders: Vec<(Nanos, Event)> = starts.into_iter().map(start).collect();
    orders.extend(ends.into_iter().map(|at| (lead + at.max(1), Event::PlannedDrain)));
    orders.sort_unstable();
    Plan { lead, orders }
}

/// The sum without the `count` largest, in seconds.
fn without_largest(mut lengths: Vec<Nanos>, count: usize) -> f64 {
    lengths.sort_unstable();
    lengths.truncate(lengths.len().saturating_sub(count));
    total(&lengths, 0)
}

fn total(lengths: &[Nanos], each: Nanos) -> f64 {
    lengths.iter().map(|length| seconds(length + each)).sum()
}

#[cfg(test)]
mod tests;
