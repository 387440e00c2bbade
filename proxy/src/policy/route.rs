//! Which API a request is for, by host and path.

/// One rule: all that it names must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// In lower case and without a port; `*.example.com` takes every name below it.
    pub host: Option<String>,
    /// A prefix of whole segments; begins with `/`.
    pub path: String,
    /// Whether the prefix is taken off before forwarding.
    pub strip_prefix: bool,
}

/// The rules of all APIs, most specific first. `T` is what a rule leads to.
#[derive(Debug)]
pub struct RouteTable<T> {
    rules: Vec<(Rule, T)>,
}

/// A rule that matched.
#[derive(Debug, PartialEq, Eq)]
pub struct Match<'a, T> {
    /// What the rule leads to.
    pub target: &'a T,
    /// How many bytes to take off the path's front.
    pub strip: usize,
}

// === impl RouteTable ===

impl<T> RouteTable<T> {
    /// Sorts the rules: an exact host before a wildcard before none, then the longer path. Equal
    /// rules keep their order, so the first one wins.
    pub fn new(mut rules: Vec<(Rule, T)>) -> Self {
        rules.sort_by_key(|(rule, _)| std::cmp::Reverse(specificity(rule)));
        Self { rules }
    }

    /// The most specific rule that takes this host (with or without a port) and path.
    pub fn find(&self, host: &str, path: &str) -> Option<Match<'_, T>> {
        let host = without_port(host);
        let (rule, target) = self.rules.iter().find(|(rule, _)| {
            host_matches(rule.host.as_deref(), host) && path_matches(&rule.path, path)
        })?;
        let strip = if rule.strip_prefix { rule.path.trim_end_matches('/').len() } else { 0 };
        Some(Match { target, strip })
    }
}

fn specificity(rule: &Rule) -> (u8, usize, usize) {
    let (kind, length) = match &rule.host {
        None => (0, 0),
        Some(host) if host.starts_with("*.") => (1, host.len()),
        Some(host) => (2, host.len()),
    };
    (kind, length, rule.path.len())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

fn host_matches(wanted: Option<&str>, host: &str) -> bool {
    let Some(wanted) = wanted else { return true };
    let Some(suffix) = wanted.strip_prefix('*') else { return wanted.eq_ignore_ascii_case(host) };
    // "*.example.com" leaves ".example.com": at least one more label must stand before it.
    let Some(split) = host.len().checked_sub(suffix.len()).filter(|split| *split > 0) else {
        return false;
    };
    host.get(split..).is_some_and(|tail| tail.eq_ignore_ascii_case(suffix))
}

fn path_matches(prefix: &str, path: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    if prefix.is_empty() {
        // `OPTIONS *` too, which has no path.
        return true;
    }
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rules: &[(Option<&str>, &str)]) -> RouteTable<usize> {
        let rule = |(index, (host, path)): (usize, &(Option<&str>, &str))| {
            let host = host.map(str::to_owned);
            (Rule { host, path: (*path).to_owned(), strip_prefix: false }, index)
        };
        RouteTable::new(rules.iter().enumerate().map(rule).collect())
    }

    #[test]
    fn the_most_specific_rule_wins() {
        let table = table(&[
            (None, "/"),
            (None, "/v1"),
            (None, "/v1/digits"),
            (Some("*.models.test"), "/"),
            (Some("a.models.test"), "/"),
        ]);
        for (host, path, expected) in [
            ("x", "/", 0),
            ("x", "/v1", 1),
            ("x", "/v1/", 1),
            ("x", "/v1x", 0),
            ("x", "/v1/digits/7", 2),
            ("x", "/v1/digitsandmore", 1),
            ("b.models.test", "/v1", 3),
            ("A.Models.Test:8080", "/v1", 4),
            ("models.test", "/", 0),
            ("evilmodels.test", "/", 0),
            (".models.test", "/", 0),
            ("[::1]:80", "/", 0),
        ] {
            let found = table.find(host, path).map(|m| *m.target);
            assert_eq!(found, Some(expected), "{host} {path}");
        }
    }

    #[test]
    fn no_rule_no_match() {
        assert_eq!(table(&[(None, "/v1")]).find("x", "/"), None);
        assert_eq!(table(&[(Some("a"), "/")]).find("b", "/"), None);
    }

    #[test]
    fn a_stripped_prefix_leaves_the_rest_with_its_slash() {
        let rule = Rule { host: None, path: "/models/digits/".to_owned(), strip_prefix: true };
        let table = RouteTable::new(vec![(rule, ())]);
        let path = "/models/digits/predict";
        let found = table.find("x", path).unwrap();
        assert_eq!(path.split_at(found.strip).1, "/predict");
    }
}
