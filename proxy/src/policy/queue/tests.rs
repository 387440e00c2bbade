//! Tables and properties of the line, under a simulated clock.

use super::*;
use crate::policy::claim::Priority::{Critical, Sheddable, Standard};
use proptest::prelude::*;
use std::time::Duration;

const LIMITS: QueueLimits = QueueLimits { capacity: 4, bytes: 10 };

/// A line of names, and the time.
struct World {
    queue: Queue<u32>,
    now: Instant,
    attained: [u64; 8],
}

impl World {
    fn new(limits: QueueLimits, order: QueueOrder) -> Self {
        Self { queue: Queue::new(limits, order), now: Instant::now(), attained: [0; 8] }
    }

    fn push(&mut self, priority: Priority, tenant: u32, bytes: u64, waiter: u32) -> Ticket {
        let ticket = self.queue.ticket(priority, tenant);
        self.push_at(ticket, bytes, waiter);
        ticket
    }

    fn push_at(&mut self, ticket: Ticket, bytes: u64, waiter: u32) {
        let deadline = self.now + Duration::from_secs(1);
        let entry = Entry { waiter, deadline, since: self.now, bytes, cost: 1, key: None };
        self.queue.push(ticket, self.attained[ticket.tenant() as usize], entry);
    }

    /// Starts the next, and charges its tenant.
    fn start(&mut self, charge: u64) -> Option<u32> {
        let ticket = self.queue.next(self.now)?;
        let waiter = self.queue.start(ticket).unwrap().waiter;
        let tenant = ticket.tenant();
        self.attained[tenant as usize] += charge;
        self.queue.attained(tenant, self.attained[tenant as usize]);
        Some(waiter)
    }

    fn start_all(&mut self, charge: u64) -> Vec<u32> {
        std::iter::from_fn(|| self.start(charge)).collect()
    }
}

#[test]
fn is_bounded_in_requests_and_in_bytes() {
    let mut world = World::new(QueueLimits { capacity: 2, bytes: 10 }, QueueOrder::Fifo);
    assert!(!world.queue.has_room(Standard, None, 11));
    let first = world.push(Standard, 0, 8, 1);
    assert!(!world.queue.has_room(Standard, Some(0), 3));
    assert!(world.queue.has_room(Standard, Some(0), 2));
    world.push(Standard, 0, 0, 2);
    assert!(!world.queue.has_room(Standard, Some(0), 0));
    assert_eq!(world.queue.remove(first).map(|entry| entry.waiter), Some(1));
    assert!(world.queue.remove(first).is_none());
    assert_eq!(world.queue.bytes(), 0);
    assert!(world.queue.has_room(Standard, Some(0), 10));
    assert!(!world.queue.has_room(Critical, Some(0), u64::MAX));
}

#[test]
fn who_comes_back_stands_where_it_stood() {
    let mut world = World::new(LIMITS, QueueOrder::Fifo);
    let first = world.queue.ticket(Standard, 0);
    world.push(Standard, 0, 0, 2);
    world.push_at(first.of_tenant(1), 0, 1);
    assert_eq!(world.start_all(0), [1, 2]);
}

#[test]
fn goes_by_priority_then_by_least_served_then_by_arrival() {
    let mut world = World::new(QueueLimits { capacity: 99, bytes: 0 }, QueueOrder::Fifo);
    for (priority, tenant, name) in [
        (Sheddable, 1, 30),
        (Standard, 1, 20),
        (Standard, 1, 21),
        (Standard, 1, 22),
        (Standard, 2, 25),
        (Standard, 2, 26),
        (Critical, 1, 10),
        (Critical, 1, 11),
    ] {
        world.push(priority, tenant, 0, name);
    }
    // Tenant 1 is charged for its critical ones, so that tenant 2 is next.
    assert_eq!(world.start_all(10), [10, 11, 25, 26, 20, 21, 22, 30]);
}

#[test]
fn tenants_take_turns_by_what_they_were_charged() {
    let mut world = World::new(QueueLimits { capacity: 99, bytes: 0 }, QueueOrder::Fifo);
    for name in 0..6 {
        world.push(Standard, 1, 0, 10 + name);
    }
    for name in 0..3 {
        world.push(Standard, 2, 0, 20 + name);
    }
    let mut order = Vec::new();
    while let Some(ticket) = world.queue.next(world.now) {
        // Requests of tenant 2 take twice as long.
        order.extend(world.start(u64::from(ticket.tenant())));
    }
    assert_eq!(order, [10, 20, 11, 12, 21, 13, 14, 22, 15]);
}

#[test]
fn a_full_line_makes_room_at_the_expense_of_the_lowest() {
    let mut world = World::new(LIMITS, QueueOrder::Fifo);
    for (priority, tenant, name) in
        [(Sheddable, 1, 1), (Standard, 1, 2), (Sheddable, 2, 3), (Sheddable, 2, 4)]
    {
        world.push(priority, tenant, 1, name);
    }
    assert!(!world.queue.has_room(Sheddable, Some(1), 1), "its tenant has but one fewer");
    assert!(world.queue.has_room(Sheddable, None, 1), "a third tenant has two fewer");
    for (joining, expected) in [(Standard, Some(4)), (Standard, Some(3)), (Standard, Some(1))] {
        assert!(world.queue.has_room(joining, Some(3), 1));
        let joining = world.queue.ticket(joining, 3);
        let victim = world.queue.displaced_by(joining, 1, 0);
        let left = victim.and_then(|ticket| world.queue.remove(ticket));
        assert_eq!(left.map(|entry| entry.waiter), expected);
        assert_eq!(world.queue.displaced_by(joining, 1, 1), None);
        world.push_at(joining, 1, 9);
    }
    assert!(!world.queue.has_room(Standard, Some(3), 1), "nobody is lower any more");
    assert!(world.queue.has_room(Critical, Some(3), 1));
}

#[test]
fn bytes_make_room_as_far_as_they_must_and_never_in_vain() {
    let mut world = World::new(LIMITS, QueueOrder::Fifo);
    world.push(Sheddable, 1, 3, 1);
    world.push(Sheddable, 1, 3, 2);
    world.push(Standard, 1, 4, 3);
    assert!(!world.queue.has_room(Standard, Some(2), 7), "six bytes are all that is lower");
    assert!(world.queue.has_room(Standard, Some(2), 6));
    let joining = world.queue.ticket(Standard, 2);
    let mut left = Vec::new();
    while let Some(victim) = world.queue.displaced_by(joining, 6, left.len() as u32) {
        left.extend(world.queue.remove(victim).map(|entry| entry.waiter));
    }
    assert_eq!(left, [2, 1]);
}

#[test]
fn the_newest_is_first_only_while_the_line_is_late() {
    let target = Duration::from_millis(100);
    let order = QueueOrder::LifoOnOverload { target };
    let mut world = World::new(QueueLimits { capacity: 99, bytes: 0 }, order);
    for name in 0..6 {
        world.push(Standard, 0, 0, name);
    }
    assert_eq!(world.start(1), Some(0));
    world.now += 2 * target;
    assert_eq!(world.start(1), Some(1), "late, but not yet for an interval");
    world.now += target;
    world.push(Standard, 0, 0, 6);
    assert_eq!(world.start(1), Some(6));
    assert_eq!(world.start(1), Some(5));
    world.queue.set_limits(LIMITS);
    world.start_all(1);
    world.push(Standard, 0, 0, 7);
    world.push(Standard, 0, 0, 8);
    assert_eq!(world.start_all(1), [7, 8], "an empty line is not late");
}

proptest! {
    /// While somebody waits at a lower priority, of any ten starts in a row one is from there.
    #[test]
    fn nobody_starves(arrivals in prop::collection::vec((0..3usize, 0..4u32), 300..600)) {
        let mut world = World::new(QueueLimits { capacity: u32::MAX, bytes: 0 }, QueueOrder::Fifo);
        let mut since_start = [0u32; 3];
        let mut waiting = [0u32; 3];
        let (backlog, later) = arrivals.split_at(200);
        for (priority, tenant) in backlog {
            world.push(Priority::ALL[*priority], *tenant, 0, *priority as u32);
            waiting[*priority] += 1;
        }
        for (priority, tenant) in later {
            world.push(Priority::ALL[*priority], *tenant, 0, *priority as u32);
            waiting[*priority] += 1;
            let started = world.start(3).unwrap() as usize;
            waiting[started] -= 1;
            for (priority, since) in since_start.iter_mut().enumerate() {
                *since = if waiting[priority] == 0 || priority == started { 0 } else { *since + 1 };
                let lower_is_bounded = priority == 0 || *since < STARTS_PER_TURN;
                prop_assert!(lower_is_bounded, "priority {priority} passed over {since} times");
            }
        }
    }

    /// The bookkeeping of lengths and bytes agrees with what is there.
    #[test]
    fn counts_agree(steps in prop::collection::vec((0..3usize, 0..5u32, 0..4u64, any::<bool>()), 1..200)) {
        let mut world = World::new(LIMITS, QueueOrder::Fifo);
        let mut there: Vec<(Ticket, u64)> = Vec::new();
        for (name, (priority, tenant, bytes, joins)) in steps.into_iter().enumerate() {
            let priority = Priority::ALL[priority];
            if joins && world.queue.has_room(priority, Some(tenant), bytes) {
                let ticket = world.queue.ticket(priority, tenant);
                let mut displaced = 0;
                while let Some(victim) = world.queue.displaced_by(ticket, bytes, displaced) {
                    prop_assert!(victim.priority >= priority);
                    prop_assert!(world.queue.remove(victim).is_some());
                    there.retain(|(ticket, _)| *ticket != victim);
                    displaced += 1;
                }
                world.push_at(ticket, bytes, name as u32);
                there.push((ticket, bytes));
            } else if let Some(next) = world.queue.next(world.now) {
                prop_assert!(world.queue.start(next).is_some());
                there.retain(|(ticket, _)| *ticket != next);
            }
            prop_assert_eq!(world.queue.len() as usize, there.len());
            prop_assert_eq!(world.queue.bytes(), there.iter().map(|(_, bytes)| bytes).sum::<u64>());
            prop_assert!(world.queue.len() <= LIMITS.capacity);
            prop_assert!(world.queue.bytes() <= LIMITS.bytes);
        }
    }
}
