//! Others' published cases of what was in flight on average, against the proxy's time integral.
//!
//! `data/request_stats.json` re-expresses a test table of Knative Serving (Apache-2.0); its `source`
//! names the file, its `description` says what the numbers mean.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "simulated time needs a start")]

use serde_json::Value;
use std::time::{Duration, Instant};
use tidegate_proxy::policy::integral::Integral;

/// Requests of one kind: how many there are, how many came, and what was reported last.
struct Side {
    integral: Integral,
    came: u64,
    reported: (Instant, f64),
}

impl Side {
    fn new(start: Instant) -> Self {
        Self { integral: Integral::new(start), came: 0, reported: (start, 0.0) }
    }

    fn change(&mut self, by: i32, now: Instant) {
        self.came += u64::from(by > 0);
        self.integral.set(self.integral.count().saturating_add_signed(by), now);
    }

    /// The average since the last report, as who scrapes makes it, and how many came.
    fn report(&mut self, now: Instant) -> (f64, u64) {
        let (before, then) = self.reported;
        let area = self.integral.seconds(now);
        self.reported = (now, area);
        ((area - then) / (now - before).as_secs_f64(), std::mem::take(&mut self.came))
    }
}

#[test]
fn averages_between_reports_are_knatives() {
    let file: Value = serde_json::from_str(include_str!("data/request_stats.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len() as u64, file["n"].as_u64().unwrap());
    for case in cases {
        let start = Instant::now();
        let (mut all, mut proxied) = (Side::new(start), Side::new(start));
        let mut wanted = case["want_reports"].as_array().unwrap().iter();
        for event in case["events"].as_array().unwrap() {
            let now = start + Duration::from_millis(event[1].as_u64().unwrap());
            let kind = event[0].as_str().unwrap();
            let is_proxied = kind.ends_with('P');
            match kind.trim_end_matches('P') {
                "report" => check(&all.report(now), &proxied.report(now), wanted.next().unwrap()),
                kind => {
                    let by = if kind == "in" { 1 } else { -1 };
                    all.change(by, now);
                    if is_proxied {
                        proxied.change(by, now);
                    }
                }
            }
        }
        assert!(wanted.next().is_none(), "{}", case["name"]);
    }
}

fn check(all: &(f64, u64), proxied: &(f64, u64), want: &Value) {
    let sides = [
        (all, "avg_concurrency", "requests"),
        (proxied, "avg_proxied_concurrency", "proxied_requests"),
    ];
    for ((average, came), named_average, named_came) in sides {
        assert!((average - want[named_average].as_f64().unwrap()).abs() < 1e-9, "{average} {want}");
        assert_eq!(*came, want[named_came].as_u64().unwrap(), "{want}");
    }
}
