//! A pod to the patch that gives it a sidecar, or why it is left alone. Pure.

use super::model::{containers, model, note};
use super::obstacle::{clash, exempt};
use super::sidecar::{Drain, InjectSettings, Mode, NAME, container, volume};
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation};
use serde_json::{Value, json};
use tidegate_api::names::{annotation, label};

/// The seconds that Kubernetes gives a pod to end where it says nothing.
const GRACE_SECONDS: u64 = 30;

/// What is to be done with a pod.
#[derive(Debug, Clone, PartialEq)]
pub enum Injection {
    /// It gets a sidecar by this patch.
    Patch(Patch),
    /// It is left alone, as it wants to be or has to be.
    LeftAlone(&'static str),
    /// It asks for a sidecar, but it can't be told how: the text says what is wrong.
    Doubt(String),
}

/// What to do with a pod. `by_default` is for those that say nothing; `token` opens the page that
/// drains its sidecar.
pub fn inject(
    pod: &Value,
    settings: &InjectSettings,
    by_default: bool,
    token: Option<&str>,
) -> Injection {
    let wish = note(pod, annotation::INJECT);
    let wish = wish.or_else(|| pod["metadata"]["labels"][annotation::INJECT].as_str());
    match wish {
        Some("true") => {}
        Some("false") => return Injection::LeftAlone("it opts out"),
        None if by_default => {}
        None => return Injection::LeftAlone("it does not ask for a sidecar"),
        Some(other) => {
            let what = format!("{} is {other:?}; it must be true or false", annotation::INJECT);
            return Injection::Doubt(what);
        }
    }
    if has_sidecar(pod) {
        return Injection::LeftAlone("it has a sidecar");
    }
    if let Some(why) = exempt(pod, settings.mode) {
        return Injection::LeftAlone(why);
    }
    match patch(pod, settings, token) {
        Ok(patch) => Injection::Patch(patch),
        Err(doubt) => Injection::Doubt(doubt),
    }
}

fn has_sidecar(pod: &Value) -> bool {
    containers(pod).any(|container| container["name"] == NAME)
}

fn patch(pod: &Value, settings: &InjectSettings, token: Option<&str>) -> Result<Patch, String> {
    let model = model(pod)?;
    if let Some(clash) = clash(pod, &model, settings) {
        return Err(clash);
    }
    let spec = &pod["spec"];
    let grace = spec["terminationGracePeriodSeconds"].as_u64().unwrap_or(GRACE_SECONDS);
    let index = model.index.to_string();
    let own = &spec["containers"][model.index];
    // Whoever has a hook for its end has its own plan for it.
    let hook = token.filter(|_| own["lifecycle"].get("preStop").is_none());
    let sidecar = container(settings, &model, &Drain::within(grace), hook, spec.get("resources"));
    let list = match settings.mode {
        Mode::Native => "initContainers",
        Mode::Plain => "containers",
    };
    let mut patch = Vec::new();
    push(&mut patch, pod, &["spec", list], sidecar);
    push(&mut patch, pod, &["spec", "volumes"], volume());
    if model.probe.is_some() {
        let path = pointer(&["spec", "containers", &index, "readinessProbe"]);
        patch.push(PatchOperation::Remove(RemoveOperation { path }));
    }
    if let Some(token) = hook {
        let get = json!({"httpGet": {"path": format!("/drain/{token}"), "port": settings.admin}});
        let at = ["spec", "containers", &index, "lifecycle"];
        set(&mut patch, own.get("lifecycle"), &at, "preStop", get);
    }
    set(
        &mut patch,
        pod["metadata"].get("labels"),
        &["metadata", "labels"],
        label::INJECTED,
        json!("true"),
    );
    Ok(Patch(patch))
}

/// Puts something at the end of a list, which may not be there.
fn push(patch: &mut Vec<PatchOperation>, pod: &Value, at: &[&str], value: Value) {
    let list = at.iter().fold(pod, |inner, part| &inner[*part]);
    let (path, value) = if list.is_array() {
        (pointer(&[at, &["-"]].concat()), value)
    } else {
        (pointer(at), json!([value]))
    };
    patch.push(PatchOperation::Add(AddOperation { path, value }));
}

/// Sets a key of an object, which may not be there.
fn set(
    patch: &mut Vec<PatchOperation>,
    object: Option<&Value>,
    at: &[&str],
    key: &str,
    value: Value,
) {
    let (path, value) = if object.is_some_and(Value::is_object) {
        (pointer(&[at, &[key]].concat()), value)
    } else {
        (pointer(at), json!({ key: value }))
    };
    patch.push(PatchOperation::Add(AddOperation { path, value }));
}

/// A JSON pointer (RFC 6901); `~` and `/` in names are escaped.
fn pointer(parts: &[&str]) -> PointerBuf {
    PointerBuf::from_tokens(parts.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Pod;

    /// A pod as people write them: two containers, named ports, probes, hooks, volumes.
    fn pod() -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "generateName": "digits-",
                "labels": {"app": "digits", "a~b/c": "1"},
                "annotations": {"tidegate.dev/inject": "true", "tidegate.dev/concurrency-limit": "4"},
            },
            "spec": {
                "terminationGracePeriodSeconds": 60,
                "initContainers": [{"name": "fetch", "image": "fetch:1"}],
                "containers": [
                    {"name": "logs", "image": "logs:1"},
                    {
                        "name": "model",
                        "image": "model:1",
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
                        "livenessProbe": {"httpGet": {"path": "/live", "port": "http"}},
                        "lifecycle": {"postStart": {"exec": {"command": ["true"]}}},
                    },
                ],
                "volumes": [{"name": "models", "emptyDir": {}}],
            },
        })
    }

    fn patched(pod: &Value, mode: Mode) -> Value {
        let Injection::Patch(patch) =
            inject(pod, &InjectSettings::example(mode), false, Some("t0"))
        else {
            panic!("left alone: {pod}")
        };
        let mut after = pod.clone();
        json_patch::patch(&mut after, &patch).unwrap();
        after
    }

    #[test]
    fn a_pod_gets_its_sidecar_and_keeps_everything_else() {
        let before = pod();
        let mut after = patched(&before, Mode::Native);
        let sidecar = after["spec"]["initContainers"][1].clone();
        assert_eq!(
            (&sidecar["name"], &sidecar["restartPolicy"]),
            (&json!("tidegate"), &json!("Always"))
        );
        let args = sidecar["args"].to_string();
        for flag in [
            "--upstream=localhost:8080",
            "--readiness=http:/ready",
            "--readiness-period=10s",
            "--drain-delay=5s",
            "--drain-timeout=50s",
            "--drain-token=t0",
        ] {
            assert!(args.contains(flag), "{flag}: {args}");
        }
        let hook = &after["spec"]["containers"][1]["lifecycle"]["preStop"]["httpGet"];
        assert_eq!(*hook, json!({"path": "/drain/t0", "port": 8022}));
        assert_eq!(after["metadata"]["labels"]["tidegate.dev/injected"], "true");

        // All that was put in is taken out again: what is left is the pod as it was.
        let taken = |list: &mut Value| {
            list.as_array_mut().unwrap().pop();
        };
        taken(&mut after["spec"]["initContainers"]);
        taken(&mut after["spec"]["volumes"]);
        after["metadata"]["labels"].as_object_mut().unwrap().remove("tidegate.dev/injected");
        let model = &mut after["spec"]["containers"][1];
        model["lifecycle"].as_object_mut().unwrap().remove("preStop");
        model["readinessProbe"] = before["spec"]["containers"][1]["readinessProbe"].clone();
        assert_eq!(after, before);
    }

    #[test]
    fn kubernetes_own_types_know_every_key() {
        for mode in [Mode::Native, Mode::Plain] {
            let after = patched(&pod(), mode);
            let typed: Pod = serde_json::from_value(after.clone()).unwrap();
            assert_eq!(serde_json::to_value(typed).unwrap(), after);
        }
    }

    #[test]
    fn a_bare_pod_gets_the_lists_that_it_lacks() {
        let bare = json!({
            "metadata": {"labels": {"tidegate.dev/inject": "true"}},
            "spec": {"containers": [{"name": "m", "ports": [{"containerPort": 80}]}]},
        });
        let after = patched(&bare, Mode::Native);
        assert_eq!(after["spec"]["initContainers"].as_array().unwrap().len(), 1);
        assert_eq!(after["spec"]["volumes"].as_array().unwrap().len(), 1);
        let plain = patched(&bare, Mode::Plain);
        assert_eq!(plain["spec"]["containers"].as_array().unwrap().len(), 2);
        assert!(plain["spec"]["containers"][1].get("restartPolicy").is_none());
        assert!(plain["spec"].get("initContainers").is_none());
    }

    #[test]
    fn who_has_a_sidecar_or_wants_none_is_left_alone() {
        let once = patched(&pod(), Mode::Native);
        let alone = |pod: &Value| inject(pod, &InjectSettings::example(Mode::Native), false, None);
        assert_eq!(alone(&once), Injection::LeftAlone("it has a sidecar"));
        assert_eq!(alone(&patched(&pod(), Mode::Plain)), Injection::LeftAlone("it has a sidecar"));
        let mut host = pod();
        host["spec"]["hostNetwork"] = json!(true);
        assert!(matches!(alone(&host), Injection::LeftAlone(_)));
        let mut out = pod();
        out["metadata"]["annotations"]["tidegate.dev/inject"] = json!("false");
        assert!(matches!(
            inject(&out, &InjectSettings::example(Mode::Native), true, None),
            Injection::LeftAlone(_)
        ));
        let mut silent = pod();
        silent["metadata"]["annotations"] = json!({});
        assert!(matches!(alone(&silent), Injection::LeftAlone(_)));
        let by_default = inject(&silent, &InjectSettings::example(Mode::Native), true, None);
        assert!(matches!(by_default, Injection::Patch(_)));
        let mut odd = pod();
        odd["metadata"]["annotations"]["tidegate.dev/inject"] = json!("yes");
        assert!(matches!(alone(&odd), Injection::Doubt(_)));
    }

    #[test]
    fn what_clashes_with_a_sidecar_is_a_doubt() {
        for (at, taken) in [
            ("/spec/containers/0/ports", json!([{"containerPort": 8022}])),
            ("/spec/containers/0/ports", json!([{"name": "tidegate", "containerPort": 1}])),
            ("/spec/volumes/0/name", json!("tidegate")),
            ("/metadata/annotations/tidegate.dev~1port", json!("8012")),
        ] {
            let mut pod = pod();
            pod["spec"]["containers"][0]["ports"] = json!([]);
            pod["metadata"]["annotations"]["tidegate.dev/port"] = json!("8080");
            pod["metadata"]["annotations"]["tidegate.dev/container"] = json!("model");
            *pod.pointer_mut(at).unwrap() = taken;
            let doubt = inject(&pod, &InjectSettings::example(Mode::Native), false, None);
            assert!(matches!(doubt, Injection::Doubt(_)), "{at}: {doubt:?}");
        }
    }

    #[test]
    fn a_pod_with_a_budget_of_its_own_keeps_to_it() {
        let asks = |pod: &Value| {
            patched(pod, Mode::Native)["spec"]["initContainers"][1]["resources"].clone()
        };
        assert_eq!(asks(&pod())["requests"]["cpu"], "50m");
        let mut whole = pod();
        whole["spec"]["resources"] = json!({"requests": {"cpu": "1"}});
        assert_eq!(asks(&whole), Value::Null);
    }

    #[test]
    fn a_hook_of_its_own_stays() {
        let mut with_hook = pod();
        let hook = json!({"exec": {"command": ["sleep", "5"]}});
        with_hook["spec"]["containers"][1]["lifecycle"]["preStop"] = hook.clone();
        let after = patched(&with_hook, Mode::Native);
        assert_eq!(after["spec"]["containers"][1]["lifecycle"]["preStop"], hook);
        assert!(!after["spec"]["initContainers"][1]["args"].to_string().contains("drain-token"));
    }

    #[test]
    fn draining_fits_into_the_time_that_a_pod_has() {
        for (grace, delay, timeout) in [(30, 5, 20), (60, 5, 50), (6, 1, 4), (1, 0, 1), (0, 0, 1)] {
            let mut pod = pod();
            pod["spec"]["terminationGracePeriodSeconds"] = json!(grace);
            let args = patched(&pod, Mode::Native)["spec"]["initContainers"][1]["args"].to_string();
            assert!(args.contains(&format!("--drain-delay={delay}s")), "{grace}: {args}");
            assert!(args.contains(&format!("--drain-timeout={timeout}s")), "{grace}: {args}");
        }
    }
}
