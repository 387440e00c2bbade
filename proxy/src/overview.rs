//! A gateway's endpoints, as the admin page and the metrics show them.

use crate::discover::Reached;
use crate::gate::{Condition, EndpointView, Gate, UNREADY};
use crate::metrics::endpoints::EndpointCounts;
use crate::policy::ejection::Cause;
use std::collections::{BTreeMap, HashMap};

/// What each endpoint of each API is up to, as JSON.
pub fn page(gates: &HashMap<String, Reached>) -> String {
    let apis: BTreeMap<&str, Vec<EndpointView>> =
        gates.iter().map(|(name, of)| (name.as_str(), of.gate.endpoints())).collect();
    format!("{}\n", serde_json::json!({ "apis": apis }))
}

/// Whether each API has an endpoint that serves.
pub fn all_serve(gates: &HashMap<String, Reached>) -> bool {
    let serves = |of: &Reached| of.gate.endpoints().iter().any(|one| one.state == Condition::Ready);
    !gates.is_empty() && gates.values().all(serves)
}

/// How many endpoints of one API are up to what, and how often any was taken out.
pub fn counts(gate: &Gate) -> EndpointCounts {
    let seen = gate.endpoints();
    let states = [
        ("starting", Condition::Starting),
        ("ready", Condition::Ready),
        ("draining", Condition::Draining),
        ("ejected", Condition::Ejected),
    ];
    let count = |state| seen.iter().filter(|endpoint| endpoint.state == state).count() as u64;
    let ejections = gate.ejections();
    let judged = Cause::ALL.iter().map(|cause| cause.code()).zip(ejections.judged);
    EndpointCounts {
        states: states.into_iter().map(|(word, state)| (word, count(state))).collect(),
        ejections: [(UNREADY, ejections.unready)].into_iter().chain(judged).collect(),
    }
}
