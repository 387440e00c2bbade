//! Replicas by a number from elsewhere: the models' own metrics, or a Prometheus query.

use crate::support::http::metric;
use crate::support::process::Process;
use crate::support::up::{Up, document};
use crate::support::{eventually, replace, root};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const QUERY: &str = r#"sum(jobs{queue="main"}) + 0 > bool 1"#;

/// A document whose replicas follow a metric at once.
fn metered(jobs: &Path, limits: &str, source: &str) -> String {
    let script = root().join("tests/models/metered.py");
    let command = format!("[python3, {}, \"{{port}}\", {}]", script.display(), jobs.display());
    let spec = format!(
        "  autoscaling: {{{limits}, policy: metric, metric: {{{source}, target: 10, tolerance: 0, \
         scaleDownDelay: 0s, period: 100ms}}}}\n"
    );
    document(&command, &spec)
}

fn wanted(up: &Up) -> u64 {
    up.status()["wanted"].as_u64().unwrap()
}

/// How often the metric could not be read.
fn failures(up: &Up) -> f64 {
    let name = "tidegate_autoscaler_scrape_failures_total";
    metric(up.autoscaler, name, r#"source="metric""#)
}

/// Waits until some more readings have failed, and sees that nothing was changed by them.
fn stays(up: &Up, replicas: u64) {
    let before = failures(up);
    eventually("readings fail", || failures(up) >= before + 3.0);
    assert_eq!(wanted(up), replicas, "{:#}", up.status());
}

#[test]
fn the_models_own_metric_adds_and_removes_replicas_and_what_is_no_number_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let jobs = folder.path().join("jobs");
    replace(&jobs, "5");
    let source = r#"podMetric: {name: jobs, labels: {queue: main}, path: /counts}"#;
    let text = metered(&jobs, "minReplicas: 1, maxReplicas: 4", source);
    let up = Up::start(&text, &["--tick", "100ms", "--drain-timeout", "1s"]);
    up.wait_for_ready(1);
    replace(&jobs, "25");
    up.wait_for_ready(3);
    replace(&jobs, "99");
    up.wait_for_ready(4);
    for bad in ["NaN", "-1", "+Inf"] {
        replace(&jobs, bad);
        // One of four gives no number: what the others say is no ground for fewer.
        stays(&up, 4);
    }
    replace(&jobs, "12");
    up.wait_for_ready(2);
    replace(&jobs, "1");
    up.wait_for_ready(1);
    replace(&jobs, "NaN");
    stays(&up, 1);
    let decisions = up.status()["decisions"].to_string();
    assert!(decisions.contains("the metric is 25.00 on average over 1 at 10.00"), "{decisions}");
}

/// A Prometheus that answers with what the file says.
fn prometheus(answer: &Path) -> (Process, SocketAddr) {
    let script = root().join("tests/models/prometheus.py");
    let process = Process::start(Command::new("python3").arg(script).arg(answer));
    let line = process.wait_for_line("LISTENING");
    let port: u16 = line.rsplit(' ').next().unwrap().parse().unwrap();
    (process, SocketAddr::from(([127, 0, 0, 1], port)))
}

#[test]
fn a_query_wakes_from_zero_and_only_an_answer_of_one_number_changes_anything() {
    let folder = TempDir::new().unwrap();
    let answer: PathBuf = folder.path().join("answer");
    replace(&answer, "0");
    let (process, address) = prometheus(&answer);
    let url = format!("http://{address}/prom");
    let source = format!("query: {}", serde_json::json!(QUERY));
    let text = metered(&folder.path().join("jobs"), "minReplicas: 0, maxReplicas: 3", &source);
    let flags = ["--tick", "100ms", "--drain-timeout", "1s", "--prometheus", &url];
    let up = Up::start(&text, &flags);
    assert_eq!(process.wait_for_line("QUERY"), format!("QUERY {QUERY}"));
    assert_eq!(wanted(&up), 0);
    replace(&answer, "11");
    up.wait_for_ready(2);
    for bad in ["", "1 2", "error", "NaN"] {
        replace(&answer, bad);
        stays(&up, 2);
    }
    replace(&answer, "21");
    up.wait_for_ready(3);
    drop(process);
    stays(&up, 3);
}

#[test]
fn an_answer_of_zero_lets_the_api_sleep() {
    let folder = TempDir::new().unwrap();
    let answer: PathBuf = folder.path().join("answer");
    replace(&answer, "8");
    let (_process, address) = prometheus(&answer);
    let source = format!("query: jobs, prometheus: \"http://{address}/prom\"");
    let text = metered(&folder.path().join("jobs"), "minReplicas: 0, maxReplicas: 3", &source);
    let up = Up::start(&text, &["--tick", "100ms", "--drain-timeout", "1s"]);
    up.wait_for_ready(1);
    replace(&answer, "0");
    up.wait_for_ready(0);
}
