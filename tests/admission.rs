//! Who goes first, who is refused and when, and how limits change while requests run.

mod storm;

use crate::support::http::{Answer, Http, connect, get};
use crate::support::process::Process;
use crate::support::sidecar::Sidecar;
use crate::support::{binary, eventually, replace};
use rustix::process::Signal;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;
use tokio::task::JoinSet;

/// A client's request that runs until it is dropped.
fn occupy(sidecar: &Sidecar) -> TcpStream {
    let mut running = connect(sidecar.data);
    write!(running, "GET /sleep?ms=600000 HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    sidecar.model.wait_for_line("ms=600000");
    running
}

/// Sends requests with a header each, one after another, until all wait.
async fn line_up(
    sidecar: &Sidecar,
    header: &'static str,
    requests: &[(&str, String)],
) -> JoinSet<Answer> {
    let http = Http::new();
    let mut asked = JoinSet::new();
    for (index, (value, target)) in requests.iter().enumerate() {
        let (http, data, value, target) =
            (http.clone(), sidecar.data, (*value).to_owned(), target.clone());
        asked.spawn(async move { http.get_with(data, &target, &[(header, &value)]).await });
        let waiting = (index + 1) as f64;
        eventually("it waits", || sidecar.metric("tidegate_requests_queued", "") == waiting);
    }
    asked
}

/// Where in the order of all that the model saw were those whose target contains this.
fn positions(sidecar: &Sidecar, count: usize, target: &str) -> Vec<usize> {
    let lines = sidecar.model.wait_for_lines("REQUEST GET /line", count);
    let positions = lines.iter().enumerate().filter(|(_, line)| line.contains(target));
    positions.map(|(index, _)| index).collect()
}

/// A settings file.
fn settings_file(folder: &TempDir) -> PathBuf {
    folder.path().join("live.yaml")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_urgent_go_first_where_they_are_believed() {
    for (flags, expected) in [
        (&["--trust-priority"][..], ["/line-3", "/line-2", "/line-4", "/line-1"]),
        (&[][..], ["/line-1", "/line-2", "/line-3", "/line-4"]),
    ] {
        let sidecar = Sidecar::start(flags);
        let running = occupy(&sidecar);
        let requests = ["sheddable", "standard", "critical", "nonsense"];
        let requests: Vec<_> =
            requests.iter().zip(1..).map(|(said, n)| (*said, format!("/line-{n}"))).collect();
        let asked = line_up(&sidecar, "x-tidegate-priority", &requests).await;
        drop(running);
        assert!(asked.join_all().await.iter().all(|answer| answer.status == 200));
        let seen = sidecar.model.wait_for_lines("REQUEST GET /line", 4);
        let order: Vec<_> = seen.iter().filter_map(|line| line.split(' ').nth(2)).collect();
        assert_eq!(order, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_more_urgent_request_takes_a_place_in_a_full_queue() {
    let sidecar = Sidecar::start(&["--trust-priority", "--queue-capacity", "1"]);
    let running = occupy(&sidecar);
    let shed = line_up(&sidecar, "x-tidegate-priority", &[("sheddable", "/shed".to_owned())]).await;
    let http = Http::new();
    let data = sidecar.data;
    let mut urgent = JoinSet::new();
    urgent.spawn(async move {
        http.get_with(data, "/urgent", &[("x-tidegate-priority", "critical")]).await
    });
    let shed = shed.join_all().await.remove(0);
    assert_eq!((shed.status, shed.reason()), (503, "queue-full"));
    assert_ne!(shed.header("retry-after"), "");
    drop(running);
    assert_eq!(urgent.join_all().await[0].status, 200);
    assert_eq!(sidecar.model.count_lines("/shed"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_floods_does_not_hold_up_another() {
    let sidecar = Sidecar::start(&["--tenant-header", "x-tenant"]);
    let running = occupy(&sidecar);
    let target = |tenant| format!("/line?of={tenant}");
    let mut requests = vec![("flood", target("flood")); 20];
    requests.extend(vec![("victim", target("victim")); 3]);
    // Requests that take long enough for the time they take to be what counts.
    let requests: Vec<_> =
        requests.into_iter().map(|(tenant, target)| (tenant, target + "&ms=40")).collect();
    let asked = line_up(&sidecar, "x-tenant", &requests).await;
    drop(running);
    assert!(asked.join_all().await.iter().all(|answer| answer.status == 200));
    let victim = positions(&sidecar, 23, "of=victim");
    // In turns they are at 1, 3 and 5; the rest is room for requests that took longer.
    assert!(victim.iter().all(|position| *position < 10), "the victim's are at {victim:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_answered_in_time_is_refused_at_once() {
    let sidecar = Sidecar::start(&[]);
    let http = Http::new();
    // Nothing is known of the model: nobody is refused for it.
    let early = http.get_with(sidecar.data, "/sleep?ms=200", &[("x-request-timeout-ms", "60000")]);
    assert_eq!(early.await.status, 200);
    for _ in 0..9 {
        assert_eq!(http.get(sidecar.data, "/sleep?ms=200").await.status, 200);
    }
    for (name, said) in [
        ("x-request-timeout-ms", "0"),
        ("x-request-timeout-ms", "150"),
        ("grpc-timeout", "150m"),
        ("grpc-timeout", "1n"),
    ] {
        let late = http.get_with(sidecar.data, "/late", &[(name, said)]).await;
        assert_eq!((late.status, late.reason()), (503, "queue-timeout"), "{name}: {said}");
    }
    let running = occupy(&sidecar);
    let mut waiting = JoinSet::new();
    waiting.spawn({
        let (http, data) = (http.clone(), sidecar.data);
        async move { http.get_with(data, "/late", &[("x-request-timeout-ms", "60000")]).await }
    });
    eventually("it waits", || sidecar.metric("tidegate_requests_queued", "") == 1.0);
    // One is ahead for 200 ms, and 200 more are needed.
    let late = http.get_with(sidecar.data, "/late", &[("x-request-timeout-ms", "350")]).await;
    assert_eq!((late.status, late.reason()), (503, "queue-timeout"));
    assert_eq!(sidecar.model.count_lines("/late"), 0);
    drop(running);
    assert_eq!(waiting.join_all().await[0].status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_follow_their_file_under_load_and_no_request_is_lost() {
    let folder = TempDir::new().unwrap();
    let file = settings_file(&folder);
    replace(&file, "concurrency: 2\n");
    let path = file.to_str().unwrap();
    let sidecar = Sidecar::start(&["--concurrency", "7", "--config", path]);
    let limit = || sidecar.metric("tidegate_concurrency_limit", "");
    assert_eq!(limit(), 2.0, "the file counts, not the flag");
    let mut clients = JoinSet::new();
    let http = Http::new();
    for _ in 0..24 {
        let (http, data) = (http.clone(), sidecar.data);
        clients.spawn(async move {
            let mut answered = 0;
            for _ in 0..20 {
                answered += u32::from(http.get(data, "/sleep?ms=10").await.status == 200);
            }
            answered
        });
    }
    for (text, expected) in [
        ("concurrency: 9", 9.0),
        (r#"{"concurrency": "1", "queue-capacity": 50}"#, 1.0),
        ("queue-timeout: 60s", 7.0),
        ("concurrency: auto:3-3", 3.0),
    ] {
        replace(&file, text);
        eventually(text, || limit() == expected);
    }
    assert_eq!(sidecar.metric("tidegate_queue_capacity", ""), 100.0);
    replace(&file, "concurrency: none\n");
    sidecar.process.wait_for_line("concurrency must be a number from 1 on");
    assert_eq!(limit(), 3.0, "a bad file changes nothing");
    assert_eq!(sidecar.metric("tidegate_reload_failures_total", ""), 1.0);
    replace(&file, "concurrency: 16\n");
    eventually("the file is good again", || limit() == 16.0);
    sidecar.process.signal(Signal::HUP);
    sidecar.process.wait_for_line("settings read again, nothing changed");
    assert_eq!(clients.join_all().await.iter().sum::<u32>(), 480);
    sidecar.wait_until_idle();
}

#[test]
fn a_lower_limit_cancels_nothing() {
    let folder = TempDir::new().unwrap();
    let file = settings_file(&folder);
    replace(&file, "concurrency: 2\n");
    let sidecar = Sidecar::start(&["--config", file.to_str().unwrap()]);
    let (first, second) = (occupy(&sidecar), occupy(&sidecar));
    eventually("both run", || sidecar.metric("tidegate_requests_in_flight", "") == 2.0);
    replace(&file, "concurrency: 1\n");
    eventually("smaller", || sidecar.metric("tidegate_concurrency_limit", "") == 1.0);
    assert_eq!(sidecar.metric("tidegate_requests_in_flight", ""), 2.0);
    let mut third = connect(sidecar.data);
    write!(third, "GET /third HTTP/1.1\r\nhost: me\r\nconnection: close\r\n\r\n").unwrap();
    eventually("it waits", || sidecar.metric("tidegate_requests_queued", "") == 1.0);
    drop(first);
    eventually("one has ended", || sidecar.metric("tidegate_requests_in_flight", "") == 1.0);
    assert_eq!(sidecar.metric("tidegate_requests_queued", ""), 1.0, "one is enough now");
    drop(second);
    assert_eq!(crate::support::http::read_answer(&mut third).status, 200);
}

#[test]
fn a_bad_settings_file_at_the_start_is_said_and_ends_it() {
    let folder = TempDir::new().unwrap();
    let file = settings_file(&folder);
    replace(&file, "concurrency: 4\nlisten: 1.2.3.4:5\n");
    let mut process = Process::start(
        Command::new(binary("tidegate-proxy"))
            .args(["sidecar", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config"])
            .arg(&file),
    );
    assert!(!process.wait().success());
    let line = process.wait_for_line("line 2: listen can't be set here");
    assert!(line.contains("live.yaml (--config)"), "{line}");
}

#[test]
fn settings_that_are_not_there_yet_are_said_and_taken_when_they_come() {
    let folder = TempDir::new().unwrap();
    let file = settings_file(&folder);
    let sidecar = Sidecar::start(&["--concurrency", "7", "--config", file.to_str().unwrap()]);
    sidecar.process.wait_for_line("no settings there yet");
    let limit = || sidecar.metric("tidegate_concurrency_limit", "");
    assert_eq!(limit(), 7.0);
    replace(&file, "concurrency: 2\n");
    eventually("the file counts", || limit() == 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cost_budget_bounds_what_runs_and_one_that_is_dearer_runs_alone() {
    let flags = ["--concurrency", "50", "--cost", "header:x-cost", "--cost-budget", "10"];
    let sidecar = Sidecar::start(&flags);
    let http = Http::new();
    let mut asked = JoinSet::new();
    let mut ask = |cost: &'static str| {
        let (http, data) = (http.clone(), sidecar.data);
        let target = format!("/sleep?ms=600000&cost={cost}");
        asked.spawn(async move { http.get_with(data, &target, &[("x-cost", cost)]).await });
        sidecar.model.wait_for_line(&format!("cost={cost}"));
    };
    ask("4");
    ask("6");
    let mut dear = connect(sidecar.data);
    write!(dear, "GET /dear HTTP/1.1\r\nhost: me\r\nx-cost: 11\r\nconnection: close\r\n\r\n")
        .unwrap();
    eventually("it waits", || sidecar.metric("tidegate_requests_queued", "") == 1.0);
    assert_eq!(sidecar.model.count_lines("/dear"), 0);
    asked.abort_all();
    assert_eq!(crate::support::http::read_answer(&mut dear).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_finds_what_a_model_handles_at_once() {
    let sidecar = Sidecar::start(&["--concurrency", "auto:1-40", "--queue-capacity", "1000"]);
    let http = Http::new();
    let mut clients = JoinSet::new();
    for _ in 0..20 {
        let (http, data) = (http.clone(), sidecar.data);
        clients.spawn(async move {
            loop {
                assert_eq!(http.get(data, "/sleep?ms=2").await.status, 200);
            }
        });
    }
    // This model handles all at once: nothing speaks against more.
    eventually("it has grown", || sidecar.metric("tidegate_concurrency_limit", "") >= 4.0);
    clients.abort_all();
    while clients.join_next().await.is_some_and(|ended| ended.is_err_and(|e| e.is_cancelled())) {}
    sidecar.wait_until_idle();
    assert_eq!(get(sidecar.data, "/after").status, 200);
}
