//! The hand-off of permits under random interleavings of release, leaving, timeout and resize.
//!
//! shuttle runs tasks on its own scheduler, which switches between them at random wherever they
//! lock, and a waiter's timer goes off at any moment (see [`clock::sleep_until`]).

use super::*;
use crate::endpoint::Endpoint;
use crate::policy::admission::Rules;
use crate::policy::choice::Choice;
use crate::policy::claim::Priority;
use crate::policy::ejection::EjectionRules;
use crate::policy::limit::LimitRange;
use crate::policy::overload::QueueOrder;
use crate::policy::queue::QueueLimits;
use crate::policy::retry_budget::RetryRules;
use crate::policy::slots::{SlotId, Usability};
use crate::socket::Address;
use shuttle::future::{block_on, spawn, yield_now};
use shuttle::rand::{Rng, thread_rng};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

/// Schedules that are tried for each test.
const SCHEDULES: usize = 2_000;
/// A timer of this may go off at any moment.
const SOME_TIME: Duration = Duration::from_secs(3600);
/// One of this never does.
const FOREVER: Duration = Duration::from_secs(7 * 24 * 3600);
const MAX_LIMIT: u32 = 3;

fn gate(capacity: u32, budget: Option<u64>, timeout: Duration) -> (Arc<Gate>, SlotId) {
    let limits = QueueLimits { capacity, bytes: u64::MAX };
    let rules = Rules { limits, order: QueueOrder::Fifo, budget, choice: Choice::PowerOfTwo };
    let settings = GateSettings {
        rules,
        queue_timeout: timeout,
        cold_start_timeout: timeout,
        ejection: EjectionRules::default(),
        retries: RetryRules::default(),
        slow_start: Duration::ZERO,
        hedging: None,
    };
    let gate = Gate::new(settings);
    let endpoint = Endpoint::new("model".to_owned(), Address::Unix("/".into()), 1, 1);
    let slot = gate.add(Arc::new(endpoint), 0, Usability::Usable);
    (gate, slot)
}

fn live(limit: Limit, queue_timeout: Duration) -> LiveSettings {
    let queue = QueueLimits { capacity: 5, bytes: u64::MAX };
    LiveSettings { limit, queue, queue_timeout, budget: Some(4) }
}

fn ask() -> Ask {
    let mut random = thread_rng();
    let priority = Priority::ALL[random.gen_range(0..3)];
    let claim = Claim { priority, cost: random.gen_range(0..6), ..Claim::default() };
    Ask { arrived: clock::now(), deadline: None, claim, hurry: None }
}

/// What requests saw, by outcome.
#[derive(Default)]
struct Seen {
    running: AtomicU32,
    done: AtomicU32,
    refused: AtomicU32,
    left: AtomicU32,
}

/// One request: its client may leave at any moment, and it may be sent elsewhere once.
async fn request(gate: Arc<Gate>, seen: Arc<Seen>) {
    let patience = if thread_rng().gen_bool(0.3) { thread_rng().gen_range(0..6) } else { u32::MAX };
    let leaves = async {
        for _ in 0..patience {
            yield_now().await;
        }
    };
    let asks = async {
        let ask = ask();
        let mut permit = gate.enter(&ask).await?;
        if thread_rng().gen_bool(0.2) {
            permit = gate.offer_again(&ask, permit)?.slot().await?;
        }
        let running = seen.running.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(running <= MAX_LIMIT, "{running} run");
        let running = Running(&seen);
        yield_now().await;
        if thread_rng().gen_bool(0.5) {
            permit.answered();
        }
        drop(running);
        Ok::<_, Refusal>(())
    };
    tokio::select! {
        biased;
        answer = asks => match answer {
            Ok(()) => seen.done.fetch_add(1, Ordering::SeqCst),
            Err(refusal) => {
                assert_ne!(refusal.reason, Reason::Internal, "nobody said what became of it");
                seen.refused.fetch_add(1, Ordering::SeqCst)
            }
        },
        () = leaves => seen.left.fetch_add(1, Ordering::SeqCst),
    };
}

/// Counts one that runs, to its end or its client's leaving.
struct Running<'a>(&'a Seen);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn storm(budget: Option<u64>) {
    let (gate, slot) = gate(3, budget, SOME_TIME);
    let seen = Arc::new(Seen::default());
    let requests: Vec<_> =
        (0..7).map(|_| spawn(request(Arc::clone(&gate), Arc::clone(&seen)))).collect();
    let resized = Arc::clone(&gate);
    let resizes = spawn(async move {
        let bound = |n| NonZeroU32::new(n).expect("not 0");
        let auto = Limit::Auto(LimitRange { min: bound(1), max: bound(MAX_LIMIT) });
        for limit in [Limit::Fixed(bound(3)), auto, Limit::Fixed(bound(1))] {
            resized.apply(slot, &live(limit, SOME_TIME));
            yield_now().await;
            resized.set_usability(slot, Usability::Unusable);
            yield_now().await;
            resized.set_usability(slot, Usability::Usable);
        }
    });
    let offered = requests.len() as u32;
    block_on(async {
        // A lost wake-up ends here: shuttle finds that no task can go on.
        for request in requests {
            request.await.expect("no panic");
        }
        resizes.await.expect("no panic");
    });
    let left = gate.snapshot();
    assert_eq!((left.running, left.waiting), (0, 0), "a slot or a place was lost");
    let of = |count: &AtomicU32| count.load(Ordering::SeqCst);
    assert_eq!(of(&seen.done) + of(&seen.refused) + of(&seen.left), offered);
    // All slots are there, and none twice.
    block_on(async {
        let first = gate.enter(&ask()).await.expect("a free slot");
        assert_eq!(gate.snapshot().running, 1);
        drop(first);
        assert_eq!(gate.snapshot().running, 0);
    });
}

/// Some requests take a second slot beside their first, and give either back first, while endpoints
/// come and go.
#[test]
fn no_interleaving_loses_a_slot_beside_another() {
    let storm = || {
        let (gate, slot) = gate(10, None, SOME_TIME);
        gate.apply(slot, &live(Limit::Fixed(NonZeroU32::MIN), SOME_TIME));
        let endpoint = || Arc::new(Endpoint::new("b".to_owned(), Address::Unix("/".into()), 1, 1));
        let other = gate.add(endpoint(), 1, Usability::Usable);
        let request = |_| {
            let gate = Arc::clone(&gate);
            spawn(async move {
                let ask = ask();
                let Ok(first) = gate.enter(&ask).await else { return };
                yield_now().await;
                let Some(second) = gate.enter_beside(&ask.claim, first.slot(), 0) else { return };
                assert_ne!(first.slot(), second.slot());
                assert!(gate.snapshot().running <= MAX_LIMIT);
                yield_now().await;
                let (early, late) =
                    if thread_rng().gen_bool(0.5) { (first, second) } else { (second, first) };
                drop(early);
                yield_now().await;
                drop(late);
            })
        };
        let requests: Vec<_> = (0..5).map(request).collect();
        let changes = {
            let gate = Arc::clone(&gate);
            spawn(async move {
                gate.set_usability(slot, Usability::Unusable);
                yield_now().await;
                gate.remove(other);
                yield_now().await;
                gate.set_usability(slot, Usability::Usable);
                gate.add(endpoint(), 1, Usability::Usable);
            })
        };
        block_on(async {
            for request in requests {
                request.await.expect("no panic");
            }
            changes.await.expect("no panic");
        });
        let left = gate.snapshot();
        assert_eq!((left.running, left.waiting, left.limit), (0, 0, 2), "something was lost");
    };
    shuttle::check_random(storm, SCHEDULES);
}

#[test]
fn no_interleaving_loses_a_permit_or_a_wake_up() {
    shuttle::check_random(|| storm(None), SCHEDULES);
}

#[test]
fn no_interleaving_does_so_with_a_cost_budget() {
    shuttle::check_random(|| storm(Some(4)), SCHEDULES);
}

/// No timer helps: each must be woken by the limit's growing or by one that ends or leaves.
#[test]
fn whoever_waits_is_woken() {
    let woken = |budget| {
        let (gate, slot) = gate(10, budget, FOREVER);
        let request = |leaves: bool| {
            let gate = Arc::clone(&gate);
            spawn(async move {
                let enters = async {
                    drop(gate.enter(&ask()).await.expect("no time is over, there is room"));
                };
                let patience = async {
                    match leaves {
                        true => yield_now().await,
                        false => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    () = enters => {}
                    () = patience => {}
                }
            })
        };
        let requests: Vec<_> = [false, true, false, true, false].map(request).into();
        gate.apply(slot, &live(Limit::Fixed(NonZeroU32::MIN), FOREVER));
        block_on(async {
            // One that nobody wakes ends here: shuttle sees that no task can go on.
            for request in requests {
                request.await.expect("no panic");
            }
        });
        let left = gate.snapshot();
        assert_eq!((left.running, left.waiting), (0, 0), "a slot or a place was lost");
    };
    shuttle::check_random(move || woken(None), SCHEDULES);
    shuttle::check_random(move || woken(Some(4)), SCHEDULES);
}

/// A dear one at the head holds up the cheap ones behind it, and lets them go on when it leaves.
#[test]
fn one_that_leaves_lets_go_on_whom_it_held_up() {
    let held_up = || {
        let (gate, slot) = gate(10, Some(4), FOREVER);
        let limit = NonZeroU32::MIN.saturating_add(9);
        gate.apply(slot, &live(Limit::Fixed(limit), FOREVER));
        let enter = |cost| {
            let (gate, claim) = (Arc::clone(&gate), Claim { cost, ..Claim::default() });
            let ask = Ask { arrived: clock::now(), deadline: None, claim, hurry: None };
            async move { gate.enter(&ask).await.expect("there is room and time") }
        };
        let first = block_on(enter(1));
        let dear = enter(9);
        let dear = spawn(async move {
            tokio::select! {
                biased;
                _ = dear => panic!("there is no budget for it"),
                () = yield_now() => {}
            }
        });
        let cheap = spawn(enter(2));
        block_on(async {
            dear.await.expect("no panic");
            drop(cheap.await.expect("no panic"));
        });
        drop(first);
    };
    shuttle::check_random(held_up, SCHEDULES);
}

#[test]
fn who_is_out_of_its_own_time_is_told_from_who_is_out_of_ours() {
    for (patience, allowed, too_late) in [
        (FOREVER, Some(SOME_TIME), true),
        (FOREVER, Some(Duration::ZERO), true),
        (SOME_TIME, Some(FOREVER), false),
        (SOME_TIME, None, false),
    ] {
        let refused = move || {
            block_on(async move {
                let (gate, _) = gate(5, None, patience);
                let deadline = allowed.map(|allowed| clock::now() + allowed);
                let refused = gate.enter(&Ask { deadline, ..ask() }).await.err();
                assert_eq!(refused.map(|refusal| refusal.too_late), Some(too_late));
            });
        };
        shuttle::check_random(refused, 20);
    }
}
