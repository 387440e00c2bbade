//! Who runs, who waits, who is refused: slots and queue as one state machine.
//!
//! Events go in (`offer`, `finish`, `cancel`, changes of [`Admission::slots_mut`]); after each the
//! caller takes what can start now with `poll` until there is none.
//!
//! What always holds: no endpoint runs more than its limit (unless the limit was just lowered);
//! somebody waits only while no slot is free; offered = running + waiting + refused + cancelled +
//! done; who came first starts first.

use super::drain_rate::DrainRate;
use super::integral::Integral;
use super::queue::{Queue, QueueLimits, Ticket};
use super::slots::{SlotId, Slots};
use std::time::Instant;

/// The state of one API at one proxy. `W` wakes a waiter.
#[derive(Debug)]
pub struct Admission<W> {
    slots: Slots,
    queue: Queue<W>,
    running: Integral,
    waiting: Integral,
    drain_rate: DrainRate,
}

/// What became of an offered request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// It runs, on this endpoint.
    Admitted(SlotId),
    /// No slot is free; it may wait: call [`Admission::wait`] with this ticket.
    MustWait(Ticket),
    /// There is no room to wait either. Come back in so many seconds.
    Refused {
        /// For `Retry-After`.
        retry_after_s: u64,
    },
}

/// What can be seen of the state at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Snapshot {
    /// Requests running.
    pub running: u32,
    /// Requests waiting.
    pub waiting: u32,
    /// Slots of usable endpoints.
    pub limit: u32,
    /// Requests that may wait.
    pub queue_capacity: u32,
    /// Integral of `running`, in request-seconds.
    pub running_seconds: f64,
    /// Integral of `waiting`, in request-seconds.
    pub waiting_seconds: f64,
}

// === impl Admission ===

impl<W> Admission<W> {
    /// No endpoints and nobody waiting. `seed` is for the balancing choice.
    pub fn new(limits: QueueLimits, seed: u64, now: Instant) -> Self {
        Self {
            slots: Slots::new(seed),
            queue: Queue::new(limits),
            running: Integral::new(now),
            waiting: Integral::new(now),
            drain_rate: DrainRate::new(now),
        }
    }

    /// A request comes, holding `bytes` of its body.
    pub fn offer(&mut self, bytes: u64, now: Instant) -> Offer {
        if let Some(slot) = self.start_now(now) {
            return Offer::Admitted(slot);
        }
        if !self.queue.has_room(bytes) {
            let retry_after_s = self.retry_after_s(now);
            return Offer::Refused { retry_after_s };
        }
        Offer::MustWait(self.queue.ticket())
    }

    /// A request that ran and must run elsewhere comes back; it was counted when it first came,
    /// so it finds room whatever the queue holds, at its old place if it has one.
    pub fn offer_again(&mut self, ticket: Option<Ticket>, now: Instant) -> Offer {
        if let Some(slot) = self.start_now(now) {
            return Offer::Admitted(slot);
        }
        Offer::MustWait(ticket.unwrap_or_else(|| self.queue.ticket()))
    }

    /// A request waits, until `deadline` at the latest.
    pub fn wait(&mut self, ticket: Ticket, deadline: Instant, bytes: u64, waiter: W, now: Instant) {
        self.queue.push(ticket, deadline, bytes, waiter);
        self.waiting.set(self.queue.len(), now);
    }

    /// The next waiter that can start, with its slot. Call until there is none.
    pub fn poll(&mut self, now: Instant) -> Option<(Ticket, W, SlotId)> {
        if self.queue.is_empty() {
            return None;
        }
        let slot = self.slots.take()?;
        let Some((ticket, waiter)) = self.queue.pop(now) else {
            self.slots.give(slot);
            return None;
        };
        self.waiting.set(self.queue.len(), now);
        self.running.set(self.slots.running(), now);
        Some((ticket, waiter, slot))
    }

    /// A request that ran has ended.
    pub fn finish(&mut self, slot: SlotId, now: Instant) {
        self.slots.give(slot);
        self.running.set(self.slots.running(), now);
        self.drain_rate.completed(now);
    }

    /// A waiter leaves, because its client has or its time is over. `None`: it does not wait any
    /// more, its slot is on the way.
    pub fn cancel(&mut self, ticket: Ticket, now: Instant) -> Option<W> {
        let waiter = self.queue.remove(ticket)?;
        self.waiting.set(self.queue.len(), now);
        Some(waiter)
    }

    /// The endpoints. Call [`Admission::poll`] after a change.
    pub fn slots_mut(&mut self) -> &mut Slots {
        &mut self.slots
    }

    /// The endpoints.
    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Seconds after which a place is likely free.
    pub fn retry_after_s(&mut self, now: Instant) -> u64 {
        self.drain_rate.retry_after_s(self.queue.len(), now)
    }

    /// What can be seen now.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        Snapshot {
            running: self.slots.running(),
            waiting: self.queue.len(),
            limit: self.slots.limit(),
            queue_capacity: self.queue.limits().capacity,
            running_seconds: self.running.seconds(now),
            waiting_seconds: self.waiting.seconds(now),
        }
    }

    fn start_now(&mut self, now: Instant) -> Option<SlotId> {
        // Somebody may wait beside a free slot for a moment: past its deadline, its timer still to
        // fire. It is not passed over in line, it is out of it.
        let slot = self.slots.take()?;
        self.running.set(self.slots.running(), now);
        Some(slot)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "simulated time needs a start")]
mod tests;
