//! A plan, tried without the engine: one line before as many places as there are at each moment.

use super::levels::Segment;
use crate::scene::Scene;
use crate::span::Nanos;
use crate::workload::Workload;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Whether no more than `allowed` requests are late under a plan, first come, first served.
///
/// Stricter than the gateway by a little: what still runs on a replica that goes takes a place of
/// those that stay.
pub(super) fn is_in_time(
    segments: &[Segment],
    scene: &Scene,
    workload: &Workload,
    allowed: usize,
) -> bool {
    let mut line = Line::new(segments, i64::from(scene.limits.concurrency));
    let mut late = 0;
    let mut last = 0;
    for request in &workload.requests {
        let latest = request.at.saturating_add(scene.limits.patience);
        match line.start(last.max(request.at), latest, request.service) {
            Some(start) => {
                last = start;
                late += usize::from(start - request.at > scene.objective.wait);
            }
            None => late += 1,
        }
        if late > allowed {
            return false;
        }
    }
    true
}

struct Line {
    /// When places open and close, latest first.
    turns: Vec<(Nanos, i64)>,
    places: i64,
    ends: BinaryHeap<Reverse<Nanos>>,
}

impl Line {
    fn new(segments: &[Segment], width: i64) -> Self {
        let turns = segments.iter().flat_map(|one| [(one.from, width), (one.to, -width)]);
        let mut turns: Vec<_> = turns.collect();
        turns.sort_unstable_by_key(|(at, _)| Reverse(*at));
        Self { turns, places: 0, ends: BinaryHeap::new() }
    }

    /// Begins a request at `from` or as soon after as there is a place, but not after `latest`.
    fn start(&mut self, from: Nanos, latest: Nanos, service: Nanos) -> Option<Nanos> {
        let mut now = from;
        while now <= latest {
            while let Some((at, change)) = self.turns.pop() {
                if at > now {
                    self.turns.push((at, change));
                    break;
                }
                self.places += change;
            }
            while self.ends.peek().is_some_and(|Reverse(end)| *end <= now) {
                self.ends.pop();
            }
            if (self.ends.len() as i64) < self.places {
                self.ends.push(Reverse(now.saturating_add(service)));
                return Some(now);
            }
            let end = self.ends.peek().map(|Reverse(end)| *end);
            let turn = self.turns.last().map(|(at, _)| *at);
            now = end.into_iter().chain(turn).min()?;
        }
        None
    }
}
