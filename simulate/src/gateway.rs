//! Where requests run and wait: the proxy's own admission, at virtual times.
//!
//! Late binding is what Tidegate's gateway does: one line, and a request is given a free slot of a
//! definite replica. Random is what happens without it: each request is sent to any ready replica,
//! whose sidecar has a line of its own.

use crate::seed::{Stream, stream};
use crate::span::Nanos;
use rand_distr::{Distribution as _, Uniform};
use rand_pcg::Pcg64;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tidegate_proxy::policy::admission::{Admission, Grant, Offer, Rules, Turn};
use tidegate_proxy::policy::choice::Choice;
use tidegate_proxy::policy::claim::{Claim, TenantKey};
use tidegate_proxy::policy::integral::Integral;
use tidegate_proxy::policy::overload::QueueOrder;
use tidegate_proxy::policy::queue::{QueueLimits, Ticket};
use tidegate_proxy::policy::slots::{SlotId, Usability};

/// A replica: the how manieth that was ever started.
pub(crate) type Key = usize;

/// How requests find a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Balancing {
    /// Wait at the gateway, run where a slot is free
    LateBinding,
    /// Go to any ready replica and wait there
    Random,
}

/// Who of those that wait is next, by the words of the proxies' own flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Order {
    /// First come, first served
    Fifo,
    /// The newest first while the queue is late for good
    LifoOnOverload,
}

/// How much may wait where, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Limits {
    /// Requests that run at once in one replica.
    pub(crate) concurrency: u32,
    /// Requests that may wait before one replica.
    pub(crate) queue: u32,
    /// The most replicas: the gateway's line is as long as theirs together.
    pub(crate) replicas: u32,
    /// The longest wait.
    pub(crate) patience: Nanos,
    /// The longest wait of a request that comes while no replica is ready.
    pub(crate) cold_patience: Nanos,
}

#[cfg(test)]
impl Limits {
    /// For tests: so many at once in each of 100 replicas, and nobody is turned away.
    pub(crate) fn patient(concurrency: u32) -> Self {
        use crate::span::SECOND;
        Self {
            concurrency,
            queue: 100_000,
            replicas: 100,
            patience: 10_000 * SECOND,
            cold_patience: 10_000 * SECOND,
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placed {
    /// It runs.
    Runs(Key),
    /// It waits.
    Waits {
        /// At the latest until then.
        until: Nanos,
        /// In the sidecar of this replica; `None` is the gateway.
        at: Option<Key>,
    },
    /// There is no room.
    Refused,
}

/// What a proxy's metrics say at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Sample {
    /// Integral over time of the requests it holds.
    pub(crate) request_seconds: f64,
    /// Requests it holds now.
    pub(crate) held: u32,
}

/// The gateway and all sidecars.
pub(crate) struct Gateway {
    start: Instant,
    balancing: Balancing,
    order: QueueOrder,
    limits: Limits,
    /// The gateway's line. With random balancing, only for requests that come while none is ready.
    front: Admission<usize>,
    /// By key; none where the replica is not ready or gone.
    doors: Vec<Option<Door>>,
    /// By the index of a slot of `front`.
    keys: Vec<Key>,
    /// Replicas that take requests.
    open: Vec<Key>,
    /// Where those who wait do so; `None` is the gateway.
    waiting: HashMap<usize, (Ticket, Option<Key>)>,
    /// What those who run give back.
    grants: HashMap<usize, Grant>,
    random: Pcg64,
    seed: u64,
}

/// One replica's sidecar.
struct Door {
    /// Its slot in the gateway, or in its own admission.
    slot: SlotId,
    running: Integral,
    own: Option<Admission<usize>>,
}

impl Gateway {
    /// Nothing is ready yet.
    pub(crate) fn new(balancing: Balancing, order: QueueOrder, limits: Limits, seed: u64) -> Self {
        let start = crate::clock::start();
        let capacity = limits.queue.saturating_mul(limits.replicas);
        Self {
            start,
            balancing,
            order,
            limits,
            front: Admission::new(rules(capacity, order), seed, start),
            doors: Vec::new(),
            keys: Vec::new(),
            open: Vec::new(),
            waiting: HashMap::new(),
            grants: HashMap::new(),
            random: stream(seed, Stream::Balancing),
            seed,
        }
    }

    /// A request of a tenant comes.
    pub(crate) fn offer(&mut self, request: usize, tenant: u32, now: Nanos) -> Placed {
        let at = self.at(now);
        let cold = self.open.is_empty();
        let patience = if cold { self.limits.cold_patience } else { self.limits.patience };
        let until = now.saturating_add(patience);
        let deadline = self.at(until);
        let chosen = (self.balancing == Balancing::Random).then(|| self.any()).flatten();
        let admission = match chosen {
            None => &mut self.front,
            Some(key) => match self.doors[key].as_mut().and_then(|door| door.own.as_mut()) {
                Some(own) => own,
                None => return Placed::Refused,
            },
        };
        let tenant = TenantKey::of_hash(u64::from(tenant) + 1);
        let claim = Claim { tenant, ..Claim::default() };
        match admission.offer(&claim, None, at) {
            Offer::Refused(_) => Placed::Refused,
            Offer::MustWait => {
                let ticket = admission.wait(&claim, None, deadline, request, at);
                self.waiting.insert(request, (ticket, chosen));
                Placed::Waits { until, at: chosen }
            }
            Offer::Admitted(grant) => {
                let key = chosen.unwrap_or_else(|| self.keys[grant.slot.index()]);
                self.grants.insert(request, grant);
                self.count(key, 1, now);
                Placed::Runs(key)
            }
        }
    }

    /// A replica is ready. The result are requests that were held and must be offered again; take
    /// others that can start now with [`Gateway::next`].
    pub(crate) fn open(&mut self, key: Key, now: Nanos) -> Vec<usize> {
        let at = self.at(now);
        let (limit, usable) = (self.limits.concurrency, Usability::Usable);
        let (slot, own) = match self.balancing {
            Balancing::LateBinding => {
                let slot = self.front.slots_mut().add(0, limit, usable);
                put(&mut self.keys, slot.index(), key, 0);
                (slot, None)
            }
            Balancing::Random => {
                let mut own = Admission::new(rules(self.limits.queue, self.order), self.seed, at);
                (own.slots_mut().add(0, limit, usable), Some(own))
            }
        };
        if self.doors.len() <= key {
            self.doors.resize_with(key + 1, || None);
        }
        self.doors[key] = Some(Door { slot, running: Integral::new(at), own });
        self.open.push(key);
        match self.balancing {
            Balancing::LateBinding => Vec::new(),
            Balancing::Random => self.release_held(now),
        }
    }

    /// A replica takes no new requests; what it has goes on.
    pub(crate) fn close(&mut self, key: Key) {
        self.open.retain(|open| *open != key);
        if self.balancing == Balancing::LateBinding
            && let Some(door) = self.doors.get(key).and_then(Option::as_ref)
        {
            self.front.slots_mut().remove(door.slot);
        }
    }

    /// A replica is gone, with nothing running.
    pub(crate) fn forget(&mut self, key: Key) {
        if let Some(door) = self.doors.get_mut(key) {
            *door = None;
        }
    }

    /// A request that ran on a replica has ended, by an answer or without one.
    pub(crate) fn finish(&mut self, request: usize, key: Key, answered: bool, now: Nanos) {
        let at = self.at(now);
        let Some(grant) = self.grants.remove(&request) else { return };
        let Some(door) = self.doors.get_mut(key).and_then(Option::as_mut) else { return };
        door.own.as_mut().unwrap_or(&mut self.front).finish(grant, answered, at);
        self.count(key, -1, now);
    }

    /// The next thing that happens to somebody who waits, in the sidecar of a replica or at the
    /// gateway. Call after every change, until there is nothing.
    pub(crate) fn next(&mut self, place: Option<Key>, now: Nanos) -> Option<(usize, Placed)> {
        let at = self.at(now);
        let door = place.and_then(|key| self.doors.get_mut(key)?.as_mut()?.own.as_mut());
        let own = if door.is_some() { place } else { None };
        match door.unwrap_or(&mut self.front).poll(at)? {
            Turn::Refuse(request, _) => {
                self.waiting.remove(&request);
                Some((request, Placed::Refused))
            }
            Turn::Start(_, request, grant) => {
                let key = own.unwrap_or_else(|| self.keys[grant.slot.index()]);
                self.waiting.remove(&request);
                self.grants.insert(request, grant);
                self.count(key, 1, now);
                Some((request, Placed::Runs(key)))
            }
        }
    }

    /// A request stops waiting; false if it does not wait any more.
    pub(crate) fn cancel(&mut self, request: usize, now: Nanos) -> bool {
        let at = self.at(now);
        let Some((ticket, place)) = self.waiting.remove(&request) else { return false };
        let door = place.and_then(|key| self.doors.get_mut(key)?.as_mut()?.own.as_mut());
        door.unwrap_or(&mut self.front).cancel(ticket, at).is_some()
    }

    /// Those who wait in the sidecar of a replica.
    pub(crate) fn waiting_at(&self, key: Key) -> Vec<usize> {
        let here = self.waiting.iter().filter(|(_, (_, place))| *place == Some(key));
        let mut requests: Vec<usize> = here.map(|(request, _)| *request).collect();
        requests.sort_unstable();
        requests
    }

    /// Requests that run or wait in a replica.
    pub(crate) fn held_by(&self, key: Key) -> u32 {
        let Some(door) = self.doors.get(key).and_then(Option::as_ref) else { return 0 };
        let waiting = door.own.as_ref().map_or(0, |own| own.snapshot(self.start).waiting);
        door.running.count() + waiting
    }

    /// What a sidecar says.
    pub(crate) fn sidecar(&self, key: Key, now: Nanos) -> Sample {
        let at = self.at(now);
        let Some(door) = self.doors.get(key).and_then(Option::as_ref) else {
            return Sample::default(); // It has not been ready yet, so it has seen nothing.
        };
        let waiting = door.own.as_ref().map_or_else(Sample::default, |own| waiting(own, at));
        Sample {
            request_seconds: door.running.seconds(at) + waiting.request_seconds,
            held: door.running.count() + waiting.held,
        }
    }

    /// What the gateway says of the requests it holds.
    pub(crate) fn gateway(&self, now: Nanos) -> Sample {
        waiting(&self.front, self.at(now))
    }

    /// Whether no replica takes requests.
    pub(crate) fn is_closed(&self) -> bool {
        self.open.is_empty()
    }

    /// Those held at the gateway leave it: random balancing has no line but the replicas'.
    fn release_held(&mut self, now: Nanos) -> Vec<usize> {
        let at = self.at(now);
        let mut held: Vec<usize> = self
            .waiting
            .iter()
            .filter_map(|(request, (_, place))| place.is_none().then_some(*request))
            .collect();
        held.sort_unstable();
        for request in &held {
            if let Some((ticket, _)) = self.waiting.remove(request) {
                self.front.cancel(ticket, at);
            }
        }
        held
    }

    fn any(&mut self) -> Option<Key> {
        let law = Uniform::new(0, self.open.len()).ok()?;
        Some(self.open[law.sample(&mut self.random)])
    }

    fn count(&mut self, key: Key, change: i32, now: Nanos) {
        let at = self.at(now);
        if let Some(door) = self.doors.get_mut(key).and_then(Option::as_mut) {
            let running = door.running.count().saturating_add_signed(change);
            door.running.set(running, at);
        }
    }

    fn at(&self, now: Nanos) -> Instant {
        self.start + Duration::from_nanos(now)
    }
}

/// First come, first served, with room for so many, and nothing else.
fn rules(capacity: u32, order: QueueOrder) -> Rules {
    let limits = QueueLimits { capacity, bytes: u64::MAX };
    Rules { limits, order, budget: None, choice: Choice::PowerOfTwo }
}

fn waiting(admission: &Admission<usize>, at: Instant) -> Sample {
    let seen = admission.snapshot(at);
    Sample { request_seconds: seen.waiting_seconds, held: seen.waiting }
}

fn put(list: &mut Vec<Key>, index: usize, key: Key, filler: Key) {
    if list.len() <= index {
        list.resize(index + 1, filler);
    }
    list[index] = key;
}
