//! What stands against a sidecar in a pod: pods that never get one, and what would clash with it. Pure.

use super::model::{Model, containers, note};
use super::sidecar::{InjectSettings, Mode, NAME};
use serde_json::Value;
use tidegate_api::names::port;

/// By it the kubelet knows the pods that it has from a file; it makes anew those that differ from that.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Why a pod has no sidecar, whatever it asks for.
pub(super) fn exempt(pod: &Value, mode: Mode) -> Option<&'static str> {
    let spec = &pod["spec"];
    let is_windows = |system: &Value| system == "windows";
    if spec["hostNetwork"] == true {
        return Some("it uses its host's network, whose ports are not its own");
    }
    // The API server refuses Linux' security settings there, and the pod with them.
    if is_windows(&spec["os"]["name"]) || is_windows(&spec["nodeSelector"]["kubernetes.io/os"]) {
        return Some("it is for Windows, and the sidecar for Linux");
    }
    if note(pod, MIRROR).is_some() {
        return Some("it mirrors a file of its node");
    }
    if mode == Mode::Plain && matches!(spec["restartPolicy"].as_str(), Some("Never" | "OnFailure"))
    {
        return Some(
            "it ends by itself, and would wait for its sidecar's end; --mode native does not",
        );
    }
    None
}

/// What in a pod would clash with a sidecar before this model.
pub(super) fn clash(pod: &Value, model: &Model, settings: &InjectSettings) -> Option<String> {
    let own = [settings.listen, settings.admin];
    let is_own = |number: u64| own.iter().any(|port| u64::from(*port) == number);
    if own.contains(&model.port) {
        let port = model.port;
        return Some(format!("the model is said to listen on {port}, where the sidecar would"));
    }
    let ports =
        containers(pod).flat_map(|container| container["ports"].as_array().into_iter().flatten());
    for taken in ports {
        let is_tcp = matches!(taken["protocol"].as_str(), None | Some("TCP"));
        if let Some(number) = taken["containerPort"].as_u64().filter(|port| is_tcp && is_own(*port))
        {
            return Some(format!(
                "port {number} is taken by a container, and the sidecar needs it; start the \
                 injector with other ports"
            ));
        }
        if let Some(name @ (port::TRAFFIC | port::ADMIN)) = taken["name"].as_str() {
            return Some(format!("a container's port is named {name}, as the sidecar's is"));
        }
    }
    let mut volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    volumes
        .any(|volume| volume["name"] == NAME)
        .then(|| format!("a volume is named {NAME}, as the sidecar's is"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const MODEL: Model = Model { index: 0, port: 80, probe: None };

    #[test]
    fn pods_that_can_have_no_sidecar_are_exempt() {
        let why = |spec: Value, mode| exempt(&json!({ "spec": spec }), mode);
        for (spec, mode, part) in [
            (json!({"hostNetwork": true}), Mode::Native, "host's network"),
            (json!({"os": {"name": "windows"}}), Mode::Native, "Windows"),
            (json!({"nodeSelector": {"kubernetes.io/os": "windows"}}), Mode::Plain, "Windows"),
            (json!({"restartPolicy": "Never"}), Mode::Plain, "ends by itself"),
            (json!({"restartPolicy": "OnFailure"}), Mode::Plain, "ends by itself"),
        ] {
            assert!(why(spec.clone(), mode).is_some_and(|why| why.contains(part)), "{spec}");
        }
        for (spec, mode) in [
            (json!({"hostNetwork": false, "shareProcessNamespace": true}), Mode::Native),
            (json!({"os": {"name": "linux"}}), Mode::Native),
            (json!({"nodeSelector": {"kubernetes.io/os": "linux"}}), Mode::Native),
            (json!({"restartPolicy": "Never"}), Mode::Native),
            (json!({"restartPolicy": "Always"}), Mode::Plain),
            (json!({}), Mode::Plain),
        ] {
            assert_eq!(why(spec.clone(), mode), None, "{spec}");
        }
        let mirror = json!({"metadata": {"annotations": {MIRROR: "a"}}});
        assert!(exempt(&mirror, Mode::Native).is_some());
    }

    #[test]
    fn what_the_sidecar_needs_must_be_nobody_elses() {
        let of = |spec: Value, model: &Model| {
            clash(&json!({ "spec": spec }), model, &InjectSettings::example(Mode::Native))
        };
        let port = |port: Value| json!({"containers": [{"ports": [port]}]});
        for (spec, part) in [
            (port(json!({"containerPort": 8022})), "port 8022"),
            (port(json!({"containerPort": 8012, "protocol": "TCP"})), "port 8012"),
            (json!({"initContainers": [{"ports": [{"containerPort": 8012}]}]}), "port 8012"),
            (port(json!({"containerPort": 1, "name": "tidegate"})), "named tidegate"),
            (port(json!({"containerPort": 1, "name": "tidegate-admin"})), "named tidegate-admin"),
            (json!({"volumes": [{"name": "a"}, {"name": "tidegate"}]}), "volume"),
        ] {
            let clash = of(spec.clone(), &MODEL);
            assert!(clash.as_ref().is_some_and(|clash| clash.contains(part)), "{spec}: {clash:?}");
        }
        for spec in [
            port(json!({"containerPort": 80, "hostPort": 8012})),
            port(json!({"containerPort": 8012, "protocol": "UDP"})),
            json!({"volumes": [{"name": "tidegate-models"}]}),
            json!({}),
        ] {
            assert_eq!(of(spec.clone(), &MODEL), None, "{spec}");
        }
        let loops = Model { port: 8012, ..MODEL };
        assert!(of(json!({}), &loops).is_some_and(|clash| clash.contains("8012")));
    }
}
