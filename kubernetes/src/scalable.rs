//! Targets of kinds that nobody watches, as other people's controllers bring them: what their `/scale` says
//! of replicas and pods is all that is known of them. Pure.

use crate::facts::{Key, Resource, Workload};
use k8s_openapi::api::autoscaling::v1::Scale;
use kube::core::{Expression, Selector};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidegate_api::document::Target;

/// The kinds that are watched, of `apps/v1`.
const WATCHED: [&str; 2] = ["Deployment", "StatefulSet"];

/// A target of another kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Other {
    pub(crate) namespace: String,
    pub(crate) target: (String, String, String),
}

/// What came of asking for its `/scale`.
#[derive(Debug, Clone, PartialEq)]
pub enum Scaling {
    /// What it says.
    Known(Workload),
    /// There is no such object.
    Gone,
    /// The cluster has no such kind, or that has no `/scale`.
    NoKind,
    /// It could not be asked for: why.
    Unknown(Arc<str>),
}

impl Other {
    /// That of a target, if its kind is not watched.
    pub(crate) fn of(namespace: &str, target: &Target) -> Option<Self> {
        let Target { api_version, kind, name } = target;
        let is_watched = api_version == "apps/v1" && WATCHED.contains(&kind.as_str());
        (!is_watched).then(|| Self {
            namespace: namespace.to_owned(),
            target: (api_version.clone(), kind.clone(), name.clone()),
        })
    }

    /// All that the resources name.
    pub(crate) fn all(resources: &BTreeMap<Key, Resource>) -> BTreeSet<Self> {
        let named = |(key, resource): (&Key, &Resource)| {
            let document = resource.document.as_ref().ok()?;
            Self::of(&key.namespace, document.target.as_ref()?)
        };
        resources.iter().filter_map(named).collect()
    }
}

impl Workload {
    /// Of what a `/scale` says.
    pub(crate) fn of_scale(scale: Scale) -> Self {
        let count = |count: i32| u32::try_from(count).unwrap_or_default();
        let status = scale.status.unwrap_or_default();
        Self {
            version: scale.metadata.resource_version.unwrap_or_default(),
            owner: None,
            replicas: scale.spec.and_then(|spec| spec.replicas).map_or(0, count),
            present: count(status.replicas),
            selector: status.selector.as_deref().and_then(selector),
            asked: None,
            amiss: None,
        }
    }
}

/// A selector as `/scale` has it: `app=web,tier in (a,b),!old`. Nothing where it selects everything, or
/// can't be understood.
pub(crate) fn selector(text: &str) -> Option<Selector> {
    let mut rest = text.trim();
    let mut all = Vec::new();
    while !rest.is_empty() {
        // A comma within brackets parts values, and not what is asked for.
        let open = rest.find('(').unwrap_or(rest.len());
        let from = if rest.find(',').is_some_and(|comma| comma < open) {
            0
        } else {
            rest.find(')').unwrap_or(0)
        };
        let end = rest.get(from..)?.find(',').map_or(rest.len(), |comma| from + comma);
        let (one, after) = rest.split_at_checked(end)?;
        all.push(expression(one.trim())?);
        rest = after.trim_start_matches(',').trim_start();
    }
    (!all.is_empty()).then(|| Selector::from_iter(all))
}

fn expression(text: &str) -> Option<Expression> {
    let owned = |text: &str| {
        let text = text.trim();
        let is_plain =
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
        is_plain.then(|| text.to_owned())
    };
    let label = |text: &str| owned(text).filter(|label| !label.is_empty());
    if let Some(values) = text.strip_suffix(')') {
        let (head, values) = values.split_once('(')?;
        let values: BTreeSet<String> = values.split(',').map(owned).collect::<Option<_>>()?;
        let (name, word) = head.trim().rsplit_once(' ')?;
        return match word {
            "in" => Some(Expression::In(label(name)?, values)),
            "notin" => Some(Expression::NotIn(label(name)?, values)),
            _ => None,
        };
    }
    if let Some(name) = text.strip_prefix('!') {
        return Some(Expression::DoesNotExist(label(name)?));
    }
    if let Some((name, value)) = text.split_once("!=") {
        return Some(Expression::NotEqual(label(name)?, owned(value)?));
    }
    match text.split_once('=') {
        Some((name, value)) => {
            Some(Expression::Equal(label(name)?, owned(value.trim_start_matches('='))?))
        }
        None => Some(Expression::Exists(label(text)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn only_other_kinds_are_asked_for() {
        let of = |api_version: &str, kind: &str| {
            let [api_version, kind, name] = [api_version, kind, "a"].map(str::to_owned);
            Other::of("n", &Target { api_version, kind, name }).is_some()
        };
        for (version, kind, is_other) in [
            ("apps/v1", "Deployment", false),
            ("apps/v1", "StatefulSet", false),
            ("apps/v1", "ReplicaSet", true),
            ("argoproj.io/v1alpha1", "Rollout", true),
            ("example.com/v1", "Deployment", true),
        ] {
            assert_eq!(of(version, kind), is_other, "{version} {kind}");
        }
    }

    #[test]
    fn a_selector_is_read_as_it_is_written() {
        for text in [
            "app=web",
            "app=web,tier=a",
            "app in (a,b)",
            "app in (a,b),tier=c",
            "tier=c,app notin (a),!old,new,x!=y",
            "app.kubernetes.io/name=a-b_c.d",
            "app=",
        ] {
            let read = selector(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(read.to_string(), text);
        }
        assert_eq!(selector(" app == web , new ").unwrap().to_string(), "app=web,new");
        for bad in [
            "",
            "<none>",
            "<error>",
            "app is web",
            "a in b",
            "=b",
            "a=b=c",
            "in (a)",
            "a (b)",
            "(",
            ")",
        ] {
            assert_eq!(selector(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_scale_says_all_that_is_needed() {
        let of = |value: Value| Workload::of_scale(serde_json::from_value(value).unwrap());
        let seen = of(json!({"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 2},
            "status": {"replicas": 3, "selector": "app=a"}}));
        assert_eq!((&*seen.version, seen.replicas, seen.present), ("7", 2, 3));
        assert_eq!(seen.selector.unwrap().to_string(), "app=a");
        let bare = of(json!({"metadata": {}, "spec": {}}));
        assert_eq!((bare.replicas, bare.present, bare.selector), (0, 0, None));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC*|[a-z=!,() ]{0,20}") {
            selector(&text);
        }
    }
}
