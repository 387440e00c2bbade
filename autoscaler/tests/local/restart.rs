//! An autoscaler that is killed and started anew goes on where it was.

use crate::world::{BINARY, DEADLINE, script, until};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use tidegate_autoscaler::Status;
use tidegate_autoscaler::status::ApiStatus;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The window of the rule, in seconds.
const WINDOW: f64 = 4.0;

/// A folder with a document whose replicas follow the load that their sidecars find in a file.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let document = format!(
        "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {{name: api}}\n\
         spec:\n  container: {{command: [python3, {}, '{{port}}']}}\n  concurrency: {{limit: 2}}\n  \
         autoscaling: {{minReplicas: 1, maxReplicas: 3, concurrency: {{utilization: 1, \
         stableWindow: {WINDOW}s, panicWindow: 1s}}}}\n",
        script("model.py")
    );
    std::fs::write(folder.path().join("api.yaml"), document).unwrap();
    folder
}

fn load(folder: &Path, load: &str) {
    std::fs::write(folder.join("load.new"), load).unwrap();
    std::fs::rename(folder.join("load.new"), folder.join("load")).unwrap();
}

/// A running binary. Dropped, it is killed, and its replicas with it.
struct Running {
    binary: Child,
    admin: String,
}

impl Running {
    fn start(folder: &Path) -> Self {
        let mut binary = Command::new(BINARY)
            .args(["run", "--local", "api.yaml", "--admin", "127.0.0.1:0", "--drain-delay", "0s"])
            .args(["--endpoints-file", "endpoints.json", "--log-dir", "logs", "--tick", "100ms"])
            .args(["--state-file", "kept/state.json"])
            .args(["--sidecar-command", &format!("python3 {}", script("sidecar.py"))])
            .env("FAKE_LOAD", folder.join("load"))
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(binary.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        Self { binary, admin: said["admin"].as_str().unwrap().to_owned() }
    }

    async fn api(&self) -> ApiStatus {
        let mut stream = tokio::net::TcpStream::connect(&self.admin).await.unwrap();
        let head = b"GET /status HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(head).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (_, status) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str::<Status>(status).unwrap().apis.remove(0)
    }

    async fn until(&self, what: &str, wanted: impl Fn(&ApiStatus) -> bool) -> ApiStatus {
        let look = async {
            loop {
                let api = self.api().await;
                if wanted(&api) {
                    return api;
                }
            }
        };
        match tokio::time::timeout(DEADLINE, look).await {
            Ok(api) => api,
            Err(_) => panic!("not in time: {what}\n{:#?}", self.api().await),
        }
    }

    /// As a full machine or a power cut would: nothing can be done about it.
    fn kill(mut self) {
        self.binary.kill().unwrap();
        self.binary.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.binary.kill().ok();
        self.binary.wait().ok();
    }
}

#[tokio::test]
async fn a_killed_autoscaler_goes_on_and_takes_nothing_away_before_it_has_seen_a_window() {
    let folder = folder();
    load(folder.path(), "2 3");
    let first = Running::start(folder.path());
    first.until("three are ready", |api| api.ready == 3).await;
    // Nobody asks any more, and the next process must not take that for a reason at once.
    load(folder.path(), "0 0");
    first.kill();

    let second = Running::start(folder.path());
    let begin = second.api().await;
    assert_eq!((begin.wanted, begin.decisions.len()), (3, 0), "{begin:#?}");
    second.until("three are started again", |api| api.ready == 3).await;
    let shrunk = second.until("it shrinks in the end", |api| api.wanted == 1).await;
    let first_change = &shrunk.decisions[0];
    assert_eq!(first_change.from, 3, "{:#?}", shrunk.decisions);
    assert!(first_change.at_seconds >= WINDOW, "{:#?}", shrunk.decisions);
    second.until("one is left", |api| api.replicas.len() == 1).await;
}

#[tokio::test]
async fn a_state_file_that_is_garbage_is_told_and_ignored() {
    let folder = folder();
    load(folder.path(), "0 0");
    std::fs::create_dir(folder.path().join("kept")).unwrap();
    let file = folder.path().join("kept/state.json");
    std::fs::write(&file, "{\"version\": 1, \"apis\": {\"api\": {\"wan").unwrap();
    let running = Running::start(folder.path());
    running.until("the least is there", |api| (api.wanted, api.ready) == (1, 1)).await;
    let log = || std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(
        log().contains("ignores the state file") && log().contains("it is no state"),
        "{}",
        log()
    );
    let sound = || {
        let text = std::fs::read(&file).unwrap();
        serde_json::from_slice::<serde_json::Value>(&text)
            .ok()
            .filter(|json| json["apis"]["api"]["wanted"] == 1)
    };
    until("another is in its place", sound, log).await;
}
