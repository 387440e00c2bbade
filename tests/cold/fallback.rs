//! Requests that another API answers while their own comes up from zero.

use super::ask;
use super::autoscaler::Listening;
use crate::support::eventually;
use crate::support::gateway::{Gateway, bare};
use crate::support::http::{Answer, read_answer};
use crate::support::process::Process;
use crate::support::sidecar::plain_model;
use std::net::SocketAddr;

/// The APIs `big`, with this in its `spec`, and `small`.
fn start(spec: &str, flags: &[&str]) -> Gateway {
    let document = |name: &str, spec: &str| {
        format!(
            "---\napiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\n\
             metadata: {{name: {name}}}\nspec:\n  container: {{command: [unused]}}\n  \
             routes: [{{path: /{name}, stripPrefix: true}}]\n  {spec}\n"
        )
    };
    Gateway::run(&(document("big", spec) + &document("small", "")), flags)
}

/// Writes which models are there: name and address of each.
fn write(gateway: &Gateway, models: &[(&str, SocketAddr)]) {
    let entry = |(name, address): &(&str, _)| ((*name).to_owned(), vec![bare("a", *address, 1)]);
    gateway.write_endpoints_of(models.iter().map(entry).collect());
    gateway.wait_for_limit(models.len() as f64);
}

fn get(gateway: &Gateway, target: &str) -> Answer {
    read_answer(&mut ask(gateway.data, target))
}

fn asked(model: &Process, target: &str) {
    model.wait_for_line(&format!("REQUEST GET {target} "));
}

#[test]
fn another_api_answers_at_once_and_the_own_is_woken() {
    let autoscaler = Listening::at("127.0.0.1:0".parse().unwrap());
    let wake = autoscaler.address.to_string();
    let gateway = start("coldStart: {fallback: {api: small}}", &["--wake", &wake]);
    let [(small, small_at), (big, big_at)] = [0; 2].map(|_| plain_model(0));
    write(&gateway, &[("small", small_at)]);
    let answer = get(&gateway, "/big/a");
    assert_eq!((answer.status, answer.header("x-tidegate-fallback")), (200, "small"));
    assert_eq!(answer.header("x-tidegate-cold-start"), "", "it has not waited");
    asked(&small, "/a");
    eventually("its own API is woken", || autoscaler.woken("big") > 0);
    assert_eq!(gateway.metric("tidegate_fallbacks_total", "big"), 1.0);
    assert_eq!(gateway.metric("tidegate_requests_total", r#"api="small",code="200""#), 1.0);
    assert_eq!(gateway.metric("tidegate_requests_total", r#"api="big""#), 0.0);
    write(&gateway, &[("small", small_at), ("big", big_at)]);
    let answer = get(&gateway, "/big/b");
    assert_eq!((answer.status, answer.header("x-tidegate-fallback")), (200, ""));
    asked(&big, "/b");
}

#[test]
fn who_waits_first_has_its_own_api_if_that_is_there_in_time() {
    let gateway = start("coldStart: {fallback: {api: small, after: 30s}}", &[]);
    let [(_small, small_at), (big, big_at)] = [0; 2].map(|_| plain_model(0));
    write(&gateway, &[("small", small_at)]);
    let mut waiting = ask(gateway.data, "/big/a");
    eventually("it waits", || gateway.metric("tidegate_requests_queued", "big") == 1.0);
    write(&gateway, &[("small", small_at), ("big", big_at)]);
    let answer = read_answer(&mut waiting);
    assert_eq!((answer.status, answer.header("x-tidegate-fallback")), (200, ""));
    assert_ne!(answer.header("x-tidegate-cold-start"), "");
    asked(&big, "/a");
    assert_eq!(gateway.metric("tidegate_fallbacks_total", ""), 0.0);
}

#[test]
fn who_waited_in_vain_goes_elsewhere_at_last_unless_that_sleeps_too() {
    let spec = "coldStart: {fallback: {api: small, after: 10m}}\n  timeouts: {coldStart: 500ms}";
    let gateway = start(spec, &[]);
    let late = get(&gateway, "/big/a");
    assert_eq!((late.status, late.reason()), (503, "cold-start-timeout"));
    let (small, small_at) = plain_model(0);
    write(&gateway, &[("small", small_at)]);
    let answer = get(&gateway, "/big/b");
    assert_eq!((answer.status, answer.header("x-tidegate-fallback")), (200, "small"));
    asked(&small, "/b");
    eventually("the line is empty", || gateway.metric("tidegate_requests_queued", "") == 0.0);
    let counted = |labels: &str| gateway.metric("tidegate_requests_total", labels);
    assert_eq!((counted(r#"code="503""#), counted(r#"code="200""#)), (1.0, 1.0));
}

#[test]
fn a_fallback_that_is_not_there_is_a_mistake_and_changes_nothing() {
    let gateway = start("coldStart: {fallback: {api: small}}", &[]);
    let (_small, small_at) = plain_model(0);
    write(&gateway, &[("small", small_at)]);
    let text = std::fs::read_to_string(&gateway.documents).unwrap();
    gateway.write_documents(&text.replace("api: small", "api: none"));
    let said = gateway.process.wait_for_line("keeping what was");
    assert!(said.contains("spec.coldStart.fallback.api") && said.contains("api.yaml:8:"), "{said}");
    let answer = get(&gateway, "/big/a");
    assert_eq!((answer.status, answer.header("x-tidegate-fallback")), (200, "small"));
}
