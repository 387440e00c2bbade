//! What a resource's status says of a version that takes over: the leader writes it down, the next
//! leader and the gateways go by it. Pure.

use crate::facts::Key;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_api::InferenceApi;
use tidegate_api::endpoints::TrafficWeights;

/// `status.rollout`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutRecord {
    /// The version that takes over, as the spec calls it.
    pub to: String,
    /// Where it stands.
    pub stage: RolloutStage,
    /// Which step it is in, or was in last, counted from 1.
    pub step: u32,
    /// How many there are.
    pub steps: u32,
    /// Since when it stands there: a time of RFC 3339.
    pub since: String,
    /// How many of a hundred requests each version gets, as the spec calls them.
    pub weights: BTreeMap<String, u32>,
    /// Why: a word.
    pub reason: String,
    /// Why: a sentence.
    pub message: String,
    /// What the spec asked for: when that changes, the rollout begins anew.
    pub plan: String,
}

/// Where a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RolloutStage {
    /// On its way.
    Step,
    /// The version gets all.
    Promoted,
    /// The version gets nothing.
    TakenBack,
}

impl RolloutRecord {
    /// That of a status; nothing where there is none, or none that can be understood.
    pub fn of(status: &Value) -> Option<Self> {
        serde_json::from_value(status.get("rollout")?.clone()).ok()
    }

    /// Whether both say that it stands at the same place since the same time.
    pub fn is_at(&self, other: &Self) -> bool {
        let place = |of: &Self| (of.plan.clone(), of.stage, of.step, of.since.clone());
        place(self) == place(other)
    }
}

/// An API's name without its namespace, as the spec says it.
pub fn plain(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, plain)| plain)
}

/// The weights that count instead of the document's, by namespace and name. Only those that are about
/// the rollout and the versions that the document has: what was written for others may give a version
/// that is tried more than anybody has asked for.
pub fn weights(key: &Key, document: &InferenceApi, status: &Value) -> Option<TrafficWeights> {
    let (traffic, rollout) = (document.traffic.as_ref()?, document.rollout.as_ref()?);
    let record = RolloutRecord::of(status)?;
    let versions: BTreeSet<&str> =
        traffic.versions.iter().map(|version| plain(&version.api)).collect();
    let is_meant = record.to == plain(&rollout.to)
        && record.weights.keys().map(String::as_str).eq(versions.iter().copied());
    let named = |(name, weight)| (format!("{}/{name}", key.namespace), weight);
    is_meant.then(|| record.weights.into_iter().map(named).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{document, inference_api};
    use kube::core::DynamicObject;
    use serde_json::json;

    fn record(to: &str, weights: Value) -> Value {
        json!({"rollout": {
            "to": to, "stage": "Step", "step": 1, "steps": 2, "since": "2026-01-01T00:00:00.000Z",
            "weights": weights, "reason": "began", "message": "it began", "plan": "a plan",
        }})
    }

    fn split(rollout: bool) -> InferenceApi {
        let mut object = DynamicObject::new("s", &inference_api());
        let versions = json!([{"api": "old", "weight": 90}, {"api": "new", "weight": 10}]);
        let mut spec = json!({"traffic": {"versions": versions}});
        if rollout {
            spec["rollout"] = json!({"to": "new", "steps": [{"weight": 10, "pause": "1m"}]});
        }
        object.data = json!({ "spec": spec });
        document(&object).unwrap()
    }

    #[test]
    fn weights_count_that_are_of_this_rollout_and_these_versions() {
        let key = Key { namespace: "n".to_owned(), name: "s".to_owned() };
        let both = json!({"old": 40, "new": 60});
        let named = [("n/old".to_owned(), 40), ("n/new".to_owned(), 60)].into();
        assert_eq!(weights(&key, &split(true), &record("new", both.clone())), Some(named));
        for (document, status) in [
            (split(false), record("new", both.clone())),
            (split(true), record("old", both)),
            (split(true), record("new", json!({"older": 90, "new": 10}))),
            (split(true), record("new", json!({"new": 100}))),
            (split(true), record("new", json!({"old": 1, "new": 1, "x": 98}))),
            (split(true), record("new", json!({"old": -1, "new": 101}))),
            (split(true), json!({"rollout": {"to": "new"}})),
            (split(true), json!({})),
            (split(true), Value::Null),
        ] {
            assert_eq!(weights(&key, &document, &status), None, "{status}");
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let status = record("new", json!({"old": 90, "new": 10}));
        let read = RolloutRecord::of(&status).unwrap();
        assert_eq!(json!({ "rollout": &read }), status);
        let other = RolloutRecord { message: "something else".to_owned(), ..read.clone() };
        assert!(read.is_at(&other));
        assert!(!read.is_at(&RolloutRecord { stage: RolloutStage::Promoted, ..other }));
    }
}
