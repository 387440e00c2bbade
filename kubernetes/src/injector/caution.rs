//! What a pod with a sidecar says that will not go as its author means. Pure.

use super::model::model;
use super::sidecar::NAME;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tidegate_api::annotated;
use tidegate_api::names::port;

/// Each in a sentence; the pod gets its sidecar all the same.
pub(crate) fn cautions(pod: &Value) -> Vec<String> {
    let notes = pod["metadata"]["annotations"].as_object().into_iter().flatten();
    let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    let notes: BTreeMap<String, String> = notes.filter_map(text).collect();
    let wrong = annotated::wrong_of_pods(&notes);
    let wrong = wrong.map(|what| format!("its sidecar will not start: {what}"));
    wrong.into_iter().chain(past_the_sidecar(pod)).collect()
}

/// A port of its node that leads to the model itself.
fn past_the_sidecar(pod: &Value) -> Option<String> {
    let all = pod["spec"]["containers"].as_array()?;
    let others: Vec<&Value> = all.iter().filter(|container| container["name"] != NAME).collect();
    let metadata = &pod["metadata"];
    let model = model(&json!({"metadata": metadata, "spec": {"containers": others}})).ok()?;
    let ports = others.get(model.index)?["ports"].as_array()?;
    let own = ports.iter().find(|port| port["containerPort"] == model.port)?;
    let host = own["hostPort"].as_u64().filter(|port| *port > 0)?;
    Some(format!(
        "hostPort {host} leads past the sidecar to the model itself: what comes by it is neither \
         counted nor limited; use a Service with the targetPort {}",
        port::TRAFFIC
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(notes: Value, ports: Value) -> Value {
        let sidecar = json!({"name": NAME, "ports": [{"name": "tidegate", "containerPort": 8012}]});
        let model = json!({"name": "model", "ports": ports});
        json!({"metadata": {"annotations": notes}, "spec": {"containers": [model, sidecar]}})
    }

    #[test]
    fn a_port_of_the_node_that_leads_to_the_model_is_told() {
        let told = |ports: Value| cautions(&pod(json!({}), ports));
        let said = told(json!([{"containerPort": 80, "hostPort": 8080}]));
        assert!(said[0].starts_with("hostPort 8080 leads past the sidecar"), "{said:?}");
        for fine in [
            json!([{"containerPort": 80}]),
            json!([{"containerPort": 80, "hostPort": 0}]),
            json!([{"name": "http", "containerPort": 80}, {"containerPort": 9, "hostPort": 9}]),
            Value::Null,
        ] {
            assert_eq!(told(fine.clone()), [""; 0], "{fine}");
        }
    }

    #[test]
    fn annotations_that_a_sidecar_does_not_start_with_are_told() {
        let told = |limit: &str| {
            cautions(&pod(json!({"tidegate.dev/concurrency-limit": limit, "n": 1}), json!([])))
        };
        let said = told("lots");
        assert!(
            said[0].contains("not start: tidegate.dev/concurrency-limit is \"lots\""),
            "{said:?}"
        );
        assert_eq!(told("8"), [""; 0]);
        assert_eq!(cautions(&Value::Null), [""; 0]);
    }
}
