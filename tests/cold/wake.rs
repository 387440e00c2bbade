//! The wake signal: pushed, again and again, for as long as somebody waits and nothing can serve.

use super::ask;
use super::autoscaler::Listening;
use crate::support::gateway::{Gateway, entry};
use crate::support::http::{get, read_answer};
use crate::support::process::Process;
use crate::support::sidecar::Sidecar;
use crate::support::{eventually, free_address};
use rustix::process::Signal;
use tempfile::TempDir;
use tidegate_api::endpoints::EndpointState;

const ANY: &str = "127.0.0.1:0";

fn wait_for_queued(gateway: &Gateway, count: usize) {
    eventually(&format!("{count} wait"), || {
        gateway.metric("tidegate_requests_queued", "plain") == count as f64
    });
}

fn wait_for_more(autoscaler: &Listening, api: &str, more: usize) {
    let before = autoscaler.woken(api);
    eventually(&format!("{api} is woken {more} times more"), || {
        autoscaler.woken(api) >= before + more
    });
}

/// How an endpoint goes.
#[derive(Debug, Clone, Copy)]
enum Going {
    Removed,
    Draining,
    Killed,
}

#[test]
fn who_waits_when_the_last_replica_goes_wakes_another() {
    for going in [Going::Removed, Going::Draining, Going::Killed] {
        let autoscaler = Listening::at(ANY.parse().unwrap());
        let gateway = Gateway::start("60s", &["--wake", &autoscaler.address.to_string()]);
        let [first, second] = [0; 2].map(|_| Sidecar::start(&[]));
        gateway.write_endpoints(vec![entry("a", &first, 1)]);
        gateway.wait_for_limit(1.0);
        let _running = ask(gateway.data, "/plain/sleep?ms=600000");
        eventually("it runs", || first.model.count_lines("/sleep") == 1);
        let mut waiting = ask(gateway.data, "/plain/x");
        wait_for_queued(&gateway, 1);
        assert_eq!(autoscaler.woken("plain"), 0, "there is a replica");
        match going {
            Going::Removed => gateway.write_endpoints(Vec::new()),
            Going::Draining => {
                let mut leaving = entry("a", &first, 1);
                leaving.state = EndpointState::Draining;
                gateway.write_endpoints(vec![leaving]);
            }
            Going::Killed => first.process.signal(Signal::KILL),
        }
        wait_for_more(&autoscaler, "plain", 3);
        gateway.write_endpoints(vec![entry("b", &second, 1)]);
        let answer = read_answer(&mut waiting);
        assert_eq!(answer.status, 200, "{going:?}: {}", answer.reason());
    }
}

#[test]
fn the_signal_outlives_the_autoscaler_and_ends_with_the_demand() {
    let first = Listening::at(ANY.parse().unwrap());
    let address = first.address;
    let document = |name: &str| {
        format!(
            "---\napiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\n\
             metadata: {{name: {name}}}\nspec:\n  container: {{command: [unused]}}\n  \
             routes: [{{path: /{name}, stripPrefix: true}}]\n"
        )
    };
    let documents = document("plain") + &document("other");
    let gateway = Gateway::run(&documents, &["--wake", &address.to_string()]);
    let [mut waiting, _other] = ["/plain/x", "/other/x"].map(|target| ask(gateway.data, target));
    wait_for_more(&first, "plain", 2);
    drop(first);
    gateway.process.wait_for_line("can't wake the autoscaler");
    let second = Listening::at(address);
    wait_for_more(&second, "plain", 2);
    let sidecar = Sidecar::start(&[]);
    gateway.write_endpoints(vec![entry("a", &sidecar, 1)]);
    assert_eq!(read_answer(&mut waiting).status, 200);
    let met = second.woken("plain");
    // The other still waits: where it is woken so often, this one would have been, too.
    wait_for_more(&second, "other", 3);
    assert!(second.woken("plain") <= met + 1, "one may have been on its way");
}

/// A gateway at addresses that another process can have after it.
fn at_fixed_addresses(flags: &[&str]) -> (Gateway, Vec<String>) {
    let addresses = [free_address(), free_address()].map(|address| address.to_string());
    let [listen, admin] = addresses;
    let mut all: Vec<_> = ["--listen", &listen, "--admin", &admin].map(String::from).into();
    all.extend(flags.iter().map(|flag| (*flag).to_owned()));
    let flags: Vec<_> = all.iter().map(String::as_str).collect();
    (Gateway::start("60s", &flags), all)
}

#[test]
fn who_asks_again_after_the_gateway_was_killed_is_held_and_wakes() {
    let autoscaler = Listening::at(ANY.parse().unwrap());
    let wake = autoscaler.address.to_string();
    let (mut gateway, flags) = at_fixed_addresses(&["--wake", &wake]);
    let mut waiting = ask(gateway.data, "/plain/x");
    wait_for_more(&autoscaler, "plain", 1);
    gateway.process.signal(Signal::KILL);
    gateway.process.wait();
    let broken = read_answer(&mut waiting);
    assert_eq!((broken.status, broken.body.len()), (0, 0), "no answer, and no part of one");
    let before = autoscaler.woken("plain");
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    gateway.process = gateway.another(&flags);
    let mut waiting = ask(gateway.data, "/plain/x");
    wait_for_queued(&gateway, 1);
    eventually("the new one wakes", || autoscaler.woken("plain") >= before + 2);
    let sidecar = Sidecar::start(&[]);
    gateway.write_endpoints(vec![entry("a", &sidecar, 1)]);
    let answer = read_answer(&mut waiting);
    assert!(answer.status == 200 && !answer.header("x-tidegate-cold-start").is_empty());
}

#[test]
fn who_waits_when_another_process_takes_over_is_served_by_the_old_one() {
    let autoscaler = Listening::at(ANY.parse().unwrap());
    let (wake, folder) = (autoscaler.address.to_string(), TempDir::new().unwrap());
    let path = folder.path().join("takeover.sock").to_str().unwrap().to_owned();
    let flags = ["--takeover", &path, "--wake", &wake];
    let mut gateway = Gateway::start("60s", &flags);
    let mut early = ask(gateway.data, "/plain/early");
    wait_for_queued(&gateway, 1);
    let next = gateway.another(&flags);
    let mut old: Process = std::mem::replace(&mut gateway.process, next);
    old.wait_for_line("another process has taken over");
    // Nobody waits at the new process: it is the old one that wakes.
    wait_for_more(&autoscaler, "plain", 2);
    let mut late = ask(gateway.data, "/plain/late");
    wait_for_queued(&gateway, 1);
    let sidecar = Sidecar::start(&[]);
    gateway.write_endpoints(vec![entry("a", &sidecar, 1)]);
    for waiting in [&mut early, &mut late] {
        let answer = read_answer(waiting);
        assert_eq!(answer.status, 200, "{}", answer.reason());
        assert!(!answer.header("x-tidegate-cold-start").is_empty());
    }
    assert!(old.wait().success(), "{}", old.output());
    assert_eq!(get(gateway.admin, "/readyz").status, 200);
}
