//! Tables of the admission state machine, under a simulated clock.

use super::*;
use crate::policy::claim::{Priority, TenantKey};
use crate::policy::slots::Usability;

mod breaker;
mod ledger;
mod simulation;

const LIMITS: QueueLimits = QueueLimits { capacity: 2, bytes: 100 };
const RULES: Rules =
    Rules { limits: LIMITS, order: QueueOrder::Fifo, budget: None, choice: Choice::PowerOfTwo };

fn admission(limit: u32, rules: Rules, now: Instant) -> Admission<u32> {
    let mut admission = Admission::new(rules, 1, now);
    admission.slots_mut().add(0, limit, Usability::Usable);
    admission
}

fn claim(priority: Priority, tenant: u64, cost: u32) -> Claim {
    Claim { priority, tenant: TenantKey::of_hash(tenant), cost, ..Claim::default() }
}

/// Starts a request that must find a free slot.
fn start(admission: &mut Admission<u32>, claim: &Claim, now: Instant) -> Grant {
    match admission.offer(claim, None, now) {
        Offer::Admitted(grant) => grant,
        other => panic!("a slot was free: {other:?}"),
    }
}

/// Lets a request wait that must find room, but no slot.
fn wait(admission: &mut Admission<u32>, claim: &Claim, name: u32, now: Instant) -> Ticket {
    assert_eq!(admission.offer(claim, None, now), Offer::MustWait);
    admission.wait(claim, None, now + Duration::from_secs(60), name, now)
}

/// Who starts now, by name, with their slots.
fn started(admission: &mut Admission<u32>, now: Instant) -> Vec<(u32, Grant)> {
    std::iter::from_fn(|| admission.poll(now))
        .map(|turn| match turn {
            Turn::Start(_, name, grant) => (name, grant),
            Turn::Refuse(name, cause) => panic!("{name} was refused: {cause:?}"),
        })
        .collect()
}

#[test]
fn what_was_refused_goes_elsewhere_and_back_only_if_nothing_else_is_free() {
    let (now, claim) = (Instant::now(), Claim::default());
    for choice in
        [Choice::PowerOfTwo, Choice::LeastLoaded, Choice::ConsistentHash { factor_percent: 125 }]
    {
        let mut admission = Admission::<u32>::new(Rules { choice, ..RULES }, 7, now);
        let ids = [0, 1].map(|id| admission.slots_mut().add(id, 8, Usability::Usable));
        for turn in 0..30 {
            let was = start(&mut admission, &claim, now);
            admission.finish(was, false, now);
            let Offer::Admitted(grant) = admission.offer_again(&claim, was.slot, now) else {
                panic!("sixteen are free");
            };
            assert_ne!(grant.slot, was.slot, "{choice:?} {turn}");
            admission.finish(grant, true, now);
        }
        admission.remove(ids[1]);
        let grant = start(&mut admission, &claim, now);
        admission.finish(grant, false, now);
        let again = admission.offer_again(&claim, ids[0], now);
        assert!(matches!(again, Offer::Admitted(grant) if grant.slot == ids[0]));
    }
}

#[test]
fn runs_then_waits_then_refuses() {
    let now = Instant::now();
    let claim = Claim::default();
    let mut admission = admission(1, RULES, now);
    let grant = start(&mut admission, &claim, now);
    for name in 0..2 {
        wait(&mut admission, &claim, name, now);
    }
    assert_eq!(admission.offer(&claim, None, now), Offer::Refused(Cause::Full));
    assert!(!admission.is_due() && admission.poll(now).is_none());
    admission.finish(grant, true, now);
    assert!(admission.is_due());
    assert_eq!(started(&mut admission, now).len(), 1);
}

#[test]
fn a_new_endpoint_takes_those_who_wait_at_once_and_in_order() {
    let now = Instant::now();
    let mut admission: Admission<u32> = Admission::new(RULES, 1, now);
    for name in 0..2 {
        wait(&mut admission, &Claim::default(), name, now);
    }
    admission.slots_mut().add(0, 5, Usability::Usable);
    let names: Vec<u32> = started(&mut admission, now).iter().map(|(name, _)| *name).collect();
    assert_eq!(names, [0, 1]);
}

#[test]
fn integrals_follow_running_and_waiting() {
    let start_of_time = Instant::now();
    let at = |ms| start_of_time + Duration::from_millis(ms);
    let claim = Claim::default();
    let mut admission = admission(1, RULES, at(0));
    let grant = start(&mut admission, &claim, at(0));
    wait(&mut admission, &claim, 0, at(1_000));
    admission.finish(grant, true, at(3_000));
    assert!(admission.poll(at(3_000)).is_some());
    let seen = admission.snapshot(at(4_000));
    assert!((seen.running_seconds - 4.0).abs() < 1e-9, "{seen:?}");
    assert!((seen.waiting_seconds - 2.0).abs() < 1e-9, "{seen:?}");
}

#[test]
fn a_second_slot_is_another_endpoints_and_nobody_waits_for_it() {
    let now = Instant::now();
    let mut admission = admission(2, Rules { budget: Some(4), ..RULES }, now);
    let dear = claim(Priority::Standard, 1, 3);
    let first = start(&mut admission, &dear, now);
    let cheap = claim(Priority::Standard, 1, 1);
    assert_eq!(admission.start_beside(&cheap, first.slot, now), None, "it is the same endpoint");
    let other = admission.slots_mut().add(1, 1, Usability::Usable);
    assert_eq!(admission.start_beside(&dear, first.slot, now), None, "the budget is spent");
    let second = admission.start_beside(&cheap, first.slot, now).expect("a free slot");
    assert_eq!((second.slot, admission.snapshot(now).running), (other, 2));
    assert_eq!(admission.start_beside(&cheap, first.slot, now), None, "its one slot is taken");
    admission.finish(second, false, now);
    // One that waits for budget waits for this slot, too.
    let ticket = wait(&mut admission, &dear, 0, now);
    assert_eq!(admission.start_beside(&cheap, first.slot, now), None);
    admission.cancel(ticket, now);
    let again = admission.start_beside(&cheap, first.slot, now).expect("nobody waits any more");
    admission.finish(again, false, now);
    admission.finish(first, true, now);
    assert_eq!((admission.snapshot(now).running, admission.slots().free()), (0, 3));
}

#[test]
fn a_more_urgent_request_takes_the_place_of_the_least_urgent() {
    let now = Instant::now();
    let mut admission = admission(1, RULES, now);
    start(&mut admission, &Claim::default(), now);
    let (sheddable, critical) = (claim(Priority::Sheddable, 1, 1), claim(Priority::Critical, 1, 1));
    let first = wait(&mut admission, &sheddable, 0, now);
    let second = wait(&mut admission, &sheddable, 1, now);
    wait(&mut admission, &critical, 2, now);
    assert!(admission.is_due(), "somebody must be told");
    assert_eq!(admission.poll(now), Some(Turn::Refuse(1, Cause::Full)));
    assert_eq!(admission.poll(now), None);
    assert_eq!(admission.cancel(second, now), None, "it left once");
    assert_eq!(admission.snapshot(now).waiting, 2);
    assert_eq!(admission.cancel(first, now), Some(0));
}

#[test]
fn a_deadline_that_cannot_be_met_is_refused_once_that_is_known() {
    let start_of_time = Instant::now();
    let at = |ms| start_of_time + Duration::from_millis(ms);
    let rules = Rules { limits: QueueLimits { capacity: 100, bytes: 0 }, ..RULES };
    let mut admission = admission(1, rules, at(0));
    let claim = Claim::default();
    // Nothing is known: only a deadline that has passed is refused.
    assert_eq!(admission.offer(&claim, Some(at(0)), at(0)), Offer::Refused(Cause::Late));
    let Offer::Admitted(first) = admission.offer(&claim, Some(at(1)), at(0)) else {
        panic!("nothing was measured yet")
    };
    admission.finish(first, true, at(100));
    for n in 1..10 {
        let grant = start(&mut admission, &claim, at(100 * n));
        admission.finish(grant, true, at(100 * (n + 1)));
    }
    // Ten requests took 100 ms each. No one was faster.
    assert_eq!(admission.offer(&claim, Some(at(1_099)), at(1_000)), Offer::Refused(Cause::Late));
    let running = start(&mut admission, &claim, at(1_000));
    for name in 0..3 {
        wait(&mut admission, &claim, name, at(1_000));
    }
    // Three are ahead: at least 300 ms until it starts, and 100 until it ends.
    assert_eq!(admission.offer(&claim, Some(at(1_399)), at(1_000)), Offer::Refused(Cause::Late));
    assert_eq!(admission.offer(&claim, Some(at(1_400)), at(1_000)), Offer::MustWait);
    let urgent = Claim { priority: Priority::Critical, ..claim };
    assert_eq!(admission.offer(&urgent, Some(at(1_101)), at(1_000)), Offer::MustWait);
    // One that waits is given up when what is left is too little, and not started then.
    let give_up = admission.give_up_at(at(60_000), Some(at(1_400)), at(1_000));
    assert_eq!(give_up, at(1_300));
    assert_eq!(admission.give_up_at(at(1_200), Some(at(1_400)), at(1_000)), at(1_200));
    let other = self::claim(Priority::Standard, 1, 1);
    admission.wait(&other, None, give_up, 9, at(1_000));
    admission.finish(running, true, at(1_300));
    let turns: Vec<_> = std::iter::from_fn(|| admission.poll(at(1_300))).collect();
    assert!(turns.contains(&Turn::Refuse(9, Cause::Late)), "{turns:?}");
}

#[test]
fn a_failed_request_says_nothing_about_how_long_they_take() {
    let start_of_time = Instant::now();
    let at = |ms| start_of_time + Duration::from_millis(ms);
    let mut admission = admission(1, RULES, at(0));
    for _ in 0..20 {
        let grant = start(&mut admission, &Claim::default(), at(0));
        admission.finish(grant, false, at(1_000));
    }
    let offer = admission.offer(&Claim::default(), Some(at(1_001)), at(1_000));
    assert!(matches!(offer, Offer::Admitted(_)));
}

#[test]
fn a_budget_bounds_the_cost_of_what_runs_and_the_dearest_runs_alone() {
    let now = Instant::now();
    let rules =
        Rules { limits: QueueLimits { capacity: 100, bytes: 0 }, budget: Some(10), ..RULES };
    let mut admission = admission(100, rules, now);
    let cost = |cost| Claim { cost, ..Claim::default() };
    let (six, four) = (start(&mut admission, &cost(6), now), start(&mut admission, &cost(4), now));
    wait(&mut admission, &cost(50), 50, now);
    wait(&mut admission, &cost(1), 1, now);
    wait(&mut admission, &cost(2), 2, now);
    assert_eq!(started(&mut admission, now), [], "the budget is spent");
    admission.finish(six, true, now);
    assert_eq!(started(&mut admission, now), [], "cheaper ones don't overtake");
    admission.finish(four, true, now);
    let alone = started(&mut admission, now);
    assert_eq!(alone.iter().map(|(name, _)| *name).collect::<Vec<_>>(), [50]);
    admission.finish(alone[0].1, true, now);
    assert_eq!(started(&mut admission, now).len(), 2);
    // A dear one that leaves lets the next go on.
    let dear = wait(&mut admission, &cost(9), 9, now);
    wait(&mut admission, &cost(3), 3, now);
    admission.cancel(dear, now);
    assert!(admission.is_due());
    assert_eq!(started(&mut admission, now).len(), 1);
}

#[test]
fn a_measured_limit_is_used_and_a_fixed_one_ends_the_search() {
    let start_of_time = Instant::now();
    let at = |ms| start_of_time + Duration::from_millis(ms);
    let bound = |n| std::num::NonZeroU32::new(n).unwrap();
    let range = crate::policy::limit::LimitRange { min: bound(2), max: bound(50) };
    let rules = Rules { limits: QueueLimits { capacity: 1000, bytes: 0 }, ..RULES };
    let mut admission: Admission<u32> = Admission::new(rules, 1, at(0));
    let slot = admission.slots_mut().add(0, 0, Usability::Usable);
    let search = GradientLimit::new(range);
    admission.set_limit(slot, search.limit(), Some(search));
    let claim = Claim::default();
    let mut running: VecDeque<Grant> = VecDeque::new();
    for step in 0..3_000 {
        // Always as many as the limit lets through; each takes ten steps whatever the limit.
        while admission.slots().free() > 0 {
            running.push_back(start(&mut admission, &claim, at(step * 10)));
        }
        while running
            .front()
            .is_some_and(|grant| at(step * 10) >= grant.since + Duration::from_millis(100))
        {
            let grant = running.pop_front().unwrap();
            admission.finish(grant, true, at(step * 10));
        }
    }
    assert!(admission.slots().limit() > 4, "nothing spoke against a higher limit");
    admission.set_limit(slot, 1, None);
    running.into_iter().for_each(|grant| admission.finish(grant, true, at(30_000)));
    assert_eq!(admission.slots().limit(), 1);
}
