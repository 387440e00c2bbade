//! Annotations of a Deployment → the document that says the same, for those who want no resource.

use crate::document::InferenceApi;
use crate::names::{API_KIND, API_VERSION, annotation};
use crate::parse::parse;
use crate::report::Mistake;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// What all of them begin with.
pub const PREFIX: &str = "tidegate.dev/";

/// How an annotation's text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As it stands.
    Text,
    /// As a number, `true` or `false`.
    Plain,
}

/// Annotations that a Deployment may have, and the key of `spec` that each stands for. One of them
/// makes it an API.
const KEYS: [(&str, &str, Form); 11] = [
    (annotation::MIN_REPLICAS, "autoscaling.minReplicas", Form::Plain),
    (annotation::MAX_REPLICAS, "autoscaling.maxReplicas", Form::Plain),
    (annotation::POLICY, "autoscaling.policy", Form::Text),
    (annotation::UTILIZATION, "autoscaling.concurrency.utilization", Form::Plain),
    (annotation::STABLE_WINDOW, "autoscaling.concurrency.stableWindow", Form::Text),
    (annotation::SCALE_TO_ZERO_GRACE, "autoscaling.concurrency.scaleToZeroGrace", Form::Text),
    (annotation::HOST, "routes.host", Form::Text),
    (annotation::PATH, "routes.path", Form::Text),
    (annotation::STRIP_PREFIX, "routes.stripPrefix", Form::Plain),
    (annotation::COLD_START_TIMEOUT, "timeouts.coldStart", Form::Text),
    (annotation::PAUSED, "paused", Form::Plain),
];

/// Those that its pods have too, for their sidecars. Here they say what the gateway and the
/// autoscaler go by, and make no API.
const SHARED: [(&str, &str, Form); 4] = [
    (annotation::CONCURRENCY_LIMIT, "concurrency.limit", Form::Plain),
    (annotation::QUEUE_CAPACITY, "concurrency.queueCapacity", Form::Plain),
    (annotation::QUEUE_BYTES, "concurrency.queueBytes", Form::Text),
    (annotation::QUEUE_TIMEOUT, "concurrency.queueTimeout", Form::Text),
];

/// Those that say nothing here: the injector reads them of pods.
const OF_PODS: [&str; 3] = [annotation::INJECT, annotation::CONTAINER, annotation::PORT];

/// The document of a Deployment of this name with these annotations; nothing where none of them asks
/// for it. `of_pods` are those of its pods' template, which say how much one of them takes unless the
/// Deployment's own do.
///
/// # Errors
/// Every mistake, each with the annotation that it is in.
pub fn document(
    name: &str,
    own: &BTreeMap<String, String>,
    of_pods: &BTreeMap<String, String>,
) -> Option<Result<InferenceApi, String>> {
    if !KEYS.iter().any(|(annotation, ..)| own.contains_key(*annotation)) {
        return None;
    }
    let mut spec = json!({ "target": { "name": name } });
    for (annotation, key, form) in KEYS.iter().chain(&SHARED) {
        let shared =
            of_pods.get(*annotation).filter(|_| SHARED.iter().any(|(of, ..)| of == annotation));
        let Some(text) = own.get(*annotation).or(shared) else { continue };
        put(&mut spec, key, value(text, *form));
    }
    measured(&mut spec);
    if let Some(route) = spec.get_mut("routes") {
        if route.get("path").is_none() {
            route["path"] = json!("/");
        }
        *route = json!([route.clone()]);
    }
    let mut mistakes = unknown(own);
    match read(name, &spec) {
        Ok(mut apis) if mistakes.is_empty() => return Some(Ok(apis.remove(0))),
        Ok(_) => {}
        Err(more) => mistakes.extend(more),
    }
    Some(Err(mistakes.join("; ")))
}

/// What is wrong with the annotations that a pod has for its sidecar, which does not start with such.
pub fn wrong_of_pods(of_pods: &BTreeMap<String, String>) -> Option<String> {
    let given = |(annotation, key, form): &(&str, &'static str, Form)| {
        of_pods.get(*annotation).map(|text| (*key, value(text, *form)))
    };
    let mut given = SHARED.iter().filter_map(given).peekable();
    given.peek()?;
    let mut spec = json!({ "target": { "name": "pod" } });
    given.for_each(|(key, value)| put(&mut spec, key, value));
    measured(&mut spec);
    read("pod", &spec).err().map(|mistakes| mistakes.join("; "))
}

/// A sidecar may measure how much its model takes; here a number is needed, and 1 is safe.
fn measured(spec: &mut Value) {
    if let Some(limit) = spec["concurrency"].get_mut("limit")
        && limit.as_str().is_some_and(|limit| limit.starts_with("auto"))
    {
        *limit = json!(1);
    }
}

/// The document with this `spec`, or its mistakes, each with its annotation.
fn read(name: &str, spec: &Value) -> Result<Vec<InferenceApi>, Vec<String>> {
    let text = json!({
        "apiVersion": API_VERSION,
        "kind": API_KIND,
        "metadata": {"name": name},
        "spec": spec,
    });
    let told = |mistake: &Mistake| {
        let what = if mistake.must.is_empty() {
            mistake.what.clone()
        } else {
            format!("{}; must be {}", mistake.what, mistake.must)
        };
        format!("{} {what}", annotation_of(&mistake.path))
    };
    let read = parse(&text.to_string(), name, Path::new("/"));
    read.map_err(|report| report.mistakes.iter().map(told).collect())
}

/// What says so: the annotation, or the key where it is no annotation's.
fn annotation_of(path: &str) -> &str {
    let key = path.trim_start_matches("spec.").replace("routes[0]", "routes");
    let of = KEYS.iter().chain(&SHARED).find(|(_, of, _)| *of == key);
    of.map_or(path, |(annotation, ..)| annotation)
}

fn unknown(own: &BTreeMap<String, String>) -> Vec<String> {
    let all = || {
        let with_keys = KEYS.iter().chain(&SHARED).map(|(annotation, ..)| *annotation);
        with_keys.chain(OF_PODS)
    };
    let ours = own.keys().filter(|key| key.starts_with(PREFIX));
    let strange = ours.filter(|key| !all().any(|known| known == key.as_str()));
    let said = strange.map(|key| {
        let like = |known: &&str| strsim::normalized_damerau_levenshtein(key, known);
        let nearest = all().max_by(|a, b| like(a).total_cmp(&like(b)));
        format!("{key} is not known; the nearest is {}", nearest.unwrap_or_default())
    });
    said.collect()
}

/// What is no number and no truth stays text, and is told as such.
fn value(text: &str, form: Form) -> Value {
    let plain = || match serde_json::from_str(text.trim()) {
        Ok(plain @ (Value::Number(_) | Value::Bool(_))) => Some(plain),
        _ => None,
    };
    match form {
        Form::Text => None,
        Form::Plain => plain(),
    }
    .unwrap_or_else(|| json!(text))
}

fn put(spec: &mut Value, key: &str, value: Value) {
    let mut at = spec;
    for part in key.split('.') {
        at = &mut at[part];
    }
    *at = value;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Policy;
    use std::time::Duration;

    fn notes(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter().map(|(key, text)| (format!("{PREFIX}{key}"), (*text).to_owned())).collect()
    }

    fn of(own: &[(&str, &str)], of_pods: &[(&str, &str)]) -> Option<Result<InferenceApi, String>> {
        document("digits", &notes(own), &notes(of_pods))
    }

    #[test]
    fn every_annotation_says_what_its_key_says() {
        let own = [
            ("min-replicas", "0"),
            ("max-replicas", "7"),
            ("policy", "concurrency"),
            ("utilization", "0.5"),
            ("stable-window", "30s"),
            ("scale-to-zero-grace", "10s"),
            ("host", "a.example.com"),
            ("path", "/digits"),
            ("strip-prefix", "true"),
            ("cold-start-timeout", "4m"),
            ("paused", "true"),
            ("concurrency-limit", "4"),
            ("queue-capacity", "9"),
            ("queue-bytes", "1Mi"),
            ("queue-timeout", "5s"),
        ];
        let api = of(&own, &[("concurrency-limit", "2")]).unwrap().unwrap();
        let target = api.target.unwrap();
        assert_eq!((&*api.name, &*target.kind, &*target.name), ("digits", "Deployment", "digits"));
        let scaling = &api.autoscaling;
        assert_eq!((scaling.min_replicas, scaling.max_replicas), (0, 7));
        let Policy::Concurrency(of) = &scaling.policy else { panic!("{:?}", scaling.policy) };
        assert_eq!(
            (of.utilization, of.stable_window, of.scale_to_zero_grace),
            (0.5, Duration::from_secs(30), Duration::from_secs(10))
        );
        let route = &api.routes[0];
        assert_eq!(
            (route.host.as_deref(), &*route.path, route.strip_prefix),
            (Some("a.example.com"), "/digits", true)
        );
        assert_eq!((api.timeouts.cold_start, api.paused), (Duration::from_secs(240), true));
        let one = &api.concurrency;
        assert_eq!((one.limit.get(), one.queue_capacity, one.queue_bytes), (4, 9, 1 << 20));
        assert_eq!(one.queue_timeout, Duration::from_secs(5));
        // Each is tried here: one that is added to the table is missed.
        assert_eq!(own.len(), KEYS.len() + SHARED.len());
    }

    #[test]
    fn a_deployment_without_them_is_no_api_and_one_is_enough() {
        for plain in [&[][..], &[("inject", "true"), ("concurrency-limit", "4")]] {
            assert_eq!(of(plain, &[("max-replicas", "3")]), None, "{plain:?}");
        }
        let api =
            of(&[("max-replicas", "3")], &[("concurrency-limit", "auto:1-8")]).unwrap().unwrap();
        assert_eq!((api.autoscaling.max_replicas, api.concurrency.limit.get()), (3, 1));
        assert_eq!(&*api.routes[0].path, "/");
        let slo = of(&[("policy", "slo")], &[]).unwrap().unwrap();
        assert!(matches!(slo.autoscaling.policy, Policy::Slo(_)));
        let api = of(&[("host", "a.b")], &[("concurrency-limit", "8")]).unwrap().unwrap();
        assert_eq!((&*api.routes[0].path, api.concurrency.limit.get()), ("/", 8));
    }

    #[test]
    fn what_a_pod_says_to_its_sidecar_is_checked_too() {
        let wrong = |list: &[(&str, &str)]| wrong_of_pods(&notes(list));
        for fine in [
            &[][..],
            &[("inject", "maybe"), ("max-replicas", "x")],
            &[("concurrency-limit", "8"), ("queue-bytes", "1MiB"), ("queue-timeout", "5s")],
            &[("concurrency-limit", "auto:1-8"), ("queue-capacity", "0")],
        ] {
            assert_eq!(wrong(fine), None, "{fine:?}");
        }
        for (list, part) in [
            (
                [("concurrency-limit", "lots")],
                "tidegate.dev/concurrency-limit is \"lots\"; must be",
            ),
            ([("concurrency-limit", "0")], "tidegate.dev/concurrency-limit is 0; must be"),
            ([("queue-timeout", "5")], "tidegate.dev/queue-timeout is \"5\"; must be"),
        ] {
            let said = wrong(&list).unwrap();
            assert!(said.contains(part), "{part} is not in: {said}");
        }
    }

    #[test]
    fn mistakes_name_their_annotation() {
        let said = of(
            &[("min-replicas", "none"), ("path", "digits"), ("max-replica", "3"), ("policy", "?")],
            &[],
        );
        let said = said.unwrap().unwrap_err();
        for part in [
            "tidegate.dev/max-replica is not known; the nearest is tidegate.dev/max-replicas",
            "tidegate.dev/min-replicas is \"none\"; must be",
            "tidegate.dev/path is \"digits\"; must be",
            "tidegate.dev/policy is \"?\"; must be",
        ] {
            assert!(said.contains(part), "{part} is not in: {said}");
        }
    }
}
