//! Tables and properties of the admission state machine, under a simulated clock.

use super::*;
use crate::policy::slots::Usability;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

const LIMITS: QueueLimits = QueueLimits { capacity: 2, bytes: 100 };

fn admission(limit: u32, now: Instant) -> Admission<u32> {
    let mut admission = Admission::new(LIMITS, 1, now);
    admission.slots_mut().add(limit, Usability::Usable);
    admission
}

#[test]
fn runs_then_waits_then_refuses() {
    let now = Instant::now();
    let later = now + Duration::from_secs(1);
    let mut admission = admission(1, now);
    let Offer::Admitted(slot) = admission.offer(0, now) else { panic!("a slot was free") };
    for name in 0..2 {
        let Offer::MustWait(ticket) = admission.offer(0, now) else { panic!("there was room") };
        admission.wait(ticket, later, 0, name, now);
    }
    assert!(matches!(admission.offer(0, now), Offer::Refused { .. }));
    assert!(admission.poll(now).is_none());
    admission.finish(slot, now);
    assert!(matches!(admission.poll(now), Some((_, 0, _))));
    assert!(admission.poll(now).is_none());
}

#[test]
fn a_new_endpoint_takes_those_who_wait_at_once_and_in_order() {
    let now = Instant::now();
    let later = now + Duration::from_secs(1);
    let mut admission: Admission<u32> = Admission::new(LIMITS, 1, now);
    for name in 0..2 {
        let Offer::MustWait(ticket) = admission.offer(0, now) else { panic!("there was room") };
        admission.wait(ticket, later, 0, name, now);
    }
    admission.slots_mut().add(5, Usability::Usable);
    let started: Vec<u32> =
        std::iter::from_fn(|| admission.poll(now)).map(|(_, name, _)| name).collect();
    assert_eq!(started, [0, 1]);
}

#[test]
fn integrals_follow_running_and_waiting() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut admission = admission(1, start);
    let Offer::Admitted(slot) = admission.offer(0, at(0)) else { panic!("a slot was free") };
    let Offer::MustWait(ticket) = admission.offer(0, at(1_000)) else { panic!("there was room") };
    admission.wait(ticket, at(60_000), 0, 0, at(1_000));
    admission.finish(slot, at(3_000));
    assert!(admission.poll(at(3_000)).is_some());
    let seen = admission.snapshot(at(4_000));
    assert!((seen.running_seconds - 4.0).abs() < 1e-9, "{seen:?}");
    assert!((seen.waiting_seconds - 2.0).abs() < 1e-9, "{seen:?}");
}

#[derive(Debug, Clone)]
enum Event {
    Offer { bytes: u64, patience_ms: u64 },
    Finish(usize),
    Cancel(usize),
    Resize(u32),
    Wait(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (0..40u64, 1..50u64).prop_map(|(bytes, patience_ms)| Event::Offer { bytes, patience_ms }),
        3 => any::<usize>().prop_map(Event::Finish),
        1 => any::<usize>().prop_map(Event::Cancel),
        1 => (0..6u32).prop_map(Event::Resize),
        2 => (0..20u64).prop_map(Event::Wait),
    ];
    prop::collection::vec(event, 1..200)
}

/// Every request that was ever offered is in one of these places.
#[derive(Default)]
struct Ledger {
    offered: u32,
    running: VecDeque<SlotId>,
    waiting: BTreeMap<Ticket, (u32, Instant)>,
    refused: u32,
    cancelled: u32,
    done: u32,
}

proptest! {
    #[test]
    fn nothing_is_lost_overrun_or_overtaken(events in events()) {
        let mut now = Instant::now();
        let mut admission: Admission<u32> = Admission::new(LIMITS, 3, now);
        let only = admission.slots_mut().add(2, Usability::Usable);
        let mut limit = 2;
        let mut ledger = Ledger::default();
        for event in events {
            let running_before = admission.slots().running();
            match event {
                Event::Offer { bytes, patience_ms } => {
                    ledger.offered += 1;
                    match admission.offer(bytes, now) {
                        Offer::Admitted(slot) => ledger.running.push_back(slot),
                        Offer::Refused { .. } => ledger.refused += 1,
                        Offer::MustWait(ticket) => {
                            let deadline = now + Duration::from_millis(patience_ms);
                            admission.wait(ticket, deadline, bytes, ledger.offered, now);
                            ledger.waiting.insert(ticket, (ledger.offered, deadline));
                        }
                    }
                }
                Event::Finish(pick) => {
                    let running = ledger.running.len();
                    if let Some(slot) = (running > 0).then(|| pick % running)
                        .and_then(|index| ledger.running.remove(index)) {
                        admission.finish(slot, now);
                        ledger.done += 1;
                    }
                }
                Event::Cancel(pick) => {
                    let tickets: Vec<_> = ledger.waiting.keys().copied().collect();
                    if !tickets.is_empty() {
                        let ticket = tickets[pick % tickets.len()];
                        let (name, _) = ledger.waiting.remove(&ticket).unwrap();
                        prop_assert_eq!(admission.cancel(ticket, now), Some(name));
                        prop_assert_eq!(admission.cancel(ticket, now), None);
                        ledger.cancelled += 1;
                    }
                }
                Event::Resize(to) => {
                    limit = to;
                    admission.slots_mut().set_limit(only, to);
                }
                Event::Wait(ms) => now += Duration::from_millis(ms),
            }
            while let Some((ticket, name, slot)) = admission.poll(now) {
                let (expected, deadline) = ledger.waiting.remove(&ticket).unwrap();
                prop_assert_eq!(name, expected);
                prop_assert!(deadline > now, "a late waiter was started");
                let overtaken = ledger.waiting.iter()
                    .find(|(other, (_, deadline))| **other < ticket && *deadline > now);
                prop_assert!(overtaken.is_none(), "an earlier waiter was overtaken");
                ledger.running.push_back(slot);
            }
            let seen = admission.snapshot(now);
            prop_assert_eq!(seen.running as usize, ledger.running.len());
            prop_assert_eq!(seen.waiting as usize, ledger.waiting.len());
            prop_assert!(seen.running <= limit.max(running_before), "over the limit");
            prop_assert!(seen.waiting <= LIMITS.capacity);
            let in_time = ledger.waiting.values().filter(|(_, deadline)| *deadline > now).count();
            prop_assert!(in_time == 0 || seen.running >= limit, "a slot stays free, somebody waits");
            let accounted = seen.running + seen.waiting
                + ledger.refused + ledger.cancelled + ledger.done;
            prop_assert_eq!(ledger.offered, accounted);
        }
    }
}
