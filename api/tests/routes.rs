//! Routes, models and access: what arrives, and what is refused.

use crate::MINIMAL;
use std::path::Path;
use std::time::Duration;
use tidegate_api::document::{RateLimit, RateLimitBy, WhenNotFound};
use tidegate_api::{InferenceApi, Report, parse};

fn read(name: &str, spec: &str) -> String {
    let block = MINIMAL.replace("spec: {container:", "spec:\n  container:").replace("}}\n", "}\n");
    format!("---\n{}  {spec}\n", block.replace("name: example", &format!("name: {name}")))
}

fn one(spec: &str) -> InferenceApi {
    parse(&read("a", spec), "a.yaml", Path::new("/apps")).expect("a good document").remove(0)
}

fn refused(text: &str) -> Report {
    parse(text, "a.yaml", Path::new("/apps")).expect_err("a mistake")
}

#[test]
fn routes_of_each_kind_arrive_in_one_form() {
    for (spec, path, exact) in [
        ("routes: [{path: /a/}]", "/a", false),
        ("routes: [{exactPath: /a/}]", "/a/", true),
        ("routes: [{grpc: {service: a.B}}]", "/a.B", false),
        ("routes: [{grpc: {service: a.B, method: C}}]", "/a.B/C", true),
        ("routes: [{headers: {X-Team: red}}]", "/", false),
    ] {
        let route = &one(spec).routes[0];
        assert_eq!((route.path.as_str(), route.exact), (path, exact), "{spec}");
        let team = route.headers.get("x-team").map(String::as_str);
        assert_eq!(team, spec.contains("Team").then_some("red"));
    }
}

#[test]
fn models_and_their_defaults_arrive() {
    let openai = one("openai: {models: [m-1, m]}").openai.unwrap();
    assert_eq!((openai.models.len(), openai.scan_limit), (2, 1 << 20));
    assert_eq!(openai.when_not_found, WhenNotFound::Refuse);
    let openai = one("openai: {models: [m], scanLimit: 2k, whenNotFound: serve}").openai.unwrap();
    assert_eq!((openai.scan_limit, openai.when_not_found), (2000, WhenNotFound::Serve));
}

#[test]
fn access_arrives() {
    let access =
        one("access: {apiKeys: {file: keys.txt}, rateLimit: {requestsPerSecond: 5}}").access;
    assert_eq!(access.api_keys.as_deref(), Some(Path::new("/apps/keys.txt")));
    let expected = RateLimit {
        by: RateLimitBy::Tenant,
        requests_per_second: Some(5.0),
        tokens_per_second: None,
        burst: Duration::from_secs(1),
    };
    assert_eq!(access.rate_limit, Some(expected.clone()));
    let other = "access: {rateLimit: {by: 'header:X-User', tokensPerSecond: 9, burst: 2s}}";
    let limit = one(other).access.rate_limit.unwrap();
    assert_eq!(limit.by, RateLimitBy::Header("x-user".to_owned()));
    assert_eq!((limit.tokens_per_second, limit.burst), (Some(9.0), Duration::from_secs(2)));
}

#[test]
fn each_mistake_is_named_with_its_key() {
    for (spec, path, what) in [
        (
            "routes: [{path: /a, exactPath: /b}]",
            "spec.routes[0].exactPath",
            "is given beside `path`",
        ),
        (
            "routes: [{path: /a, grpc: {service: a.B}}]",
            "spec.routes[0].grpc",
            "is given beside `path`",
        ),
        ("routes: [{grpc: {}}]", "spec.routes[0].grpc.service", "is missing"),
        ("routes: [{grpc: {service: a/B}}]", "spec.routes[0].grpc.service", "is \"a/B\""),
        (
            "routes: [{exactPath: /a, stripPrefix: true}]",
            "spec.routes[0].stripPrefix",
            "is true for a whole path",
        ),
        ("routes: [{headers: {'x y': a}}]", "spec.routes[0].headers.x y", "is \"x y\""),
        (
            "routes: [{headers: {x-A: a, x-a: b}}]",
            "spec.routes[0].headers.x-a",
            "is given twice, as names have no case",
        ),
        ("openai: {}", "spec.openai.models", "is missing"),
        ("openai: {models: []}", "spec.openai.models", "is empty"),
        ("openai: {models: [a, a]}", "spec.openai.models[1]", "is \"a\" again"),
        ("openai: {models: ['a b']}", "spec.openai.models[0]", "is \"a b\""),
        ("openai: {models: [a], scanLimit: 1}", "spec.openai.scanLimit", "is 1 bytes"),
        ("access: {rateLimit: {}}", "spec.access.rateLimit", "has no rate"),
        (
            "access: {rateLimit: {by: me, requestsPerSecond: 1}}",
            "spec.access.rateLimit.by",
            "is \"me\"",
        ),
        (
            "access: {rateLimit: {burst: 2h, requestsPerSecond: 1}}",
            "spec.access.rateLimit.burst",
            "is 2h",
        ),
        (
            "access: {rateLimit: {requestsPerSecond: 0}}",
            "spec.access.rateLimit.requestsPerSecond",
            "is 0",
        ),
    ] {
        let report = refused(&read("a", spec));
        let [mistake] = report.mistakes.as_slice() else { panic!("{spec}:\n{report}") };
        assert_eq!((mistake.path.as_str(), mistake.what.as_str()), (path, what), "{spec}");
    }
}

#[test]
fn apis_may_share_a_route_as_long_as_their_models_tell_them_apart() {
    let two = |first: &str, second: &str| read("a", first) + &read("b", second);
    let apart = two("openai: {models: [m]}", "openai: {models: [n], whenNotFound: serve}");
    assert_eq!(parse(&apart, "a.yaml", Path::new("/")).unwrap().len(), 2);
    let other = two("routes: [{headers: {x-a: b}}]", "routes: [{path: /}]");
    assert_eq!(parse(&other, "a.yaml", Path::new("/")).unwrap().len(), 2);
    for (first, second, what) in [
        (
            "openai: {models: [m]}",
            "openai: {models: [n, m]}",
            "leads to the model \"m\", as that of \"a\" in line 5",
        ),
        (
            "openai: {models: [m], whenNotFound: serve}",
            "openai: {models: [n], whenNotFound: serve}",
            "takes what names no model, as that of \"a\" in line 5",
        ),
        (
            "routes: [{path: /v1}]\n  openai: {models: [m]}",
            "routes: [{path: /v1/, stripPrefix: true}]\n  openai: {models: [n]}",
            "takes the prefix off, unlike that of \"a\" in line 7",
        ),
        (
            "openai: {models: [m]}",
            "port: 80",
            "is the route / of every host, as that of \"a\" in line 5",
        ),
        (
            "routes: [{exactPath: /x, headers: {x-a: b}}]",
            "routes: [{headers: {X-A: b}, exactPath: /x}]",
            "is the route /x of every host exactly with x-a: b, as that of \"a\" in line 7",
        ),
    ] {
        let report = refused(&two(first, second));
        let [mistake] = report.mistakes.as_slice() else { panic!("{first}:\n{report}") };
        assert_eq!(mistake.what, what);
    }
}
