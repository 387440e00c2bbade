//! `logs`, `refresh`, `delete` and `completion`.

use super::{Documents, command, deploy, interrupted, run};
use crate::kubernetes::cluster::{Cluster, NAMESPACE};
use crate::kubernetes::request::Place;
use crate::kubernetes::scaling::spec;
use crate::support::eventually;
use crate::support::process::Process;
use serde_json::{Value, json};

/// What the kubelet says of a pod's containers: they run, or they wait for this reason.
fn containers(cluster: &Cluster, pod: &str, waits: Option<&str>) {
    let state = match waits {
        None => json!({"running": {}}),
        Some(reason) => json!({"waiting": {"reason": reason, "message": "back-off 10s"}}),
    };
    let one = |name: &str| {
        json!({"name": name, "ready": waits.is_none(), "restartCount": u8::from(waits.is_some()),
            "state": state, "image": "", "imageID": ""})
    };
    let place = Place::of("v1", "pods", NAMESPACE, pod);
    let change = |object: &mut Value| {
        object["status"]["initContainerStatuses"] = json!([one("tidegate")]);
        object["status"]["containerStatuses"] = json!([one("model")]);
        let ready = if waits.is_none() { "True" } else { "False" };
        object["status"]["conditions"] = json!([{"type": "Ready", "status": ready}]);
    };
    cluster.api.shared().store(|store| store.change(&place, change)).unwrap();
}

#[test]
fn logs_are_those_of_all_replicas_with_their_source() {
    let cluster = Cluster::start();
    let config = cluster.config("me");
    cluster.serve("digits", 2, &spec(2, 8));
    for pod in ["digits-1", "digits-2"] {
        containers(&cluster, pod, None);
        cluster.api.write_log(pod, "model", "first");
        cluster.api.write_log(pod, "model", "second");
        cluster.api.write_log(pod, "tidegate", "listening");
    }
    let done = run(&config, &["logs", "digits"]);
    let all = "[digits-1/tidegate] listening\n[digits-1/model] first\n[digits-1/model] second\n";
    assert!(done.code == 0 && done.out.starts_with(all), "{done:?}");
    assert_eq!(done.out.lines().count(), 6, "{done:?}");
    let done = run(&config, &["logs", "digits", "--only", "model", "--tail", "1"]);
    assert_eq!(done.out, "[digits-1/model] second\n[digits-2/model] second\n", "{done:?}");
    let done = run(&config, &["logs", "digits", "--only", "sidecar", "--tail", "all"]);
    assert_eq!(done.out.lines().count(), 2, "{done:?}");
}

#[test]
fn logs_are_followed_over_new_pods_and_a_server_that_goes_away() {
    let cluster = Cluster::start();
    let config = cluster.config("me");
    cluster.serve("digits", 1, &spec(1, 8));
    containers(&cluster, "digits-1", None);
    cluster.api.write_log("digits-1", "model", "old");
    let follow = Process::start(&mut command(&config, &["logs", "digits", "-f"]));
    follow.wait_for_line("[digits-1/model] old");
    cluster.api.write_log("digits-1", "model", "new");
    follow.wait_for_line("[digits-1/model] new");
    cluster.scale("digits", 2);
    eventually("there is another pod", || cluster.pods("digits").len() == 2);
    cluster.api.write_log("digits-2", "model", "hello");
    containers(&cluster, "digits-2", None);
    follow.wait_for_line("[digits-2/model] hello");
    // Every line once, though all connections break.
    cluster.api.cut();
    cluster.api.write_log("digits-1", "model", "after");
    follow.wait_for_line("[digits-1/model] after");
    assert_eq!(follow.count_lines("[digits-1/model]"), 3, "{}", follow.output());
    assert_eq!(follow.count_lines("hello"), 1, "{}", follow.output());
    interrupted(follow);
}

#[test]
fn deploy_shows_the_last_lines_of_a_pod_that_fails() {
    let (cluster, documents) = (Cluster::start(), Documents::new());
    let config = cluster.config("me");
    cluster.deploy("digits", 1);
    eventually("its pod is there", || cluster.pods("digits").len() == 1);
    containers(&cluster, "digits-1", Some("CrashLoopBackOff"));
    cluster.api.write_log("digits-1", "model", "ModuleNotFoundError: No module named 'app'");
    let _autoscaler = cluster.autoscaler("one", &[]);
    let file = documents.write("digits", "  autoscaling: {minReplicas: 1}\n");
    let done = deploy(&config, &file, &["--timeout", "3s"]);
    assert_eq!(done.code, 75, "{done:?}");
    assert!(done.out.contains("digits: not ready: none of 1 replicas can serve yet"), "{done:?}");
    for part in [
        "! digits-1: tidegate: CrashLoopBackOff: back-off 10s",
        "Last lines:\n",
        "  [digits-1/model] ModuleNotFoundError: No module named 'app'\n",
    ] {
        assert!(done.err.contains(part), "{part}: {done:?}");
    }
}

#[test]
fn refresh_begins_a_rolling_restart() {
    let cluster = Cluster::start();
    let config = cluster.config("me");
    cluster.serve("digits", 1, &spec(1, 8));
    let done = run(&config, &["refresh", "digits"]);
    assert_eq!(done.out, "digits: Deployment/digits is restarting, a few replicas at a time\n");
    let notes = &cluster.deployment("digits")["spec"]["template"]["metadata"]["annotations"];
    let at = notes["kubectl.kubernetes.io/restartedAt"].as_str().unwrap();
    assert!(at.ends_with('Z') && at.len() == 20, "{at}");
    cluster.create_api("lost", &spec(1, 8));
    let done = run(&config, &["refresh", "lost"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.err.contains("there is no Deployment/lost; create it"), "{done:?}");
    assert_eq!(run(&config, &["logs", "lost"]).code, 1);
    assert_eq!(run(&config, &["refresh", "nobody"]).code, 66);
}

#[test]
fn delete_says_what_it_deleted_and_what_stays() {
    let cluster = Cluster::start();
    let config = cluster.config("me");
    cluster.serve("digits", 1, &spec(1, 8));
    let done = run(&config, &["delete", "digits", "nobody", "--wait"]);
    assert_eq!(done.code, 66, "{done:?}");
    let what = "digits deleted; Deployment/digits stays as it is, and is scaled no more\n";
    assert_eq!(done.out, what);
    assert!(done.err.contains("there is no InferenceApi nobody"), "{done:?}");
    assert_eq!(run(&config, &["get", "digits"]).code, 66);
    assert_eq!(cluster.replicas("digits"), 1);
}

#[test]
fn a_shell_takes_the_script_that_completes() {
    let script = run("/dev/null".as_ref(), &["completion", "bash"]);
    assert_eq!(script.code, 0);
    let line = "COMP_WORDS=(tidegate refr); COMP_CWORD=1; _tidegate tidegate refr tidegate; \
                echo \"${COMPREPLY[@]}\"";
    let bash = std::process::Command::new("bash")
        .args(["--norc", "-c", &format!("{}\n{line}", script.out)])
        .env("PATH", std::env::var_os("PATH").unwrap())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&bash.stdout).trim(), "refresh", "{bash:?}");
}
