//! The models that share a route: which API has which, and what a list of them shows.

use super::route::{RouteTable, Rule};
use std::collections::HashMap;
use std::sync::Arc;

/// What a route leads to.
#[derive(Debug, Clone)]
pub enum Target<T> {
    /// To one API.
    Api(T),
    /// To that of several, or the one, that has the model which the request's body names.
    Models(Arc<Models<T>>),
}

/// The models of one route. `T` is the API that has them.
#[derive(Debug, Clone)]
pub struct Models<T> {
    by_name: HashMap<Box<str>, T>,
    /// Takes what names no model, or one that nobody has.
    fallback: Option<T>,
    /// The first name of each API, as the documents have them.
    listed: Vec<Box<str>>,
    /// How far into a body the model is looked for, in bytes.
    scan_limit: usize,
}

/// What one API brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelNames {
    /// All that are accepted; the first is listed.
    pub names: Vec<String>,
    /// Whether it takes what names no model, or one that nobody has.
    pub takes_unknown: bool,
    /// How far into a body the model is looked for, in bytes.
    pub scan_limit: usize,
}

// === impl Models ===

impl<T> Default for Models<T> {
    fn default() -> Self {
        Self { by_name: HashMap::new(), fallback: None, listed: Vec::new(), scan_limit: 0 }
    }
}

impl<T: Clone> Models<T> {
    /// Adds an API's. A name that is there already stays with whom it is; the furthest scan counts.
    pub fn add(&mut self, names: &ModelNames, api: &T) {
        for name in &names.names {
            self.by_name.entry(name.as_str().into()).or_insert_with(|| api.clone());
        }
        self.listed.extend(names.names.first().map(|name| name.as_str().into()));
        if names.takes_unknown && self.fallback.is_none() {
            self.fallback = Some(api.clone());
        }
        self.scan_limit = self.scan_limit.max(names.scan_limit);
    }
}

impl<T> Models<T> {
    /// The API that has this model.
    pub fn named(&self, name: &str) -> Option<&T> {
        self.by_name.get(name)
    }

    /// The API that takes what names no model, or one that nobody has.
    pub fn fallback(&self) -> Option<&T> {
        self.fallback.as_ref()
    }

    /// The API that may speak for all where no model is named, as for what a path allows.
    pub fn any(&self) -> Option<&T> {
        self.fallback().or_else(|| self.listed().next().map(|(_, api)| api))
    }

    /// The names to list, each with its API.
    pub fn listed(&self) -> impl Iterator<Item = (&str, &T)> {
        self.listed.iter().filter_map(|name| Some((&**name, self.by_name.get(name)?)))
    }

    /// How far into a body the model is looked for, in bytes.
    pub fn scan_limit(&self) -> usize {
        self.scan_limit
    }
}

// === impl Target ===

impl<T: Clone> Target<T> {
    /// The table of all APIs: those with models share their routes.
    pub fn table(apis: Vec<(Vec<Rule>, Option<ModelNames>, T)>) -> RouteTable<Self> {
        let mut rules = Vec::new();
        let mut shared: HashMap<Rule, Models<T>> = HashMap::new();
        for (own, models, api) in apis {
            for rule in own {
                match &models {
                    None => rules.push((rule, Self::Api(api.clone()))),
                    Some(names) => shared.entry(rule).or_default().add(names, &api),
                }
            }
        }
        let shared = shared.into_iter().map(|(rule, of)| (rule, Self::Models(Arc::new(of))));
        rules.extend(shared);
        RouteTable::new(rules)
    }
}

/// The rest of a path that asks for the list of models (`None`) or for one of them, as OpenAI's API
/// has it; `rest` is what follows the route's prefix.
pub fn asks_for(rest: &str) -> Option<Option<&str>> {
    let rest = rest.strip_prefix("/v1").unwrap_or(rest).strip_prefix("/models")?;
    match rest.strip_prefix('/') {
        None if rest.is_empty() => Some(None),
        None => None,
        Some("") => Some(None),
        Some(name) => Some(Some(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str], takes_unknown: bool, scan_limit: usize) -> ModelNames {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        ModelNames { names, takes_unknown, scan_limit }
    }

    #[test]
    fn each_name_leads_to_its_api_and_the_first_is_listed() {
        let mut models = Models::default();
        models.add(&names(&["m-1", "m"], false, 10), &1);
        models.add(&names(&["n", "m"], true, 5), &2);
        for (name, api) in [("m-1", Some(1)), ("m", Some(1)), ("n", Some(2)), ("x", None)] {
            assert_eq!(models.named(name).copied(), api, "{name}");
        }
        assert_eq!(models.listed().collect::<Vec<_>>(), [("m-1", &1), ("n", &2)]);
        assert_eq!((models.fallback().copied(), models.scan_limit()), (Some(2), 10));
        assert_eq!(models.any(), Some(&2));
        let mut strict = Models::default();
        strict.add(&names(&["m"], false, 10), &1);
        strict.add(&names(&["n"], false, 10), &2);
        assert_eq!((strict.any(), Models::<u8>::default().any()), (Some(&1), None));
    }

    #[test]
    fn paths_of_the_list() {
        for (rest, asked) in [
            ("/models", Some(None)),
            ("/models/", Some(None)),
            ("/v1/models", Some(None)),
            ("/v1/models/m", Some(Some("m"))),
            ("/models/org/m", Some(Some("org/m"))),
            ("/modelsx", None),
            ("/v1/chat/completions", None),
            ("", None),
            ("/v1/v1/models", None),
        ] {
            assert_eq!(asks_for(rest), asked, "{rest}");
        }
    }
}
