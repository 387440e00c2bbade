//! Server-sent events: each is seen as it is sent, and who leaves between two is missed at once.

use crate::support::gateway::{Gateway, entry};
use crate::support::process::Process;
use crate::support::root;
use crate::support::sidecar::{Sidecar, listening};
use std::process::Command;

fn python(script: &str, arguments: &[&str]) -> Process {
    let script = root().join("tests").join(script);
    Process::start(Command::new("python3").arg(script).arg("_").args(arguments))
}

fn sidecar() -> Sidecar {
    let model = python("models/events.py", &[]);
    let address = listening(&model);
    Sidecar::before(model, address, &["--concurrency", "4"])
}

#[test]
fn each_event_is_seen_as_it_is_sent() {
    let sidecar = sidecar();
    let gateway = Gateway::start_at_root(&[]);
    gateway.write_endpoints(vec![entry("a", &sidecar, 4)]);
    gateway.wait_for_limit(4.0);
    for (to, name) in
        [(sidecar.model_addr, "direct"), (sidecar.data, "sidecar"), (gateway.data, "both")]
    {
        let client = python("clients/events.py", &["follow", &to.to_string()]);
        let said = crate::support::python::succeed(client);
        crate::support::say(&format!("{name}: median and longest ms: {said}"));
        let median_ms: f64 = said.split(' ').nth(1).unwrap().parse().unwrap();
        // The next event is sent only after that.
        assert!(median_ms < 20.0, "{name}: {median_ms} ms");
    }
}

#[test]
fn a_client_that_leaves_in_silence_is_missed_at_once() {
    let sidecar = sidecar();
    let client = python("clients/events.py", &["leave", &sidecar.data.to_string()]);
    let said = crate::support::python::succeed(client);
    sidecar.model.wait_for_lines("GONE", 20);
    let times = |text: &str, word: &str| -> Vec<f64> {
        let mut lines: Vec<(usize, f64)> = text
            .lines()
            .filter_map(|line| line.strip_prefix(word)?.trim().split_once(' '))
            .map(|(id, ns)| (id.parse().unwrap(), ns.parse::<f64>().unwrap() / 1e6))
            .collect();
        lines.sort_by_key(|(id, _)| *id);
        lines.into_iter().map(|(_, ms)| ms).collect()
    };
    let (left, gone) = (times(&said, "LEFT"), times(&sidecar.model.output(), "GONE"));
    let mut delays: Vec<f64> = gone.iter().zip(&left).map(|(gone, left)| gone - left).collect();
    delays.sort_by(f64::total_cmp);
    crate::support::say(&format!("from leaving to the model's knowing: {delays:?} ms"));
    assert_eq!(delays.len(), 20);
    assert!(delays[10] < 50.0, "{delays:?} ms");
    sidecar.wait_until_idle();
    assert_eq!(sidecar.metric("tidegate_requests_total", "client-gone"), 20.0);
}
