//! Documents that change while requests run: all of a change counts, or nothing, and nobody notices.

use super::{Routed, documents};
use crate::support::http::{connect, get, read_answer};
use crate::support::load::Load;
use crate::support::{eventually, replace};
use rustix::process::Signal;
use std::io::Write;
use tempfile::TempDir;

const A: (&str, &str) = ("a", "  routes: [{path: /a}]");
const B: (&str, &str) = ("b", "  routes: [{path: /b}]");

#[test]
fn apis_come_change_and_go_and_a_bad_document_changes_nothing() {
    let routed = Routed::start(&[A, B], &[]);
    let gateway = &routed.gateway;
    let status = |path: &str| get(gateway.data, path).status;
    assert_eq!((status("/a"), status("/b"), status("/new")), (200, 200, 404));
    gateway.write_documents(&documents(&[A, ("b", "  routes: [{path: /new}]")]));
    eventually("the route has moved", || status("/new") == 200);
    assert_eq!((status("/a"), status("/b")), (200, 404));
    let failures = || gateway.metric("tidegate_reload_failures_total", "");
    assert_eq!(failures(), 0.0);

    gateway.write_documents(&documents(&[A, ("c", "  routes: [{path: /a}]")]));
    let said = gateway.process.wait_for_line("can't use the documents");
    assert!(said.contains("as that of \"a\" in line"), "{said}");
    assert_eq!((status("/a"), status("/new"), failures()), (200, 200, 1.0));
    gateway.write_documents("no document");
    eventually("that was noticed too", || failures() == 2.0);
    gateway.write_documents(&documents(&[A, ("c", "  access: {apiKeys: {file: none}}")]));
    eventually("and that", || failures() == 3.0);
    assert_eq!((status("/a"), status("/new")), (200, 200));

    gateway.write_documents(&documents(&[A]));
    eventually("the other API is gone", || status("/new") == 404);
    eventually("so are its metrics", || gateway.metric("tidegate_concurrency_limit", "") == 8.0);
    assert!(!get(gateway.admin, "/metrics").text().contains("api=\"b\""));
    gateway.write_documents(&documents(&[A, B]));
    eventually("it is back, with its endpoint", || status("/b") == 200);
    assert_eq!(gateway.metric("tidegate_requests_total", r#"api="b",code="200""#), 1.0);

    let before = gateway.process.count_lines("serving what the documents say");
    gateway.process.signal(Signal::HUP);
    gateway.process.wait_for_lines("serving what the documents say", before + 1);
    assert_eq!((status("/a"), status("/b")), (200, 200));
}

#[test]
fn documents_that_lack_a_file_of_keys_count_as_soon_as_it_is_there() {
    let folder = TempDir::new().unwrap();
    let keys = folder.path().join("keys.txt");
    let routed = Routed::start(&[A], &[]);
    let gateway = &routed.gateway;
    let status = |path: &str| get(gateway.data, path).status;
    let failures = || gateway.metric("tidegate_reload_failures_total", "");
    let file = keys.display();
    let guarded = format!("  routes: [{{path: /new}}]\n  access: {{apiKeys: {{file: {file}}}}}");
    gateway.write_documents(&documents(&[("a", &guarded)]));
    gateway.process.wait_for_line("keeping what was until that file changes");
    assert_eq!((status("/a"), status("/new"), failures()), (200, 404, 1.0));
    replace(&keys, "no key");
    eventually("that is no better", || failures() == 2.0);
    assert_eq!((status("/a"), status("/new")), (200, 404));
    replace(&keys, format!("me:{}\n", "0".repeat(64)));
    eventually("the documents count", || (status("/a"), status("/new")) == (404, 401));
    assert_eq!(failures(), 2.0);
}

#[test]
fn who_runs_or_waits_is_answered_though_the_api_is_gone() {
    let routed = Routed::start(&[A, B], &[]);
    let gateway = &routed.gateway;
    let ask = |path: &str| {
        let mut stream = connect(gateway.data);
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        stream
    };
    let stripped = ("b", "  routes: [{path: /b, stripPrefix: true}]");
    let other = ("a", "  routes: [{path: /while, stripPrefix: true}]");
    gateway.write_documents(&documents(&[other, stripped]));
    eventually("the prefix is taken off", || get(gateway.data, "/b/status?code=418").status == 418);
    // The endpoint takes eight: one more waits.
    let mut slow: Vec<_> = (0..9).map(|_| ask("/b/sleep?ms=4000")).collect();
    eventually("eight run and one waits", || {
        gateway.metric("tidegate_requests_in_flight", "api=\"b\"") == 8.0
            && gateway.metric("tidegate_requests_queued", "api=\"b\"") == 1.0
    });
    gateway.write_documents(&documents(&[other]));
    gateway.process.wait_for_line("documents say now apis=1");
    assert_eq!(get(gateway.data, "/b/x").status, 404);
    // As long as this takes it would be forgotten, if what it holds were not seen.
    assert_eq!(read_answer(&mut ask("/while/sleep?ms=500")).text(), "slept\n");
    assert_eq!(gateway.metric("tidegate_requests_in_flight", "api=\"b\""), 8.0);
    for stream in &mut slow {
        let answer = read_answer(stream);
        assert_eq!((answer.status, answer.text().as_str()), (200, "slept\n"));
    }
    gateway.process.wait_for_line("all that it held is answered");
    assert!(!get(gateway.admin, "/metrics").text().contains("api=\"b\""));
}

/// Ten thousand routes of a hundred APIs, and one that the load is for.
fn many(version: usize) -> String {
    let routes = |api: usize| {
        let paths = (0..100).map(|route| format!("{{path: /v{version}/{api}/{route}}}"));
        format!("  routes: [{}]", paths.collect::<Vec<_>>().join(", "))
    };
    let apis: Vec<_> = (0..100).map(|api| (format!("api-{api}"), routes(api))).collect();
    let mut all = vec![A];
    all.extend(apis.iter().map(|(name, routes)| (name.as_str(), routes.as_str())));
    documents(&all)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_routes_are_exchanged_under_load_without_a_failed_request() {
    let routed = Routed::start(&[A], &["--max-connections", "100"]);
    let gateway = &routed.gateway;
    let load = Load::start(8, gateway.data, "/a/x");
    for version in 1..=4 {
        gateway.write_documents(&many(version));
        // Known, though nobody serves it: no endpoint is there, so it waits; it is not asked.
        gateway.process.wait_for_lines("apis=101", version);
        load.wait_for_more(100);
    }
    gateway.write_documents(&documents(&[A]));
    eventually("all others are gone", || {
        !get(gateway.admin, "/metrics").text().contains("api=\"api-")
    });
    load.wait_for_more(100);
    let answers = load.stop().await;
    assert_eq!(answers.keys().collect::<Vec<_>>(), [&(200, String::new())], "{answers:?}");
    let answered = answers[&(200, String::new())] as f64;
    eventually("the books agree", || {
        gateway.metric("tidegate_requests_total", r#"api="a",code="200""#) == answered
    });
    assert_eq!(gateway.metric("tidegate_reload_failures_total", ""), 0.0);
}
