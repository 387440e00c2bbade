//! The waiting line: first come, first served, bounded in requests and in bytes.

use std::collections::BTreeMap;
use std::time::Instant;

/// A request's place in line. Smaller came earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

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
    entries: BTreeMap<Ticket, Entry<W>>,
    bytes: u64,
    next: u64,
}

#[derive(Debug)]
struct Entry<W> {
    waiter: W,
    deadline: Instant,
    bytes: u64,
}

// === impl Queue ===

impl<W> Queue<W> {
    /// An empty line.
    pub fn new(limits: QueueLimits) -> Self {
        Self { limits, entries: BTreeMap::new(), bytes: 0, next: 0 }
    }

    /// The next place in line. A request takes one when it first comes, and keeps it.
    pub fn ticket(&mut self) -> Ticket {
        self.next += 1;
        Ticket(self.next)
    }

    /// Whether a request that holds `bytes` may still join.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.len() < self.limits.capacity
            && self.bytes.checked_add(bytes).is_some_and(|sum| sum <= self.limits.bytes)
    }

    /// Puts a waiter at its place. The caller has asked [`Queue::has_room`].
    pub fn push(&mut self, ticket: Ticket, deadline: Instant, bytes: u64, waiter: W) {
        self.bytes = self.bytes.saturating_add(bytes);
        let previous = self.entries.insert(ticket, Entry { waiter, deadline, bytes });
        debug_assert!(previous.is_none(), "a ticket waits once");
    }

    /// Takes the first waiter whose deadline has not passed. Those before it stay in line: their
    /// own timers take them out, so that each is answered once.
    pub fn pop(&mut self, now: Instant) -> Option<(Ticket, W)> {
        let ticket = self.entries.iter().find(|(_, e)| e.deadline > now).map(|(t, _)| *t)?;
        self.remove(ticket).map(|waiter| (ticket, waiter))
    }

    /// Takes a waiter out of line, if it is still there.
    pub fn remove(&mut self, ticket: Ticket) -> Option<W> {
        let entry = self.entries.remove(&ticket)?;
        self.bytes -= entry.bytes;
        Some(entry.waiter)
    }

    /// Requests waiting.
    pub fn len(&self) -> u32 {
        // The capacity is a u32, and nothing joins beyond it.
        self.entries.len() as u32
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes held for those who wait.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How much may wait.
    pub fn limits(&self) -> QueueLimits {
        self.limits
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "simulated time needs a start")]
mod tests {
    use super::*;
    use std::time::Duration;

    const LIMITS: QueueLimits = QueueLimits { capacity: 2, bytes: 10 };

    #[test]
    fn is_bounded_in_requests_and_in_bytes() {
        let soon = Instant::now() + Duration::from_secs(1);
        let mut queue = Queue::new(LIMITS);
        assert!(!queue.has_room(11));
        let first = queue.ticket();
        queue.push(first, soon, 8, 'a');
        assert!(!queue.has_room(3));
        assert!(queue.has_room(2));
        let second = queue.ticket();
        queue.push(second, soon, 0, 'b');
        assert!(!queue.has_room(0));
        assert_eq!(queue.remove(first), Some('a'));
        assert_eq!(queue.remove(first), None);
        assert_eq!(queue.bytes(), 0);
        assert!(queue.has_room(10));
        assert!(!queue.has_room(u64::MAX));
    }

    #[test]
    fn who_comes_back_stands_where_it_stood() {
        let soon = Instant::now() + Duration::from_secs(1);
        let mut queue = Queue::new(LIMITS);
        let (first, second) = (queue.ticket(), queue.ticket());
        queue.push(second, soon, 0, 'b');
        queue.push(first, soon, 0, 'a');
        assert_eq!(queue.pop(Instant::now()), Some((first, 'a')));
    }

    #[test]
    fn who_is_late_is_passed_over() {
        let now = Instant::now();
        let mut queue = Queue::new(LIMITS);
        let (late, fresh) = (queue.ticket(), queue.ticket());
        queue.push(late, now, 0, 'a');
        queue.push(fresh, now + Duration::from_millis(1), 0, 'b');
        assert_eq!(queue.pop(now), Some((fresh, 'b')));
        assert_eq!(queue.pop(now), None);
        assert_eq!(queue.remove(late), Some('a'));
    }
}
