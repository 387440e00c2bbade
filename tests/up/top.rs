//! `tidegate top`: what runs, replica by replica.

use crate::support::http::get;
use crate::support::process::Process;
use crate::support::up::{FREE_PORTS, Up, document, plain_command};
use crate::support::{binary, eventually, free_address};
use rustix::process::Signal;
use std::net::SocketAddr;
use std::process::Command;
use tempfile::TempDir;

fn top(flags: &[&str]) -> Process {
    Process::start(Command::new(binary("tidegate")).arg("top").args(flags))
}

#[test]
fn shows_apis_and_replicas_with_the_sidecars_memory() {
    let spec = "  autoscaling: {minReplicas: 2, maxReplicas: 2}";
    let up = Up::start(&document(&plain_command(), spec), &["--tick", "100ms"]);
    let replicas = up.wait_for_ready(2);
    let url = format!("http://{}", up.autoscaler);
    eventually("the sidecars' memory is known", || {
        let status = up.status();
        (0..2).all(|replica| status["replicas"][replica]["sidecar_rss_bytes"].is_u64())
    });
    let mut table = top(&["--once", "--url", &url]);
    assert!(table.wait().success(), "{}", table.output());
    let table = table.output();
    let row = |name: &str| -> Vec<&str> {
        let line = table.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no row {name} in:\n{table}")).split_whitespace().collect()
    };
    assert_eq!(row("plain")[..3], ["plain", "2", "2"], "{table}");
    let column = row("REPLICA").iter().position(|word| *word == "RSS").expect("a column RSS");
    for replica in &replicas {
        let row = row(&replica.id);
        assert_eq!(row[1], "ready", "{table}");
        // The heading before it, IN FLIGHT, is two words.
        let mib: f64 = row[column - 1].parse().unwrap_or_else(|_| panic!("{table}"));
        assert!((1.0..100.0).contains(&mib), "{table}");
    }
    let mut json = top(&["--once", "--json", "--url", &url]);
    assert!(json.wait().success());
    let status: serde_json::Value = serde_json::from_str(&json.output()).unwrap();
    assert_eq!(status["apis"][0]["replicas"][1]["id"], replicas[1].id);
    assert!(status["apis"][0]["replicas"][1]["sidecar_rss_bytes"].as_u64() > Some(0));
}

#[test]
fn up_says_where_everything_is() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("api.yaml");
    std::fs::write(&file, document(&plain_command(), "  concurrency: {limit: 2}")).unwrap();
    let mut command = Command::new(binary("tidegate"));
    command.arg("up").arg(file).arg("--data-dir").arg(folder.path());
    let mut up = Process::start(command.args(["--format", "plain"]).args(FREE_PORTS));
    let last_word = |line: &str| line.split_whitespace().last().unwrap().to_owned();
    let address = |name: &str| -> SocketAddr {
        let line = up.wait_for_line(name);
        let url = line.split_whitespace().find_map(|word| word.strip_prefix("http://"));
        url.unwrap().split('/').next().unwrap().parse().unwrap()
    };
    // The request that it proposes is answered, and said to have woken a replica.
    let proposed = last_word(&up.wait_for_line("try  "));
    assert_eq!(proposed, format!("http://{}/", address("requests  ")));
    assert_eq!(get(address("requests  "), "/").status, 200);
    up.wait_for_line("plain: 0 -> 1 replicas (wake)");
    up.wait_for_line("plain: ready 1");
    assert_eq!(get(address("gateway  "), "/metrics").status, 200);
    let mut table = top(&["--once", "--url", &last_word(&up.wait_for_line("autoscaler  "))]);
    assert!(table.wait().success(), "{}", table.output());
    up.signal(Signal::INT);
    assert!(up.wait().success());
    assert!(up.output().ends_with("stopped"), "{}", up.output());
}

#[test]
fn says_so_where_nothing_listens() {
    let free = free_address();
    let url = format!("http://{free}");
    let mut top = top(&["--once", "--url", &url]);
    assert_eq!(top.wait().code(), Some(1));
    for word in [&url, "tidegate up", "--url", "refused"] {
        assert!(top.errors().contains(word), "no {word:?} in: {}", top.errors());
    }
}

#[test]
fn says_so_where_something_else_listens() {
    let up = Up::start(&document(&plain_command(), ""), &[]);
    let url = format!("http://{}", up.admin);
    let mut top = top(&["--once", "--url", &url]);
    assert_eq!(top.wait().code(), Some(1));
    for word in [&url, "404", "--url"] {
        assert!(top.errors().contains(word), "no {word:?} in: {}", top.errors());
    }
}
