//! Many APIs with ten pods each: what the autoscaler takes of a machine. There are 100 of them, or
//! as many as `TIDEGATE_TEST_APIS` says.

use super::cluster::{Cluster, NAMESPACE, pod_object};
use super::request::Place;
use super::scaling::spec;
use super::sidecars::serve_text;
use crate::support::http::{get, metric};
use crate::support::memory::{peak_rss_bytes, rss_bytes};
use crate::support::{eventually, now, say};
use serde_json::{Value, json};
use std::sync::mpsc::sync_channel;

const PODS: usize = 10;

/// What a real sidecar has said.
const PAGE: &str = include_str!("../data/sidecar-metrics.txt");

#[test]
fn many_apis_of_ten_pods_are_scaled_in_bounded_memory() {
    let apis = std::env::var("TIDEGATE_TEST_APIS").map_or(100, |count| count.parse().unwrap());
    let cluster = Cluster::start();
    let (tell, told) = sync_channel(1);
    cluster.api.spawn(async move {
        let start = now();
        let busy = move |_: &str| {
            // Half of one at a time: an answer that comes late on a busy machine is no burst, and ten
            // pods, which are the least, are right for ten of them.
            page((now() - start).as_secs_f64() * 0.5)
        };
        tell.send(serve_text("any".to_owned(), busy).await).unwrap();
    });
    let port = told.recv().unwrap();
    for api in 0..apis {
        // A StatefulSet, as this cluster makes no pods for one by itself.
        let (name, labels) = (format!("api-{api}"), json!({"app": format!("api-{api}")}));
        cluster.create(
            "apps/v1",
            "statefulsets",
            json!({
                "metadata": {"name": name},
                "spec": {"replicas": PODS, "serviceName": "x", "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}}},
            }),
        );
        for pod in 0..PODS {
            cluster.create("v1", "pods", pod_object(&format!("{name}-{pod}"), &labels, port));
        }
        let mut whole = spec(10, 20);
        whole["target"] = json!({"kind": "StatefulSet", "name": name});
        // So long that a late answer on a busy machine is not taken for less load.
        whole["autoscaling"]["concurrency"]["stableWindow"] = json!("30s");
        cluster.create_api(&name, &whole);
    }
    let start = now();
    let autoscaler = cluster
        .autoscaler("one", &["--tick", "1s", "--lease-duration", "15s", "--most-scrapes", "1000"]);
    let pid = autoscaler.process.pid();
    let ticks = || metric(autoscaler.admin, "tidegate_autoscaler_tick_seconds_count", "");
    eventually("it knows every pod", || {
        metric(autoscaler.admin, "tidegate_autoscaler_pods", "") == (apis * PODS) as f64
    });
    let known = now() - start;
    let place = Place::of("tidegate.dev/v1alpha1", "inferenceapis", NAMESPACE, "");
    eventually("every resource has its status", || {
        let all = cluster.api.shared().store(|store| store.list(&place, &Default::default()));
        all.iter().all(|api| api["status"]["inFlight"] == PODS)
    });
    let told_all = now() - start;
    let (cpu, from, at, reads) = (cpu_seconds(pid), ticks(), now(), cluster.api.reads());
    eventually("ten more ticks", || ticks() >= from + 10.0);
    let seconds = (now() - at).as_secs_f64();
    let reads = cluster.api.reads() - reads;
    assert!(reads < 30, "{reads} requests in ten ticks: only the lease is asked for");
    let share = (cpu_seconds(pid) - cpu) / seconds;
    let page: Value = serde_json::from_str(&get(autoscaler.admin, "/status").text()).unwrap();
    assert_eq!(page["apis"].as_array().unwrap().len(), apis);
    let took = metric(autoscaler.admin, "tidegate_autoscaler_tick_seconds_sum", "") / ticks();
    say(&format!(
        "{apis} APIs x {PODS} pods: all known after {known:.1?}, every status written after \
         {told_all:.1?}; resident {} MiB, at most {} MiB; {share:.2} of a core; a tick takes {took:.3} s \
         on average",
        rss_bytes(pid) >> 20,
        peak_rss_bytes(pid) >> 20,
    ));
    assert!(peak_rss_bytes(pid) < 512 << 20, "{} bytes", peak_rss_bytes(pid));
    let scalings = autoscaler.process.count_lines("to=");
    let log = autoscaler.process.output();
    let first = log.lines().find(|line| line.contains("to=")).unwrap_or("");
    assert_eq!(scalings, 0, "ten pods are right: {first}");
}

/// The page of a sidecar that has one request in flight now and has had so many request-seconds.
fn page(request_seconds: f64) -> String {
    let line = |line: &str| match line.split_once(' ') {
        Some((name @ "tidegate_concurrency_seconds_total", _)) => {
            format!("{name} {request_seconds}\n")
        }
        Some((name @ "tidegate_requests_in_flight", _)) => format!("{name} 1\n"),
        _ => format!("{line}\n"),
    };
    PAGE.lines().map(line).collect()
}

/// Processor time, user and system, that a process has used.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = [11, 12].map(|index| fields[index].parse::<u64>().unwrap()).iter().sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}
