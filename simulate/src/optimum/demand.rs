//! What requests need: by force, and by a rule under which nobody is late.

use super::levels::Segment;
use crate::span::Nanos;
use crate::workload::{Request, Workload};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// When each of these requests surely runs before `end`, if it is not late: from the latest it may
/// begin to the earliest it can end. Short requests have no such time.
pub(super) fn forced(requests: &[Request], end: Nanos, wait: Nanos) -> Vec<(Nanos, Nanos)> {
    let surely = requests.iter().map(|request| {
        let from = request.at.saturating_add(wait);
        (from, request.at.saturating_add(request.service).min(end))
    });
    surely.filter(|(from, to)| from < to).collect()
}

/// The replicas under which nobody waits longer than `wait`: one more when the first in line
/// would, one fewer when the others have room for all that runs.
pub(super) fn demand(workload: &Workload, width: u32, wait: Nanos) -> Vec<Segment> {
    let mut line = Line { width, ..Line::default() };
    for request in &workload.requests {
        line.until(request.at, wait);
        line.waiting.push_back((request.at, request.service));
        line.start(request.at);
    }
    line.until(workload.end, wait);
    line.end(workload.end);
    line.segments
}

/// One line before as many places as are needed.
#[derive(Default)]
struct Line {
    width: u32,
    waiting: VecDeque<(Nanos, Nanos)>,
    ends: BinaryHeap<Reverse<Nanos>>,
    running: u32,
    levels: Vec<Level>,
    segments: Vec<Segment>,
}

/// A level that is needed now.
struct Level {
    from: Nanos,
    running: u32,
    since: Nanos,
    work: f64,
}

impl Line {
    /// Lets happen what happens up to `now`: requests end, and the first in line gets its way.
    fn until(&mut self, now: Nanos, wait: Nanos) {
        loop {
            let end = self.ends.peek().map(|Reverse(end)| *end).filter(|end| *end <= now);
            let limit = self.waiting.front().map(|(came, _)| came.saturating_add(wait));
            match (end, limit.filter(|limit| *limit <= now)) {
                (Some(end), limit) if limit.is_none_or(|limit| end <= limit) => {
                    self.ends.pop();
                    self.leave(end);
                    self.start(end);
                    self.shrink(end);
                }
                (_, Some(limit)) => {
                    self.levels.push(Level { from: limit, running: 0, since: limit, work: 0.0 });
                    self.start(limit);
                }
                _ => return,
            }
        }
    }

    /// Those who wait take the free places.
    fn start(&mut self, now: Nanos) {
        while self.running < self.levels.len() as u32 * self.width
            && let Some((_, service)) = self.waiting.pop_front()
        {
            self.ends.push(Reverse(now.saturating_add(service)));
            let level = (self.running / self.width) as usize;
            self.running += 1;
            self.levels[level].change(1, now);
        }
    }

    fn leave(&mut self, now: Nanos) {
        self.running -= 1;
        let level = (self.running / self.width) as usize;
        self.levels[level].change(-1, now);
    }

    fn shrink(&mut self, now: Nanos) {
        while self.levels.len() > self.running.div_ceil(self.width) as usize {
            self.close(now);
        }
    }

    fn end(&mut self, now: Nanos) {
        while !self.levels.is_empty() {
            self.close(now);
        }
    }

    fn close(&mut self, now: Nanos) {
        let level = self.levels.len() as u32;
        if let Some(mut last) = self.levels.pop() {
            last.change(0, now);
            self.segments.push(Segment { level, from: last.from, to: now, work: last.work });
        }
    }
}

impl Level {
    fn change(&mut self, by: i32, now: Nanos) {
        self.work += f64::from(self.running) * (now - self.since) as f64;
        self.since = now;
        self.running = self.running.saturating_add_signed(by);
    }
}
