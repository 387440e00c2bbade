//! `tidegate` on a cluster, as a person uses it: its output, exit codes, and what it asks for.

mod check;
mod upkeep;
mod walk;

use super::cluster::{Cluster, NAMESPACE};
use super::request::Place;
use super::scaling::spec;
use crate::support::process::Process;
use crate::support::{binary, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Documents on disk.
struct Documents(TempDir);

impl Documents {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// One that scales the Deployment of its name, with more of its spec.
    fn write(&self, name: &str, more: &str) -> PathBuf {
        let path = self.0.path().join(format!("{name}.yaml"));
        let text = format!(
            "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {{name: {name}}}\n\
             spec:\n  target: {{name: {name}}}\n{more}"
        );
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// What a command has done.
#[derive(Debug)]
struct Done {
    code: i32,
    out: String,
    err: String,
}

fn command(config: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary("tidegate"));
    command.args(args).env("KUBECONFIG", config).env("TIDEGATE_NAMESPACE", NAMESPACE);
    command
}

fn run(config: &Path, args: &[&str]) -> Done {
    let output = command(config, args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let done = Done {
        code: output.status.code().unwrap_or(-1),
        out: text(&output.stdout),
        err: text(&output.stderr),
    };
    assert!(!format!("{}{}", done.out, done.err).contains('\u{1b}'), "not a terminal: {done:?}");
    done
}

/// `deploy` of one file.
fn deploy(config: &Path, file: &Path, more: &[&str]) -> Done {
    let mut args = vec!["deploy", "-f", file.to_str().unwrap()];
    args.extend(more);
    run(config, &args)
}

#[test]
fn deploy_says_what_it_did_and_waits_until_it_serves() {
    let (cluster, documents) = (Cluster::start(), Documents::new());
    cluster.deploy("digits", 1);
    let _autoscaler = cluster.autoscaler("one", &[]);
    let config = cluster.config("me");
    let file = documents.write("digits", "  autoscaling: {minReplicas: 1}\n  paused: true\n");
    let done = deploy(&config, &file, &[]);
    assert_eq!((done.code, done.out.lines().next()), (0, Some("digits created")), "{done:?}");
    assert!(done.out.contains("digits: ready: every replica can serve, but it is not scaled"));
    let done = deploy(&config, &file, &["--no-wait"]);
    assert_eq!((done.code, done.out.as_str()), (0, "digits unchanged\n"), "{done:?}");
    // What the file no longer says goes; what others say stays.
    let file = documents.write("digits", "  autoscaling: {minReplicas: 1}\n");
    let done = deploy(&config, &file, &[]);
    assert_eq!((done.code, done.out.lines().next()), (0, Some("digits updated")), "{done:?}");
    let place = Place::of("tidegate.dev/v1alpha1", "inferenceapis", NAMESPACE, "digits");
    let object = cluster.api.shared().store(|store| store.get(&place)).unwrap();
    assert_eq!(object["spec"]["paused"], false, "the default: {object}");
    assert_eq!(object["metadata"]["managedFields"][0]["manager"], "tidegate");
    assert!(done.out.contains("digits: ready: every replica can serve\n"), "{done:?}");
}

#[test]
fn deploy_says_why_it_is_not_ready() {
    let (cluster, documents) = (Cluster::start(), Documents::new());
    let config = cluster.config("me");
    let file = documents.write("digits", "");
    let done = deploy(&config, &file, &["--timeout", "1s"]);
    assert_eq!(done.code, 75, "{done:?}");
    assert!(done.out.ends_with("digits created\n"), "{done:?}");
    assert!(done.err.contains("not ready within 1s: digits"), "{done:?}");
    let _autoscaler = cluster.autoscaler("one", &[]);
    let done = deploy(&config, &file, &[]);
    assert_eq!(done.code, 1, "{done:?}");
    let why = "there is no Deployment digits in this namespace";
    assert!(done.err.contains("Conditions:") && done.err.contains(why), "{done:?}");
    assert!(done.err.contains("Warning   TargetNotFound   InferenceApi/digits"), "{done:?}");
}

#[test]
fn deploy_sends_nothing_that_is_wrong_and_takes_nothing_over_unasked() {
    let (cluster, documents) = (Cluster::start(), Documents::new());
    let config = cluster.config("me");
    let wrong = documents.write("digits", "  paused: 1\n  autoscalin: {}\n");
    let done = deploy(&config, &wrong, &["--no-wait"]);
    assert_eq!(done.code, 65, "{done:?}");
    assert!(done.err.contains("spec.paused") && done.err.contains("spec.autoscalin"), "{done:?}");
    assert_eq!(cluster.api.writes("").len(), 0);

    let place = Place::of("tidegate.dev/v1alpha1", "inferenceapis", NAMESPACE, "digits");
    let theirs = json!({"apiVersion": "tidegate.dev/v1alpha1", "kind": "InferenceApi",
        "metadata": {"name": "digits"}, "spec": {"target": {"name": "digits"}, "paused": true}});
    let other = super::apply::Apply { manager: "kubectl", force: false, body: &theirs };
    cluster.api.shared().store(|store| super::apply::apply(store, &place, &other)).unwrap();
    let file = documents.write("digits", "  paused: false\n");
    let done = deploy(&config, &file, &["--no-wait"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.err.contains("conflict with \"kubectl\": .spec.paused"), "{done:?}");
    assert!(done.err.contains("--force-conflicts"), "{done:?}");
    let done = deploy(&config, &file, &["--no-wait", "--force-conflicts"]);
    assert_eq!((done.code, done.out.as_str()), (0, "digits updated\n"), "{done:?}");
}

#[test]
fn get_prints_a_table_or_what_is_there() {
    let cluster = Cluster::start();
    let config = cluster.config("me");
    let done = run(&config, &["get"]);
    assert_eq!((done.code, done.out.as_str()), (0, ""), "{done:?}");
    assert!(done.err.contains("no InferenceApis found"), "{done:?}");
    let policy = json!({"autoscaling": {"policy": "concurrency"}});
    cluster.create_api("digits", &policy);
    cluster.create_api("text", &policy);
    let status = json!({"ready": 2, "wanted": 3, "inFlight": 14, "reason": "burst"});
    let place = Place::of("tidegate.dev/v1alpha1", "inferenceapis", NAMESPACE, "digits");
    let place = Place { subresource: "status".to_owned(), ..place };
    let change = |object: &mut Value| object["status"] = status;
    cluster.api.shared().store(|store| store.change(&place, change)).unwrap();

    let done = run(&config, &["get"]);
    let lines: Vec<&str> = done.out.lines().collect();
    assert_eq!(lines[0], "NAME     READY   WANTED   IN-FLIGHT   POLICY        REASON   AGE");
    let row = "digits   2       3        14          concurrency   burst    ";
    assert!(lines[1].starts_with(row) && lines[2].starts_with("text"), "{done:?}");
    let done = run(&config, &["get", "digits", "-o", "json"]);
    let object: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!((&object["kind"], &object["status"]["ready"]), (&json!("InferenceApi"), &json!(2)));
    let done = run(&config, &["get", "-A", "-o", "yaml"]);
    let list: Value = serde_saphyr::from_str(&done.out).unwrap();
    assert_eq!(
        (&list["kind"], &list["items"][1]["metadata"]["name"]),
        (&json!("List"), &json!("text"))
    );
    let done = run(&config, &["get", "-A", "-o", "wide"]);
    assert!(done.out.starts_with("NAMESPACE   NAME") && done.out.contains("Deployment/text"));
}

#[test]
fn get_follows_until_it_is_interrupted() {
    let cluster = Cluster::start();
    let config = cluster.config("me");
    cluster.create_api("digits", &spec(1, 4));
    let watch = Process::start(&mut command(&config, &["get", "-w"]));
    watch.wait_for_line("digits");
    cluster.edit("digits", &json!({"autoscaling": {"policy": "slo"}}));
    watch.wait_for_line("slo");
    // Nothing is lost where the server forgets, and nothing comes twice.
    cluster.api.forget();
    cluster.create_api("text", &spec(1, 4));
    watch.wait_for_line("text");
    cluster.delete("tidegate.dev/v1alpha1", "inferenceapis", "text");
    watch.wait_for_line("text is deleted");
    assert_eq!(watch.count_lines("digits"), 2, "{}", watch.output());
    interrupted(watch);
}

/// Ctrl-C ends it, with the code that shells know.
fn interrupted(mut process: Process) {
    process.signal(Signal::INT);
    assert_eq!(process.wait().code(), Some(130), "{}", process.output());
}

#[test]
fn describe_tells_it_all() {
    let cluster = Cluster::start();
    let config = cluster.config("me");
    cluster.serve("digits", 1, &spec(1, 8));
    cluster.load("digits", 3);
    let _autoscaler = cluster.autoscaler("one", &[]);
    eventually("it has scaled", || cluster.events("digits").contains(&"Scaled".to_owned()));
    eventually("its pods are there", || cluster.pods("digits").len() == 3);
    let done = run(&config, &["describe", "digits"]);
    assert_eq!(done.code, 0, "{done:?}");
    for part in [
        "Target:      Deployment/digits",
        "Replicas:    1 to 8",
        "Ready     True",
        "from 1 to 3 replicas: ",
        "digits-3   Ready   yes       0          ",
        "Events:\n  none",
    ] {
        assert!(done.out.contains(part), "{part}: {}", done.out);
    }
}

#[test]
fn what_can_not_be_done_says_why_and_what_to_do() {
    let cluster = Cluster::start();
    let config = cluster.config("me");
    let told = |args: &[&str], code: i32, parts: &[&str]| {
        let done = run(&config, args);
        assert_eq!(done.code, code, "{done:?}");
        parts.iter().for_each(|part| assert!(done.err.contains(part), "{part}: {done:?}"));
    };
    told(&["get", "digits"], 66, &["there is no InferenceApi digits in the namespace models"]);
    told(&["get", "--bad"], 64, &["--bad"]);
    told(&["get", "--context", "other"], 69, &["the context other can't be used"]);
    cluster.api.refuse("inferenceapis", 403);
    told(&["get"], 77, &["a fault on purpose", "tidegate check"]);
    cluster.api.accept();
    cluster.api.refuse("inferenceapis", 404);
    told(&["get"], 1, &["no InferenceApi resource", "tidegate crd | kubectl apply"]);
    told(&["get", "digits"], 1, &["no InferenceApi resource"]);
    cluster.api.accept();
    cluster.api.away(true);
    told(&["get"], 69, &["the API server http://127.0.0.1:", "can't be reached"]);
    let nothing = Path::new("/nonexistent/kubeconfig");
    let done = run(nothing, &["get"]);
    assert_eq!(done.code, 69, "{done:?}");
    assert!(done.err.contains("no Kubernetes cluster is configured"), "{done:?}");
    assert!(done.err.contains("set KUBECONFIG"), "{done:?}");
}

#[test]
fn top_shows_what_waits_and_how_far_a_version_has_come() {
    let cluster = Cluster::start();
    cluster.gateway();
    cluster.serve("digits", 1, &spec(1, 1));
    cluster.deploy("next", 0);
    cluster.create_api("next", &spec(0, 1));
    let versions = json!([{"api": "digits", "weight": 90}, {"api": "next", "weight": 10}]);
    let rollout = json!({"to": "next", "steps": [{"weight": 20, "pause": "1h"}]});
    let split = json!({"traffic": {"versions": versions}, "rollout": rollout});
    let object = json!({"metadata": {"name": "split"}, "spec": split});
    cluster.create("tidegate.dev/v1alpha1", "inferenceapis", object);
    cluster.load("digits", 2);
    cluster.hold("digits", 3);
    let autoscaler = cluster.autoscaler("one", &[]);
    let config = cluster.config("me");
    let top = |flags: &[&str]| run(&config, &[&["top", "--cluster", "--once"], flags].concat());
    eventually("all is told", || {
        let done = top(&[]);
        assert_eq!(done.code, 0, "{done:?}");
        let lines: Vec<&str> = done.out.lines().collect();
        let cells = |name: &str| {
            let line = lines.iter().find(|line| line.starts_with(name)).unwrap_or(&"");
            line.split_whitespace().collect::<Vec<_>>()
        };
        let header = cells("NAME");
        let at = |name: &str| header.iter().position(|cell| *cell == name).unwrap();
        let (queued, in_flight) = (at("QUEUED"), at("IN-FLIGHT"));
        assert_eq!((in_flight, header[queued + 1], at("AGE")), (3, "TARGET", queued - 1));
        // The reason may be missing, and its column empty: those behind it are found by the last one.
        let digits = cells("digits");
        digits.get(in_flight) == Some(&"5")
            && digits
                .iter()
                .position(|cell| *cell == "Deployment/digits")
                .is_some_and(|target| digits[target - 1] == "3")
            && done.out.contains("step 1 of 1, next gets 20 of 100 requests")
    });
    let done = top(&["--json", "-A"]);
    let all: Value = serde_json::from_str(&done.out).unwrap();
    let digits = &all["items"].as_array().unwrap()[0];
    assert_eq!(
        (&digits["metadata"]["name"], &digits["status"]["queued"]),
        (&json!("digits"), &json!(3))
    );
    let done = run(&config, &["describe", "split"]);
    assert!(done.out.contains("digits 80, next 20"), "{done:?}");
    assert!(done.out.contains("RolloutProgressing   True     "), "{done:?}");
    drop(autoscaler);
}
