//! Who runs, who waits, who is refused: slots and queue as one state machine.
//!
//! Events go in (`offer`, `wait`, `finish`, `cancel`, changes of [`Admission::slots_mut`]); after
//! each the caller takes what can happen now with `poll` until there is nothing.
//!
//! What always holds: no endpoint runs more than its limit (unless the limit was just lowered);
//! somebody waits only while no slot is free, or while the cost budget is spent; what was offered is
//! the sum of what runs, waits, was refused, was late, was cancelled and is done; at one priority,
//! in one tenant, who came first starts first (unless newest first was asked for).

use super::choice::Choice;
use super::claim::Claim;
use super::drain_rate::DrainRate;
use super::integral::Integral;
use super::limit::GradientLimit;
use super::line::Entry;
use super::overload::QueueOrder;
use super::queue::{Queue, QueueLimits, Ticket};
use super::service_time::ServiceTime;
use super::slots::{SlotId, Slots};
use super::tenants::{Charge, Tenants, Unit};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

mod foreign;
mod vain;

pub use foreign::Load;

/// How requests are ordered and bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How much may wait.
    pub limits: QueueLimits,
    /// In which order one tenant's requests are served.
    pub order: QueueOrder,
    /// The sum of the costs of those that run; one that is dearer than this runs alone. `None`
    /// counts no costs.
    pub budget: Option<u64>,
    /// Which of the endpoints with a free slot a request is given.
    pub choice: Choice,
}

/// The state of one API at one proxy. `W` wakes a waiter.
#[derive(Debug)]
pub struct Admission<W> {
    slots: Slots,
    queue: Queue<W>,
    tenants: Tenants,
    budget: Option<u64>,
    /// Cost of those that run.
    spent: u64,
    /// Who lost its place to another and is still to be told.
    displaced: VecDeque<W>,
    /// An endpoint whose limit is found by measuring.
    adaptive: Option<(SlotId, GradientLimit)>,
    /// What is known of endpoints that others use too; one entry at most for each.
    foreign: Vec<foreign::Known>,
    running: Integral,
    waiting: Integral,
    drain_rate: DrainRate,
    service_time: ServiceTime,
}

/// A slot with all that must be put right when it is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The slot.
    pub slot: SlotId,
    /// When it was given.
    pub since: Instant,
    charge: Charge,
    cost: u32,
}

/// What became of an offered request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// It runs.
    Admitted(Grant),
    /// It can't start now; it may wait: call [`Admission::wait`].
    MustWait,
    /// It may not even wait.
    Refused(Cause),
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// There is no room, or another took its place.
    Full,
    /// It can't be answered before its deadline.
    Late,
}

/// What happens to a waiter.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn<W> {
    /// It runs.
    Start(Ticket, W, Grant),
    /// It waits no more.
    Refuse(W, Cause),
}

/// What can be seen of the state at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
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
    pub fn new(rules: Rules, seed: u64, now: Instant) -> Self {
        let unit = if rules.budget.is_some() { Unit::Cost } else { Unit::RequestSeconds };
        Self {
            slots: Slots::new(rules.choice, seed),
            queue: Queue::new(rules.limits, rules.order),
            tenants: Tenants::new(unit),
            budget: rules.budget,
            spent: 0,
            displaced: VecDeque::new(),
            adaptive: None,
            foreign: Vec::new(),
            running: Integral::new(now),
            waiting: Integral::new(now),
            drain_rate: DrainRate::new(now),
            service_time: ServiceTime::new(now),
        }
    }

    /// A request comes; its client waits until `deadline` at the longest.
    pub fn offer(&mut self, claim: &Claim, deadline: Option<Instant>, now: Instant) -> Offer {
        if deadline.is_some_and(|deadline| self.is_hopeless(claim, deadline, now)) {
            return Offer::Refused(Cause::Late);
        }
        if let Some(grant) = self.start_now(claim, None, now) {
            return Offer::Admitted(grant);
        }
        let tenant = self.tenants.find(claim.tenant);
        if self.queue.has_room(claim.priority, tenant, claim.bytes) {
            Offer::MustWait
        } else {
            Offer::Refused(Cause::Full)
        }
    }

    /// A request that ran and must run elsewhere comes back; it was counted when it first came, so
    /// it finds room whatever the queue holds. Where it was it goes only if no other has a free slot.
    pub fn offer_again(&mut self, claim: &Claim, was: SlotId, now: Instant) -> Offer {
        self.start_now(claim, Some(was), now).map_or(Offer::MustWait, Offer::Admitted)
    }

    /// A request waits, until `deadline` at the latest: at the place that it had before, if it had
    /// one, else as the last, at the expense of another if there is no room.
    pub fn wait(
        &mut self,
        claim: &Claim,
        before: Option<Ticket>,
        deadline: Instant,
        waiter: W,
        now: Instant,
    ) -> Ticket {
        let tenant = self.tenants.waits(claim.tenant, claim.weight);
        let ticket = match before {
            Some(ticket) => ticket.of_tenant(tenant),
            None => {
                let ticket = self.queue.ticket(claim.priority, tenant);
                self.make_room(ticket, claim.bytes);
                ticket
            }
        };
        let (bytes, cost, key) = (claim.bytes, claim.cost, claim.key);
        let entry = Entry { waiter, deadline, since: now, bytes, cost, key };
        self.queue.push(ticket, self.tenants.attained(tenant), entry);
        self.waiting.set(self.queue.len(), now);
        ticket
    }

    /// A second slot for a request that runs, on another endpoint: only if nobody waits for it.
    pub fn start_beside(&mut self, claim: &Claim, not: SlotId, now: Instant) -> Option<Grant> {
        if !self.queue.is_empty() || !self.affords(claim.cost) {
            return None;
        }
        let slot = self.slots.take_beside(claim.key, not)?;
        let charge = self.tenants.starts(claim.tenant, claim.weight, claim.cost);
        Some(self.started(slot, charge, claim.cost, now))
    }

    /// What can happen now to somebody who waits. Call until there is nothing.
    pub fn poll(&mut self, now: Instant) -> Option<Turn<W>> {
        if let Some(waiter) = self.displaced.pop_front() {
            return Some(Turn::Refuse(waiter, Cause::Full));
        }
        if self.slots.free() == 0 {
            return None;
        }
        let ticket = self.queue.next(now)?;
        let next = self.queue.get(ticket)?;
        if next.deadline <= now {
            return Some(Turn::Refuse(self.cancel(ticket, now)?, Cause::Late));
        }
        let (cost, key) = (next.cost, next.key);
        if !self.affords(cost) {
            return None;
        }
        let slot = self.slots.take(key)?;
        let entry = self.queue.start(ticket)?;
        let charge = self.tenants.start(ticket.tenant(), cost);
        self.left(ticket, now);
        Some(Turn::Start(ticket, entry.waiter, self.started(slot, charge, cost, now)))
    }

    /// Whether [`Admission::poll`] may have something to say.
    pub fn is_due(&self) -> bool {
        !self.displaced.is_empty() || (self.slots.free() > 0 && !self.queue.is_empty())
    }

    /// Whether a request would find a free slot, and nobody waits for it.
    pub fn has_room(&self) -> bool {
        self.slots.free() > 0 && self.queue.is_empty()
    }

    /// Whether anybody waits.
    pub fn is_waited_for(&self) -> bool {
        !self.queue.is_empty()
    }

    /// A request that ran has ended; `answered` if it was served to its end.
    pub fn finish(&mut self, grant: Grant, answered: bool, now: Instant) {
        self.slots.give(grant.slot);
        self.spent -= u64::from(grant.cost);
        let ran = now.saturating_duration_since(grant.since);
        let tenant = self.tenants.ended(grant.charge, ran);
        self.queue.attained(tenant, self.tenants.attained(tenant));
        self.drain_rate.completed(now);
        if answered {
            self.service_time.add(ran, now);
        }
        if let Some((slot, limit)) = &mut self.adaptive
            && *slot == grant.slot
            && answered
        {
            // One more ran until just now.
            let in_flight = self.slots.running_on(*slot) + 1;
            if let Some(changed) = limit.completed(grant.since, in_flight, now) {
                self.slots.set_limit(*slot, changed);
            }
        }
        self.running.set(self.slots.running(), now);
    }

    /// A waiter leaves, because its client has or its time is over. `None`: it does not wait any
    /// more, its slot or refusal is on the way. Call [`Admission::poll`] after it: the next may
    /// cost less.
    pub fn cancel(&mut self, ticket: Ticket, now: Instant) -> Option<W> {
        let entry = self.queue.remove(ticket)?;
        self.left(ticket, now);
        Some(entry.waiter)
    }

    /// Other limits of the queue from now on; nobody who waits is sent away.
    pub fn set_limits(&mut self, limits: QueueLimits) {
        self.queue.set_limits(limits);
    }

    /// An endpoint's limit, for good or to be found by measuring. Requests that run go on; below
    /// what runs it shrinks as they end. Call [`Admission::poll`] after it.
    pub fn set_limit(&mut self, slot: SlotId, limit: u32, adaptive: Option<GradientLimit>) {
        self.adaptive = adaptive.map(|adaptive| (slot, adaptive));
        self.slots.set_limit(slot, limit);
    }

    /// The cost budget. Call [`Admission::poll`] after it.
    pub fn set_budget(&mut self, budget: u64) {
        if self.budget.is_some() {
            self.budget = Some(budget);
        }
    }

    /// When a request that waits is to be given up: its queue time is over, or what is left until
    /// its client's deadline is less than any request took of late.
    pub fn give_up_at(&self, patience: Instant, client: Option<Instant>, now: Instant) -> Instant {
        let Some(client) = client else { return patience };
        let needed = self.service_time.shortest(now).unwrap_or_default();
        client.checked_sub(needed).unwrap_or(client).min(patience)
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

    /// Whether a request can't be answered by its deadline. Nothing is guessed: where nothing was
    /// measured only a deadline that has passed is hopeless.
    fn is_hopeless(&self, claim: &Claim, deadline: Instant, now: Instant) -> bool {
        let left = deadline.saturating_duration_since(now);
        let service = self.service_time.shortest(now).unwrap_or_default();
        if left <= service {
            return true;
        }
        let ahead = self.queue.ahead_of(claim.priority, self.tenants.find(claim.tenant));
        // As many start in a mean service time as there are slots.
        let wait = match (self.service_time.mean(now), self.slots.limit()) {
            (Some(mean), slots @ 1..) => mean.saturating_mul(ahead) / slots,
            _ => Duration::ZERO,
        };
        left < wait.saturating_add(service)
    }

    fn affords(&self, cost: u32) -> bool {
        self.budget.is_none_or(|budget| {
            self.slots.running() == 0 || self.spent + u64::from(cost) <= budget
        })
    }

    fn start_now(&mut self, claim: &Claim, was: Option<SlotId>, now: Instant) -> Option<Grant> {
        if self.knows_others() {
            self.forget(now);
        }
        // Somebody may wait beside a free slot for a moment: past its deadline, its timer still to
        // fire. It is not passed over in line, it is out of it. One who waits for budget is in it.
        if self.budget.is_some() && !(self.queue.is_empty() && self.affords(claim.cost)) {
            return None;
        }
        let other = was.and_then(|was| self.slots.take_beside(claim.key, was));
        let slot = other.or_else(|| self.slots.take(claim.key))?;
        let charge = self.tenants.starts(claim.tenant, claim.weight, claim.cost);
        Some(self.started(slot, charge, claim.cost, now))
    }

    fn started(&mut self, slot: SlotId, charge: Charge, cost: u32, now: Instant) -> Grant {
        self.spent += u64::from(cost);
        self.running.set(self.slots.running(), now);
        Grant { slot, since: now, charge, cost }
    }

    fn make_room(&mut self, joining: Ticket, bytes: u64) {
        let mut displaced = 0;
        while let Some(victim) = self.queue.displaced_by(joining, bytes, displaced) {
            let Some(entry) = self.queue.remove(victim) else { return };
            self.tenants.left(victim.tenant());
            self.displaced.push_back(entry.waiter);
            displaced += 1;
        }
    }

    /// Puts tenants, queue and books right after one has left the line.
    fn left(&mut self, ticket: Ticket, now: Instant) {
        let tenant = ticket.tenant();
        self.tenants.left(tenant);
        self.queue.attained(tenant, self.tenants.attained(tenant));
        self.waiting.set(self.queue.len(), now);
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "simulated time needs a start")]
mod tests;
