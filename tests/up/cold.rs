//! Many requests to an API at zero: who wakes it, who is served, where and in which order.

use crate::support::family::Family;
use crate::support::gateway::Gateway;
use crate::support::http::{Answer, connect, metric, read_answer};
use crate::support::process::Process;
use crate::support::up::{Up, document, plain_script};
use crate::support::{binary, eventually, free_address};
use rustix::process::Signal;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const REQUESTS: usize = 100;
const REPLICAS: usize = 4;

/// One at a time, and nobody goes before the test is over.
const NARROW: &str = "
  concurrency: {limit: 1}
  autoscaling: {maxReplicas: 4}
";

/// The plain model, which does not begin before the file `go` is there.
fn held_back(go: &Path, spec: &str) -> String {
    let (go, script) = (go.display(), plain_script());
    let wait = format!("until [ -e {go} ]; do sleep 0.02; done; exec python3 {}", script.display());
    document(&format!("[sh, -c, '{wait} \"$0\"', \"{{port}}\"]"), spec)
}

/// Sends so many requests, each once all before it wait.
fn queue_up(data: SocketAddr, admin: SocketAddr, count: usize) -> Vec<TcpStream> {
    let ask = |number: usize| {
        let mut stream = connect(data);
        let target = format!("/sleep?ms=40&number={number}");
        write!(stream, "GET {target} HTTP/1.1\r\nhost: me\r\nconnection: close\r\n\r\n").unwrap();
        wait_for_queued(admin, number + 1);
        stream
    };
    (0..count).map(ask).collect()
}

fn wait_for_queued(admin: SocketAddr, count: usize) {
    eventually(&format!("{count} wait"), || {
        metric(admin, "tidegate_requests_queued", "") == count as f64
    });
}

/// The numbers of the requests that a model says it was given, in its order.
fn numbers(log: &str) -> Vec<usize> {
    let requests = log.lines().filter(|line| line.contains("REQUEST GET /sleep"));
    let number = |line: &str| {
        let rest = line.split("number=").nth(1).unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    requests.map(number).collect()
}

#[test]
fn a_crowd_at_zero_reaches_all_replicas_in_its_order() {
    let folder = TempDir::new().unwrap();
    let go = folder.path().join("go");
    let up = Up::start(&held_back(&go, NARROW), &["--tick", "100ms"]);
    let mut waiting = queue_up(up.data, up.admin, REQUESTS);
    // One leaves: nobody is ever asked what it asked.
    drop(waiting.remove(50));
    wait_for_queued(up.admin, REQUESTS - 1);
    eventually("the crowd is met", || up.replicas().len() == REPLICAS);
    std::fs::write(&go, "").unwrap();
    let answers: Vec<Answer> = waiting.iter_mut().map(read_answer).collect();
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.reason());
        assert!(answer.header("x-tidegate-cold-start").parse::<u64>().unwrap() > 0);
    }
    let logs: Vec<_> = up.replicas().iter().map(|replica| numbers(&up.log(replica))).collect();
    assert_eq!(logs.len(), REPLICAS);
    for log in &logs {
        assert!(!log.is_empty() && log.is_sorted(), "{logs:?}");
    }
    let mut all = logs.concat();
    all.sort_unstable();
    let sent: Vec<_> = (0..REQUESTS).filter(|number| *number != 50).collect();
    assert_eq!(all, sent, "each is asked once");
    let cold = up.metric("tidegate_cold_start_seconds_count", "plain");
    assert_eq!(cold, sent.len() as f64);
}

/// An autoscaler by itself.
struct Autoscaler {
    process: Process,
    family: Family,
}

impl Autoscaler {
    fn start(folder: &Path, gateway: &Gateway, admin: SocketAddr) -> Self {
        let mut command = Command::new(binary("tidegate-autoscaler"));
        command.arg("run").arg("--local").arg(&gateway.documents);
        command.args(["--gateway", &gateway.admin.to_string(), "--admin", &admin.to_string()]);
        command.arg("--endpoints-file").arg(&gateway.endpoints_file);
        command.arg("--state-file").arg(folder.join("state.json"));
        command.arg("--log-dir").arg(folder.join("logs")).args(["--tick", "100ms"]);
        let family = Family::of(&mut command);
        Self { process: Process::start(&mut command), family }
    }
}

#[test]
fn who_waits_outlives_the_autoscaler() {
    let folder = TempDir::new().unwrap();
    // The gateway must know where the autoscaler is before it listens there.
    let (go, wake) = (folder.path().join("go"), free_address());
    let gateway = Gateway::run(&held_back(&go, NARROW), &["--wake", &wake.to_string()]);
    // Nobody hears the first call.
    let mut waiting = queue_up(gateway.data, gateway.admin, 12);
    let mut first = Autoscaler::start(folder.path(), &gateway, wake);
    eventually("it starts replicas", || !first.family.running("until").is_empty());
    first.process.signal(Signal::KILL);
    first.process.wait();
    first.family.wait_until_gone();
    wait_for_queued(gateway.admin, 12);
    let _second = Autoscaler::start(folder.path(), &gateway, wake);
    std::fs::write(&go, "").unwrap();
    for stream in &mut waiting {
        let answer = read_answer(stream);
        assert_eq!(answer.status, 200, "{}", answer.reason());
        assert!(answer.header("x-tidegate-cold-start").parse::<u64>().unwrap() > 0);
    }
    let answered = gateway.metric("tidegate_requests_total", r#"code="200""#);
    assert_eq!((answered, gateway.metric("tidegate_requests_total", "")), (12.0, 12.0));
}
