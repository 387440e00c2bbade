//! What a rule is late for that asks for no more replicas than it has seen a need for.
//!
//! No promise of "at most 1 % late at 1.1 times the planner's cost" can be kept on every load from
//! zero knowledge: a rule does not know whether a load ends in the next moment, so it must keep the
//! cost at *every* moment, as if the load ended there; and then it has no replicas ready for a rise
//! beyond all that was. What such rises cost in late requests is counted here, from below.

use super::demand::forced;
use super::levels::{Segment, of_intervals};
use crate::scene::Scene;
use crate::span::Nanos;
use crate::workload::{Request, Workload};
use std::collections::BTreeSet;

/// When a rule that begins with what came starts its first replica: at the first request, or at once where there
/// is a least number of replicas. Nothing where no request comes.
pub(super) fn first_start(scene: &Scene, workload: &Workload) -> Option<Nanos> {
    let first = workload.requests.first()?.at;
    Some(if scene.min > 0 { 0 } else { first })
}

/// Requests that come before a first replica can be ready: late under every rule that begins with
/// what came. Nothing is ready before a start that takes its time.
pub(crate) fn early(scene: &Scene, workload: &Workload) -> usize {
    let begins = first_start(scene, workload).filter(|_| scene.initial == 0);
    let Some(begins) = begins else { return 0 };
    let ready = begins.saturating_add(scene.cold_start.least());
    let is_early = |at: Nanos| ready.saturating_sub(at) > scene.objective.wait;
    workload.requests.iter().take_while(|request| is_early(request.at)).count()
}

/// The fewest requests that are late under any rule that asks for no more replicas than it has seen
/// a need for.
///
/// Need at a moment: the replicas that would run all at once what has come and, never having
/// waited, has not ended. Such a rule never asks for more than the largest need so far (or for the
/// least number, or for what was there at the start). In all else it is perfect: it sees without
/// delay, never lets go of anything, pays nothing, runs what it likes in what order it likes. A rule
/// that carries a trend forward, or asks for more in case the load goes on growing, may do better
/// here, and pays for it where the load does not.
///
/// Proof that none does better. A replica takes the shortest cold start, so at `t` no more are ready
/// than the largest need until `t` less that start. Requests of [`early`] begin late. Any other one
/// that is in time begins within `wait` and so surely runs from `at + wait` to `at + service`, and at
/// each moment no more can run than the ready ones take. To have the fewest late is thus no better
/// than to leave out the fewest such intervals that no moment has too many of the rest. Going
/// through time, and leaving out, whenever there are too many, the one that ends last, leaves out the
/// fewest: any other choice could be exchanged for that one, which is in the way of no fewer later
/// moments.
pub(crate) fn unseen(scene: &Scene, workload: &Workload) -> usize {
    let early = early(scene, workload);
    let surely = forced(&workload.requests[early..], workload.end, scene.objective.wait);
    early + fewest_left_out(&surely, &records(scene, workload), scene.limits.concurrency)
}

/// When more replicas than ever can be ready, and how many, under the rules of [`unseen`].
fn records(scene: &Scene, workload: &Workload) -> Vec<(Nanos, u32)> {
    let span = |request: &Request| (request.at, request.at.saturating_add(request.service.max(1)));
    let intervals: Vec<_> = workload.requests.iter().map(span).collect();
    let mut needs = of_intervals(&intervals, scene.limits.concurrency);
    needs.sort_unstable_by_key(|need: &Segment| need.from);
    let mut records = vec![(0, scene.initial)];
    let begins = scene.cold_start.least();
    let mut most = scene.initial;
    let least = (scene.min > most).then_some((begins, scene.min));
    let ready = needs.iter().map(|need| (need.from.saturating_add(begins), need.level));
    for (at, level) in least.into_iter().chain(ready) {
        if level > most {
            most = level;
            records.push((at, level));
        }
    }
    records
}

/// The fewest intervals, given by when they begin, to leave out so that at each moment no more than
/// `width` times the number of `records` overlap.
pub(super) fn fewest_left_out(
    intervals: &[(Nanos, Nanos)],
    records: &[(Nanos, u32)],
    width: u32,
) -> usize {
    let mut records = records.iter().peekable();
    let mut places = 0;
    let mut left_out = 0;
    let mut running: BTreeSet<(Nanos, usize)> = BTreeSet::new();
    for (number, (from, to)) in intervals.iter().enumerate() {
        while let Some((_, count)) = records.next_if(|(at, _)| at <= from) {
            places = *count as usize * width as usize;
        }
        while running.first().is_some_and(|(end, _)| end <= from) {
            running.pop_first();
        }
        running.insert((*to, number));
        if running.len() > places {
            running.pop_last();
            left_out += 1;
        }
    }
    left_out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::SECOND;

    fn at(from: u64, to: u64) -> (Nanos, Nanos) {
        (from * SECOND, to * SECOND)
    }

    /// The fewest, by trying all.
    fn by_trying(intervals: &[(Nanos, Nanos)], records: &[(Nanos, u32)], width: u32) -> usize {
        let places = |moment: Nanos| {
            let known = records.iter().rev().find(|(at, _)| *at <= moment);
            known.map_or(0, |(_, count)| count * width) as usize
        };
        let fits = |chosen: u32| {
            let kept = |n: &usize| chosen & (1 << n) != 0;
            (0..intervals.len()).filter(kept).all(|n| {
                let moment = intervals[n].0;
                let runs = |m: &usize| (intervals[*m].0..intervals[*m].1).contains(&moment);
                (0..intervals.len()).filter(kept).filter(runs).count() <= places(moment)
            })
        };
        let sets = (0..1_u32 << intervals.len()).filter(|chosen| fits(*chosen));
        intervals.len() - sets.map(u32::count_ones).max().unwrap_or(0) as usize
    }

    #[test]
    fn the_fewest_are_left_out() {
        let intervals = [at(0, 9), at(1, 3), at(2, 4), at(3, 8), at(4, 6), at(5, 7), at(8, 9)];
        let late = [(0, 1), (5 * SECOND, 2)];
        for (records, width) in [(&late[..], 1), (&late[..1], 1), (&late[1..], 1), (&late[..], 2)] {
            let found = fewest_left_out(&intervals, records, width);
            assert_eq!(found, by_trying(&intervals, records, width), "{records:?} x {width}");
        }
        assert_eq!(fewest_left_out(&intervals, &late[..1], 1), 4);
        assert_eq!(fewest_left_out(&intervals, &[], 1), 7);
    }
}
