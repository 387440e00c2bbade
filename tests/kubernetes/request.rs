//! What a request to the API server asks for: from its path and query.

use serde_json::{Value, json};
use std::collections::HashMap;

/// An object's place, or that of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// `v1`, `apps/v1`.
    pub(super) group_version: String,
    /// `pods`.
    pub(super) plural: String,
    /// Empty where all are meant.
    pub(super) namespace: String,
    /// Empty where all are meant.
    pub(super) name: String,
    /// `status`, `scale`, or empty.
    pub(super) subresource: String,
}

/// The kinds that this API server has, as `kubectl api-resources` lists them.
const KINDS: [(&str, &str, &str); 19] = [
    ("v1", "pods", "Pod"),
    ("apps/v1", "deployments", "Deployment"),
    ("apps/v1", "statefulsets", "StatefulSet"),
    ("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
    ("argoproj.io/v1alpha1", "rollouts", "Rollout"),
    ("coordination.k8s.io/v1", "leases", "Lease"),
    ("events.k8s.io/v1", "events", "Event"),
    ("v1", "events", "Event"),
    ("authorization.k8s.io/v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    ("tidegate.dev/v1alpha1", "inferenceapis", "InferenceApi"),
    ("discovery.k8s.io/v1", "endpointslices", "EndpointSlice"),
    ("v1", "namespaces", "Namespace"),
    ("v1", "services", "Service"),
    ("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget"),
    ("v1", "secrets", "Secret"),
    (
        "admissionregistration.k8s.io/v1",
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration",
    ),
    ("v1", "serviceaccounts", "ServiceAccount"),
    ("authentication.k8s.io/v1", "tokenreviews", "TokenReview"),
    ("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition"),
];

/// What is answered to whoever asks for the kinds of a group at `path`; nothing where there are none.
pub(super) fn kinds(path: &str) -> Option<Value> {
    let version = path.strip_prefix("/apis/")?;
    let kinds = KINDS.iter().filter(|(group, ..)| *group == version);
    let kind = |(_, plural, kind): &(&str, &str, &str)| {
        json!({"name": plural, "singularName": "", "namespaced": true, "kind": kind,
            "verbs": ["get", "list", "patch", "watch"]})
    };
    let mut all: Vec<Value> = kinds.map(kind).collect();
    let has_scale = |one: &Value| {
        ["deployments", "statefulsets", "rollouts"].iter().any(|plural| one["name"] == *plural)
    };
    let scales: Vec<Value> = all.iter().filter(|one| has_scale(one)).cloned().collect();
    all.extend(scales.into_iter().map(|mut scale| {
        let plural = scale["name"].as_str().unwrap_or("");
        scale["name"] = json!(format!("{plural}/scale"));
        scale["kind"] = json!("Scale");
        (scale["group"], scale["version"]) = (json!("autoscaling"), json!("v1"));
        scale
    }));
    let list = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version,
        "resources": all});
    (!all.is_empty()).then_some(list)
}

impl Place {
    /// The place of one object.
    pub(super) fn of(group_version: &str, plural: &str, namespace: &str, name: &str) -> Self {
        Self {
            group_version: group_version.to_owned(),
            plural: plural.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: String::new(),
        }
    }

    /// From a path such as `/apis/apps/v1/namespaces/default/deployments/digits/scale`.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let mut parts = path.trim_matches('/').split('/');
        let group_version = match parts.next()? {
            "api" => parts.next()?.to_owned(),
            "apis" => format!("{}/{}", parts.next()?, parts.next()?),
            _ => return None,
        };
        let mut rest: Vec<&str> = parts.collect();
        let mut namespace = String::new();
        if rest.len() > 2 && rest[0] == "namespaces" {
            namespace = rest[1].to_owned();
            rest.drain(..2);
        }
        let part = |index: usize| rest.get(index).map_or("", |part| *part).to_owned();
        let (plural, name, subresource) = (part(0), part(1), part(2));
        let place = Self { group_version, plural, namespace, name, subresource };
        place.kind().map(|_| place)
    }

    /// Its group and resource, as a role names them.
    pub(super) fn named_in_roles(&self) -> (String, String) {
        let group = self.group_version.split_once('/').map_or("", |(group, _)| group);
        let subresource = match self.subresource.as_str() {
            "" => String::new(),
            subresource => format!("/{subresource}"),
        };
        (group.to_owned(), format!("{}{subresource}", self.plural))
    }

    /// Its kind; nothing where this API server has none of that.
    pub(super) fn kind(&self) -> Option<&'static str> {
        let kind = KINDS
            .iter()
            .find(|(group, plural, _)| *group == self.group_version && *plural == self.plural);
        kind.map(|(_, _, kind)| *kind)
    }
}

/// Which objects of a kind are meant.
#[derive(Debug, Clone, Default)]
pub(super) struct Selection {
    /// Labels that must be there, whatever they say.
    present: Vec<String>,
    labels: Vec<(String, bool, String)>,
    fields: Vec<(String, bool, String)>,
}

impl Selection {
    /// Of a query. An error is what the API server says of it.
    pub(super) fn of(query: &HashMap<String, String>) -> Result<Self, String> {
        let split = |name: &str| -> Vec<&str> {
            let text = query.get(name).map_or("", String::as_str);
            text.split(',').filter(|term| !term.is_empty()).collect()
        };
        let (labels, present): (Vec<&str>, Vec<&str>) =
            split("labelSelector").into_iter().partition(|term| term.contains('='));
        let terms = |of: Vec<&str>| of.into_iter().map(term).collect::<Result<Vec<_>, _>>();
        let selection = Self {
            present: present.into_iter().map(str::to_owned).collect(),
            labels: terms(labels)?,
            fields: terms(split("fieldSelector"))?,
        };
        let known = [
            "metadata.name",
            "metadata.namespace",
            "status.phase",
            // Of events.
            "involvedObject.kind",
            "involvedObject.name",
        ];
        match selection.fields.iter().find(|(field, ..)| !known.contains(&field.as_str())) {
            Some((field, ..)) => Err(format!("field label not supported: {field}")),
            None => Ok(selection),
        }
    }

    /// Whether an object is one of them.
    pub(super) fn has(&self, object: &Value) -> bool {
        let label = |(name, equal, value): &(String, bool, String)| {
            (object["metadata"]["labels"][name] == value.as_str()) == *equal
        };
        let field = |(path, equal, value): &(String, bool, String)| {
            let seen = path.split('.').fold(object, |at, part| &at[part]);
            (seen.as_str().unwrap_or("") == value) == *equal
        };
        let is_there = |name: &String| object["metadata"]["labels"][name].is_string();
        self.present.iter().all(is_there)
            && self.labels.iter().all(label)
            && self.fields.iter().all(field)
    }
}

fn term(text: &str) -> Result<(String, bool, String), String> {
    let (name, equal, value) = match (text.split_once("!="), text.split_once('=')) {
        (Some((name, value)), _) => (name, false, value),
        (None, Some((name, value))) => (name, true, value.trim_start_matches('=')),
        (None, None) => return Err(format!("unable to parse requirement: {text}")),
    };
    Ok((name.to_owned(), equal, value.to_owned()))
}

/// A query's names and values.
pub(super) fn query(text: &str) -> HashMap<String, String> {
    let decode = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let hex: Vec<u8> = rest.by_ref().take(2).collect();
                    let hex = String::from_utf8_lossy(&hex).into_owned();
                    u8::from_str_radix(&hex, 16).unwrap_or(b'?')
                }
                byte => byte,
            });
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decode(name), decode(value))).collect()
}
