//! Versions of an API that sleep until they are asked, and one that takes over, or must not.

use crate::support::http::{Http, connect, get};
use crate::support::up::{Up, plain_script};
use crate::support::{PATIENCE, eventually, now};
use rustix::process::Signal;
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use tempfile::TempDir;

/// The API `s` of the versions `old` and `new`; the new one with this environment.
fn documents(env: &str, rollout: &str) -> String {
    let head = "---\napiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata:";
    let command = format!("[python3, {}, \"{{port}}\"]", plain_script().display());
    let version = |name: &str, env: &str| {
        format!(
            "{head} {{name: {name}}}\nspec:\n  container:\n    command: {command}\n    env: {{{env}}}\n  \
             routes: []\n  concurrency: {{limit: 8, queueCapacity: 1000}}\n  autoscaling: {{maxReplicas: 1}}\n"
        )
    };
    format!(
        "{}{}{head} {{name: s}}\nspec:\n  traffic:\n    versions: [{{api: old, weight: 90}}, \
         {{api: new, weight: 10}}]\n    sticky: {{header: x-user}}\n    override: {{header: x-version}}\n  \
         rollout:\n    to: new\n    steps: [{{weight: 10, pause: 200ms}}, {{weight: 50, pause: 200ms}}]\n    \
         condition: {{{rollout}}}\n",
        version("old", ""),
        version("new", env),
    )
}

fn start(documents: &str, state: &Path) -> Up {
    let state = state.to_str().unwrap();
    Up::start(documents, &["--tick", "100ms", "--state-file", state])
}

/// What the autoscaler says of the rollout.
fn rollout(up: &Up) -> Value {
    let status: Value = serde_json::from_slice(&get(up.autoscaler, "/status").body).unwrap();
    status["rollouts"][0].clone()
}

/// The weight of the new version at the gateway.
fn weight(up: &Up) -> f64 {
    up.metric("tidegate_traffic_weight", r#"api="s",version="new""#)
}

/// Which version answers, with which status.
async fn ask(http: &Http, up: &Up, headers: &[(&'static str, &str)]) -> (String, u16) {
    let answer = http.get_with(up.data, "/x", headers).await;
    (answer.header("x-tidegate-version").to_owned(), answer.status)
}

/// Asks until the rollout stands so, and says how many requests failed meanwhile.
async fn ask_until(http: &Http, up: &Up, stage: &str) -> usize {
    let (start, mut failed) = (now(), 0);
    while rollout(up)["stage"] != stage {
        assert!(now() - start < PATIENCE, "not {stage}: {}", rollout(up));
        for _ in 0..20 {
            failed += usize::from(ask(http, up, &[]).await.1 >= 500);
        }
    }
    failed
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_at_zero_are_woken_share_the_requests_and_one_takes_over_across_a_kill() {
    let folder = TempDir::new().unwrap();
    let state = folder.path().join("state.json");
    let condition = "minRequests: 300, latency: {factor: 10}";
    let documents = documents("", condition);
    let mut up = start(&documents, &state);
    let http = Http::new();
    eventually("the rollout has begun", || weight(&up) == 10.0);
    for version in ["old", "new"] {
        let answer = http.get_with(up.data, "/x", &[("x-version", version)]).await;
        assert_eq!((answer.status, answer.header("x-tidegate-version")), (200, version));
        assert_ne!(answer.header("x-tidegate-cold-start"), "", "{version} was asleep");
    }
    // Six standard deviations of 2000 draws are 80, and 300 is more than that above the mean.
    let mut new = 0;
    for _ in 0..2000 {
        let (version, status) = ask(&http, &up, &[]).await;
        assert_eq!(status, 200);
        new += usize::from(version == "new");
    }
    assert!((120..=280).contains(&new), "{new} of 2000");
    assert_eq!(rollout(&up)["stage"], "step 1 of 2");
    let mut users = Vec::new();
    for user in 0..40 {
        let user = user.to_string();
        let (version, _) = ask(&http, &up, &[("x-user", &user)]).await;
        assert_eq!(ask(&http, &up, &[("x-user", &user)]).await.0, version);
        users.push((user, version));
    }
    assert_eq!(ask_until(&http, &up, "step 2 of 2").await, 0);
    eventually("half of the requests", || weight(&up) == 50.0);

    up.process.signal(Signal::KILL);
    up.process.wait();
    let up = start(&documents, &state);
    eventually("it goes on", || weight(&up) == 50.0);
    assert_eq!(rollout(&up)["stage"], "step 2 of 2");
    assert_eq!(rollout(&up)["changes"].as_array().unwrap().len(), 0);
    assert_eq!(ask_until(&http, &up, "promoted").await, 0);
    eventually("all of them", || weight(&up) == 100.0);
    for (user, before) in users {
        let (version, status) = ask(&http, &up, &[("x-user", &user)]).await;
        assert_eq!((version.as_str(), status), ("new", 200), "{user} was with {before}");
    }
    let why = &rollout(&up)["changes"][0];
    assert_eq!(
        (&why["from"], &why["to"], &why["reason"]),
        (&50.into(), &100.into(), &"promoted".into())
    );
    let changes = "tidegate_autoscaler_rollout_changes_total";
    let page = get(up.autoscaler, "/metrics").text();
    assert_eq!(crate::support::http::sum(&page, changes, r#"api="s",reason="promoted""#), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_fails_is_taken_back_and_stays_so_until_the_document_changes() {
    let folder = TempDir::new().unwrap();
    let state = folder.path().join("state.json");
    let bad = documents("STATUS: \"500\"", "minRequests: 1000");
    let mut up = start(&bad, &state);
    let http = Http::new();
    let failed = ask_until(&http, &up, "taken back").await;
    assert!(failed >= 3, "{failed} requests were enough to be sure");
    eventually("it gets nothing", || weight(&up) == 0.0);
    let why = rollout(&up);
    assert_eq!(why["reason"], "success-rate", "{why}");
    assert!(
        why["detail"].as_str().unwrap().contains("requests failed (100 %), where 1 % may"),
        "{why}"
    );
    for _ in 0..100 {
        assert_eq!(ask(&http, &up, &[]).await, ("old".to_owned(), 200));
    }
    assert_eq!(ask(&http, &up, &[("x-version", "new")]).await, ("new".to_owned(), 500));

    up.process.signal(Signal::KILL);
    up.process.wait();
    let mut up = start(&bad, &state);
    assert_eq!(rollout(&up)["stage"], "taken back");
    eventually("it still gets nothing", || weight(&up) == 0.0);
    up.process.signal(Signal::KILL);
    up.process.wait();
    let up = start(&documents("", "minRequests: 1001"), &state);
    assert_eq!(rollout(&up)["stage"], "step 1 of 2");
    eventually("it is tried again", || weight(&up) == 10.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_slower_is_taken_back() {
    let folder = TempDir::new().unwrap();
    let state = folder.path().join("state.json");
    let up = start(&documents("DELAY_MS: \"700\"", "minRequests: 1000"), &state);
    let http = Http::new();
    assert_eq!(ask_until(&http, &up, "taken back").await, 0);
    let why = rollout(&up);
    assert_eq!(why["reason"], "latency", "{why}");
    assert!(why["detail"].as_str().unwrap().contains("requests took longer than"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_can_not_be_started_is_taken_back_and_the_old_one_serves_on() {
    let folder = TempDir::new().unwrap();
    let state = folder.path().join("state.json");
    let up = start(&documents("DELAY_MS: none", "minRequests: 1000"), &state);
    let http = Http::new();
    // It waits for a replica of the new version, which wakes it.
    let mut waiting = connect(up.data);
    waiting.write_all(b"GET /x HTTP/1.1\r\nhost: x\r\nx-version: new\r\n\r\n").unwrap();
    let (start, old) = (now(), [("x-version", "old")]);
    while rollout(&up)["stage"] != "taken back" {
        assert!(now() - start < PATIENCE, "{}", rollout(&up));
        assert_eq!(ask(&http, &up, &old).await, ("old".to_owned(), 200));
    }
    let why = rollout(&up);
    assert_eq!(why["reason"], "start-failed", "{why}");
    let detail = why["detail"].as_str().unwrap();
    assert!(detail.contains("the model ended (exit status: 1)"), "{detail}");
    eventually("it gets nothing", || weight(&up) == 0.0);
    for _ in 0..50 {
        assert_eq!(ask(&http, &up, &[]).await, ("old".to_owned(), 200));
    }
}
