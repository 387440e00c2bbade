//! A second try beside the first: when, and where.

use super::{Gate, Permit};
use crate::clock;
use crate::policy::claim::Claim;
use crate::policy::slots::SlotId;
use std::sync::Arc;
use std::time::Duration;

// === impl Gate ===

impl Gate {
    /// After how long a request that may be sent twice is to have a second try, if at all.
    pub fn hedge_after(&self) -> Option<Duration> {
        let mut state = self.lock();
        state.hedging.as_mut()?.after(clock::now())
    }

    /// The answer to such a request's first try took so long, or longer.
    pub fn took(&self, took: Duration) {
        if let Some(hedging) = self.lock().hedging.as_mut() {
            hedging.took(took, clock::now());
        }
    }

    /// Another endpoint's slot for a request that runs on one and was sent on so often: if one is free
    /// and nobody waits for it, and at the cost of a retry.
    pub fn enter_beside(
        self: &Arc<Self>,
        claim: &Claim,
        not: SlotId,
        retried: u32,
    ) -> Option<Permit> {
        let now = clock::now();
        let mut state = self.lock();
        if !state.retries.may(retried, now) {
            return None;
        }
        let grant = state.admission.start_beside(claim, not, now)?;
        state.retries.take(retried, now);
        self.permit(&mut state, grant, None, false).ok()
    }
}
