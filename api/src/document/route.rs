//! Which requests are an API's: its routes, and the models that they name.

use super::InferenceApi;
use std::collections::BTreeMap;
use std::fmt;

/// Which requests belong to an API. All that is given must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The host, in lower case and without a port; `*.example.com` takes every name below it.
    pub host: Option<String>,
    /// Begins with `/`. A prefix that matches whole segments, unless it is exact.
    pub path: String,
    /// Whether the path must be this one, and not only begin so.
    pub exact: bool,
    /// Headers, by name in lower case, that must be there with just this value.
    pub headers: BTreeMap<String, String>,
    /// Whether the prefix is taken off before the request is forwarded. Not with an exact path.
    pub strip_prefix: bool,
}

/// Requests that are told apart by the field `model` of their JSON body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAi {
    /// The names that are accepted, the one that is listed first. Not empty.
    pub models: Vec<String>,
    /// How far into a body `model` is looked for, in bytes.
    pub scan_limit: u64,
    /// What becomes of a request on the API's routes that names no model, or one nobody has.
    pub when_not_found: WhenNotFound,
}

/// What becomes of a request that names no model, or one that nobody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenNotFound {
    /// It is refused.
    Refuse,
    /// This API takes it.
    Serve,
}

/// Why two APIs can't have the same route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clash<'a> {
    /// They are not told apart by the models that requests name.
    Route,
    /// Both have this model.
    Model(&'a str),
    /// Both take what names no model.
    Unnamed,
    /// One takes the route's prefix off, the other leaves it.
    Prefix,
}

/// What a route matches by: host, whether the path is exact, path, headers.
pub type RouteKey<'a> = (Option<&'a str>, bool, &'a str, &'a BTreeMap<String, String>);

// === impl Route ===

impl Route {
    /// What it matches by. Two routes with the same match the same requests.
    pub fn key(&self) -> RouteKey<'_> {
        (self.host.as_deref(), self.exact, &self.path, &self.headers)
    }
}

/// As in "the route /v1 of every host".
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "the route {host}{}", self.path)?,
            None => write!(f, "the route {} of every host", self.path)?,
        }
        if self.exact {
            f.write_str(" exactly")?;
        }
        for (index, (name, value)) in self.headers.iter().enumerate() {
            write!(f, "{}{name}: {value}", if index == 0 { " with " } else { ", " })?;
        }
        Ok(())
    }
}

// === impl Clash ===

impl<'a> Clash<'a> {
    /// Of two APIs, each with its form of a route that both have.
    pub fn between(
        (one, route): (&'a InferenceApi, &Route),
        (other, its): (&'a InferenceApi, &Route),
    ) -> Option<Self> {
        let (Some(first), Some(second)) = (&one.openai, &other.openai) else {
            return Some(Self::Route);
        };
        if one.name == other.name {
            return Some(Self::Route);
        }
        if let Some(model) = first.models.iter().find(|model| second.models.contains(model)) {
            return Some(Self::Model(model));
        }
        let takes_all = |openai: &OpenAi| openai.when_not_found == WhenNotFound::Serve;
        if takes_all(first) && takes_all(second) {
            return Some(Self::Unnamed);
        }
        // Whether it is taken off is found before the model is.
        (route.strip_prefix != its.strip_prefix).then_some(Self::Prefix)
    }
}
