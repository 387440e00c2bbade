//! An API whose requests are split among others: its versions, and how one is found for a request.

use crate::affinity::Affinity;
use crate::fields::Fields;
use crate::metrics::shadow::ShadowCounts;
use crate::policy::split::choose;
use arc_swap::ArcSwap;
use http::HeaderName;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_api::endpoints::TrafficWeights;

/// Weights that count instead of the documents', by API. Whoever follows them puts them here.
pub type WeightsInForce = Arc<ArcSwap<BTreeMap<String, TrafficWeights>>>;

/// How an API's requests are split. `T` is what stands for an API.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitSettings<T> {
    /// The versions: the one that grows, or may, first; then the next to shrink.
    pub versions: Vec<Version<T>>,
    /// What keeps a client with its version.
    pub sticky: Option<Affinity>,
    /// A header that names a version.
    pub override_header: Option<HeaderName>,
    /// Who is sent copies.
    pub shadow: Option<ShadowSettings>,
    /// Whether the versions are compared with each other, as one takes over.
    pub compares: bool,
}

/// Who is sent copies of requests.
#[derive(Debug, Clone, PartialEq)]
pub struct ShadowSettings {
    /// The name of its API.
    pub name: String,
    /// The share of requests that is copied.
    pub share: f64,
}

/// The same, with its API.
#[derive(Debug, Clone)]
pub struct Shadow<T> {
    /// Its API.
    pub api: T,
    /// The share of requests that is copied.
    pub share: f64,
    /// What is counted.
    pub counts: ShadowCounts,
}

/// One version.
#[derive(Debug, Clone, PartialEq)]
pub struct Version<T> {
    /// The name of its API.
    pub name: String,
    /// Its weight, where the document counts.
    pub weight: u32,
    /// Its API.
    pub api: T,
}

/// An API whose requests are split.
#[derive(Debug)]
pub struct Split<T> {
    /// Its name.
    pub name: String,
    settings: SplitSettings<T>,
    /// Who is sent copies.
    pub shadow: Option<Shadow<T>>,
    in_force: WeightsInForce,
}

// === impl Version ===

impl<T> Version<T> {
    /// Whether it is meant: on a cluster its namespace, which is that of the API, may be left out.
    fn is_called(&self, said: &[u8]) -> bool {
        let own = self.name.rsplit_once('/').map_or(&*self.name, |(_, own)| own);
        self.name.as_bytes() == said || own.as_bytes() == said
    }
}

// === impl Split ===

impl<T> Split<T> {
    /// An API of this name.
    pub fn new(
        name: String,
        settings: SplitSettings<T>,
        shadow: Option<Shadow<T>>,
        in_force: WeightsInForce,
    ) -> Self {
        Self { name, settings, shadow, in_force }
    }

    /// The API that gets a request with this head. `drawn` is a random number. `None` if there is none,
    /// which the document's check has seen to.
    pub fn choose(&self, headers: &Fields, drawn: u64) -> Option<&T> {
        let SplitSettings { versions, sticky, override_header, .. } = &self.settings;
        let named = override_header.as_ref().and_then(|header| headers.get(header));
        let named = named.and_then(|said| versions.iter().find(|of| of.is_called(said)));
        if let Some(version) = named {
            return Some(&version.api);
        }
        let spot = sticky.as_ref().and_then(|sticky| sticky.key(headers, b"")).unwrap_or(drawn);
        let told = self.in_force.load();
        let told = self.told(&told);
        let chosen = choose(versions.iter().map(|version| weight(version, told)), spot)?;
        versions.get(chosen).map(|version| &version.api)
    }

    /// The versions.
    pub fn apis(&self) -> impl Iterator<Item = &T> {
        self.settings.versions.iter().map(|version| &version.api)
    }

    /// The weights in force, by version.
    pub fn weights(&self) -> Vec<(String, u32)> {
        let told = self.in_force.load();
        let told = self.told(&told);
        let versions = self.settings.versions.iter();
        versions.map(|version| (version.name.clone(), weight(version, told))).collect()
    }

    /// The weights that count instead of the document's, if there are such.
    fn told<'a>(&self, all: &'a BTreeMap<String, TrafficWeights>) -> Option<&'a TrafficWeights> {
        let told = all.get(&self.name)?;
        let is_served = |version: &Version<T>| told.get(&version.name).is_some_and(|of| *of > 0);
        self.settings.versions.iter().any(is_served).then_some(told)
    }
}

fn weight<T>(version: &Version<T>, told: Option<&TrafficWeights>) -> u32 {
    told.map_or(version.weight, |told| told.get(&version.name).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two versions, `new` before `old`; 10 and 90.
    fn split(told: &[(&str, &[(&str, u32)])]) -> Split<u8> {
        let version = |name: &str, weight, api| Version { name: name.to_owned(), weight, api };
        let settings = SplitSettings {
            versions: vec![version("new", 10, 2), version("old", 90, 1)],
            sticky: Some(Affinity::Header(HeaderName::from_static("x-user"))),
            override_header: Some(HeaderName::from_static("x-version")),
            shadow: None,
            compares: false,
        };
        let told = told.iter().map(|(api, weights)| {
            let weights = weights.iter().map(|(name, weight)| ((*name).to_owned(), *weight));
            ((*api).to_owned(), weights.collect())
        });
        Split::new("s".to_owned(), settings, None, Arc::new(ArcSwap::from_pointee(told.collect())))
    }

    fn headers(lines: &[(&'static str, &str)]) -> Fields {
        lines.iter().copied().collect()
    }

    #[test]
    fn a_draw_goes_by_the_weights_in_force() {
        let (low, high) = (u64::MAX / 20, u64::MAX / 2);
        for (told, at_low, at_high) in [
            (&[][..], 2, 1),
            (&[("s", &[("new", 60), ("old", 40)][..])], 2, 2),
            (&[("s", &[("old", 100)][..])], 1, 1),
            // What says nothing of these versions does not count.
            (&[("t", &[("new", 60), ("old", 40)][..])], 2, 1),
            (&[("s", &[("gone", 100)][..])], 2, 1),
            (&[("s", &[("new", 0), ("old", 0)][..])], 2, 1),
        ] {
            let split = split(told);
            let chosen = |drawn| split.choose(&Fields::default(), drawn).copied();
            assert_eq!((chosen(low), chosen(high)), (Some(at_low), Some(at_high)), "{told:?}");
        }
    }

    #[test]
    fn a_client_that_is_known_stays_whatever_is_drawn_and_moves_once() {
        let at = |weight: u32, user: &str, drawn| {
            let split = split(&[("s", &[("new", weight), ("old", 100 - weight)])]);
            *split.choose(&headers(&[("x-user", user)]), drawn).unwrap()
        };
        for user in 0..100 {
            let user = user.to_string();
            let mut path: Vec<u8> = (0..=100).map(|weight| at(weight, &user, 0)).collect();
            assert_eq!(at(50, &user, 0), at(50, &user, u64::MAX));
            path.dedup();
            assert_eq!(path, [1, 2], "{user}");
        }
    }

    #[test]
    fn a_tester_names_a_version_and_no_other_api() {
        let split = split(&[("s", &[("old", 100)])]);
        let chosen = |said: &str| {
            split.choose(&headers(&[("x-version", said), ("x-user", "a")]), 0).copied()
        };
        for (said, version) in [("new", 2), ("old", 1), ("s", 1), ("", 1), ("NEW", 1)] {
            assert_eq!(chosen(said), Some(version), "{said}");
        }
        let version = Version { name: "models/new".to_owned(), weight: 0, api: () };
        assert!(version.is_called(b"new") && version.is_called(b"models/new"));
        assert!(!version.is_called(b"models") && !version.is_called(b""));
    }
}
