//! What others run on the same endpoints: learned from the endpoints' refusals and reports, and
//! forgotten soon.
//!
//! Nobody waits at an endpoint, so asking a busy one costs a short exchange and never a place behind
//! somebody. A sidecar says to whom it refused a slot when it has one again. From an endpoint that
//! doesn't, a refusal counts for a part of the time that requests take: then who waits asks again.
//! What is known is never old, and without news a gateway goes by what it runs itself.

use super::Admission;
use crate::policy::slots::SlotId;
use std::time::{Duration, Instant};

/// A refusal counts for this part of the mean time that requests take, where nobody tells when there
/// is room,
const REFUSED_PART: u32 = 4;
/// and a report for this one: it may say that several run, of which the first ends sooner.
const REPORTED_PART: u32 = 2;
/// Not more often is a busy endpoint asked,
const SHORTEST: Duration = Duration::from_millis(1);
/// and not less often.
const LONGEST: Duration = Duration::from_millis(250);
/// Where nothing was measured yet.
const UNKNOWN: Duration = Duration::from_millis(10);

/// What an endpoint says of its load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Requests that run there or wait there, whosoever they are.
    pub held: u32,
    /// How many may run.
    pub limit: u32,
}

/// Something that is known for a while.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    slot: SlotId,
    until: Instant,
}

impl<W> Admission<W> {
    /// An endpoint had no place for a request, which is still counted as running there: others have
    /// the rest. `tells` if it will be reported when there is room.
    pub fn refused(&mut self, slot: SlotId, tells: bool, now: Instant) {
        let own = self.slots.running_on(slot).saturating_sub(1);
        let others = self.slots.limit_of(slot).saturating_sub(own);
        let time = if tells { LONGEST } else { self.part_of_mean(REFUSED_PART, now) };
        self.know(slot, others.max(1), now + time);
    }

    /// An endpoint says how much it holds, with a request that is still counted as running there.
    /// Call [`Admission::poll`] after it.
    pub fn reported(&mut self, slot: SlotId, load: Load, now: Instant) {
        if load.limit > 0 && load.limit != self.slots.limit_of(slot) {
            self.slots.set_limit(slot, load.limit);
        }
        let others = load.held.saturating_sub(self.slots.running_on(slot));
        if others > 0 {
            let time = self.part_of_mean(REPORTED_PART, now);
            self.know(slot, others, now + time);
        } else if self.foreign.iter().any(|known| known.slot == slot) {
            self.foreign.retain(|known| known.slot != slot);
            self.slots.set_foreign(slot, 0);
        }
    }

    /// Forgets what is too old. Call [`Admission::poll`] after it.
    pub fn forget(&mut self, now: Instant) {
        let slots = &mut self.slots;
        self.foreign.retain(|known| {
            let fresh = known.until > now;
            if !fresh {
                slots.set_foreign(known.slot, 0);
            }
            fresh
        });
    }

    /// When there is something to forget that may let somebody start.
    pub fn next_forgotten(&self) -> Option<Instant> {
        if self.queue.is_empty() {
            return None;
        }
        self.foreign.iter().map(|known| known.until).min()
    }

    /// Whether others are known to use an endpoint.
    pub fn knows_others(&self) -> bool {
        !self.foreign.is_empty()
    }

    /// An endpoint goes, with what is known of it.
    pub fn remove(&mut self, slot: SlotId) {
        self.foreign.retain(|known| known.slot != slot);
        self.slots.remove(slot);
    }

    fn part_of_mean(&mut self, part: u32, now: Instant) -> Duration {
        let time = self.service_time.mean(now).map_or(UNKNOWN, |mean| mean / part);
        time.clamp(SHORTEST, LONGEST)
    }

    fn know(&mut self, slot: SlotId, others: u32, until: Instant) {
        self.foreign.retain(|known| known.slot != slot);
        self.foreign.push(Known { slot, until });
        self.slots.set_foreign(slot, others);
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "simulated time needs a start")]
mod tests;
