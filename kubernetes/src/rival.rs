//! Other autoscalers' claims to what is scaled. Pure.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;

/// Another autoscaler's claim to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rival {
    /// What the claim is: `HorizontalPodAutoscaler` or `ScaledObject`.
    pub what: &'static str,
    /// The claim's name.
    pub name: String,
    /// The target's kind.
    pub kind: String,
    /// The target's name.
    pub target: String,
}

impl Rival {
    /// Of a HorizontalPodAutoscaler. KEDA makes one for each of its ScaledObjects.
    pub(crate) fn of(object: HorizontalPodAutoscaler) -> Option<Self> {
        let target = object.spec?.scale_target_ref;
        let owners = object.metadata.owner_references.unwrap_or_default();
        let keda = owners.into_iter().find(|owner| owner.kind == "ScaledObject");
        let (what, name) = match keda {
            Some(owner) => ("ScaledObject", owner.name),
            None => ("HorizontalPodAutoscaler", object.metadata.name.unwrap_or_default()),
        };
        Some(Self { what, name, kind: target.kind, target: target.name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn kedas_autoscaler_is_known_by_its_owner() {
        let of = |owners: Value| {
            Rival::of(serde_json::from_value(json!({
                "metadata": {"name": "keda-hpa-a", "ownerReferences": owners},
                "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "a"}},
            })).unwrap())
            .unwrap()
        };
        let owner = json!([{"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
            "name": "so", "uid": "u"}]);
        assert_eq!(
            (of(owner).what, of(json!([])).what),
            ("ScaledObject", "HorizontalPodAutoscaler")
        );
        assert_eq!(of(json!([])).name, "keda-hpa-a");
    }
}
