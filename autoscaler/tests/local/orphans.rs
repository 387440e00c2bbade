//! An autoscaler that is killed takes its children along, and one that is told to stop cleans up.

use crate::world::{BINARY, DEADLINE, pids, runs, script, until};
use rustix::process::Signal;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use tidegate_autoscaler::Status;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The binary with one replica ready: itself, and the replica's processes.
async fn started(folder: &TempDir) -> (Child, Vec<u32>) {
    let document = format!(
        "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {{name: api}}\n\
         spec:\n  container: {{command: [python3, {}, '{{port}}']}}\n  \
         autoscaling: {{minReplicas: 1, maxReplicas: 1}}\n",
        script("model.py")
    );
    std::fs::write(folder.path().join("api.yaml"), document).unwrap();
    let mut binary = Command::new(BINARY)
        .args(["run", "--local", "api.yaml", "--admin", "127.0.0.1:0", "--drain-delay", "0s"])
        .args(["--endpoints-file", "endpoints.json", "--log-dir", "logs", "--tick", "100ms"])
        .args(["--sidecar-command", &format!("python3 {}", script("sidecar.py"))])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(binary.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let said: serde_json::Value = serde_json::from_str(&line).unwrap();
    let admin = said["admin"].as_str().unwrap().to_owned();
    let ready = async {
        loop {
            let status = status(&admin).await;
            if status.apis[0].ready == 1 {
                return pids(&status.apis[0]);
            }
        }
    };
    (binary, tokio::time::timeout(DEADLINE, ready).await.unwrap())
}

async fn status(admin: &str) -> Status {
    let mut stream = tokio::net::TcpStream::connect(admin).await.unwrap();
    let head = b"GET /status HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap_or_default()
}

#[tokio::test]
async fn children_end_with_an_autoscaler_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut binary, children) = started(&folder).await;
    assert!(children.len() == 2 && children.iter().all(|pid| runs(*pid)));
    binary.kill().unwrap();
    binary.wait().unwrap();
    let gone = || children.iter().all(|pid| !runs(*pid)).then_some(());
    until("the children end", gone, || format!("{children:?}")).await;
}

#[tokio::test]
async fn a_signal_stops_the_binary_and_all_it_started() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = tempfile::tempdir().unwrap();
        let (mut binary, children) = started(&folder).await;
        crate::world::send(binary.id(), signal);
        let code = until("the end", || binary.try_wait().unwrap(), || log(folder.path())).await;
        assert_eq!(code.code(), Some(0), "{}", log(folder.path()));
        assert!(children.iter().all(|pid| !runs(*pid)));
        assert!(log(folder.path()).contains("min-replicas"), "decisions are logged");
    }
}
