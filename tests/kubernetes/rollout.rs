//! One version takes over from another on a cluster: the leader moves the weights in the resource's
//! status, by what a real gateway counts of real sidecars, and the gateway goes by that status.

use super::api_server::ApiServer;
use super::cluster::{Autoscaler, NAMESPACE, OWN, kubeconfig, pod_object, start_autoscaler};
use super::front::{Front, create, deployment, inference_api, patch, pod};
use super::request::Place;
use super::scaling::spec;
use crate::support::http::{get, sum};
use crate::support::process::Process;
use crate::support::sidecar::{Sidecar, listening};
use crate::support::{PATIENCE, eventually, now, root};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::process::Command;
use tempfile::TempDir;

const API: (&str, &str) = ("tidegate.dev/v1alpha1", "inferenceapis");

/// The API `s` of the versions `old` and `new`, each with a pod, and a gateway before them.
struct Versions {
    front: Front,
    _sidecars: [Sidecar; 2],
    folder: TempDir,
}

impl Versions {
    /// The new version's model has this in its environment; the rollout goes on by this condition.
    fn start(env: (&str, &str), condition: &Value) -> Self {
        let server = ApiServer::start();
        let sidecar = |env: (&str, &str)| {
            let script = root().join("tests/models/plain.py");
            let mut command = Command::new("python3");
            let model = Process::start(command.arg(script).arg("0").env(env.0, env.1));
            let address = listening(&model);
            Sidecar::before(model, address, &["--concurrency", "8"])
        };
        let sidecars = [sidecar(("VERSION", "old")), sidecar(env)];
        for (name, sidecar) in ["old", "new"].into_iter().zip(&sidecars) {
            deployment(&server, name, 1);
            let mut own = spec(1, 1);
            own["concurrency"] = json!({"limit": 8});
            inference_api(&server, name, &own);
            pod(&server, &format!("{name}-1"), name, sidecar);
        }
        let step = |weight: u32| json!({"weight": weight, "pause": "200ms"});
        let split = json!({
            "routes": [{"path": "/s", "stripPrefix": true}],
            "traffic": {"versions": [{"api": "old", "weight": 90}, {"api": "new", "weight": 10}],
                "override": {"header": "x-version"}},
            "rollout": {"to": "new", "steps": [step(20), step(50)], "condition": condition},
        });
        create(&server, API.0, API.1, json!({"metadata": {"name": "s"}, "spec": split}));
        let front = Front::start(server, &[]);
        let gateway = pod_object("gateway-1", &json!({"app": "gateway"}), front.admin.port());
        let place = Place::of("v1", "pods", OWN, "");
        front.server.shared().store(|store| store.create(&place, gateway)).unwrap();
        front.wait_until_ready();
        Self { front, _sidecars: sidecars, folder: TempDir::new().unwrap() }
    }

    fn autoscaler(&self, name: &str) -> Autoscaler {
        let config = self.folder.path().join(name);
        std::fs::write(&config, kubeconfig(self.front.server.address(), name)).unwrap();
        start_autoscaler(&config, name, &["--own-namespace", OWN])
    }

    /// The status of `s`.
    fn status(&self) -> Value {
        let place = Place::of(API.0, API.1, NAMESPACE, "s");
        self.front.server.shared().store(|store| store.get(&place)).unwrap()["status"].clone()
    }

    /// The new version's weight at the gateway.
    fn weight(&self) -> f64 {
        self.front.metric("tidegate_traffic_weight", r#"api="models/s",version="models/new""#)
    }

    fn condition(&self) -> String {
        let status = self.status();
        let all = status["conditions"].as_array().cloned().unwrap_or_default();
        let one = all.iter().find(|one| one["type"] == "RolloutProgressing");
        let text = |field: &str| one.and_then(|one| one[field].as_str()).unwrap_or("none");
        format!("{} {}", text("status"), text("reason"))
    }

    /// The reasons and notes of the events about `s`, oldest first.
    fn events(&self) -> Vec<(String, String, String)> {
        let writes = self.front.server.writes("POST /apis/events.k8s.io/v1");
        let about = writes.iter().filter(|write| write.body["regarding"]["name"] == "s");
        let text = |write: &super::api_server::Write, field: &str| {
            write.body[field].as_str().unwrap_or("").to_owned()
        };
        let events = about.map(|of| (text(of, "type"), text(of, "reason"), text(of, "note")));
        events.filter(|(_, reason, _)| reason.starts_with("Rollout")).collect()
    }

    /// Which version answers, with which status.
    fn ask(&self) -> (String, u16) {
        let answer = get(self.front.data, "/s/x");
        (answer.header("x-tidegate-version").to_owned(), answer.status)
    }

    /// Asks until it is so; says how many requests failed meanwhile.
    fn ask_until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> usize {
        let (start, mut failed) = (now(), 0);
        while !is_so(&self.status()["rollout"]) {
            assert!(now() - start < PATIENCE, "not {what}: {}", self.status());
            for _ in 0..20 {
                failed += usize::from(self.ask().1 >= 500);
            }
        }
        failed
    }
}

#[test]
fn a_version_takes_over_step_by_step_also_when_the_leader_is_killed_in_the_middle() {
    let condition = json!({"minRequests": 60, "latency": {"factor": 10}});
    let versions = Versions::start(("VERSION", "new"), &condition);
    // The spec counts as long as nobody leads.
    eventually("the spec's weights", || versions.weight() == 10.0);
    let mut one = versions.autoscaler("one");
    eventually("the first step", || versions.weight() == 20.0);
    assert_eq!(versions.condition(), "True Step");
    let second = |rollout: &Value| rollout["step"] == 2;
    assert_eq!(versions.ask_until("in its second step", second), 0);
    eventually("half of the requests", || versions.weight() == 50.0);
    eventually("it is told", || versions.events().len() == 2);
    let before = versions.status()["rollout"].clone();

    one.process.signal(Signal::KILL);
    one.process.wait();
    let two = versions.autoscaler("two");
    for _ in 0..50 {
        assert_eq!(versions.ask().1, 200);
    }
    two.process.wait_for_line(" leads");
    two.process.wait_for_line("step 2 of 2");
    for field in ["step", "since", "weights"] {
        assert_eq!(versions.status()["rollout"][field], before[field], "{field}");
    }
    assert_eq!(versions.weight(), 50.0);
    let promoted = |rollout: &Value| rollout["stage"] == "Promoted";
    assert_eq!(versions.ask_until("promoted", promoted), 0);
    eventually("all requests", || versions.weight() == 100.0);
    for _ in 0..20 {
        assert_eq!(versions.ask(), ("models/new".to_owned(), 200));
    }
    assert_eq!(versions.condition(), "False Promoted");
    eventually("three events", || versions.events().len() == 3);
    let events = versions.events();
    let told: Vec<&str> = events.iter().map(|(_, reason, _)| reason.as_str()).collect();
    assert_eq!(told, ["RolloutStarted", "RolloutStep", "RolloutPromoted"]);
    assert!(events[1].2.contains("step 2 of 2: new gets 50 of 100"), "{events:?}");
    let page = get(two.admin, "/metrics").text();
    let changes = "tidegate_autoscaler_rollout_changes_total";
    assert_eq!(sum(&page, changes, r#"api="models/s",reason="promoted""#), 1.0);
    assert_eq!(sum(&page, "tidegate_autoscaler_rollout_weight", r#"api="models/s""#), 100.0);
    let writes = versions.front.server.writes("");
    assert!(writes.iter().all(|write| write.who != "gateway"), "a gateway writes nothing");
}

#[test]
fn a_version_that_fails_is_taken_back_and_says_why_until_the_spec_changes() {
    let versions = Versions::start(("STATUS", "500"), &json!({"minRequests": 1000}));
    let mut one = versions.autoscaler("one");
    let taken_back = |rollout: &Value| rollout["stage"] == "TakenBack";
    let failed = versions.ask_until("taken back", taken_back);
    assert!(failed >= 3, "{failed} requests were enough to be sure");
    eventually("it gets nothing", || versions.weight() == 0.0);
    for _ in 0..50 {
        assert_eq!(versions.ask(), ("models/old".to_owned(), 200));
    }
    let rollout = versions.status()["rollout"].clone();
    assert_eq!(rollout["reason"], "success-rate", "{rollout}");
    let why = "requests failed (100 %), where 1 % may";
    assert!(rollout["message"].as_str().unwrap().contains(why), "{rollout}");
    assert_eq!(versions.condition(), "False TakenBack");
    eventually("an event says why", || {
        versions.events().iter().any(|(kind, reason, note)| {
            kind == "Warning" && reason == "RolloutTakenBack" && note.contains(why)
        })
    });

    // It stays so with another leader, and for a gateway that comes later.
    one.process.signal(Signal::TERM);
    one.process.wait();
    let two = versions.autoscaler("two");
    two.process.wait_for_line("taken back");
    assert_eq!((versions.weight(), versions.status()["rollout"].clone()), (0.0, rollout));
    let anew = json!({"spec": {"rollout": {"condition": {"minRequests": 1001}}}});
    patch(&versions.front.server, API.0, API.1, "s", &anew);
    eventually("it is tried again", || versions.weight() == 20.0);
    assert_eq!(versions.condition(), "True Step");
    // Who asks for no rollout any more gets what the spec says.
    let plain = json!({"spec": {"rollout": null}});
    patch(&versions.front.server, API.0, API.1, "s", &plain);
    eventually("the spec's weights", || versions.weight() == 10.0);
    eventually("nothing is left of it", || {
        versions.status()["rollout"]["stage"].is_null() && versions.condition() == "none none"
    });
}
