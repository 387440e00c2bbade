//! The load that a sidecar reports to balancers that ask for it.

use crate::support::http::{Answer, connect, read_answer};
use crate::support::sidecar::Sidecar;
use serde_json::Value;
use std::io::Write;

fn ask(sidecar: &Sidecar, path: &str, format: &str) -> Answer {
    let mut stream = connect(sidecar.data);
    let asks = if format.is_empty() {
        String::new()
    } else {
        format!("endpoint-load-metrics-format: {format}\r\n")
    };
    write!(stream, "GET {path} HTTP/1.1\r\nhost: me\r\nconnection: close\r\n{asks}\r\n").unwrap();
    read_answer(&mut stream)
}

const LOAD: &str = "endpoint-load-metrics";

#[test]
fn a_balancer_that_asks_is_told_the_load_at_that_moment() {
    let sidecar = Sidecar::start(&["--concurrency", "4", "--queue-capacity", "7"]);
    let mut running = connect(sidecar.data);
    write!(running, "GET /sleep?ms=600000 HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    sidecar.model.wait_for_line("/sleep");
    assert_eq!(ask(&sidecar, "/", "").header(LOAD), "");
    // The request that asks is one of the two.
    let own = "application_utilization=0.5, named_metrics.tidegate.in_flight=2, \
               named_metrics.tidegate.queued=0, named_metrics.tidegate.limit=4, \
               named_metrics.tidegate.queue_capacity=7";
    assert_eq!(ask(&sidecar, "/", "text").header(LOAD), format!("TEXT {own}"));
    let json = ask(&sidecar, "/", "JSON");
    let json = json.header(LOAD).strip_prefix("JSON ").expect("the form that was asked for");
    let json: Value = serde_json::from_str(json).unwrap();
    assert_eq!(json["named_metrics"]["tidegate.in_flight"], 2);
    // What the model reports stays, and is added to.
    let merged = ask(&sidecar, "/load", "text");
    let expected = format!("TEXT named_metrics.kv_cache_usage_perc=0.4, {own}");
    assert_eq!(merged.header(LOAD), expected);
}

#[test]
fn a_refusal_reports_the_load_too() {
    let sidecar = Sidecar::start(&["--queue-capacity", "0"]);
    let mut running = connect(sidecar.data);
    write!(running, "GET /sleep?ms=600000 HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    sidecar.model.wait_for_line("/sleep");
    let refused = ask(&sidecar, "/", "text");
    assert_eq!(refused.reason(), "queue-full");
    assert!(refused.header(LOAD).contains("tidegate.in_flight=1"), "{refused:?}");
}

#[test]
fn strangers_are_told_nothing() {
    let sidecar = Sidecar::start(&["--trusted-hops", "none"]);
    for path in ["/", "/load"] {
        let answer = ask(&sidecar, path, "text");
        assert_eq!((answer.status, answer.header(LOAD)), (200, ""), "{path}");
    }
    assert!(!sidecar.model.output().contains("endpoint-load-metrics-format"));
}
