//! What will happen, by time; what was planned first comes first among equals.

use crate::gateway::Key;
use crate::span::Nanos;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// A request ends, unless its replica has failed before.
    Finish(usize, Key),
    /// A request has waited for as long as it may.
    GiveUp(usize),
    /// A replica is ready.
    Ready(Key),
    /// A replica fails.
    Fail(Key),
    /// A draining replica need not take requests any longer.
    Drained(Key),
    /// The autoscaler reads the metrics, if no other turn has taken this one's place.
    Scrape(u64),
    /// The autoscaler decides by what it has read.
    Decide,
    /// The gateway tells the autoscaler that it holds requests.
    Wake,
    /// A replica is started as planned; it takes so long to be ready.
    PlannedStart(Nanos),
    /// A replica is let go as planned.
    PlannedDrain,
}

/// Everything that will happen.
#[derive(Debug, Default)]
pub(crate) struct Events {
    heap: BinaryHeap<Reverse<Planned>>,
    /// Ends of waits: most are planned in the order in which they come, and a queue is cheaper than a
    /// heap, which they would fill with what seldom happens.
    waits: VecDeque<Planned>,
    planned: u64,
}

/// When, the how manieth that was planned, and what.
type Planned = (Nanos, u64, Event);

impl Events {
    /// Plans an event.
    pub(crate) fn plan(&mut self, at: Nanos, event: Event) {
        self.planned += 1;
        let planned = (at, self.planned, event);
        let is_in_order = self.waits.back().is_none_or(|last| *last < planned);
        if is_in_order && matches!(event, Event::GiveUp(_)) {
            self.waits.push_back(planned);
        } else {
            self.heap.push(Reverse(planned));
        }
    }

    /// When the next one is.
    pub(crate) fn next_at(&self) -> Option<Nanos> {
        let heap = self.heap.peek().map(|Reverse((at, ..))| *at);
        let wait = self.waits.front().map(|(at, ..)| *at);
        heap.into_iter().chain(wait).min()
    }

    /// The next one.
    pub(crate) fn pop(&mut self) -> Option<(Nanos, Event)> {
        let wait = self.waits.front();
        let is_wait = match self.heap.peek() {
            Some(Reverse(first)) => wait.is_some_and(|wait| wait < first),
            None => wait.is_some(),
        };
        let next = if is_wait {
            self.waits.pop_front()
        } else {
            self.heap.pop().map(|Reverse(planned)| planned)
        };
        next.map(|(at, _, event)| (at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_happen_by_time_and_at_one_moment_as_they_were_planned() {
        let mut events = Events::default();
        let planned = [
            (5, Event::GiveUp(0)),
            (3, Event::GiveUp(1)),
            (5, Event::Decide),
            (5, Event::GiveUp(2)),
            (9, Event::GiveUp(3)),
            (3, Event::Wake),
            (7, Event::GiveUp(4)),
        ];
        planned.iter().for_each(|(at, event)| events.plan(*at, *event));
        let mut seen = Vec::new();
        while let Some(next) = events.next_at() {
            let (at, event) = events.pop().unwrap();
            assert_eq!(at, next);
            seen.push((at, event));
        }
        let mut want = planned.to_vec();
        want.sort_by_key(|(at, _)| *at);
        assert_eq!(seen, want);
    }
}
