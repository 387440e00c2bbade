//! Which API a request is for, by host, path and headers.
//!
//! A lookup hashes the host once for each of its labels, and the path once for each depth at which
//! there are rules; how many rules there are makes no difference. Of the rules that match, the
//! one with the more definite host wins, then an exact path, then the longer prefix, then the one
//! with more headers. Where a host has no rule that matches, those of less definite hosts count.

use std::borrow::Cow;
use std::collections::HashMap;

/// The longest name that DNS has. A longer host is nobody's.
const MAX_HOST_BYTES: usize = 253;

/// One rule: all that it names must match.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Rule {
    /// In lower case and without a port; `*.example.com` takes every name below it.
    pub host: Option<String>,
    /// Begins with `/`. A prefix of whole segments, unless it is exact.
    pub path: String,
    /// Whether the path must be this one.
    pub exact: bool,
    /// Headers that must be there, by name in lower case, each with just this value.
    pub headers: Vec<(String, String)>,
    /// Whether the prefix is taken off before forwarding.
    pub strip_prefix: bool,
}

/// The rules of all APIs. `T` is what a rule leads to.
#[derive(Debug)]
pub struct RouteTable<T> {
    /// By whole name.
    hosts: HashMap<Box<str>, Paths<T>>,
    /// By what follows the first label, with its dot.
    domains: HashMap<Box<str>, Paths<T>>,
    any: Paths<T>,
}

/// A rule that matched.
#[derive(Debug, PartialEq, Eq)]
pub struct Match<'a, T> {
    /// What the rule leads to.
    pub target: &'a T,
    /// How many bytes of the path its prefix takes; all of them for an exact path.
    pub prefix: usize,
    /// How many bytes to take off the path's front.
    pub strip: usize,
}

/// The rules of one host.
#[derive(Debug)]
struct Paths<T> {
    exact: HashMap<Box<str>, Vec<Leaf<T>>>,
    /// By prefix, without a slash at its end.
    prefixes: HashMap<Box<str>, Vec<Leaf<T>>>,
    /// For whatever path: the empty prefix, which a sidecar looks up for every request.
    root: Vec<Leaf<T>>,
    /// The number of segments of the deepest prefix: what is deeper in a path is not looked up.
    depth: usize,
}

/// What one path leads to, for requests with these headers.
#[derive(Debug)]
struct Leaf<T> {
    headers: Vec<(String, String)>,
    strip_prefix: bool,
    target: T,
}

// === impl RouteTable ===

impl<T> RouteTable<T> {
    /// The table of these rules. Of equal rules the first one wins.
    pub fn new(rules: Vec<(Rule, T)>) -> Self {
        let mut table =
            Self { hosts: HashMap::new(), domains: HashMap::new(), any: Paths::default() };
        for (rule, target) in rules {
            let paths = match rule.host.as_deref().map(|host| (host, host.strip_prefix('*'))) {
                None => &mut table.any,
                Some((_, Some(domain))) => table.domains.entry(domain.into()).or_default(),
                Some((host, None)) => table.hosts.entry(host.into()).or_default(),
            };
            paths.add(rule, target);
        }
        table.any.sort();
        table.hosts.values_mut().chain(table.domains.values_mut()).for_each(Paths::sort);
        table
    }

    /// The most specific rule that takes this host (with or without a port) and path, and headers
    /// of which `has` says whether one has a value.
    pub fn find(
        &self,
        host: impl AsRef<[u8]>,
        path: &str,
        has: impl Fn(&str, &str) -> bool,
    ) -> Option<Match<'_, T>> {
        if self.hosts.is_empty() && self.domains.is_empty() {
            return self.any.find(path, &has);
        }
        let host = without_port(std::str::from_utf8(host.as_ref()).unwrap_or(""));
        if host.len() <= MAX_HOST_BYTES {
            let host = lower_case(host);
            let of_name = self.hosts.get(&*host).and_then(|paths| paths.find(path, &has));
            if of_name.is_some() {
                return of_name;
            }
            if let Some(found) = self.find_domain(&host, path, &has) {
                return Some(found);
            }
        }
        self.any.find(path, &has)
    }

    /// The longest domain that the host is below of: at least one label stands before it.
    fn find_domain(
        &self,
        host: &str,
        path: &str,
        has: &impl Fn(&str, &str) -> bool,
    ) -> Option<Match<'_, T>> {
        if self.domains.is_empty() {
            return None;
        }
        let dots = host.match_indices('.').map(|(at, _)| at).filter(|at| *at > 0);
        dots.filter_map(|at| self.domains.get(host.get(at..)?))
            .find_map(|paths| paths.find(path, has))
    }
}

// === impl Paths ===

impl<T> Default for Paths<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), prefixes: HashMap::new(), root: Vec::new(), depth: 0 }
    }
}

impl<T> Paths<T> {
    fn add(&mut self, rule: Rule, target: T) {
        let Rule { path, exact, headers, strip_prefix, .. } = rule;
        let leaf = Leaf { headers, strip_prefix: strip_prefix && !exact, target };
        if exact {
            self.exact.entry(path.into()).or_default().push(leaf);
            return;
        }
        let prefix = path.trim_end_matches('/');
        if prefix.is_empty() {
            return self.root.push(leaf);
        }
        self.depth = self.depth.max(prefix.matches('/').count());
        self.prefixes.entry(prefix.into()).or_default().push(leaf);
    }

    /// More headers first; among as many, in the order of their names and values.
    fn sort(&mut self) {
        let below = self.exact.values_mut().chain(self.prefixes.values_mut());
        for leaves in below.chain([&mut self.root]) {
            leaves.iter_mut().for_each(|leaf| leaf.headers.sort());
            leaves.sort_by(|one, other| {
                let fewer = other.headers.len().cmp(&one.headers.len());
                fewer.then_with(|| one.headers.cmp(&other.headers))
            });
        }
    }

    fn find(&self, path: &str, has: &impl Fn(&str, &str) -> bool) -> Option<Match<'_, T>> {
        if let Some(leaf) = self.exact.get(path).and_then(|leaves| first(leaves, has)) {
            return Some(leaf.found(path.len()));
        }
        // `OPTIONS *` too has the empty prefix.
        let mut end = if self.depth == 0 { 0 } else { deepest_end(path, self.depth) };
        while end > 0 {
            let prefix = path.get(..end)?;
            if let Some(leaf) = self.prefixes.get(prefix).and_then(|leaves| first(leaves, has)) {
                return Some(leaf.found(end));
            }
            end = prefix.rfind('/')?;
        }
        first(&self.root, has).map(|leaf| leaf.found(0))
    }
}

impl<T> Leaf<T> {
    fn found(&self, prefix: usize) -> Match<'_, T> {
        let strip = if self.strip_prefix { prefix } else { 0 };
        Match { target: &self.target, prefix, strip }
    }
}

fn first<'a, T>(leaves: &'a [Leaf<T>], has: &impl Fn(&str, &str) -> bool) -> Option<&'a Leaf<T>> {
    leaves.iter().find(|leaf| leaf.headers.iter().all(|(name, value)| has(name, value)))
}

/// Where the prefix of so many segments ends, or the path.
fn deepest_end(path: &str, depth: usize) -> usize {
    if !path.starts_with('/') {
        return 0;
    }
    let mut slashes = path.match_indices('/').map(|(at, _)| at);
    slashes.nth(depth).unwrap_or(path.len())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

fn lower_case(host: &str) -> Cow<'_, str> {
    match host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(host.to_ascii_lowercase()),
        false => Cow::Borrowed(host),
    }
}

#[cfg(test)]
mod tests;
