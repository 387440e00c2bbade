//! The async shell of [`Admission`]: a brief lock, a wait, a wake-up. Hands out [`Permit`]s.
//!
//! A permit has no release method: dropping it is the only way, wherever it is dropped. It rides
//! in the response body to its end, error or drop, and in the tunnel of an upgraded connection.

use crate::clock;
use crate::endpoint::Endpoint;
use crate::error::Refusal;
use crate::policy::admission::{Admission, Offer, Snapshot};
use crate::policy::queue::{QueueLimits, Ticket};
use crate::policy::slots::{SlotId, Usability};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tidegate_api::reason::Reason;
use tokio::sync::{Notify, oneshot};

/// The gate in front of one API.
pub struct Gate {
    state: Mutex<State>,
    queue_timeout: Duration,
    cold_start_timeout: Duration,
    /// Told when a request begins to wait while no endpoint is usable.
    pub held: Notify,
}

struct State {
    admission: Admission<oneshot::Sender<Permit>>,
    /// By slot index.
    endpoints: Vec<Option<Arc<Endpoint>>>,
}

/// The right to run one request on one endpoint. Dropping it gives the slot back.
pub struct Permit {
    gate: Arc<Gate>,
    slot: SlotId,
    /// Where the request runs.
    pub endpoint: Arc<Endpoint>,
    /// Its place in line, if it had to wait: kept for when it must run elsewhere.
    ticket: Option<Ticket>,
    /// When the slot was given.
    pub granted_at: Instant,
    /// Whether it waited for an API at zero.
    pub was_cold: bool,
    armed: bool,
}

/// What a request brings to the gate.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// When it came.
    pub arrived: Instant,
    /// When its total time is over.
    pub deadline: Option<Instant>,
    /// Bytes of its body that are held while it waits.
    pub held_bytes: u64,
}

/// A place in line; leaving early, for whatever cause, frees it.
struct Waiting<'a> {
    gate: &'a Arc<Gate>,
    ticket: Ticket,
    granted: oneshot::Receiver<Permit>,
}

// === impl Gate ===

impl Gate {
    /// A gate without endpoints.
    pub fn new(
        queue: QueueLimits,
        queue_timeout: Duration,
        cold_start_timeout: Duration,
    ) -> Arc<Self> {
        let admission = Admission::new(queue, clock::seed(), clock::now());
        let state = State { admission, endpoints: Vec::new() };
        Arc::new(Self {
            state: Mutex::new(state),
            queue_timeout,
            cold_start_timeout,
            held: Notify::new(),
        })
    }

    /// Waits for a slot, in order, for as long as the gate and the request's own deadline allow.
    /// Dropping the future leaves the line.
    ///
    /// # Errors
    /// `queue-full` at once; `queue-timeout` or `cold-start-timeout` when the time is over.
    pub async fn enter(self: &Arc<Self>, ask: Ask) -> Result<Permit, Refusal> {
        let waiting = {
            let mut state = self.lock();
            match state.admission.offer(ask.held_bytes, ask.arrived) {
                Offer::Admitted(slot) => {
                    return self.permit(&state, slot, None, ask.arrived, false);
                }
                Offer::Refused { retry_after_s } => {
                    let retry_after_s = Some(retry_after_s);
                    return Err(Refusal { reason: Reason::QueueFull, retry_after_s });
                }
                Offer::MustWait(ticket) => self.wait(&mut state, ticket, &ask, ask.arrived),
            }
        };
        waiting.0.grant(waiting.1, waiting.2).await
    }

    /// Waits for another slot with a request whose endpoint could not take it. It keeps its place
    /// in line, and the time that it has already waited counts.
    ///
    /// # Errors
    /// As [`Gate::enter`], but never `queue-full`.
    pub async fn enter_again(self: &Arc<Self>, ask: Ask, was: Permit) -> Result<Permit, Refusal> {
        let (ticket, was_cold, now) = (was.ticket, was.was_cold, clock::now());
        drop(was);
        let waiting = {
            let mut state = self.lock();
            match state.admission.offer_again(ticket, now) {
                Offer::Admitted(slot) => return self.permit(&state, slot, ticket, now, was_cold),
                Offer::MustWait(ticket) => self.wait(&mut state, ticket, &ask, now),
                Offer::Refused { .. } => return Err(Reason::QueueFull.into()),
            }
        };
        waiting.0.grant(waiting.1, waiting.2).await
    }

    /// Adds an endpoint and starts what waits for one.
    pub fn add(
        self: &Arc<Self>,
        endpoint: Arc<Endpoint>,
        limit: u32,
        usability: Usability,
    ) -> SlotId {
        let id = {
            let mut state = self.lock();
            let id = state.admission.slots_mut().add(limit, usability);
            if state.endpoints.len() <= id.index() {
                state.endpoints.resize(id.index() + 1, None);
            }
            state.endpoints[id.index()] = Some(endpoint);
            id
        };
        self.dispatch(None);
        id
    }

    /// Takes an endpoint away; requests that run on it go on.
    pub fn remove(&self, id: SlotId) {
        self.lock().admission.slots_mut().remove(id);
    }

    /// Says whether an endpoint takes new requests, and starts what waits for one.
    pub fn set_usability(self: &Arc<Self>, id: SlotId, usability: Usability) {
        self.lock().admission.slots_mut().set_usability(id, usability);
        self.dispatch(None);
    }

    /// What can be seen now.
    pub fn snapshot(&self) -> Snapshot {
        let now = clock::now();
        self.lock().admission.snapshot(now)
    }

    /// Whether requests wait while no endpoint is usable.
    pub fn is_held(&self) -> bool {
        let seen = self.snapshot();
        seen.waiting > 0 && seen.limit == 0
    }

    fn wait<'a>(
        self: &'a Arc<Self>,
        state: &mut State,
        ticket: Ticket,
        ask: &Ask,
        now: Instant,
    ) -> (Waiting<'a>, Instant, bool) {
        let cold = state.admission.slots().limit() == 0;
        let patience = if cold { self.cold_start_timeout } else { self.queue_timeout };
        let own = ask.arrived + patience;
        let deadline = ask.deadline.map_or(own, |deadline| deadline.min(own));
        let (sender, granted) = oneshot::channel();
        state.admission.wait(ticket, deadline, ask.held_bytes, sender, now);
        if cold {
            self.held.notify_one();
        }
        (Waiting { gate: self, ticket, granted }, deadline, cold)
    }

    fn permit(
        self: &Arc<Self>,
        state: &State,
        slot: SlotId,
        ticket: Option<Ticket>,
        granted_at: Instant,
        was_cold: bool,
    ) -> Result<Permit, Refusal> {
        // Every slot that is given out was added with its endpoint.
        let endpoint = state.endpoints[slot.index()].clone().ok_or(Reason::Internal)?;
        let gate = Arc::clone(self);
        Ok(Permit { gate, slot, endpoint, ticket, granted_at, was_cold, armed: true })
    }

    /// Takes back a slot, if one is given, and starts all that can start. A waiter that left in
    /// this very moment sends its permit back, and the slot goes to the next.
    fn dispatch(self: &Arc<Self>, mut finished: Option<SlotId>) {
        loop {
            let now = clock::now();
            let next = {
                let mut state = self.lock();
                if let Some(slot) = finished.take() {
                    state.admission.finish(slot, now);
                }
                let Some((ticket, waiter, slot)) = state.admission.poll(now) else { return };
                self.permit(&state, slot, Some(ticket), now, false).map(|permit| (waiter, permit))
            };
            let Ok((waiter, permit)) = next else { continue };
            if let Err(mut permit) = waiter.send(permit) {
                permit.armed = false;
                finished = Some(permit.slot);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No panic can happen between a lock and its state's being whole again; should one, going
        // on with the counts as they are beats refusing every request from then on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Waiting ===

impl Waiting<'_> {
    async fn grant(mut self, deadline: Instant, cold: bool) -> Result<Permit, Refusal> {
        let over = tokio::time::sleep_until(deadline.into());
        tokio::select! {
            biased;
            granted = &mut self.granted => return granted.map_err(|_| Reason::Internal.into()).map(|p| p.cold(cold)),
            () = over => {}
        }
        let (taken_out, still_cold, retry_after_s) = {
            let now = clock::now();
            let mut state = self.gate.lock();
            let taken_out = state.admission.cancel(self.ticket, now).is_some();
            let still_cold = state.admission.slots().limit() == 0;
            (taken_out, still_cold, state.admission.retry_after_s(now))
        };
        if !taken_out && let Ok(permit) = self.granted.try_recv() {
            // Granted in the moment the time ran out: better served than refused.
            return Ok(permit.cold(cold));
        }
        let reason =
            if cold && still_cold { Reason::ColdStartTimeout } else { Reason::QueueTimeout };
        Err(Refusal { reason, retry_after_s: Some(retry_after_s) })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Out of line before the receiver goes: a permit sent meanwhile is dropped with it.
        let now = clock::now();
        drop(self.gate.lock().admission.cancel(self.ticket, now));
    }
}

// === impl Permit ===

impl Permit {
    /// Which slot it is.
    pub fn slot(&self) -> SlotId {
        self.slot
    }

    fn cold(mut self, was_cold: bool) -> Self {
        self.was_cold = was_cold;
        self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.armed {
            self.gate.dispatch(Some(self.slot));
        }
    }
}
