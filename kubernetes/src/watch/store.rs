//! Facts by key, exchanged whole when everything is listed anew. Pure.

use crate::facts::{Key, Pod, Resource, Workload};
use crate::rival::Rival;
use crate::scalable::{Other, Scaling};
use crate::slice::Slice;
use std::collections::{BTreeMap, BTreeSet};

/// The facts of one kind of objects.
#[derive(Debug)]
pub struct Store<T> {
    facts: BTreeMap<Key, T>,
    /// A new list on its way. Until it is whole the old facts count.
    listing: Option<BTreeMap<Key, T>>,
    is_known: bool,
}

/// What a change comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// Nothing that is kept.
    Nothing,
    /// What nothing is made of, such as most of a status.
    Aside,
    /// Everything else.
    Shape,
}

/// A fact that can be compared with what it was.
pub(crate) trait Fact {
    /// What has changed since `before`.
    fn news(&self, before: &Self) -> News;
}

/// Everything that is known of the cluster.
#[derive(Debug, Default)]
pub struct Stores {
    /// Grows with each change.
    pub revision: u64,
    /// Grows with each that may make another view of the cluster. Most news are statuses, which make none.
    pub shape: u64,
    apis: Store<Resource>,
    pods: Store<Pod>,
    deployments: Store<Workload>,
    stateful_sets: Store<Workload>,
    /// What those of other kinds say by their `/scale`.
    others: BTreeMap<Other, Scaling>,
    rivals: Store<Rival>,
    gateways: Store<Pod>,
    /// Instead of pods, where Services lead to replicas.
    slices: Store<Slice>,
    is_by_slices: bool,
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
    pub(crate) fn tell(&mut self, key: Key, fact: impl FnOnce(Option<&T>) -> Option<T>) -> News
    where
        T: Fact,
    {
        let before = self.facts.get(&key);
        let fact = fact(before);
        let news = match (&fact, before) {
            (Some(fact), Some(before)) => fact.news(before),
            (None, None) => News::Nothing,
            _ => News::Shape,
        };
        self.set(key, fact);
        news
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

impl Fact for Resource {
    fn news(&self, before: &Self) -> News {
        // Gateways go by these two.
        let is_read = |field: &str| self.status[field] != before.status[field];
        let is_same = self.uid == before.uid && self.generation == before.generation;
        match is_same && !is_read("rollout") && !is_read("selector") {
            true => News::Aside,
            false => News::Shape,
        }
    }
}

impl Fact for Pod {
    fn news(&self, before: &Self) -> News {
        if self == before { News::Nothing } else { News::Shape }
    }
}

impl Fact for Slice {
    fn news(&self, before: &Self) -> News {
        if self == before { News::Nothing } else { News::Shape }
    }
}

impl Fact for Workload {
    fn news(&self, before: &Self) -> News {
        if self == before { News::Nothing } else { News::Shape }
    }
}

impl Fact for Rival {
    fn news(&self, before: &Self) -> News {
        if self == before { News::Nothing } else { News::Shape }
    }
}

impl Stores {
    /// Takes note of a change.
    pub(crate) fn count(&mut self, news: News) {
        self.revision += u64::from(news != News::Nothing);
        self.shape += u64::from(news == News::Shape);
    }

    /// Whether every kind was listed whole at least once.
    pub fn are_known(&self) -> bool {
        self.apis.is_known
            && self.pods.is_known
            && self.deployments.is_known
            && self.stateful_sets.is_known
            && self.rivals.is_known
            && self.gateways.is_known
            && self.slices.is_known
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

    /// The slices of each Service, where replicas are found by them.
    pub(crate) fn services(&self) -> Option<BTreeMap<(&str, &str), Vec<&Slice>>> {
        let mut services: BTreeMap<_, Vec<&Slice>> = BTreeMap::new();
        for (key, slice) in &self.slices.facts {
            services.entry((&*key.namespace, &*slice.service)).or_default().push(slice);
        }
        self.is_by_slices.then_some(services)
    }

    /// Replicas are found by slices, and not by pods.
    pub(crate) fn go_by_slices(&mut self) {
        self.is_by_slices = true;
    }

    pub(crate) fn slices(&mut self) -> &mut Store<Slice> {
        &mut self.slices
    }

    pub(crate) fn gateways(&mut self) -> &mut Store<Pod> {
        &mut self.gateways
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
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
    fn a_status_is_news_and_makes_no_other_view_but_by_what_gateways_go_by() {
        let resource = |generation, status| Resource {
            origin: crate::facts::Origin::Resource,
            uid: "u".to_owned(),
            version: "1".to_owned(),
            generation,
            created: 0,
            document: Err(Arc::from("not needed")),
            status: Arc::new(status),
        };
        let before = resource(1, json!({"inFlight": 1, "selector": "a=b"}));
        for (generation, status, news) in [
            (1, json!({"inFlight": 2, "selector": "a=b"}), News::Aside),
            (2, json!({"inFlight": 1, "selector": "a=b"}), News::Shape),
            (1, json!({"inFlight": 1, "selector": "a=c"}), News::Shape),
            (1, json!({"inFlight": 1, "selector": "a=b", "rollout": {}}), News::Shape),
        ] {
            assert_eq!(resource(generation, status.clone()).news(&before), news, "{status}");
        }
        let mut store: Store<Resource> = Store::default();
        let mut tell = |fact: Option<Resource>| store.tell(key("a"), |_| fact);
        assert_eq!(tell(None), News::Nothing);
        assert_eq!(tell(Some(before.clone())), News::Shape);
        assert_eq!(tell(Some(before)), News::Aside);
        assert_eq!(tell(None), News::Shape);
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
            amiss: None,
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
