//! What is in force, on the admin page.

use crate::support::gateway::Gateway;
use crate::support::http::get;
use crate::support::process::Process;
use crate::support::sidecar::Sidecar;
use crate::support::{binary, eventually, now, replace};
use serde_json::{Value, json};
use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

fn page(admin: SocketAddr) -> Value {
    let answer = get(admin, "/config");
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn a_gateway_shows_its_settings_and_its_apis_and_no_secret() {
    let secret = "[{path: /a, headers: {authorization: Bearer s3cret, x-team: red}}]";
    let document = |routes: &str, more: &str| {
        format!(
            "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {{name: shown}}\n\
             spec:\n  container: {{command: [model], env: {{TOKEN: s3cret}}}}\n  routes: {routes}\n{more}"
        )
    };
    let gateway = Gateway::run(&document(secret, ""), &["--max-body", "5MiB"]);
    let shown = page(gateway.admin);
    assert_eq!((&shown["role"], &shown["version"]), (&json!("gateway"), &json!("0.1.0")));
    let given = |flag: &str| shown["settings"][flag].clone();
    assert_eq!(given("max-body"), json!({ "value": "5MiB", "source": "flag" }));
    assert_eq!(given("header-timeout"), json!({ "value": "10s", "source": "default" }));
    let file = &shown["file"];
    assert_eq!(file["path"], gateway.documents.to_str().unwrap());
    assert!(file["readAt"].is_string() && file["fault"].is_null(), "{file}");
    let api = &shown["inForce"]["apis"][0];
    assert_eq!(api["name"], "shown");
    let headers = json!({ "authorization": "(hidden)", "x-team": "red" });
    let route = json!({ "host": null, "path": "/a", "headers": headers, "stripPrefix": false });
    assert_eq!(api["routes"], json!([route]));
    assert_eq!(api["timeouts"]["firstByte"], "5m");
    assert_eq!(api["balancing"]["policy"], "powerOfTwo");
    assert!(!shown.to_string().contains("s3cret"), "{shown}");

    // What is read anew is shown, and what can't be used, with what is in force all the same.
    gateway.write_documents(&document(
        "[{exactPath: /b}]",
        "  access: {rateLimit: {by: tenant, requestsPerSecond: 2}}",
    ));
    let route = || page(gateway.admin)["inForce"]["apis"][0]["routes"][0].clone();
    eventually("the new route is shown", || route()["exactPath"] == "/b");
    let shown = page(gateway.admin);
    assert_ne!(shown["file"]["readAt"], file["readAt"]);
    let limit = &shown["inForce"]["apis"][0]["access"]["rateLimit"];
    assert_eq!((&limit["by"], &limit["requestsPerSecond"]), (&json!("tenant"), &json!(2.0)));
    gateway.write_documents("nonsense");
    eventually("the fault is shown", || page(gateway.admin)["file"]["fault"]["what"].is_string());
    assert_eq!(route()["exactPath"], "/b");
    gateway.write_documents(&document("[{path: /c}]", ""));
    eventually("the fault is gone", || page(gateway.admin)["file"]["fault"].is_null());
    assert_eq!(route()["path"], "/c");
}

#[test]
fn a_sidecar_shows_what_counts_of_its_flags_and_its_file() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("live.yaml");
    std::fs::write(&file, "concurrency: 3\n").unwrap();
    let sidecar = Sidecar::start(&["--queue-capacity", "7", "--config", file.to_str().unwrap()]);
    let live = || page(sidecar.admin)["inForce"].clone();
    let expected = json!({
        "concurrency": "3",
        "cost-budget": null,
        "queue-capacity": 7,
        "queue-bytes": 67_108_864,
        "queue-timeout": "30s",
    });
    assert_eq!(live(), expected);
    replace(&file, "concurrency: auto:2-5\nqueue-timeout: 250ms\n");
    eventually("the change is shown", || live()["concurrency"] == "auto:2-5");
    assert_eq!(live()["queue-timeout"], "250ms");
    replace(&file, "concurrency: none\n");
    let fault = || page(sidecar.admin)["file"]["fault"]["what"].clone();
    eventually("the fault is shown", || fault().to_string().contains("line 1: concurrency must"));
    assert_eq!(live()["concurrency"], "auto:2-5");
    let answer = get(sidecar.admin, "/none");
    assert_eq!(answer.status, 404);
    assert_eq!(answer.text(), "here are /healthz, /readyz, /metrics, /config and /room\n");
}

#[test]
fn what_comes_from_the_environment_is_said_to() {
    let process = Process::start(
        Command::new(binary("tidegate-proxy"))
            .args(["sidecar", "--upstream", "127.0.0.1:1", "--listen", "127.0.0.1:0"])
            .env("TIDEGATE_ADMIN", "127.0.0.1:0")
            .env("TIDEGATE_TRUST_PRIORITY", "true"),
    );
    let line = process.wait_for_line(r#""event":"listening""#);
    let line: Value = serde_json::from_str(&line).unwrap();
    let shown = page(line["admin"].as_str().unwrap().parse().unwrap());
    let given = |flag: &str| shown["settings"][flag].clone();
    assert_eq!(given("admin"), json!({ "value": "127.0.0.1:0", "source": "environment" }));
    assert_eq!(given("trust-priority"), json!({ "value": "true", "source": "environment" }));
    assert_eq!(given("listen")["source"], "flag");
}

/// Who writes a file in place empties it first: for that moment it says nothing.
#[test]
fn a_file_that_says_less_than_before_counts_if_it_still_does_after_a_moment() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("live.yaml");
    std::fs::write(&file, "concurrency: 3\nqueue-capacity: 5\n").unwrap();
    let sidecar = Sidecar::start(&["--config", file.to_str().unwrap()]);
    let live = |key: &str| page(sidecar.admin)["inForce"][key].clone();
    let mut writer = std::fs::File::create(&file).unwrap();
    let emptied = now();
    eventually("the flags count again", || live("concurrency") == "1");
    assert!(now() - emptied >= Duration::from_millis(500));
    // What it says anew counts at once.
    writer.write_all(b"concurrency: 4\n").unwrap();
    eventually("it counts", || live("concurrency") == "4");
    assert_eq!(live("queue-capacity"), 100);
}
