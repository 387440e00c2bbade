//! The table beside a list that is searched from its front: they must always agree.

use super::*;
use proptest::prelude::*;

fn rule(host: Option<&str>, path: &str) -> Rule {
    Rule { host: host.map(str::to_owned), path: path.to_owned(), ..Rule::default() }
}

fn table(rules: &[(Option<&str>, &str)]) -> RouteTable<usize> {
    let rule = |(index, (host, path)): (usize, &(Option<&str>, &str))| (rule(*host, path), index);
    RouteTable::new(rules.iter().enumerate().map(rule).collect())
}

fn no_headers(_: &str, _: &str) -> bool {
    false
}

#[test]
fn the_most_specific_rule_wins() {
    let table = table(&[
        (None, "/"),
        (None, "/v1"),
        (None, "/v1/digits"),
        (Some("*.models.test"), "/"),
        (Some("a.models.test"), "/"),
        (Some("*.b.models.test"), "/v2"),
    ]);
    for (host, path, expected) in [
        ("x", "/", 0),
        ("x", "*", 0),
        ("x", "", 0),
        ("x", "/v1", 1),
        ("x", "/v1/", 1),
        ("x", "/v1x", 0),
        ("x", "//v1", 0),
        ("x", "/v1//digits", 1),
        ("x", "/v1/digits/7", 2),
        ("x", "/v1/digitsandmore", 1),
        ("b.models.test", "/v1", 3),
        ("A.Models.Test:8080", "/v1", 4),
        ("c.b.models.test", "/v2/x", 5),
        ("c.b.models.test", "/v1", 3),
        ("models.test", "/", 0),
        ("evilmodels.test", "/", 0),
        (".models.test", "/", 0),
        ("[::1]:80", "/", 0),
    ] {
        let found = table.find(host, path, no_headers).map(|m| *m.target);
        assert_eq!(found, Some(expected), "{host} {path}");
    }
}

#[test]
fn no_rule_no_match() {
    assert_eq!(table(&[(None, "/v1")]).find("x", "/", no_headers), None);
    assert_eq!(table(&[(Some("a"), "/")]).find("b", "/", no_headers), None);
}

#[test]
fn an_exact_path_wins_and_takes_nothing_below_it() {
    let exact = Rule { exact: true, ..rule(None, "/v1/predict") };
    let table = RouteTable::new(vec![(rule(None, "/v1/predict"), 0), (exact, 1)]);
    for (path, expected) in [("/v1/predict", 1), ("/v1/predict/", 0), ("/v1/predict/x", 0)] {
        assert_eq!(table.find("x", path, no_headers).map(|m| *m.target), Some(expected), "{path}");
    }
}

#[test]
fn headers_decide_among_rules_of_one_path_and_without_them_the_shorter_prefix_counts() {
    let with = |headers: &[(&str, &str)], path| Rule {
        headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        ..rule(None, path)
    };
    let table = RouteTable::new(vec![
        (rule(None, "/"), 0),
        (with(&[("x-team", "red")], "/v1"), 1),
        (with(&[("x-team", "red"), ("x-tier", "gold")], "/v1"), 2),
    ]);
    for (sent, expected) in [
        (&[][..], 0),
        (&[("x-team", "red")], 1),
        (&[("x-team", "blue")], 0),
        (&[("x-tier", "gold"), ("x-team", "red")], 2),
    ] {
        let has = |name: &str, value: &str| sent.contains(&(name, value));
        assert_eq!(table.find("x", "/v1/x", has).map(|m| *m.target), Some(expected), "{sent:?}");
    }
}

#[test]
fn a_stripped_prefix_leaves_the_rest_with_its_slash() {
    let rule = Rule { strip_prefix: true, ..rule(None, "/models/digits/") };
    let table = RouteTable::new(vec![(rule, ())]);
    let path = "/models/digits/predict";
    let found = table.find("x", path, no_headers).unwrap();
    assert_eq!(path.split_at(found.strip).1, "/predict");
}

/// What a rule takes, read off its definition.
fn takes(rule: &Rule, host: &str, path: &str) -> bool {
    let host_fits = match rule.host.as_deref().map(|own| own.strip_prefix('*').ok_or(own)) {
        None => true,
        Some(Err(own)) => own.eq_ignore_ascii_case(host),
        Some(Ok(domain)) => {
            host.len() > domain.len() && host.to_ascii_lowercase().ends_with(domain)
        }
    };
    let prefix = rule.path.trim_end_matches('/');
    let rest = path.strip_prefix(prefix);
    host_fits
        && match rule.exact {
            true => rule.path == path,
            false => rest
                .is_some_and(|rest| prefix.is_empty() || rest.is_empty() || rest.starts_with('/')),
        }
}

/// The order in which rules count.
fn rank(rule: &Rule) -> (u8, usize, bool, usize) {
    let (kind, length) = match &rule.host {
        None => (0, 0),
        Some(host) if host.starts_with('*') => (1, host.len()),
        Some(_) => (2, 0),
    };
    (kind, length, rule.exact, rule.path.trim_end_matches('/').len())
}

proptest! {
    #[test]
    fn the_table_finds_what_a_search_through_all_rules_finds(
        rules in prop::collection::vec(
            (prop::option::of("(\\*\\.)?[ab](\\.[ab]){0,2}"), "/([ab]/?){0,3}", any::<bool>()),
            0..12,
        ),
        asked in prop::collection::vec(("[abA](\\.[ab]){0,3}", "(/[ab]?){0,4}"), 1..8),
    ) {
        let rules: Vec<Rule> = rules
            .into_iter()
            .map(|(host, path, exact)| Rule { host, path, exact, ..Rule::default() })
            .collect();
        let table = RouteTable::new(rules.iter().cloned().map(|rule| (rule.clone(), rule)).collect());
        for (host, path) in asked {
            let best = rules.iter().filter(|rule| takes(rule, &host, &path)).map(rank).max();
            let found = table.find(&host, &path, no_headers).map(|found| rank(found.target));
            prop_assert_eq!(found, best, "{} {}", host, path);
        }
    }
}
