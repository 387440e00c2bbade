//! How a gate works, and how that changes while requests run and wait.

use super::Gate;
use crate::clock;
use crate::policy::admission::Rules;
use crate::policy::ejection::EjectionRules;
use crate::policy::hedging::{HedgeRules, Hedging};
use crate::policy::limit::{GradientLimit, Limit};
use crate::policy::queue::QueueLimits;
use crate::policy::retry_budget::RetryRules;
use crate::policy::slots::SlotId;
use std::sync::Arc;
use std::time::Duration;

/// How a gate works.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GateSettings {
    /// How requests are ordered and bounded.
    pub rules: Rules,
    /// How long a request waits while there are endpoints.
    pub queue_timeout: Duration,
    /// How long while there are none.
    pub cold_start_timeout: Duration,
    /// When an endpoint is taken out.
    pub ejection: EjectionRules,
    /// How many requests are sent on elsewhere.
    pub retries: RetryRules,
    /// How long an endpoint that became ready takes to have all of its slots.
    pub slow_start: Duration,
    /// When requests get a second try, if they do.
    pub hedging: Option<HedgeRules>,
}

/// What can change while requests run and wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveSettings {
    /// How many run at once on the one endpoint.
    pub limit: Limit,
    /// How many may wait.
    pub queue: QueueLimits,
    /// For how long; who waits already keeps its time.
    pub queue_timeout: Duration,
    /// The cost of those that run, where costs are counted.
    pub budget: Option<u64>,
}

// === impl LiveSettings ===

impl LiveSettings {
    /// Whether any of these is as in `first` again, after it was something else.
    pub fn goes_back(&self, before: &Self, first: &Self) -> bool {
        self.limit == first.limit && before.limit != first.limit
            || self.queue.capacity == first.queue.capacity
                && before.queue.capacity != first.queue.capacity
            || self.queue.bytes == first.queue.bytes && before.queue.bytes != first.queue.bytes
            || self.queue_timeout == first.queue_timeout
                && before.queue_timeout != first.queue_timeout
            || self.budget == first.budget && before.budget != first.budget
    }
}

// === impl Gate ===

impl Gate {
    /// Other settings from now on, but for the order of the line. Who waits keeps its time.
    pub fn retune(self: &Arc<Self>, settings: &GateSettings) {
        {
            let mut state = self.lock();
            state.queue_timeout = settings.queue_timeout;
            state.cold_start_timeout = settings.cold_start_timeout;
            state.admission.set_limits(settings.rules.limits);
            state.admission.slots_mut().set_choice(settings.rules.choice);
            state.ejection.set_rules(settings.ejection);
            state.slow_start = settings.slow_start;
            state.retries.set_rules(settings.retries);
            let before = state.hedging.take();
            state.hedging = Hedging::by(settings.hedging, before, clock::now());
        }
        self.tended.notify_one();
        self.dispatch(None);
    }

    /// Other limits from now on, for the gate of one endpoint. What runs goes on and what waits
    /// stays; a lower limit is reached as requests end.
    pub fn apply(self: &Arc<Self>, slot: SlotId, live: &LiveSettings) {
        {
            let mut state = self.lock();
            state.queue_timeout = live.queue_timeout;
            state.admission.set_limits(live.queue);
            if let Some(budget) = live.budget {
                state.admission.set_budget(budget);
            }
            if state.limit.replace(live.limit) != Some(live.limit) {
                match live.limit {
                    Limit::Fixed(limit) => state.admission.set_limit(slot, limit.get(), None),
                    Limit::Auto(range) => {
                        let search = GradientLimit::new(range);
                        state.admission.set_limit(slot, search.limit(), Some(search));
                    }
                }
            }
        }
        self.dispatch(None);
    }
}
