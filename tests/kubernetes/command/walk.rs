//! The commands on the API server made here, and on any real one: that of `KUBECONFIG`. What is assumed
//! of it stands in `kubernetes/walk.rs`.

use super::{Documents, Done};
use crate::kubernetes::api_server::ApiServer;
use crate::kubernetes::cluster::kubeconfig;
use crate::kubernetes::walk::{Walk, deployment, real};
use crate::support::eventually;
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

#[test]
fn the_commands_work_on_the_api_server_made_here() {
    let (server, folder) = (ApiServer::start(), TempDir::new().unwrap());
    let config = folder.path().join("kubeconfig");
    std::fs::write(&config, kubeconfig(server.address(), "walker")).unwrap();
    commands(&config);
}

#[test]
#[ignore = "needs a Kubernetes API server: set KUBECONFIG"]
fn the_commands_work_on_a_real_api_server() {
    let (config, _turn) = real::config();
    commands(&config);
}

fn commands(config: &Path) {
    let mut walk = Walk::begin(config);
    walk.define();
    let documents = Documents::new();
    let namespace = walk.namespace().to_owned();
    let run = |args: &[&str]| super::run(config, &[args, &["-n", &namespace]].concat());
    let deploy = |more: &str, flags: &[&str]| -> Done {
        let file = documents.write("digits", more);
        run(&[&["deploy", "-f", file.to_str().unwrap()], flags].concat())
    };
    let begins = |done: &Done, line: &str| {
        assert!(done.code == 0 && done.out.starts_with(&format!("{line}\n")), "{line}: {done:?}");
    };
    walk.create("apps/v1", "Deployment", deployment("digits", 1));
    walk.pod("digits-1");
    let least = "  autoscaling: {minReplicas: 1, policy: concurrency}\n";
    begins(&deploy(least, &["--no-wait"]), "digits created");
    begins(&deploy(least, &["--no-wait"]), "digits unchanged");
    let done = deploy(least, &["--timeout", "1s"]);
    assert_eq!(done.code, 75, "nobody has looked at it: {done:?}");

    let _autoscaler = walk.autoscaler("one");
    let paused = format!("{least}  paused: true\n");
    let done = deploy(&paused, &[]);
    begins(&done, "digits updated");
    assert!(done.out.contains("digits: ready: "), "{done:?}");
    let theirs = json!({"apiVersion": "tidegate.dev/v1alpha1", "kind": "InferenceApi",
        "metadata": {"name": "digits"}, "spec": {"autoscaling": {"minReplicas": 1}}});
    walk.apply(&namespace, "tidegate.dev/v1alpha1", "InferenceApi", "digits", &theirs);
    let more = "  autoscaling: {minReplicas: 2, policy: concurrency}\n";
    let done = deploy(more, &["--no-wait"]);
    assert!(done.code == 1 && done.err.contains("conflict"), "{done:?}");
    begins(&deploy(more, &["--no-wait", "--force-conflicts"]), "digits updated");

    let done = run(&["get", "digits", "-o", "json"]);
    let object: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(object["spec"]["autoscaling"]["minReplicas"], 2, "{object}");
    assert_eq!(object["spec"].get("paused").unwrap_or(&json!(false)), &json!(false), "{object}");
    let done = run(&["get"]);
    let header = "NAME     READY   WANTED   IN-FLIGHT   POLICY        REASON";
    assert!(done.out.starts_with(header) && done.out.contains("\ndigits   1 "), "{done:?}");
    eventually("events and decisions are shown", || {
        let done = run(&["describe", "digits"]);
        done.out.contains("from 1 to 2 replicas: ") && done.out.contains("digits-1   Ready   yes")
    });

    let done = run(&["check", "-o", "json"]);
    let findings: Vec<Value> = serde_json::from_str(&done.out).unwrap();
    for about in ["api-server", "definition", "rights"] {
        let finding = findings.iter().find(|finding| finding["about"] == about).unwrap();
        assert_eq!(finding["level"], "fine", "{finding}");
    }
    begins(
        &run(&["refresh", "digits"]),
        "digits: Deployment/digits is restarting, a few replicas at a time",
    );
    let template = walk.get("apps/v1", "Deployment", "digits")["spec"]["template"].clone();
    let at = &template["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"];
    assert!(at.is_string(), "{template}");
    let what = "digits deleted; Deployment/digits stays as it is, and is scaled no more";
    begins(&run(&["delete", "digits", "--wait"]), what);
    assert_eq!(run(&["get", "digits"]).code, 66);
}
