//! Those who wait at one priority: by tenant, the least served first; in a tenant, in order.

use super::heap::IndexedHeap;
use super::overload::{Lateness, QueueOrder};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Instant;

/// One who waits. `W` is what the caller keeps of it to wake it by.
#[derive(Debug)]
pub struct Entry<W> {
    /// To wake it by.
    pub waiter: W,
    /// When it is late.
    pub deadline: Instant,
    /// When it began to wait.
    pub since: Instant,
    /// Bytes of its body that are held.
    pub bytes: u64,
    /// What it takes of the cost budget.
    pub cost: u32,
    /// What requests that belong to one endpoint have in common.
    pub key: Option<u64>,
}

/// All who wait at one priority. Tenants are small dense indices, and a place is a number that
/// grows with each arrival.
#[derive(Debug)]
pub struct Line<W> {
    /// By tenant.
    own: Vec<Own<W>>,
    /// Tenants who wait, by what they have attained; of equals, who has waited for longest.
    order: IndexedHeap<(u64, u64)>,
    /// Tenants who wait, by how many requests; of equals, whose newest is the newest.
    longest: IndexedHeap<Reverse<(u32, u64)>>,
    len: u32,
    bytes: u64,
}

#[derive(Debug)]
struct Own<W> {
    entries: BTreeMap<u64, Entry<W>>,
    /// The places of the first and the last, while there are any.
    oldest: u64,
    newest: u64,
    attained: u64,
    lateness: Lateness,
}

// === impl Line ===

impl<W> Default for Line<W> {
    fn default() -> Self {
        let (order, longest) = (IndexedHeap::default(), IndexedHeap::default());
        Self { own: Vec::new(), order, longest, len: 0, bytes: 0 }
    }
}

impl<W> Line<W> {
    /// Requests waiting.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes held for them.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Requests of one tenant waiting.
    pub fn len_of(&self, tenant: u32) -> u32 {
        // Bounded by `len`.
        self.own.get(tenant as usize).map_or(0, |own| own.entries.len() as u32)
    }

    /// Puts one at its place among its tenant's.
    pub fn push(&mut self, tenant: u32, place: u64, attained: u64, entry: Entry<W>) {
        while self.own.len() <= tenant as usize {
            self.own.push(Own::new());
        }
        let own = &mut self.own[tenant as usize];
        self.len += 1;
        self.bytes = self.bytes.saturating_add(entry.bytes);
        own.attained = attained;
        let alone = own.entries.is_empty();
        own.oldest = if alone { place } else { own.oldest.min(place) };
        own.newest = if alone { place } else { own.newest.max(place) };
        let previous = own.entries.insert(place, entry);
        debug_assert!(previous.is_none(), "a place is taken once");
        self.settle(tenant);
    }

    /// Who is next: tenant and place.
    pub fn next(&mut self, order: QueueOrder, now: Instant) -> Option<(u32, u64)> {
        let (_, tenant) = self.order.first()?;
        let own = self.own.get_mut(tenant as usize)?;
        if order == QueueOrder::Fifo {
            return Some((tenant, own.oldest));
        }
        let oldest = own.entries.get(&own.oldest)?.since;
        let newest_first = own.lateness.newest_first(order, oldest, now);
        Some((tenant, if newest_first { own.newest } else { own.oldest }))
    }

    /// One who waits.
    pub fn get(&self, tenant: u32, place: u64) -> Option<&Entry<W>> {
        self.own.get(tenant as usize)?.entries.get(&place)
    }

    /// Takes one out, if it is there.
    pub fn remove(&mut self, tenant: u32, place: u64) -> Option<Entry<W>> {
        let own = self.own.get_mut(tenant as usize)?;
        let entry = own.entries.remove(&place)?;
        self.len -= 1;
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        if place == own.oldest {
            own.oldest = own.entries.first_key_value().map_or(0, |(place, _)| *place);
        }
        if place == own.newest {
            own.newest = own.entries.last_key_value().map_or(0, |(place, _)| *place);
        }
        self.settle(tenant);
        Some(entry)
    }

    /// A tenant has attained more, or less than was thought.
    pub fn attained(&mut self, tenant: u32, attained: u64) {
        if self.len_of(tenant) > 0 {
            let own = &mut self.own[tenant as usize];
            own.attained = attained;
            self.order.set(tenant, (attained, own.oldest));
        }
    }

    /// The tenant with the most requests waiting: how many, and the place of its newest.
    pub fn longest(&self) -> Option<(u32, u32, u64)> {
        let (Reverse((len, newest)), tenant) = self.longest.first()?;
        Some((len, tenant, newest))
    }

    /// Puts a tenant where it belongs after a change.
    fn settle(&mut self, tenant: u32) {
        let own = &mut self.own[tenant as usize];
        if own.entries.is_empty() {
            own.lateness = Lateness::default();
            self.order.remove(tenant);
            self.longest.remove(tenant);
        } else {
            self.order.set(tenant, (own.attained, own.oldest));
            self.longest.set(tenant, Reverse((own.entries.len() as u32, own.newest)));
        }
    }
}

// === impl Own ===

impl<W> Own<W> {
    fn new() -> Self {
        let (entries, lateness) = (BTreeMap::new(), Lateness::default());
        Self { entries, oldest: 0, newest: 0, attained: 0, lateness }
    }
}
