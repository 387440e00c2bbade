//! What will happen, by time; what was planned first comes first among equals.

use crate::gateway::Key;
use crate::span::Nanos;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

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
    heap: BinaryHeap<Reverse<(Nanos, u64, Event)>>,
    planned: u64,
}

impl Events {
    /// Plans an event.
    pub(crate) fn plan(&mut self, at: Nanos, event: Event) {
        self.planned += 1;
        self.heap.push(Reverse((at, self.planned, event)));
    }

    /// When the next one is.
    pub(crate) fn next_at(&self) -> Option<Nanos> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// The next one.
    pub(crate) fn pop(&mut self) -> Option<(Nanos, Event)> {
        self.heap.pop().map(|Reverse((at, _, event))| (at, event))
    }
}
