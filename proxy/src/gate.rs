//! The async shell of [`Admission`]: a brief lock, a wait, a wake-up. Hands out [`Permit`]s.
//!
//! A permit has no release method: dropping it is the only way, wherever it is dropped. It rides
//! in the response body to its end, error or drop, and in the tunnel of an upgraded connection.

use crate::clock;
use crate::error::Refusal;
use crate::policy::admission::{Admission, Cause, Grant, Offer, Snapshot, Turn};
use crate::policy::claim::Claim;
use crate::policy::ejection::Ejection;
use crate::policy::hedging::Hedging;
use crate::policy::limit::Limit;
use crate::policy::precedence::{Hurry, Precedence};
use crate::policy::queue::Ticket;
use crate::policy::retry_budget::RetryBudget;
// Unit tests run under a scheduler that tries interleavings, and knows of this lock.
#[cfg(test)]
use shuttle::sync::{Mutex, MutexGuard};
use std::sync::{Arc, PoisonError};
#[cfg(not(test))]
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tidegate_api::reason::Reason;
use tokio::sync::{Notify, oneshot};

mod beside;
mod members;
mod permit;
mod room;
mod settings;
mod waiting;

use members::Member;
pub use members::{Condition, Ejections, EndpointView, UNREADY};
pub use permit::Permit;
pub use room::RoomReport;
pub use settings::{GateSettings, LiveSettings};
pub use waiting::Waiting;

/// The gate in front of one API.
pub struct Gate {
    state: Mutex<State>,
    /// Told when somebody waits and no endpoint is usable, whichever came first.
    pub held: Notify,
    /// Told when an endpoint was taken out or became ready, or others were seen to use one.
    tended: Notify,
    /// Told when there is room for requests that wait elsewhere.
    made_room: Notify,
}

struct State {
    admission: Admission<Waiter>,
    queue_timeout: Duration,
    cold_start_timeout: Duration,
    /// The limit that was last set, so that setting it again does not begin the search anew.
    limit: Option<Limit>,
    /// By slot index.
    members: Vec<Option<Member>>,
    slow_start: Duration,
    /// When it is tended next, if nobody tells: each word of it is a change of threads.
    tended_at: Option<Instant>,
    ejection: Ejection,
    ejections: Ejections,
    retries: RetryBudget,
    precedence: Precedence,
    hedging: Option<Box<Hedging>>,
}

/// Tells a waiter what became of it.
type Waiter = oneshot::Sender<Result<Permit, Refusal>>;

/// What a request brings to the gate.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// When it came.
    pub arrived: Instant,
    /// When its total time is over, or its client waits no longer.
    pub deadline: Option<Instant>,
    /// Whose it is, how urgent and how dear.
    pub claim: Claim,
    /// Whether it rather goes elsewhere than to wait here.
    pub hurry: Option<Hurry>,
}

/// What a request gets that is not refused.
pub enum Place<'a> {
    /// A slot at once.
    Slot(Permit),
    /// A place in line.
    Line(Waiting<'a>),
}

/// A slot that comes back.
struct Finished {
    grant: Grant,
    answered: bool,
    /// When, if that is known: then the clock is not read for it.
    at: Option<Instant>,
}

// === impl Gate ===

impl Gate {
    /// A gate without endpoints.
    pub fn new(settings: GateSettings) -> Arc<Self> {
        let state = State {
            admission: Admission::new(settings.rules, clock::seed(), clock::now()),
            queue_timeout: settings.queue_timeout,
            cold_start_timeout: settings.cold_start_timeout,
            limit: None,
            members: Vec::new(),
            slow_start: settings.slow_start,
            tended_at: None,
            ejection: Ejection::new(settings.ejection),
            ejections: Ejections::default(),
            retries: RetryBudget::new(settings.retries, clock::now()),
            precedence: Precedence::default(),
            hedging: Hedging::by(settings.hedging, None, clock::now()),
        };
        let [held, tended, made_room] = [(); 3].map(|()| Notify::new());
        Arc::new(Self { state: Mutex::new(state), held, tended, made_room })
    }

    /// Takes a slot or, where none is free, a place in line. Most requests need not wait, so that this is
    /// no future, whose state would be carried along.
    ///
    /// # Errors
    /// `queue-full`.
    pub fn offer(self: &Arc<Self>, ask: &Ask) -> Result<Place<'_>, Refusal> {
        let now = clock::now();
        let (waiting, due) = {
            let mut state = self.lock();
            state.retries.request(now);
            if state.stands_back(ask, now) {
                return Err(state.refusal(Cause::Full, now));
            }
            match state.admission.offer(&ask.claim, ask.deadline, now) {
                Offer::Admitted(grant) => {
                    state.precedence.taken();
                    return self.permit(&mut state, grant, None, false).map(Place::Slot);
                }
                Offer::Refused(cause) => return Err(state.turned_down(cause, now)),
                Offer::MustWait if ask.hurry.is_some() => {
                    return Err(state.refusal(Cause::Full, now));
                }
                Offer::MustWait => self.wait(&mut state, None, ask, now),
            }
        };
        if due {
            self.dispatch(None);
        }
        Ok(Place::Line(waiting))
    }

    /// Takes another slot for a request whose endpoint could not take it, or its old place in line: the
    /// time that it has already waited counts.
    ///
    /// # Errors
    /// `queue-full` when a more urgent request takes its place.
    pub fn offer_again(self: &Arc<Self>, ask: &Ask, was: Permit) -> Result<Place<'_>, Refusal> {
        let (ticket, was_cold, slot) = (was.ticket, was.was_cold, was.slot());
        drop(was);
        let now = clock::now();
        let (mut waiting, due) = {
            let mut state = self.lock();
            match state.admission.offer_again(&ask.claim, slot, now) {
                Offer::Admitted(grant) => {
                    return self.permit(&mut state, grant, ticket, was_cold).map(Place::Slot);
                }
                Offer::Refused(cause) => return Err(state.turned_down(cause, now)),
                Offer::MustWait => self.wait(&mut state, ticket, ask, now),
            }
        };
        waiting.cold |= was_cold;
        if due {
            self.dispatch(None);
        }
        Ok(Place::Line(waiting))
    }

    /// Waits for a slot, in order, for as long as the gate and the request's own deadline allow.
    ///
    /// # Errors
    /// As [`Gate::offer`] and [`Waiting::grant`].
    pub async fn enter(self: &Arc<Self>, ask: &Ask) -> Result<Permit, Refusal> {
        self.offer(ask)?.slot().await
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

    /// Refuses all that wait where no endpoint is usable, for an API that goes: nobody starts one any more.
    pub fn turn_away(&self) {
        loop {
            let now = clock::now();
            let (waiter, refusal) = {
                let mut state = self.lock();
                let Some(waiter) = state.admission.turn_away(now) else { return };
                let refusal = state.refusal(Cause::Late, now);
                (waiter, Refusal { reason: Reason::ColdStartTimeout, ..refusal })
            };
            preempt();
            // Who has left meanwhile need not be told.
            waiter.send(Err(refusal)).ok();
        }
    }

    /// Tells if somebody waits and no endpoint is usable.
    fn tell_held(&self, state: &State) {
        if state.admission.slots().limit() == 0 && state.admission.is_waited_for() {
            self.held.notify_one();
        }
    }

    /// Joins the line. Also says whether there is something to dispatch.
    fn wait<'a>(
        self: &'a Arc<Self>,
        state: &mut State,
        before: Option<Ticket>,
        ask: &Ask,
        now: Instant,
    ) -> (Waiting<'a>, bool) {
        let cold = state.admission.slots().limit() == 0;
        let patience = if cold { state.cold_start_timeout } else { state.queue_timeout };
        let patience = ask.arrived + patience;
        let deadline = state.admission.give_up_at(patience, ask.deadline, now);
        let hurried = deadline < patience;
        let (sender, granted) = oneshot::channel();
        let ticket = state.admission.wait(&ask.claim, before, deadline, sender, now);
        self.tell_held(state);
        if state.is_to_be_tended() {
            self.tended.notify_one();
        }
        let due = state.admission.is_due();
        (Waiting { gate: self, ticket, granted, deadline, hurried, cold }, due)
    }

    fn permit(
        self: &Arc<Self>,
        state: &mut State,
        grant: Grant,
        ticket: Option<Ticket>,
        was_cold: bool,
    ) -> Result<Permit, Refusal> {
        // Every slot that is given out was added with its endpoint.
        let member = state.members[grant.slot.index()].as_mut().ok_or(Reason::Internal)?;
        let (endpoint, pass) = (Arc::clone(&member.endpoint), member.pass.take());
        let (gate, granted_at) = (Arc::clone(self), grant.since);
        let (answered, ended_at, armed) = (false, None, true);
        Ok(Permit {
            gate,
            grant,
            endpoint,
            ticket,
            pass,
            granted_at,
            was_cold,
            answered,
            ended_at,
            armed,
        })
    }

    /// Takes back a slot, if one is given, and does all that can be done for those who wait. A
    /// waiter that left in this very moment sends its permit back, and the slot goes to the next.
    fn dispatch(self: &Arc<Self>, mut finished: Option<Finished>) {
        loop {
            let now = finished.as_ref().and_then(|finished| finished.at).unwrap_or_else(clock::now);
            let (waiter, told) = {
                let mut state = self.lock();
                if let Some(Finished { grant, answered, .. }) = finished.take() {
                    state.admission.finish(grant, answered, now);
                }
                match state.admission.poll(now) {
                    Some(Turn::Start(ticket, waiter, grant)) => {
                        (waiter, self.permit(&mut state, grant, Some(ticket), false))
                    }
                    Some(Turn::Refuse(waiter, cause)) => (waiter, Err(state.refusal(cause, now))),
                    None => return state.tell_room(&self.made_room, now),
                }
            };
            preempt();
            if let Err(Ok(mut permit)) = waiter.send(told) {
                permit.armed = false;
                finished = Some(Finished { grant: permit.grant, answered: false, at: None });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No panic can happen between a lock and its state's being whole again; should one, going
        // on with the counts as they are beats refusing every request from then on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Place ===

impl Place<'_> {
    /// The slot, when it comes.
    ///
    /// # Errors
    /// As [`Waiting::grant`].
    pub async fn slot(self) -> Result<Permit, Refusal> {
        match self {
            Self::Slot(permit) => Ok(permit),
            Self::Line(waiting) => waiting.grant().await,
        }
    }
}

// === impl State ===

impl State {
    /// Whether a request leaves the last slot to others, who were told of it.
    fn stands_back(&self, ask: &Ask, now: Instant) -> bool {
        ask.hurry.is_some_and(|hurry| self.precedence.stands_back(&hurry, now))
            && self.admission.slots().free() <= 1
    }

    fn refusal(&mut self, cause: Cause, now: Instant) -> Refusal {
        let reason = match cause {
            Cause::Full => Reason::QueueFull,
            Cause::Late => Reason::QueueTimeout,
        };
        Refusal { retry_after_s: Some(self.admission.retry_after_s(now)), ..reason.into() }
    }

    /// As it comes: nothing but its client's deadline makes it late.
    fn turned_down(&mut self, cause: Cause, now: Instant) -> Refusal {
        Refusal { too_late: matches!(cause, Cause::Late), ..self.refusal(cause, now) }
    }
}

/// Nothing; in unit tests a moment at which another task may run. Their scheduler knows of locks,
/// not of this channel: without this it would take "unlock, send" for one step.
#[cfg(not(test))]
const fn preempt() {}
#[cfg(test)]
fn preempt() {
    shuttle::thread::yield_now();
}

#[cfg(test)]
mod tests;
