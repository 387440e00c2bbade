//! A client that takes nothing of its answer.

use crate::clock;
use crate::lazy_timer::LazyTimer;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Whether a client takes its answer.
pub(super) struct Stall<'a> {
    pub(super) timer: &'a mut LazyTimer,
    /// How long it may take nothing.
    pub(super) patience: Duration,
    /// What was left to write when it last took something, and until when it has to go on.
    pub(super) since: Option<(usize, Instant)>,
}

// === impl Stall ===

impl Stall<'_> {
    /// Ready when nothing was taken for too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, left: usize) -> Poll<()> {
        let until = match self.since {
            Some((before, until)) if before == left => until,
            _ => self.since.insert((left, clock::now() + self.patience)).1,
        };
        self.timer.poll(cx, until)
    }
}
