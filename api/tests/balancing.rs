//! `spec.balancing`: its values arrive, and its mistakes are named.

use std::time::Duration;
use tidegate_api::Report;
use tidegate_api::document::{Balancing, BalancingPolicy, HashBy, Hedging, Retries};

fn read(balancing: &str) -> Result<Balancing, Report> {
    crate::read(&format!("balancing: {balancing}")).map(|api| api.balancing)
}

#[test]
fn the_choice_of_a_replica_arrives() {
    let policy = |balancing: &str| read(balancing).expect(balancing).policy;
    assert_eq!(policy("{policy: leastLoaded}"), BalancingPolicy::LeastLoaded);
    for (hash, by) in [
        ("header: X-Session", HashBy::Header("x-session".to_owned())),
        ("cookie: S", HashBy::Cookie("S".to_owned())),
        ("promptPrefix: 100", HashBy::PromptPrefix(100)),
    ] {
        let policy =
            policy(&format!("{{policy: consistentHash, loadFactor: 2, hash: {{{hash}}}}}"));
        assert_eq!(policy, BalancingPolicy::ConsistentHash { by, load_factor: 2.0 });
    }
}

/// A mistake, and what is to be said of it: path, what, must.
const MISTAKES: &[(&str, &str, &str, &str)] = &[
    (
        "{policy: consistentHash}",
        "spec.balancing.policy",
        "is consistentHash, without a `hash`",
        "given with `hash`",
    ),
    (
        "{hash: {header: a, cookie: b}}",
        "spec.balancing.hash",
        "has 2 of the three keys",
        "one of `header`, `cookie` and `promptPrefix`",
    ),
    (
        "{hash: {header: 'a b'}}",
        "spec.balancing.hash.header",
        "is \"a b\"",
        "a name of letters, digits and `!#$%&'*+-.^_|~`, such as `x-session`",
    ),
    ("{loadFactor: 0.5}", "spec.balancing.loadFactor", "is 0.5", "a number from 1 to 100"),
    (
        "{hedging: {percentile: 1}}",
        "spec.balancing.hedging.percentile",
        "is 1",
        "a number from 0.5 to 0.999",
    ),
    ("{hedging: {floor: 0s}}", "spec.balancing.hedging.floor", "is 0s", "from 1ms to 30d"),
    ("{hedging: {methods: []}}", "spec.balancing.hedging.methods", "is empty", "a list of methods"),
    ("{hedging: {methods: [get]}}", "spec.balancing.hedging.methods[0]", "is \"get\"", "GET"),
    ("{slowStart: 2h}", "spec.balancing.slowStart", "is 2h", "from 0s to 1h"),
    ("{ejection: {baseTime: 2m}}", "spec.balancing.ejection.baseTime", "is 2m", "from 1ms to 1m"),
];

#[test]
fn each_mistake_is_named() {
    for (balancing, path, what, must) in MISTAKES {
        let report = read(balancing).expect_err(balancing);
        let [mistake] = report.mistakes.as_slice() else { panic!("{report}") };
        assert_eq!((mistake.path.as_str(), mistake.what.as_str()), (*path, *what));
        assert!(report.to_string().contains(must), "{report}");
    }
}

#[test]
fn second_tries_arrive() {
    for (text, hedging) in [
        ("{}", None),
        ("{hedging: {}}", Some((0.95, 10, &["GET", "HEAD", "OPTIONS"][..]))),
        (
            "{hedging: {percentile: 0.5, floor: 2s, methods: [POST, PUT, PATCH, DELETE]}}",
            Some((0.5, 2000, &["POST", "PUT", "PATCH", "DELETE"])),
        ),
    ] {
        let hedging = hedging.map(|(percentile, floor_ms, methods)| Hedging {
            percentile,
            floor: Duration::from_millis(floor_ms),
            methods: methods.to_vec(),
        });
        assert_eq!(read(text).expect(text).hedging, hedging, "{text}");
    }
}

#[test]
fn how_slowly_a_replica_starts_arrives() {
    for (text, seconds) in [("{}", 0), ("{slowStart: 0s}", 0), ("{slowStart: 1m}", 60)] {
        assert_eq!(read(text).expect(text).slow_start, Duration::from_secs(seconds), "{text}");
    }
}

#[test]
fn when_a_replica_is_taken_out_arrives() {
    let text = "{ejection: {consecutiveErrors: 0, errorRate: 1, baseTime: 1s, maxTime: 2s, \
                maxShare: 0.25, slowFactor: 3}}";
    let ejection = read(text).expect(text).ejection;
    assert_eq!((ejection.consecutive_errors, ejection.error_rate), (0, 1.0));
    assert_eq!(ejection.base_time, Duration::from_secs(1));
    assert_eq!(ejection.max_time, Duration::from_secs(2));
    assert_eq!((ejection.max_share, ejection.slow_factor), (0.25, 3.0));
}

#[test]
fn how_often_requests_are_sent_elsewhere_arrives() {
    let retries =
        read("{retries: {attempts: 0, budget: 0.5, floorPerSecond: 1}}").expect("good").retries;
    assert_eq!(retries, Retries { attempts: 0, budget: 0.5, floor_per_second: 1.0 });
}
