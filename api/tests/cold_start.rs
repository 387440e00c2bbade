//! `spec.coldStart`: its values arrive, and its mistakes are named.

use std::time::Duration;
use tidegate_api::Report;
use tidegate_api::document::{ColdStart, Fallback};

fn read(cold_start: &str) -> Result<ColdStart, Report> {
    crate::read(&format!("coldStart: {cold_start}")).map(|api| api.cold_start)
}

#[test]
fn signs_of_life_arrive() {
    for (text, keep_alive) in [
        ("{}", None),
        ("{keepAlive: 0s}", None),
        ("{keepAlive: 10s}", Some(Duration::from_secs(10))),
    ] {
        assert_eq!(read(text).expect(text).keep_alive, keep_alive, "{text}");
    }
}

#[test]
fn a_fallback_arrives() {
    for (text, after) in [("{api: small}", 0), ("{api: small, after: 5s}", 5)] {
        let fallback = read(&format!("{{fallback: {text}}}")).expect(text).fallback;
        let (api, after) = ("small".to_owned(), Duration::from_secs(after));
        let fallback = fallback.map(|Fallback { api, after, .. }| (api, after));
        assert_eq!(fallback, Some((api, after)), "{text}");
    }
}

#[test]
fn mistakes_are_named() {
    for (text, path, must) in [
        ("{fallback: {}}", "spec.coldStart.fallback.api", "is missing"),
        ("{fallback: {api: a}}", "spec.coldStart.fallback.api", "the name of another"),
        ("{fallback: {api: 'http://a'}}", "spec.coldStart.fallback.api", "lower-case letters"),
        ("{fallback: {api: b, after: 31d}}", "spec.coldStart.fallback.after", "at most \"30d\""),
        ("{keepAlive: 10ms}", "spec.coldStart.keepAlive", "from 100ms to 30d"),
        ("{keepalive: 10s}", "spec.coldStart.keepalive", "`keepAlive`"),
    ] {
        let report = read(text).expect_err(text).to_string();
        assert!(report.contains(path) && report.contains(must), "{text}: {report}");
    }
}
