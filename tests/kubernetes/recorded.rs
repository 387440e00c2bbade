//! The autoscaler goes by what a Prometheus has scraped of pods and gateways: one that is made here,
//! and a real one where it is to be had.

use super::cluster::{Cluster, NAMESPACE, OWN};
use super::request::{Place, Selection};
use super::scaling::spec;
use crate::support::http::get;
use crate::support::process::Process;
use crate::support::sidecar::listening;
use crate::support::{eventually, replace, root, say};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Tells Prometheus of every pod, as service discovery does.
fn discover(cluster: &Cluster, targets: &Path) {
    let mut all = Vec::new();
    for namespace in [NAMESPACE, OWN] {
        let place = Place::of("v1", "pods", namespace, "");
        let pods = cluster.api.shared().store(|store| store.list(&place, &Selection::default()));
        all.extend(pods.iter().map(|pod| {
            let port = &pod["spec"]["initContainers"][0]["ports"][0]["containerPort"];
            let labels = json!({"namespace": namespace, "pod": pod["metadata"]["name"]});
            json!({"targets": [format!("127.0.0.1:{port}")], "labels": labels})
        }));
    }
    let text = Value::Array(all).to_string();
    if std::fs::read_to_string(targets).ok().as_ref() != Some(&text) {
        replace(targets, &text);
    }
}

/// Scales up, down, and from zero by it.
fn scales_by(start: impl FnOnce(&Path, &Path) -> (Process, SocketAddr)) {
    let (cluster, folder) = (Cluster::start(), TempDir::new().unwrap());
    let targets = folder.path().join("targets.json");
    cluster.gateway();
    cluster.serve("digits", 1, &spec(1, 8));
    cluster.serve("asleep", 0, &spec(0, 4));
    cluster.load("digits", 4);
    discover(&cluster, &targets);
    let (prometheus, address) = start(folder.path(), &targets);
    let url = format!("http://{address}");
    let flags =
        ["--source", "prometheus", "--source-period", "200ms", "--prometheus", url.as_str()];
    let autoscaler = cluster.autoscaler("one", &flags);
    let eventually = |what: &str, is_so: &dyn Fn() -> bool| {
        eventually(what, || {
            discover(&cluster, &targets);
            is_so()
        });
    };
    eventually("it grows", &|| cluster.replicas("digits") >= 4);
    eventually("the status says of which load", &|| cluster.status("digits")["inFlight"] == 4);
    eventually("it is measured", &|| cluster.condition("digits", "Scaling") == "True Measured");
    cluster.load("digits", 0);
    eventually("it shrinks", &|| cluster.replicas("digits") == 1);
    cluster.hold("asleep", 2);
    eventually("who waits at a gateway wakes", &|| cluster.replicas("asleep") >= 1);
    eventually("and is told", &|| cluster.status("asleep")["queued"] == 2);
    drop(prometheus);
    autoscaler.process.wait_for_line("prometheus does not say what pods do");
}

#[test]
fn replicas_follow_what_a_prometheus_has_scraped() {
    scales_by(|_, targets| {
        let script = root().join("tests/models/prometheus_pods.py");
        let process = Process::start(Command::new("python3").arg(script).arg(targets));
        let address = listening(&process);
        (process, address)
    });
}

#[test]
fn replicas_follow_what_a_real_prometheus_has_scraped() {
    let fetched = root().join("target/tools/usr/bin/prometheus");
    let found = std::env::var_os("PATH").and_then(|path| {
        let mut folders = std::env::split_paths(&path).map(|folder| folder.join("prometheus"));
        folders.find(|program| program.is_file())
    });
    let Some(program) = found.or_else(|| fetched.is_file().then_some(fetched)) else {
        return say("skipped: there is no prometheus; .ci/promtool fetches one");
    };
    scales_by(|folder, targets| real(&program, folder, targets));
}

/// A real one that scrapes each second.
fn real(program: &PathBuf, folder: &Path, targets: &Path) -> (Process, SocketAddr) {
    let config = folder.join("prometheus.yml");
    let text = json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{"job_name": "pods", "file_sd_configs": [{"files": [targets]}]}],
    });
    std::fs::write(&config, text.to_string()).unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new(program);
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address={free}"));
    let process = Process::start(&mut command);
    process.wait_for_line("Server is ready to receive web requests");
    eventually("prometheus is ready", || get(free, "/-/ready").status == 200);
    (process, free)
}
