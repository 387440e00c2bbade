//! What a `tidegate up` tells of an API, in the form in which Kubernetes shows an `InferenceApi`. Pure.

use crate::backend::{Details, Event, Replica};
use crate::resource;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tidegate_api::Written;
use tidegate_api::document::{InferenceApi, Policy};
use tidegate_api::names::{API_KIND, API_VERSION};
use tidegate_autoscaler::status::{ApiStatus, DecisionStatus, ReplicaState, ReplicaStatus};

/// What becomes of an API whose document is gone.
const LEAVING: &str = "its document is gone; its replicas finish and go";

/// Condition: status, reason, message.
type Verdict = (&'static str, &'static str, String);

/// An API as an object; `begun` is when the run has. Its document is not known where the files are wrong by
/// now, or it is gone.
pub(super) fn object(
    api: &ApiStatus,
    document: Option<(&Path, &Written)>,
    begun: Option<SystemTime>,
) -> Value {
    let last = api.decisions.last();
    let (reason, message) = match last {
        _ if api.leaving => ("", LEAVING),
        Some(last) => (last.reason.as_str(), last.detail.as_str()),
        None => ("", ""),
    };
    let mut conditions = vec![condition("Ready", is_ready(api))];
    conditions.extend(progress(api).map(|verdict| condition("ReplicasProgressing", verdict)));
    let mut object = json!({
        "apiVersion": API_VERSION,
        "kind": API_KIND,
        "metadata": {"name": api.name},
        "spec": {},
        "status": {
            "wanted": api.wanted,
            "ready": api.ready,
            "starting": api.starting,
            "draining": api.draining,
            "inFlight": api.in_flight,
            "queued": api.queued,
            "reason": reason,
            "message": message,
            "conditions": conditions,
        },
    });
    if let Some((file, written)) = document {
        object["spec"] = spec(written);
        object["metadata"]["annotations"] = json!({"tidegate.dev/file": file});
        let written = std::fs::metadata(file).and_then(|file| file.modified()).ok();
        if let Some(created) = written.max(begun) {
            let time = humantime::format_rfc3339_seconds(created).to_string();
            object["metadata"]["creationTimestamp"] = json!(time);
        }
    }
    object
}

/// The document's `spec`, with the defaults that tables show.
fn spec(written: &Written) -> Value {
    let mut spec = written.object["spec"].clone();
    let InferenceApi { concurrency, autoscaling, .. } = &written.api;
    for (group, key, value) in [
        ("concurrency", "limit", json!(concurrency.limit)),
        ("autoscaling", "policy", json!(policy(&autoscaling.policy))),
        ("autoscaling", "minReplicas", json!(autoscaling.min_replicas)),
        ("autoscaling", "maxReplicas", json!(autoscaling.max_replicas)),
    ] {
        // A group without anything in it may be null.
        if !spec[group].is_object() {
            spec[group] = json!({});
        }
        spec[group][key] = value;
    }
    spec
}

fn policy(policy: &Policy) -> &'static str {
    match policy {
        Policy::Concurrency(_) => "concurrency",
        Policy::Cortex(_) => "cortex",
        Policy::Ray(_) => "ray",
        Policy::Slo(_) => "slo",
        Policy::Metric(_) => "metric",
    }
}

fn condition(kind: &str, (status, reason, message): Verdict) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message})
}

fn is_ready(api: &ApiStatus) -> Verdict {
    let (ready, wanted) = (api.ready, api.wanted);
    match &api.trouble {
        _ if api.leaving => ("False", resource::LEAVING, LEAVING.to_owned()),
        Some(trouble) if ready == 0 => ("False", "NoReplica", trouble.clone()),
        _ if ready > 0 && ready < wanted => {
            ("True", "SomeReplicas", format!("{ready} of {wanted} replicas can serve"))
        }
        _ if ready > 0 => ("True", "Replicas", "every replica can serve".to_owned()),
        _ if wanted == 0 => {
            ("True", "Asleep", "no replica runs; the next request starts one".to_owned())
        }
        _ => ("False", "NoReplica", format!("none of {wanted} replicas can serve yet")),
    }
}

/// How the exchange of replicas goes, where there is one.
fn progress(api: &ApiStatus) -> Option<Verdict> {
    let exchange = api.replacement.as_ref()?;
    Some(match &exchange.stopped {
        None => {
            let what = match exchange.outdated {
                1 => "1 replica is still to be exchanged".to_owned(),
                more => format!("{more} replicas are still to be exchanged"),
            };
            ("True", "Exchanging", what)
        }
        Some(why) => {
            let what = format!("new replicas don't get ready, the old ones go on: {why}");
            ("False", "Stopped", what)
        }
    })
}

/// Everything that is known of an API; `begun` is when the run has.
pub(super) fn details(object: Value, api: &ApiStatus, begun: Option<SystemTime>) -> Details {
    let begun = begun.and_then(|begun| begun.duration_since(SystemTime::UNIX_EPOCH).ok());
    Details {
        object,
        replicas: api.replicas.iter().map(|one| replica(one, api)).collect(),
        decisions: api.decisions.iter().map(|one| decision(&api.name, one, begun)).collect(),
        ..Details::default()
    }
}

fn replica(replica: &ReplicaStatus, api: &ApiStatus) -> Replica {
    let state = match (replica.state, replica.outdated) {
        (ReplicaState::Starting, false) => "Starting",
        (ReplicaState::Starting, true) => "Starting, old",
        (ReplicaState::Ready, false) => "Ready",
        (ReplicaState::Ready, true) => "Ready, old",
        (ReplicaState::Draining, _) => "Leaving",
    };
    let trouble = api.trouble.as_ref().filter(|_| replica.state == ReplicaState::Starting);
    Replica {
        name: replica.id.clone(),
        state,
        address: replica.address.map_or_else(String::new, |address| address.to_string()),
        has_sidecar: true,
        restarts: replica.restarts,
        created: None,
        trouble: trouble
            .map(|trouble| format!("{trouble}; see `tidegate logs --local {}`", api.name)),
    }
}

fn decision(api: &str, decision: &DecisionStatus, begun: Option<Duration>) -> Event {
    let DecisionStatus { at_seconds, from, to, reason, detail } = decision;
    let at = begun.map(|begun| (begun.as_secs_f64() + at_seconds) as i64);
    Event {
        at,
        is_warning: false,
        reason: "Scaled".to_owned(),
        about: format!("{API_KIND}/{api}"),
        note: format!("{from} -> {to} replicas ({reason}): {detail}"),
        count: 1,
    }
}

/// A document as it can lie in any folder: each path in it is absolute.
pub(super) fn absolute(written: &Written) -> Value {
    let mut object = written.object.clone();
    let (container, access) = (&written.api.container, &written.api.access);
    let spec = &mut object["spec"];
    if spec["container"].is_object() {
        spec["container"]["workingDir"] = json!(container.working_dir);
        if let Some(python) = &container.python {
            spec["container"]["python"]["requirements"] = json!(python.requirements);
        }
    }
    if let Some(keys) = &access.api_keys {
        spec["access"]["apiKeys"]["file"] = json!(keys);
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_autoscaler::status::ReplacementStatus;

    fn written(spec: &str) -> Written {
        let text = format!(
            "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {{name: a}}\n\
             spec: {{container: {{command: [serve, '{{port}}']}}{spec}}}\n"
        );
        tidegate_api::parse_written(&text, "a.yaml", Path::new("/models")).unwrap().remove(0)
    }

    #[test]
    fn a_document_that_moves_means_what_it_meant() {
        let given = written(", access: {apiKeys: {file: keys.txt}}, autoscaling: {policy: slo}");
        let moved = absolute(&given).to_string();
        let again = tidegate_api::parse(&moved, "moved", Path::new("/elsewhere")).unwrap();
        assert_eq!(again, [given.api]);
        let text = written("").object.to_string().replace(
            r#""command":["serve","{port}"]"#,
            r#""command":["a","{port}"],"python":{"requirements":"r.lock"},"workingDir":"sub""#,
        );
        let given =
            tidegate_api::parse_written(&text, "a", Path::new("/models")).unwrap().remove(0);
        assert_eq!(given.api.container.working_dir, Path::new("/models/sub"));
        let moved = absolute(&given).to_string();
        let again = tidegate_api::parse(&moved, "moved", Path::new("/elsewhere")).unwrap();
        assert_eq!(again, [given.api]);
    }

    #[test]
    fn an_api_is_shown_as_kubernetes_would() {
        let mut api = ApiStatus { name: "a".to_owned(), wanted: 2, ..ApiStatus::default() };
        let verdict = |api: &ApiStatus, kind: usize| {
            let object = object(api, Some((Path::new("/a.yaml"), &written(""))), None);
            let one = &object["status"]["conditions"][kind];
            format!(
                "{} {}",
                one["status"].as_str().unwrap_or(""),
                one["reason"].as_str().unwrap_or("")
            )
        };
        assert_eq!(verdict(&api, 0), "False NoReplica");
        api.ready = 1;
        assert_eq!(verdict(&api, 0), "True SomeReplicas");
        api.ready = 2;
        assert_eq!((verdict(&api, 0), verdict(&api, 1)), ("True Replicas".into(), " ".into()));
        api.replacement = Some(ReplacementStatus { outdated: 2, stopped: None });
        assert_eq!(verdict(&api, 1), "True Exchanging");
        let message = |outdated| {
            api.replacement = Some(ReplacementStatus { outdated, stopped: None });
            progress(&api).unwrap().2
        };
        let told = [1, 2].map(message);
        assert_eq!(told[0], "1 replica is still to be exchanged");
        assert_eq!(told[1], "2 replicas are still to be exchanged");
        api.replacement = Some(ReplacementStatus { outdated: 2, stopped: Some("no".into()) });
        assert_eq!(verdict(&api, 1), "False Stopped");
        let asleep = ApiStatus { name: "a".to_owned(), ..ApiStatus::default() };
        assert_eq!(verdict(&asleep, 0), "True Asleep");
        assert_eq!(verdict(&ApiStatus { leaving: true, ..asleep.clone() }, 0), "False Leaving");
        let shown = object(&asleep, Some((Path::new("/a.yaml"), &written(""))), None);
        assert_eq!(shown["spec"]["autoscaling"]["policy"], "concurrency");
        assert_eq!(shown["spec"]["concurrency"]["limit"], 1);
    }
}
