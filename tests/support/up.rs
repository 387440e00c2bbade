//! A running `tidegate up`, with its replicas as its status shows them.

use super::family::Family;
use super::process::Process;
use super::{PATIENCE, binary, eventually, http, root};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Free ports for all three.
pub(crate) const FREE_PORTS: [&str; 6] =
    ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--status", "127.0.0.1:0"];

/// The longest that making the Python environment for the digits may take: it is fetched.
pub(crate) const INSTALLATION: Duration = Duration::from_secs(900);

/// `tidegate up`, listening.
pub(crate) struct Up {
    /// Its process.
    pub(crate) process: Process,
    /// It and all that it has started.
    pub(crate) family: Family,
    /// Where requests go.
    pub(crate) data: SocketAddr,
    /// The gateway's admin port.
    pub(crate) admin: SocketAddr,
    /// The autoscaler's port.
    pub(crate) autoscaler: SocketAddr,
    logs: PathBuf,
    folder: TempDir,
}

/// A replica, as the status shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replica {
    /// Its name.
    pub(crate) id: String,
    /// `starting`, `ready` or `draining`.
    pub(crate) state: String,
    /// The sidecar's admin port.
    pub(crate) admin: Option<SocketAddr>,
    /// The sidecar's process.
    pub(crate) sidecar_pid: Option<u32>,
    /// The model's process.
    pub(crate) model_pid: Option<u32>,
    /// How often the model was started again.
    pub(crate) restarts: u64,
    /// Whether it is not made as the document says now.
    pub(crate) outdated: bool,
}

/// A document of the API `plain`, which runs `command` (a YAML list); `spec` are more lines of its
/// `spec`.
pub(crate) fn document(command: &str, spec: &str) -> String {
    let head = "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {name: plain}";
    format!("{head}\nspec:\n  container: {{command: {command}}}\n{spec}\n")
}

/// The command of the plain model.
pub(crate) fn plain_command() -> String {
    format!("[python3, {}, \"{{port}}\"]", plain_script().display())
}

/// The plain model's file.
pub(crate) fn plain_script() -> PathBuf {
    root().join("tests/models/plain.py")
}

/// The folder that all tests share which need the digits' Python environment, so that it is made
/// once. It is the one that the command line names by default.
pub(crate) fn shared_data_dir() -> PathBuf {
    root().join("target/tidegate")
}

impl Up {
    /// Runs the document, and waits until the ports are open.
    pub(crate) fn start(document: &str, flags: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let data_dir = folder.path().join("data");
        Self::start_in(folder, &data_dir, document, flags, PATIENCE)
    }

    /// The same with the shared data folder, whose Python environments may have to be made first.
    pub(crate) fn start_shared(document: &str, flags: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        Self::start_in(folder, &shared_data_dir(), document, flags, INSTALLATION)
    }

    fn start_in(
        folder: TempDir,
        data_dir: &Path,
        document: &str,
        flags: &[&str],
        patience: Duration,
    ) -> Self {
        let file = folder.path().join("api.yaml");
        std::fs::write(&file, document).unwrap();
        let mut command = Command::new(binary("tidegate"));
        command.arg("up").arg(&file).arg("--data-dir").arg(data_dir);
        command.args(["--format", "json"]).args(FREE_PORTS).args(flags);
        let family = Family::of(&mut command);
        let process = Process::start(&mut command);
        let line = process.wait_for_lines_within(patience, r#""event":"listening""#, 1).remove(0);
        let json: Value = serde_json::from_str(&line).unwrap();
        let address = |key: &str| json[key].as_str().unwrap().parse().unwrap();
        let (data, admin) = (address("requests"), address("gateway"));
        let (autoscaler, logs) = (address("autoscaler"), json["logs"].as_str().unwrap().into());
        Self { process, family, data, admin, autoscaler, logs, folder }
    }

    /// Replaces the document that it follows.
    pub(crate) fn write_document(&self, document: &str) {
        super::replace(&self.folder.path().join("api.yaml"), document);
    }

    /// One of the gateway's metrics.
    pub(crate) fn metric(&self, name: &str, labels: &str) -> f64 {
        http::metric(self.admin, name, labels)
    }

    /// What a replica has printed so far.
    pub(crate) fn log(&self, replica: &Replica) -> String {
        std::fs::read_to_string(self.logs.join(format!("replicas/{}.log", replica.id))).unwrap()
    }

    /// The state of a replica in the file that the gateway reads, or "".
    pub(crate) fn told_to_gateway(&self, replica: &Replica) -> String {
        let file = std::fs::read(self.logs.join("endpoints.json")).unwrap();
        let json: Value = serde_json::from_slice(&file).unwrap();
        let entries = json["apis"]["plain"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["id"] == replica.id);
        entry.and_then(|entry| entry["state"].as_str()).unwrap_or("").to_owned()
    }

    /// The status of its first API.
    pub(crate) fn status(&self) -> Value {
        let page = http::get(self.autoscaler, "/status");
        assert_eq!(page.status, 200);
        serde_json::from_str::<Value>(&page.text()).unwrap()["apis"][0].take()
    }

    /// Its replicas, oldest first.
    pub(crate) fn replicas(&self) -> Vec<Replica> {
        let status = self.status();
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let pid = |value: &Value| value.as_u64().map(|pid| u32::try_from(pid).unwrap());
        let replica = |value: &Value| Replica {
            id: text(&value["id"]),
            state: text(&value["state"]),
            admin: value["admin"].as_str().map(|admin| admin.parse().unwrap()),
            sidecar_pid: pid(&value["sidecar_pid"]),
            model_pid: pid(&value["model_pid"]),
            restarts: value["restarts"].as_u64().unwrap(),
            outdated: value["outdated"].as_bool().unwrap(),
        };
        status["replicas"].as_array().unwrap().iter().map(replica).collect()
    }

    /// Waits until there are so many replicas, each of them ready, and returns them.
    pub(crate) fn wait_for_ready(&self, count: usize) -> Vec<Replica> {
        let mut replicas = Vec::new();
        eventually(&format!("{count} replicas, all ready"), || {
            replicas = self.replicas();
            replicas.len() == count && replicas.iter().all(|replica| replica.state == "ready")
        });
        replicas
    }

    /// Waits until nothing runs or waits, at the gateway and at every sidecar.
    pub(crate) fn wait_until_idle(&self) {
        let is_idle = |admin| {
            http::metric(admin, "tidegate_requests_in_flight", "")
                + http::metric(admin, "tidegate_requests_queued", "")
                == 0.0
        };
        eventually("nothing runs or waits at the gateway", || is_idle(self.admin));
        for replica in self.replicas() {
            let admin = replica.admin.expect("a replica that listens");
            eventually("nothing runs or waits at a sidecar", || is_idle(admin));
        }
    }
}
