//! Pods by namespace and label. Pure.

use super::PodView;
use crate::facts::{Key, Pod};
use kube::core::{Expression, Selector, SelectorExt};
use std::collections::{BTreeMap, HashMap};

/// Pods by namespace and label, so that a selector need not look at all of them.
pub(crate) struct PodIndex<'a>(HashMap<&'a str, Pods<'a>>);

/// The pods of one namespace.
#[derive(Default)]
struct Pods<'a> {
    all: Named<'a>,
    by_label: HashMap<&'a str, HashMap<&'a str, Named<'a>>>,
}

type Named<'a> = Vec<(&'a str, &'a Pod)>;

impl<'a> PodIndex<'a> {
    /// Of all pods.
    pub(crate) fn of(pods: &'a BTreeMap<Key, Pod>) -> Self {
        let mut namespaces: HashMap<&str, Pods<'_>> = HashMap::new();
        for (Key { namespace, name }, pod) in pods {
            let index = namespaces.entry(namespace).or_default();
            index.all.push((name, pod));
            for (label, value) in &pod.labels {
                let values = index.by_label.entry(label).or_default();
                values.entry(value).or_default().push((name, pod));
            }
        }
        Self(namespaces)
    }

    /// Those of a namespace that are selected.
    pub(crate) fn select(&self, namespace: &str, selector: &Selector) -> Vec<PodView> {
        let Some(index) = self.0.get(namespace) else { return Vec::new() };
        let mut candidates = &index.all;
        for expression in selector.clone() {
            let Expression::Equal(label, value) = expression else { continue };
            let with_label = index.by_label.get(&*label).and_then(|values| values.get(&*value));
            let Some(pods) = with_label else { return Vec::new() };
            if pods.len() < candidates.len() {
                candidates = pods;
            }
        }
        let its_own = candidates.iter().filter(|(_, pod)| selector.matches(&pod.labels));
        let view = |(name, pod): &(&str, &Pod)| PodView {
            name: (*name).to_owned(),
            phase: pod.phase,
            admin: pod.admin(),
            traffic: pod.traffic(),
            limit: pod.limit,
            cost: pod.cost,
        };
        its_own.map(view).collect()
    }
}
