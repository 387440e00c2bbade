//! The harness as a whole, for a moment: no proxy and a raw copy, as these are always there.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest that anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Without what the caller's environment may say.
fn harness(peers: &str, args: &[&str], output: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate-benches"));
    let ours = std::env::vars_os().map(|(name, _)| name);
    for name in ours.filter(|name| name.to_string_lossy().starts_with("TIDEGATE_BENCH_")) {
        command.env_remove(name);
    }
    command.args(["--peers", peers, "--repeat", "1"]).args(args);
    command.arg("--output").arg(output).stdin(Stdio::null());
    command
}

#[test]
fn every_load_is_measured() {
    let folder = tempfile::tempdir().expect("a folder");
    let args = ["--only", "small,rate,json,sse", "--requests", "200", "--connections", "4"];
    let args = [&args[..], &["--seconds", "0.2"]].concat();
    let run = harness("direct,raw", &args, folder.path()).output().expect("it runs");
    let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");

    let files = std::fs::read_dir(folder.path()).expect("readable").flatten();
    let json = files.map(|file| file.path()).find(|path| path.extension() == Some("json".as_ref()));
    let text = std::fs::read(json.expect("a file of JSON")).expect("readable");
    let report: Value = serde_json::from_slice(&text).expect("JSON");
    let samples = report["samples"].as_array().expect("samples");
    let units = |load: &str, peer: &str| {
        let of = |sample: &&Value| sample["load"] == load && sample["peer"] == peer;
        let found = samples.iter().find(of);
        found.unwrap_or_else(|| panic!("no {load:?} of {peer}:\n{said}"))["units"].as_u64()
    };
    for peer in ["direct", "raw"] {
        assert_eq!(units("small, 4 connections", peer), Some(200));
        assert_eq!(units("small, 500 a second", peer), Some(100));
        assert_eq!(units("220 KB, 150 connections", peer), Some(200));
        assert_eq!(units("SSE, 50 streams", peer), Some(50 * 200));
    }
    for sample in samples {
        assert!(sample["p50_us"].as_f64().is_some_and(|p50| p50 > 0.0), "{sample}");
        let is_proxy = sample["peer"] == "raw";
        assert_eq!(sample["cpu_us"].as_f64().is_some_and(|cpu| cpu > 0.0), is_proxy, "{sample}");
        assert_eq!(sample["loaded"]["rss_kib"].as_u64().is_some_and(|kib| kib > 0), is_proxy);
    }
    assert!(said.contains("| SSE, 50 streams "), "no table in\n{said}");
}

#[test]
fn an_interrupt_ends_it_and_all_that_it_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = harness("raw", &["--only", "small", "--seconds", "600"], folder.path());
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Ended(command.spawn().expect("it starts"));
    let pid = running.0.id();
    eventually("origin and raw copy run", || {
        children(pid).iter().filter(|child| is_alive(**child)).count() == 2
    });
    let started = children(pid);
    let raw_pid = Pid::from_raw(pid.try_into().expect("small")).expect("not 0");
    kill_process(raw_pid, Signal::INT).expect("it runs");
    eventually("it ends", || running.0.try_wait().expect("known").is_some());
    assert_eq!(running.0.wait().expect("known").code(), Some(130));
    for child in started {
        eventually("its children are gone", || !is_alive(child));
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 0, "no results");
}

/// Ended with the test, however that ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

#[expect(clippy::disallowed_methods, reason = "real processes run by the real clock")]
fn eventually(what: &str, mut answer: impl FnMut() -> bool) {
    let start = Instant::now();
    while !answer() {
        assert!(Instant::now() - start < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
