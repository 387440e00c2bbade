//! A place in line, from the waiter's side.

use super::{Gate, Permit, preempt};
use crate::clock;
use crate::error::Refusal;
use crate::policy::admission::Cause;
use crate::policy::queue::Ticket;
use std::sync::Arc;
use std::time::Instant;
use tidegate_api::reason::Reason;
use tokio::sync::oneshot;

/// A place in line; leaving early, for whatever cause, frees it.
pub struct Waiting<'a> {
    pub(super) gate: &'a Arc<Gate>,
    pub(super) ticket: Ticket,
    pub(super) granted: oneshot::Receiver<Result<Permit, Refusal>>,
    pub(super) deadline: Instant,
    /// Whether that is for its client's sake: the gate has more patience.
    pub(super) hurried: bool,
    pub(super) cold: bool,
}

// === impl Waiting ===

impl Waiting<'_> {
    /// Waits for the slot, for as long as the gate and the request's own deadline allow. Dropping the
    /// future leaves the line.
    ///
    /// # Errors
    /// `queue-timeout` or `cold-start-timeout` when the time is over, or as soon as it can't be answered
    /// in time; `queue-full` when a more urgent request takes its place.
    pub async fn grant(mut self) -> Result<Permit, Refusal> {
        let over = clock::sleep_until(self.deadline);
        tokio::select! {
            biased;
            told = &mut self.granted => return self.told(told.unwrap_or(Err(Reason::Internal.into()))),
            () = over => {}
        }
        let left = self.leave();
        preempt();
        if !left && let Ok(told) = self.granted.try_recv() {
            // Granted in the moment the time ran out: better served than refused.
            return self.told(told);
        }
        let now = clock::now();
        let mut state = self.gate.lock();
        let mut refusal = state.refusal(Cause::Late, now);
        refusal.too_late = self.hurried;
        if self.cold && state.admission.slots().limit() == 0 {
            refusal.reason = Reason::ColdStartTimeout;
        }
        Err(refusal)
    }

    fn told(&self, told: Result<Permit, Refusal>) -> Result<Permit, Refusal> {
        let late = |refusal: Refusal| refusal.reason == Reason::QueueTimeout && self.hurried;
        told.map(|permit| permit.cold(self.cold))
            .map_err(|refusal| Refusal { too_late: late(refusal), ..refusal })
    }

    /// Leaves the line, if it is still in it, and lets go on whom it held up.
    fn leave(&self) -> bool {
        let now = clock::now();
        let (left, due) = {
            let mut state = self.gate.lock();
            let left = state.admission.cancel(self.ticket, now).is_some();
            (left, left && state.admission.is_due())
        };
        if due {
            self.gate.dispatch(None);
        }
        left
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Out of line before the receiver goes: a permit sent meanwhile is dropped with it.
        self.leave();
        preempt();
    }
}
