//! A slot as a value.

use super::{Finished, Gate};
use crate::endpoint::Endpoint;
use crate::policy::admission::Grant;
use crate::policy::ejection::Outcome;
use crate::policy::queue::Ticket;
use crate::policy::slots::SlotId;
use std::sync::Arc;
use std::time::Instant;

/// The right to run one request on one endpoint. Dropping it gives the slot back.
pub struct Permit {
    pub(super) gate: Arc<Gate>,
    pub(super) grant: Grant,
    /// Where the request runs.
    pub endpoint: Arc<Endpoint>,
    /// Its place in line, if it had to wait: kept for when it must run elsewhere.
    pub(super) ticket: Option<Ticket>,
    /// What its endpoint gave as it told of the slot.
    pub pass: Option<u64>,
    /// When the slot was given.
    pub granted_at: Instant,
    /// Whether it waited for an API at zero.
    pub was_cold: bool,
    pub(super) answered: bool,
    /// When it ended, if whoever drops it knows.
    pub(super) ended_at: Option<Instant>,
    pub(super) armed: bool,
}

// === impl Permit ===

impl Permit {
    /// Which slot it is.
    pub fn slot(&self) -> SlotId {
        self.grant.slot
    }

    /// Whether its request had to wait for it, or for another before it.
    pub fn has_waited(&self) -> bool {
        self.ticket.is_some() || self.pass.is_some()
    }

    /// The request was answered to its end: what it took says how long requests take.
    pub fn answered(&mut self) {
        self.answered = true;
    }

    /// The request has ended just now: the clock need not be read again.
    pub fn ended(&mut self, now: Instant) {
        self.ended_at = Some(now);
    }

    /// It is known how the answer ended.
    pub fn judge(&self, outcome: Outcome) {
        self.gate.record(self.slot(), Some(outcome), None);
    }

    pub(super) fn cold(mut self, was_cold: bool) -> Self {
        self.was_cold = was_cold;
        self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.armed {
            let Self { grant, answered, ended_at: at, .. } = *self;
            self.gate.dispatch(Some(Finished { grant, answered, at }));
        }
    }
}
