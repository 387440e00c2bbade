//! Facts by key, exchanged whole when everything is listed anew. Pure.

use crate::facts::{Key, Pod, Resource, Rival, Workload};
use crate::scalable::{Other, Scaling};
use std::collections::{BTreeMap, BTreeSet};

/// The facts of one kind of objects.
#[derive(Debug)]
pub struct Store<T> {
    facts: BTreeMap<Key, T>,
    /// A new list on its way. Until it is whole the old facts count.
    listing: Option<BTreeMap<Key, T>>,
    is_known: bool,
}

/// Everything that is known of the cluster.
#[derive(Debug, Default)]
pub struct Stores {
    /// Grows with each change.
    pub revision: u64,
    apis: Store<Resource>,
    pods: Store<Pod>,
    deployments: Store<Workload>,
    stateful_sets: Store<Workload>,
    /// What those of other kinds say by their `/scale`.
    others: BTreeMap<Other, Scaling>,
    rivals: Store<Rival>,
    gateways: Store<Pod>,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self { facts: BTreeMap::new(), listing: None, is_known: false }
    }
}

impl<T> Store<T> {
    /// A new list begins.
    pub(crate) fn begin(&mut self) {
        self.listing = Some(BTreeMap::new());
    }

    /// One object of a new list.
    pub(crate) fn list(&mut self, key: Key, fact: impl FnOnce(Option<&T>) -> Option<T>) {
        let Some(fact) = fact(self.facts.get(&key)) else { return };
        self.listing.get_or_insert_default().insert(key, fact);
    }

    /// The new list is whole: it replaces what was known.
    pub(crate) fn done(&mut self) {
        self.facts = self.listing.take().unwrap_or_default();
        self.is_known = true;
    }

    /// One object, as it is now, which may go by what it was.
    pub(crate) fn tell(&mut self, key: Key, fact: impl FnOnce(Option<&T>) -> Option<T>) {
        let fact = fact(self.facts.get(&key));
        self.set(key, fact);
    }

    /// One object, as it is now; nothing where it is gone.
    pub(crate) fn set(&mut self, key: Key, fact: Option<T>) {
        match fact {
            Some(fact) => self.facts.insert(key, fact),
            None => self.facts.remove(&key),
        };
    }

    /// All facts, by key.
    pub fn facts(&self) -> &BTreeMap<Key, T> {
        &self.facts
    }
}

impl Stores {
    /// Whether every kind was listed whole at least once.
    pub fn are_known(&self) -> bool {
        self.apis.is_known
            && self.pods.is_known
            && self.deployments.is_known
            && self.stateful_sets.is_known
            && self.rivals.is_known
            && self.gateways.is_known
    }

    /// The resources.
    pub fn resources(&self) -> &BTreeMap<Key, Resource> {
        &self.apis.facts
    }

    /// The Deployments.
    pub fn all_deployments(&self) -> &BTreeMap<Key, Workload> {
        &self.deployments.facts
    }

    /// The pods.
    pub fn all_pods(&self) -> &BTreeMap<Key, Pod> {
        &self.pods.facts
    }

    /// The targets of other kinds.
    pub(crate) fn all_others(&self) -> &BTreeMap<Other, Scaling> {
        &self.others
    }

    /// What those say now; all are forgotten that are not `named` any more. One that is not to be asked for a
    /// moment is as it was.
    pub(crate) fn set_others(&mut self, named: &BTreeSet<Other>, found: Vec<(Other, Scaling)>) {
        self.others.retain(|other, _| named.contains(other));
        for (other, scaling) in found {
            let is_known = matches!(self.others.get(&other), Some(Scaling::Known(_)));
            if !(is_known && matches!(scaling, Scaling::Unknown(_))) {
                self.others.insert(other, scaling);
            }
        }
    }

    /// The gateways' pods.
    pub fn all_gateways(&self) -> &BTreeMap<Key, Pod> {
        &self.gateways.facts
    }

    /// The claims of other autoscalers.
    pub fn all_rivals(&self) -> &BTreeMap<Key, Rival> {
        &self.rivals.facts
    }

    /// A workload by its kind; nothing too where the kind is not watched.
    pub fn workload(&self, kind: &str, key: &Key) -> Option<&Workload> {
        match kind {
            "Deployment" => self.deployments.facts.get(key),
            "StatefulSet" => self.stateful_sets.facts.get(key),
            _ => None,
        }
    }

    pub(crate) fn apis(&mut self) -> &mut Store<Resource> {
        &mut self.apis
    }

    pub(crate) fn pods(&mut self) -> &mut Store<Pod> {
        &mut self.pods
    }

    pub(crate) fn deployments(&mut self) -> &mut Store<Workload> {
        &mut self.deployments
    }

    pub(crate) fn stateful_sets(&mut self) -> &mut Store<Workload> {
        &mut self.stateful_sets
    }

    pub(crate) fn rivals(&mut self) -> &mut Store<Rival> {
        &mut self.rivals
    }

    pub(crate) fn gateways(&mut self) -> &mut Store<Pod> {
        &mut self.gateways
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tidegate_api::document::Target;

    fn key(name: &str) -> Key {
        Key { namespace: "n".to_owned(), name: name.to_owned() }
    }

    #[test]
    fn a_new_list_replaces_the_old_only_when_it_is_whole() {
        let mut store: Store<u32> = Store::default();
        store.begin();
        store.list(key("a"), |_| Some(1));
        store.list(key("b"), |_| Some(2));
        assert!(store.facts().is_empty() && !store.is_known);
        store.done();
        assert_eq!((store.facts().len(), store.is_known), (2, true));
        store.begin();
        store.list(key("b"), |before| before.map(|before| before + 1));
        assert_eq!(store.facts()[&key("a")], 1, "still there while the list is made");
        store.done();
        assert_eq!(store.facts().clone().into_iter().collect::<Vec<_>>(), [(key("b"), 3)]);
        store.set(key("b"), None);
        assert!(store.facts().is_empty());
    }

    #[test]
    fn a_scale_that_was_known_stays_so_until_it_is_gone() {
        let [api_version, kind, name] = ["example.com/v1", "Set", "a"].map(str::to_owned);
        let other = Other::of("n", &Target { api_version, kind, name }).unwrap();
        let named = BTreeSet::from([other.clone()]);
        let known = Scaling::Known(Workload {
            version: "1".to_owned(),
            owner: None,
            replicas: 2,
            present: 2,
            selector: None,
            asked: None,
        });
        let away = || Scaling::Unknown(Arc::from("away"));
        let mut stores = Stores::default();
        for (found, want) in [
            (away(), away()),
            (known.clone(), known.clone()),
            (away(), known),
            (Scaling::Gone, Scaling::Gone),
            (away(), away()),
        ] {
            stores.set_others(&named, vec![(other.clone(), found)]);
            assert_eq!(stores.all_others().get(&other), Some(&want));
        }
        stores.set_others(&BTreeSet::new(), Vec::new());
        assert!(stores.all_others().is_empty());
    }
}
