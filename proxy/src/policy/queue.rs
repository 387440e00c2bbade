//! The waiting line: by priority, then fair among tenants, then first come, first served; bounded
//! in requests and in bytes.
//!
//! Priorities are strict but for one thing: who waits at a lower one gets at least one start in
//! [`STARTS_PER_TURN`], so that nobody starves. When the line is full, a request of a higher
//! priority takes the place of one of the lowest: the newest of the tenant that has most there.
//! Within a priority, a tenant with at least two requests fewer than another takes one of that
//! one's places, so that one who floods the line does not keep the others out of it.

use super::claim::Priority;
use super::line::{Entry, Line};
use super::overload::QueueOrder;
use std::time::Instant;

/// While somebody waits at a priority, at least one start in so many is from there.
pub const STARTS_PER_TURN: u32 = 10;
/// After this many starts of others it is a lower priority's turn. The other lower ones may be due
/// at the same moment, and go first.
const DUE_AFTER: u32 = STARTS_PER_TURN - (Priority::ALL.len() as u32 - 1);

/// A request's place in line. Smaller came earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    place: u64,
    priority: Priority,
    tenant: u32,
}

/// How much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Requests.
    pub capacity: u32,
    /// Bytes of their bodies that are held meanwhile.
    pub bytes: u64,
}

/// The line. `W` is what the caller keeps of a waiter to wake it by.
#[derive(Debug)]
pub struct Queue<W> {
    limits: QueueLimits,
    order: QueueOrder,
    /// By priority.
    lines: [Line<W>; 3],
    len: u32,
    bytes: u64,
    /// By priority: starts of others since somebody waits there and none was started.
    passed: [u32; 3],
    next_place: u64,
}

// === impl Ticket ===

impl Ticket {
    /// Whose it is.
    pub fn tenant(self) -> u32 {
        self.tenant
    }

    /// The same place, for a tenant that may have another index by now.
    pub fn of_tenant(self, tenant: u32) -> Self {
        Self { tenant, ..self }
    }
}

// === impl Queue ===

impl<W> Queue<W> {
    /// An empty line.
    pub fn new(limits: QueueLimits, order: QueueOrder) -> Self {
        let lines = [Line::default(), Line::default(), Line::default()];
        Self { limits, order, lines, len: 0, bytes: 0, passed: [0; 3], next_place: 0 }
    }

    /// Other limits from now on. Who waits beyond them stays.
    pub fn set_limits(&mut self, limits: QueueLimits) {
        self.limits = limits;
    }

    /// The next place in line. A request takes one when it first comes, and keeps it.
    pub fn ticket(&mut self, priority: Priority, tenant: u32) -> Ticket {
        self.next_place += 1;
        Ticket { place: self.next_place, priority, tenant }
    }

    /// Whether a request that holds `bytes` may join, perhaps at another's expense. A tenant who is
    /// not known has nobody waiting.
    pub fn has_room(&self, priority: Priority, tenant: Option<u32>, bytes: u64) -> bool {
        let Some(excess) = self.excess(bytes) else { return true };
        if bytes > self.limits.bytes {
            return false;
        }
        let lower = self.lines.iter().skip(priority.index() + 1);
        let (len, held) = lower.fold((0, 0), |(len, held), line| {
            (len + line.len(), line.bytes().saturating_add(held))
        });
        let peer = || self.flooder(priority, tenant).and_then(|ticket| self.get(ticket));
        (len > 0 && held >= excess) || peer().is_some_and(|entry| entry.bytes >= excess)
    }

    /// Who must leave next so that a request that holds `bytes` may join; `None` when there is
    /// room. `displaced` says how many have left for it already.
    pub fn displaced_by(&self, joining: Ticket, bytes: u64, displaced: u32) -> Option<Ticket> {
        let excess = self.excess(bytes)?;
        if excess == 0 && displaced > 0 {
            // One for one: if the capacity was lowered, the line shrinks as it empties.
            return None;
        }
        let priority = joining.priority;
        let lowest = Priority::ALL
            .into_iter()
            .skip(priority.index() + 1)
            .rev()
            .find_map(|lower| self.newest_of_longest(lower));
        lowest.or_else(|| self.flooder(priority, Some(joining.tenant)))
    }

    /// Puts one at its place. The caller has asked [`Queue::has_room`].
    pub fn push(&mut self, ticket: Ticket, attained: u64, entry: Entry<W>) {
        self.len += 1;
        self.bytes = self.bytes.saturating_add(entry.bytes);
        let line = &mut self.lines[ticket.priority.index()];
        line.push(ticket.tenant, ticket.place, attained, entry);
    }

    /// Who is next. It stays until it is taken out, or counted as started.
    pub fn next(&mut self, now: Instant) -> Option<Ticket> {
        let priority = self.next_priority()?;
        let (tenant, place) = self.lines[priority.index()].next(self.order, now)?;
        Some(Ticket { place, priority, tenant })
    }

    /// One who waits.
    pub fn get(&self, ticket: Ticket) -> Option<&Entry<W>> {
        self.lines[ticket.priority.index()].get(ticket.tenant, ticket.place)
    }

    /// Takes one out of line, if it is still there.
    pub fn remove(&mut self, ticket: Ticket) -> Option<Entry<W>> {
        let at = ticket.priority.index();
        let entry = self.lines[at].remove(ticket.tenant, ticket.place)?;
        self.len -= 1;
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        if self.lines[at].is_empty() {
            self.passed[at] = 0;
        }
        Some(entry)
    }

    /// Takes one out of line because it starts.
    pub fn start(&mut self, ticket: Ticket) -> Option<Entry<W>> {
        let entry = self.remove(ticket)?;
        let at = ticket.priority.index();
        self.passed[at] = 0;
        for (other, (passed, line)) in self.passed.iter_mut().zip(&self.lines).enumerate() {
            if other != at && !line.is_empty() {
                *passed += 1;
            }
        }
        Some(entry)
    }

    /// A tenant has attained more, or less than was thought.
    pub fn attained(&mut self, tenant: u32, attained: u64) {
        if self.len > 0 {
            self.lines.iter_mut().for_each(|line| line.attained(tenant, attained));
        }
    }

    /// Those who will certainly start before a newcomer: all of higher priority, and its tenant's
    /// own. (Newest first may change that; then who waits is late anyway.)
    pub fn ahead_of(&self, priority: Priority, tenant: Option<u32>) -> u32 {
        let higher: u32 = self.lines.iter().take(priority.index()).map(Line::len).sum();
        higher + tenant.map_or(0, |tenant| self.lines[priority.index()].len_of(tenant))
    }

    /// Requests waiting.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes held for those who wait.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How much may wait.
    pub fn limits(&self) -> QueueLimits {
        self.limits
    }

    /// By how many bytes one more would be too much, 0 if only by its number; `None` if it fits.
    fn excess(&self, bytes: u64) -> Option<u64> {
        let excess = self.bytes().saturating_add(bytes).saturating_sub(self.limits.bytes);
        (excess > 0 || self.len() >= self.limits.capacity).then_some(excess)
    }

    fn next_priority(&self) -> Option<Priority> {
        let waiting = || {
            Priority::ALL.into_iter().filter(|priority| !self.lines[priority.index()].is_empty())
        };
        let first = waiting().next()?;
        let is_due = |priority: &Priority| {
            *priority != Priority::Critical && self.passed[priority.index()] >= DUE_AFTER
        };
        let due = waiting().filter(is_due);
        Some(due.max_by_key(|priority| self.passed[priority.index()]).unwrap_or(first))
    }

    fn newest_of_longest(&self, priority: Priority) -> Option<Ticket> {
        let (_, tenant, place) = self.lines[priority.index()].longest()?;
        Some(Ticket { place, priority, tenant })
    }

    /// The newest of the tenant that has most here, if it has at least two more than this one, so
    /// that the exchange leaves it no worse off.
    fn flooder(&self, priority: Priority, tenant: Option<u32>) -> Option<Ticket> {
        let line = &self.lines[priority.index()];
        let own = tenant.map_or(0, |tenant| line.len_of(tenant));
        let (longest, ..) = line.longest()?;
        if longest < own + 2 { None } else { self.newest_of_longest(priority) }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "simulated time needs a start")]
mod tests;
