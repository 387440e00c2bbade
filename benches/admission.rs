//! What admission costs a request: the pure state machine, without lock, wake-up or network.
//!
//! `cargo bench -p tidegate-benches --bench admission`

#![expect(clippy::disallowed_methods, reason = "simulated time needs a start")]

use divan::Bencher;
use std::time::{Duration, Instant};
use tidegate_proxy::policy::admission::{Admission, Grant, Load, Offer, Rules, Turn};
use tidegate_proxy::policy::choice::Choice;
use tidegate_proxy::policy::claim::{Claim, Priority, TenantKey};
use tidegate_proxy::policy::overload::QueueOrder;
use tidegate_proxy::policy::queue::QueueLimits;
use tidegate_proxy::policy::slots::Usability;
use tidegate_proxy::policy::tokens;

const RULES: Rules = Rules {
    limits: QueueLimits { capacity: 4096, bytes: 1 << 40 },
    order: QueueOrder::Fifo,
    budget: None,
    choice: Choice::PowerOfTwo,
};
const SERVICE: Duration = Duration::from_micros(100);

fn main() {
    divan::main();
}

/// An endpoint with one slot, taken, and so many who wait.
fn busy(waiting: u32, claim: impl Fn(u32) -> Claim, now: Instant) -> (Admission<u32>, Grant) {
    let mut admission = Admission::new(RULES, 1, now);
    admission.slots_mut().add(0, 1, Usability::Usable);
    let Offer::Admitted(grant) = admission.offer(&claim(0), None, now) else {
        unreachable!("the slot was free")
    };
    for name in 0..waiting {
        admission.offer(&claim(name), None, now);
        admission.wait(&claim(name), None, now + Duration::from_secs(60), name, now);
    }
    (admission, grant)
}

/// One request comes and waits, one that runs ends, one that waits starts.
fn turn_over(bencher: Bencher<'_, '_>, waiting: u32, claim: impl Fn(u32) -> Claim) {
    let start = Instant::now();
    let (mut admission, mut grant) = busy(waiting, &claim, start);
    let (mut now, mut name) = (start, 0);
    bencher.bench_local(|| {
        name += 1;
        now += SERVICE;
        let claim = claim(name);
        divan::black_box(admission.offer(&claim, None, now));
        admission.wait(&claim, None, now + Duration::from_secs(60), name, now);
        admission.finish(grant, true, now);
        let Some(Turn::Start(_, started, next)) = admission.poll(now) else {
            unreachable!("somebody waits")
        };
        grant = next;
        started
    });
}

/// A request that finds a free slot.
#[divan::bench]
fn idle(bencher: Bencher<'_, '_>) {
    let start = Instant::now();
    let mut admission: Admission<u32> = Admission::new(RULES, 1, start);
    admission.slots_mut().add(0, 8, Usability::Usable);
    let mut now = start;
    bencher.bench_local(|| {
        now += SERVICE;
        let offer = admission.offer(&Claim::default(), None, now);
        let Offer::Admitted(grant) = offer else { unreachable!("slots are free") };
        admission.finish(grant, true, now + SERVICE);
        admission.poll(now).is_none()
    });
}

/// An answer says that others use its endpoint too, of so many endpoints.
#[divan::bench(args = [8, 1_000, 10_000])]
fn reported(bencher: Bencher<'_, '_>, endpoints: u64) {
    let start = Instant::now();
    let mut admission: Admission<u32> = Admission::new(RULES, 1, start);
    for identity in 0..endpoints {
        admission.slots_mut().add(identity, 4, Usability::Usable);
    }
    let mut now = start;
    bencher.bench_local(|| {
        now += SERVICE;
        let offer = admission.offer(&Claim::default(), None, now);
        let Offer::Admitted(grant) = offer else { unreachable!("slots are free") };
        admission.reported(grant.slot, Load { held: 3, limit: 4 }, now);
        admission.forget(now);
        admission.finish(grant, true, now);
    });
}

/// One priority, one tenant.
#[divan::bench(args = [1, 64, 1024])]
fn queued(bencher: Bencher<'_, '_>, waiting: u32) {
    turn_over(bencher, waiting, |_| Claim::default());
}

/// Three priorities, a hundred tenants.
#[divan::bench(args = [64, 1024])]
fn queued_by_many(bencher: Bencher<'_, '_>, waiting: u32) {
    turn_over(bencher, waiting, |name| Claim {
        priority: Priority::ALL[(name % 3) as usize],
        tenant: TenantKey::of_hash(u64::from(name % 100).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        ..Claim::default()
    });
}

/// The scan of an OpenAI-style body of so many bytes.
#[divan::bench(args = [1_000, 64_000])]
fn openai_tokens(bencher: Bencher<'_, '_>, length: usize) {
    let text = "All human beings are born free and equal. ".repeat(length / 42);
    let body = format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}],"max_tokens":9}}"#);
    bencher.bench_local(|| tokens::estimate(divan::black_box(body.as_bytes()), body.len() as u64));
}
