//! Any events in any order: every request is in one place, and no rule is broken.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
enum Event {
    Offer { claim: Claim, patience_ms: u64 },
    Finish(usize, bool),
    Again(usize),
    Cancel(usize),
    Resize(u32),
    Capacity(u32),
    Wait(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let claim = (0..3usize, 0..3u64, 1..3u32, 0..8u32, 0..40u64).prop_map(
        |(priority, tenant, weight, cost, bytes)| {
            let (priority, tenant) = (Priority::ALL[priority], TenantKey::of_hash(tenant));
            Claim { priority, tenant, weight, cost, bytes, key: None }
        },
    );
    let event = prop_oneof![
        4 => (claim, 1..50u64).prop_map(|(claim, patience_ms)| Event::Offer { claim, patience_ms }),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(pick, answered)| Event::Finish(pick, answered)),
        1 => any::<usize>().prop_map(Event::Again),
        1 => any::<usize>().prop_map(Event::Cancel),
        1 => (0..6u32).prop_map(Event::Resize),
        1 => (0..4u32).prop_map(Event::Capacity),
        2 => (0..20u64).prop_map(Event::Wait),
    ];
    prop::collection::vec(event, 1..200)
}

/// An admission, and where every request that was ever offered must be.
struct World {
    admission: Admission<u32>,
    only: SlotId,
    limit: u32,
    now: Instant,
    names: u32,
    offered: u32,
    running: Vec<(Grant, Claim)>,
    waiting: BTreeMap<Ticket, (u32, Instant, Claim)>,
    refused: u32,
    cancelled: u32,
    done: u32,
}

impl World {
    fn new(budget: Option<u64>) -> Self {
        let now = Instant::now();
        let mut admission = Admission::new(Rules { budget, ..RULES }, 3, now);
        let only = admission.slots_mut().add(0, 2, Usability::Usable);
        Self {
            admission,
            only,
            limit: 2,
            now,
            names: 0,
            offered: 0,
            running: Vec::new(),
            waiting: BTreeMap::new(),
            refused: 0,
            cancelled: 0,
            done: 0,
        }
    }

    fn apply(&mut self, event: &Event) -> Result<(), TestCaseError> {
        match event {
            Event::Offer { claim, patience_ms } => {
                self.offered += 1;
                let offer = self.admission.offer(claim, None, self.now);
                self.take(offer, claim, Duration::from_millis(*patience_ms));
            }
            Event::Finish(pick, answered) => {
                if let Some((grant, _)) = self.pick(*pick) {
                    self.admission.finish(grant, *answered, self.now);
                    self.done += 1;
                }
            }
            Event::Again(pick) => {
                if let Some((grant, claim)) = self.pick(*pick) {
                    self.admission.finish(grant, false, self.now);
                    let offer = self.admission.offer_again(&claim, grant.slot, self.now);
                    prop_assert!(!matches!(offer, Offer::Refused(_)), "it was counted before");
                    self.take(offer, &claim, Duration::from_millis(10));
                }
            }
            Event::Cancel(pick) => {
                let tickets: Vec<_> = self.waiting.keys().copied().collect();
                if !tickets.is_empty() {
                    let ticket = tickets[pick % tickets.len()];
                    let (name, ..) = self.waiting.remove(&ticket).unwrap();
                    prop_assert_eq!(self.admission.cancel(ticket, self.now), Some(name));
                    prop_assert_eq!(self.admission.cancel(ticket, self.now), None);
                    self.cancelled += 1;
                }
            }
            Event::Resize(to) => {
                self.limit = *to;
                self.admission.set_limit(self.only, *to, None);
            }
            Event::Capacity(capacity) => {
                self.admission.set_limits(QueueLimits { capacity: *capacity, ..LIMITS });
            }
            Event::Wait(ms) => self.now += Duration::from_millis(*ms),
        }
        Ok(())
    }

    /// One that runs, taken out of the ledger.
    fn pick(&mut self, pick: usize) -> Option<(Grant, Claim)> {
        let count = self.running.len();
        (count > 0).then(|| self.running.swap_remove(pick % count))
    }

    fn take(&mut self, offer: Offer, claim: &Claim, patience: Duration) {
        match offer {
            Offer::Admitted(grant) => self.running.push((grant, *claim)),
            Offer::Refused(_) => self.refused += 1,
            Offer::MustWait => {
                self.names += 1;
                let (name, deadline) = (self.names, self.now + patience);
                let ticket = self.admission.wait(claim, None, deadline, name, self.now);
                self.waiting.insert(ticket, (name, deadline, *claim));
            }
        }
    }

    /// Takes all that can happen now, and checks that nobody is overtaken by its own tenant.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        let now = self.now;
        while let Some(turn) = self.admission.poll(now) {
            match turn {
                Turn::Start(ticket, name, grant) => {
                    let (expected, deadline, claim) = self.waiting.remove(&ticket).unwrap();
                    prop_assert_eq!(name, expected);
                    prop_assert!(deadline > now, "a late waiter was started");
                    let overtaken = self.waiting.iter().find(|(other, (_, deadline, of))| {
                        **other < ticket
                            && *deadline > now
                            && (of.priority, of.tenant) == (claim.priority, claim.tenant)
                    });
                    prop_assert!(overtaken.is_none(), "an earlier one of its tenant was overtaken");
                    self.running.push((grant, claim));
                }
                Turn::Refuse(name, cause) => {
                    let who = self.waiting.iter().find(|(_, (other, ..))| *other == name);
                    let (ticket, (_, deadline, _)) = who.map(|(t, w)| (*t, *w)).unwrap();
                    prop_assert!(cause == Cause::Full || deadline <= now, "it was not late");
                    self.waiting.remove(&ticket);
                    self.refused += 1;
                }
            }
        }
        Ok(())
    }

    fn check(&self, before: Snapshot, budget: Option<u64>) -> Result<(), TestCaseError> {
        let seen = self.admission.snapshot(self.now);
        prop_assert!(!self.admission.is_due() || budget.is_some());
        prop_assert_eq!(seen.running as usize, self.running.len());
        prop_assert_eq!(seen.waiting as usize, self.waiting.len());
        prop_assert!(seen.running <= self.limit.max(before.running), "over the limit");
        let most = seen.queue_capacity.max(before.waiting + 1).max(LIMITS.capacity);
        prop_assert!(seen.waiting <= most, "{} wait", seen.waiting);
        let cost: u64 = self.running.iter().map(|(_, claim)| u64::from(claim.cost)).sum();
        prop_assert!(budget.is_none_or(|budget| cost <= budget || seen.running == 1));
        let in_time = self.waiting.values().filter(|(_, at, _)| *at > self.now).count();
        if budget.is_none() || seen.running == 0 {
            let busy = in_time == 0 || seen.running >= self.limit;
            prop_assert!(busy, "a slot stays free, somebody waits");
        }
        let accounted = seen.running + seen.waiting + self.refused + self.cancelled + self.done;
        prop_assert_eq!(self.offered, accounted);
        Ok(())
    }
}

fn nothing_is_lost(events: &[Event], budget: Option<u64>) -> Result<(), TestCaseError> {
    let mut world = World::new(budget);
    for event in events {
        let before = world.admission.snapshot(world.now);
        world.apply(event)?;
        world.settle()?;
        world.check(before, budget)?;
    }
    Ok(())
}

proptest! {
    #[test]
    fn nothing_is_lost_overrun_or_overtaken(events in events()) {
        nothing_is_lost(&events, None)?;
    }

    #[test]
    fn nor_with_a_budget(events in events()) {
        nothing_is_lost(&events, Some(10))?;
    }
}
