//! `spec.balancing` as the gateway's parts take it.

use crate::affinity::Affinity;
use crate::policy::choice::Choice;
use crate::policy::ejection::EjectionRules;
use crate::policy::hedging::HedgeRules;
use crate::policy::retry_budget::RetryRules;
use http::{HeaderName, Method};
use tidegate_api::document::{Balancing, BalancingPolicy, Ejection, HashBy, Hedging, Retries};

/// Which of the endpoints with a free slot a request is given.
pub(super) fn choice(balancing: &Balancing) -> Choice {
    match &balancing.policy {
        BalancingPolicy::PowerOfTwo => Choice::PowerOfTwo,
        BalancingPolicy::LeastLoaded => Choice::LeastLoaded,
        // From 1 to 100, as the document's check has seen to.
        BalancingPolicy::ConsistentHash { load_factor, .. } => {
            Choice::ConsistentHash { factor_percent: (load_factor * 100.0).round() as u32 }
        }
    }
}

/// What requests that belong to one endpoint have in common.
pub(super) fn affinity(balancing: &Balancing) -> Option<Affinity> {
    let BalancingPolicy::ConsistentHash { by, .. } = &balancing.policy else { return None };
    match by {
        // The document's check has seen that it is a header's name.
        HashBy::Header(name) => HeaderName::try_from(name).ok().map(Affinity::Header),
        HashBy::Cookie(name) => Some(Affinity::Cookie(name.clone())),
        HashBy::PromptPrefix(bytes) => {
            Some(Affinity::PromptPrefix(usize::try_from(*bytes).unwrap_or(usize::MAX)))
        }
    }
}

/// When an endpoint is taken out.
pub(super) fn ejection(ejection: &Ejection) -> EjectionRules {
    EjectionRules {
        consecutive_errors: ejection.consecutive_errors,
        error_rate: ejection.error_rate,
        base_time: ejection.base_time,
        max_time: ejection.max_time,
        max_share: ejection.max_share,
        slow_factor: ejection.slow_factor,
    }
}

/// How many requests are sent on elsewhere.
pub(super) fn retries(retries: &Retries) -> RetryRules {
    RetryRules {
        attempts: retries.attempts,
        share: retries.budget,
        floor_per_second: retries.floor_per_second,
    }
}

/// When requests get a second try.
pub(super) fn hedging(hedging: &Hedging) -> HedgeRules {
    HedgeRules { percentile: hedging.percentile, floor: hedging.floor }
}

/// Which do: none, without a word of it.
pub(super) fn hedged(balancing: &Balancing) -> Box<[Method]> {
    let names = balancing.hedging.iter().flat_map(|hedging| &hedging.methods);
    // Each is a method's name.
    names.filter_map(|name| Method::try_from(*name).ok()).collect()
}
