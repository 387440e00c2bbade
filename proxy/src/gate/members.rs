//! The endpoints of one API: what each is up to, and which are taken out for a while.

use super::{Gate, State};
use crate::clock;
use crate::endpoint::Endpoint;
use crate::policy::admission::Load;
use crate::policy::consistent_hash;
use crate::policy::ejection::{Cause, Outcome};
use crate::policy::slots::{SlotId, Usability};
use crate::policy::slow_start;
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

/// One endpoint as the gate sees it.
pub(super) struct Member {
    pub(super) endpoint: Arc<Endpoint>,
    slot: SlotId,
    /// Its last probe passed, and no request has found it gone since.
    ready: bool,
    /// It was ready at least once.
    started: bool,
    draining: bool,
    /// What it gave when it told of a slot, for the next request.
    pub(super) pass: Option<u64>,
    /// Since when it is ready, while it has not all of its slots yet.
    warms_since: Option<Instant>,
}

/// What an endpoint is up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// It was never ready.
    Starting,
    /// It takes requests.
    Ready,
    /// It finishes what it has.
    Draining,
    /// It is out, and takes none until it comes back.
    Ejected,
}

/// One endpoint as an operator sees it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointView {
    /// What it is called.
    pub id: String,
    /// Where requests go.
    pub address: String,
    /// What it is up to.
    pub state: Condition,
    /// Why it is out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// In how many seconds it comes back at the earliest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub back_in_seconds: Option<f64>,
    /// Requests of this gateway that run there.
    pub in_flight: u32,
    /// How many may.
    pub limit: u32,
}

/// How often endpoints were taken out, by cause.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ejections {
    /// A probe failed, or a request found it gone.
    pub unready: u64,
    /// By what became of requests, in the order of [`Cause::ALL`].
    pub judged: [u64; Cause::ALL.len()],
}

/// The word for an endpoint that does not answer its probe.
pub const UNREADY: &str = "unready";

// === impl Gate ===

impl Gate {
    /// Adds an endpoint and starts what waits for one.
    pub fn add(
        self: &Arc<Self>,
        endpoint: Arc<Endpoint>,
        limit: u32,
        usability: Usability,
    ) -> SlotId {
        let identity = consistent_hash::identity(endpoint.id.as_bytes());
        let slot = {
            let mut state = self.lock();
            let slot = state.admission.slots_mut().add(identity, limit, usability);
            if state.members.len() <= slot.index() {
                state.members.resize_with(slot.index() + 1, || None);
            }
            let ready = usability == Usability::Usable;
            let (started, draining) = (ready, false);
            let (pass, warms_since) = (None, None);
            let member = Member { endpoint, slot, ready, started, draining, pass, warms_since };
            state.members[slot.index()] = Some(member);
            state.ejection.add(slot.index(), clock::now());
            slot
        };
        self.dispatch(None);
        slot
    }

    /// Takes an endpoint away; requests that run on it go on.
    pub fn remove(&self, slot: SlotId) {
        let mut state = self.lock();
        state.admission.remove(slot);
        state.ejection.remove(slot.index());
        if let Some(member) = state.members.get_mut(slot.index()) {
            *member = None;
        }
        self.tell_held(&state);
    }

    /// Says whether an endpoint could take new requests, and starts what waits for one.
    pub fn set_usability(self: &Arc<Self>, slot: SlotId, usability: Usability) {
        let ready = usability == Usability::Usable;
        let mut state = self.lock();
        state.change(slot, |member| {
            member.ready = ready;
            member.started |= ready;
        });
        if state.warm(clock::now()).is_some() {
            self.tended.notify_one();
        }
        self.tell_held(&state);
        drop(state);
        self.dispatch(None);
    }

    /// An endpoint takes no more requests, whatever its probe says.
    pub fn drain(&self, slot: SlotId) {
        let mut state = self.lock();
        state.change(slot, |member| member.draining = true);
        self.tell_held(&state);
    }

    /// Counts what became of a request that runs on an endpoint, which may be taken out for it, and
    /// takes note of what the endpoint says of its load.
    pub fn record(self: &Arc<Self>, slot: SlotId, outcome: Option<Outcome>, load: Option<Load>) {
        let mut state = self.lock();
        let now = clock::now();
        let mut tend = false;
        if let Some(load) = load {
            state.admission.reported(slot, load, now);
            tend = state.is_to_be_tended();
        }
        let due = load.is_some() && state.admission.is_due();
        let judged = outcome.and_then(|outcome| state.ejection.record(slot.index(), outcome, now));
        if let Some(cause) = judged {
            state.ejections.judged[cause as usize] += 1;
            state.change(slot, |_| {});
            let id = state.members[slot.index()].as_ref().map(|member| member.endpoint.id.clone());
            tracing::warn!(endpoint = id, cause = cause.code(), "endpoint ejected");
            tend = true;
        }
        drop(state);
        if tend {
            self.tended.notify_one();
        }
        if due {
            self.dispatch(None);
        }
    }

    /// Whether a request that was sent on so often may be sent on once more.
    pub fn may_retry(&self, retried: u32) -> bool {
        self.lock().retries.take(retried, clock::now())
    }

    /// An endpoint had no place for a request that this gate thought it had: it was full, and the
    /// request waits since `full_since`, or it is not there.
    pub fn refused(&self, slot: SlotId, full_since: Option<Instant>) {
        let mut state = self.lock();
        let member = state.members.get(slot.index()).and_then(Option::as_ref);
        let full = member.zip(full_since);
        let tells = full.is_some_and(|(member, since)| member.endpoint.found_full(since));
        state.admission.refused(slot, tells, clock::now());
        if state.is_to_be_tended() {
            self.tended.notify_one();
        }
    }

    /// An endpoint tells how much it holds as it has room again: starts what waits for that. With the
    /// pass the next request goes first there, for a moment.
    pub fn has_room(self: &Arc<Self>, slot: SlotId, load: Load, pass: Option<u64>) {
        let mut state = self.lock();
        state.admission.reported(slot, load, clock::now());
        if let Some(Some(member)) = state.members.get_mut(slot.index()) {
            member.pass = pass;
        }
        if state.is_to_be_tended() {
            self.tended.notify_one();
        }
        drop(state);
        self.dispatch(None);
    }

    /// Takes ejected endpoints back when their time is over, gives new ones their slots, and forgets
    /// what is known of others, for ever.
    pub async fn tend(self: Arc<Self>) {
        loop {
            match self.take_back() {
                Some(next) => {
                    tokio::select! {
                        () = clock::sleep_until(next) => {}
                        () = self.tended.notified() => {}
                    }
                }
                None => self.tended.notified().await,
            }
        }
    }

    /// Whether no endpoint is usable.
    pub fn is_asleep(&self) -> bool {
        self.lock().admission.slots().limit() == 0
    }

    /// What each endpoint is up to.
    pub fn endpoints(&self) -> Vec<EndpointView> {
        let (state, now) = (self.lock(), clock::now());
        state.members.iter().flatten().map(|member| state.view(member, now)).collect()
    }

    /// How often endpoints were taken out.
    pub fn ejections(&self) -> Ejections {
        self.lock().ejections
    }

    /// Those whose time is over. Returns when the next one's is.
    fn take_back(self: &Arc<Self>) -> Option<Instant> {
        let next = {
            let mut state = self.lock();
            while let Some(index) = state.ejection.poll(clock::now()) {
                if let Some(slot) = state.members[index].as_ref().map(|member| member.slot) {
                    state.change(slot, |_| {});
                }
            }
            state.admission.forget(clock::now());
            let next = [
                state.ejection.next_deadline(),
                state.admission.next_forgotten(),
                state.warm(clock::now()),
            ];
            state.tended_at = next.into_iter().flatten().min();
            state.tended_at
        };
        self.dispatch(None);
        next
    }
}

// === impl State ===

impl State {
    /// Whether what is known of others is to be forgotten before it is looked at next.
    pub(super) fn is_to_be_tended(&self) -> bool {
        let next = self.admission.next_forgotten();
        next.is_some_and(|next| self.tended_at.is_none_or(|at| next < at))
    }

    /// Changes what is known of an endpoint, and whether it is used.
    fn change(&mut self, slot: SlotId, change: impl FnOnce(&mut Member)) {
        let Some(Some(member)) = self.members.get_mut(slot.index()) else { return };
        let was_ready = member.ready;
        change(member);
        let is_out = self.ejection.out(slot.index()).is_some();
        if member.ready != was_ready {
            member.warms_since = member.ready.then(clock::now);
        }
        let usable = member.ready && !member.draining && !is_out;
        self.ejections.unready += u64::from(was_ready && !member.ready && !member.draining);
        let usability = if usable { Usability::Usable } else { Usability::Unusable };
        self.admission.slots_mut().set_usability(slot, usability);
    }

    /// Gives endpoints that have become ready as many slots as they may have by now. Returns when one
    /// of them may have more.
    fn warm(&mut self, now: Instant) -> Option<Instant> {
        let (period, slots) = (self.slow_start, self.admission.slots_mut());
        let mut first = None;
        for member in self.members.iter_mut().flatten() {
            let Some(since) = member.warms_since else { continue };
            let (share, next) = slow_start::share(slots.limit_of(member.slot), since, period, now);
            if next.is_none() {
                member.warms_since = None;
            }
            slots.set_ceiling(member.slot, if next.is_some() { share } else { u32::MAX });
            first = first.into_iter().chain(next).min();
        }
        first
    }

    fn view(&self, member: &Member, now: Instant) -> EndpointView {
        let out = self.ejection.out(member.slot.index());
        let (state, reason) = match (member, out) {
            (Member { draining: true, .. }, _) => (Condition::Draining, None),
            (Member { started: false, .. }, _) => (Condition::Starting, None),
            (_, Some((_, cause))) => (Condition::Ejected, Some(cause.code())),
            (Member { ready: false, .. }, _) => (Condition::Ejected, Some(UNREADY)),
            _ => (Condition::Ready, None),
        };
        EndpointView {
            id: member.endpoint.id.clone(),
            address: member.endpoint.address.authority(),
            state,
            reason,
            back_in_seconds: out
                .map(|(until, _)| until.saturating_duration_since(now).as_secs_f64()),
            in_flight: self.admission.slots().running_on(member.slot),
            limit: self.admission.slots().limit_of(member.slot),
        }
    }
}
