//! The sidecar before a real Python server: queue, limit, streams, leaving clients, faults, drain.

use crate::support::http::{Http, connect, get, read_answer};
use crate::support::process::Process;
use crate::support::sidecar::{Sidecar, plain_model, proxy};
use crate::support::{eventually, now};
use rustix::process::Signal;
use std::io::{ErrorKind, Read, Write};
use tokio::task::JoinSet;

#[test]
fn a_model_on_a_unix_socket_is_probed_and_served() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.sock");
    let script = crate::support::root().join("tests/models/plain.py");
    let model = Process::start(std::process::Command::new("python3").arg(script).arg(&path));
    let upstream = format!("unix:{}", path.display());
    let (sidecar, data, admin) =
        proxy("sidecar", &["--upstream", &upstream, "--readiness", "http:/"]);
    eventually("the sidecar is ready", || get(admin, "/readyz").status == 200);
    model.wait_for_line("LISTENING");
    assert_eq!(get(data, "/").status, 200);
    drop(sidecar);
}

#[test]
fn passes_a_request_and_its_answer_on() {
    let sidecar = Sidecar::start(&["--forwarded-headers", "off"]);
    let mut stream = connect(sidecar.data);
    let head = "POST /echo?a=b HTTP/1.1\r\nhost: me\r\nx-own: 1\r\nconnection: close, x-hop\r\nx-hop: 1\r\n";
    write!(stream, "{head}content-length: 3\r\n\r\nabc").unwrap();
    let answer = read_answer(&mut stream);
    assert_eq!((answer.status, answer.text().as_str()), (200, "abc"));
    let seen = sidecar.model.wait_for_line("REQUEST");
    let own: Vec<_> = seen
        .split(' ')
        .filter(|word| !word.starts_with("traceparent=") && !word.starts_with("x-request-id="))
        .collect();
    assert_eq!(own.join(" "), "REQUEST POST /echo?a=b content-length=3 host=me x-own=1");
}

#[test]
fn streams_each_part_as_it_comes() {
    let sidecar = Sidecar::start(&[]);
    let mut stream = connect(sidecar.data);
    // The second part comes after longer than any test waits: the first must not wait for it.
    write!(stream, "GET /stream?n=2&ms=600000 HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    let mut seen = String::new();
    let mut buffer = [0; 1024];
    while !seen.contains("data") {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "ended early: {seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}

#[test]
fn uploads_chunked_and_large_bodies() {
    let sidecar = Sidecar::start(&[]);
    let mut stream = connect(sidecar.data);
    let part = "x".repeat(100_000);
    write!(stream, "POST /echo HTTP/1.1\r\nhost: me\r\nconnection: close\r\n").unwrap();
    write!(stream, "transfer-encoding: chunked\r\n\r\n").unwrap();
    for _ in 0..10 {
        write!(stream, "{:x}\r\n{part}\r\n", part.len()).unwrap();
    }
    write!(stream, "0\r\n\r\n").unwrap();
    let answer = read_answer(&mut stream);
    assert_eq!((answer.status, answer.body.len()), (200, 1_000_000));
}

#[test]
fn tunnels_an_upgraded_connection_both_ways() {
    let sidecar = Sidecar::start(&[]);
    let mut stream = connect(sidecar.data);
    write!(
        stream,
        "GET /ws HTTP/1.1\r\nhost: me\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"
    )
    .unwrap();
    let mut buffer = [0; 1024];
    let count = stream.read(&mut buffer).unwrap();
    let head = String::from_utf8_lossy(&buffer[..count]).into_owned();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    for word in ["ping", "pong"] {
        stream.write_all(word.as_bytes()).unwrap();
        stream.read_exact(&mut buffer[..4]).unwrap();
        assert_eq!(&buffer[..4], word.as_bytes());
    }
    assert_eq!(sidecar.metric("tidegate_requests_in_flight", ""), 1.0);
    drop(stream);
    sidecar.model.wait_for_line("TUNNEL ENDED");
    sidecar.wait_until_idle();
    assert_eq!(sidecar.metric("tidegate_requests_total", r#"code="101""#), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_as_many_as_the_limit_queues_as_many_as_fit_and_refuses_the_rest() {
    let sidecar = Sidecar::start(&["--concurrency", "2", "--queue-capacity", "3"]);
    let http = Http::new();
    let mut held = JoinSet::new();
    for _ in 0..5 {
        let (http, data) = (http.clone(), sidecar.data);
        held.spawn(async move { http.get(data, "/sleep?ms=600000").await });
    }
    eventually("two run and three wait", || {
        sidecar.metric("tidegate_requests_in_flight", "") == 2.0
            && sidecar.metric("tidegate_requests_queued", "") == 3.0
    });
    let refused = http.get(sidecar.data, "/refused").await;
    assert_eq!((refused.status, refused.reason()), (503, "queue-full"));
    let retry_after: u32 = refused.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&retry_after));
    assert!(refused.text().contains("queue-full"), "{}", refused.text());
    sidecar.model.wait_for_lines("/sleep", 2);
    assert_eq!(sidecar.model.count_lines("/sleep"), 2, "the model saw more than the limit");
    held.abort_all();
    sidecar.wait_until_idle();
    assert_eq!(sidecar.model.count_lines("/refused"), 0);
}

#[test]
fn refuses_who_waits_too_long() {
    let sidecar = Sidecar::start(&["--queue-timeout", "50ms"]);
    let mut running = connect(sidecar.data);
    write!(running, "GET /sleep?ms=600000 HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    sidecar.model.wait_for_line("REQUEST");
    let answer = get(sidecar.data, "/late");
    assert_eq!((answer.status, answer.reason()), (503, "queue-timeout"));
    assert_ne!(answer.header("retry-after"), "");
    drop(running);
    sidecar.wait_until_idle();
    assert_eq!(sidecar.model.count_lines("/late"), 0);
}

#[test]
fn a_client_that_leaves_the_queue_is_never_seen_by_the_model() {
    let sidecar = Sidecar::start(&[]);
    let mut running = connect(sidecar.data);
    write!(running, "GET /sleep?ms=600000 HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    sidecar.model.wait_for_line("REQUEST");
    for request in [
        "GET /left HTTP/1.1\r\nhost: me\r\n\r\n",
        "POST /left HTTP/1.1\r\nhost: me\r\ncontent-length: 4\r\n\r\nbody",
        // A body that is not wholly here, one that is not asked for yet, a request behind.
        "POST /left HTTP/1.1\r\nhost: me\r\ncontent-length: 1000000\r\n\r\npart",
        "POST /left HTTP/1.1\r\nhost: me\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n",
        "POST /left HTTP/1.1\r\nhost: me\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n",
        "GET /left HTTP/1.1\r\nhost: me\r\n\r\nGET /left/too HTTP/1.1\r\nhost: me\r\n\r\n",
    ] {
        let mut waiting = connect(sidecar.data);
        waiting.write_all(request.as_bytes()).unwrap();
        eventually("it waits", || sidecar.metric("tidegate_requests_queued", "") == 1.0);
        drop(waiting);
        eventually("its place is free", || sidecar.metric("tidegate_requests_queued", "") == 0.0);
    }
    drop(running);
    sidecar.wait_until_idle();
    assert_eq!(get(sidecar.data, "/after").status, 200);
    assert_eq!(sidecar.model.count_lines("/left"), 0);
    eventually("each is in the books", || {
        sidecar.metric("tidegate_requests_total", "client-gone") == 7.0
    });
}

#[test]
fn a_client_that_leaves_a_running_request_frees_the_model() {
    let sidecar = Sidecar::start(&[]);
    for target in ["/sleep?ms=600000", "/stream?n=2&ms=600000"] {
        let mut running = connect(sidecar.data);
        write!(running, "GET {target} HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
        sidecar.model.wait_for_line(target);
        drop(running);
        sidecar.model.wait_for_line(&format!("LEFT {target}"));
        sidecar.wait_until_idle();
    }
    assert_eq!(sidecar.metric("tidegate_requests_total", r#"code="499""#), 2.0);
}

#[test]
fn faults_of_the_model_have_their_reasons() {
    let hasty = Sidecar::start(&["--first-byte-timeout", "100ms"]);
    let answer = get(hasty.data, "/sleep?ms=600000");
    assert_eq!((answer.status, answer.reason()), (504, "upstream-timeout"));
    let sidecar = Sidecar::start(&[]);
    let answer = get(sidecar.data, "/close");
    assert_eq!((answer.status, answer.reason()), (502, "upstream-reset"));
    // The head was sent: nothing may be appended, the client sees the body end short.
    let answer = get(sidecar.data, "/half");
    assert_eq!((answer.status, answer.text().as_str()), (200, "0123456789"));
    sidecar.wait_until_idle();
    assert_eq!(
        sidecar.metric("tidegate_requests_total", r#"code="200",reason="upstream-reset""#),
        1.0
    );
}

#[test]
fn the_models_own_refusals_pass_and_its_claims_do_not() {
    let sidecar = Sidecar::start(&[]);
    for code in [429, 503] {
        let answer = get(sidecar.data, &format!("/status?code={code}"));
        assert_eq!(
            (answer.status, answer.reason(), answer.text().as_str()),
            (code, "", "status\n")
        );
    }
}

#[test]
fn a_killed_model_is_noticed_and_its_successor_found() {
    let mut sidecar = Sidecar::start(&["--concurrency", "4"]);
    let mut running = connect(sidecar.data);
    write!(running, "GET /sleep?ms=600000 HTTP/1.1\r\nhost: me\r\nconnection: close\r\n\r\n")
        .unwrap();
    sidecar.model.wait_for_line("REQUEST");
    sidecar.model.signal(Signal::KILL);
    let cut = read_answer(&mut running);
    assert_eq!((cut.status, cut.reason()), (502, "upstream-reset"));
    sidecar.model.wait();
    let answer = get(sidecar.data, "/gone");
    assert_eq!((answer.status, answer.reason()), (502, "upstream-connect"));
    assert_eq!(get(sidecar.admin, "/readyz").status, 503);
    assert_eq!(get(sidecar.admin, "/healthz").status, 200);
    let (_model, _) = plain_model(sidecar.model_addr.port());
    eventually("ready again", || get(sidecar.admin, "/readyz").status == 200);
    assert_eq!(get(sidecar.data, "/back").status, 200);
    assert_eq!(sidecar.metric("tidegate_requests_in_flight", ""), 0.0);
}

#[test]
fn drains_on_sigterm_without_losing_what_runs_or_waits() {
    let mut sidecar = Sidecar::start(&["--drain-delay", "300ms", "--drain-timeout", "60s"]);
    let mut clients: Vec<_> = (0..3)
        .map(|_| {
            let mut stream = connect(sidecar.data);
            write!(stream, "GET /sleep?ms=200 HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
            stream
        })
        .collect();
    eventually("one runs and two wait", || sidecar.metric("tidegate_requests_queued", "") == 2.0);
    sidecar.process.signal(Signal::TERM);
    eventually("unready", || get(sidecar.admin, "/readyz").text().contains("draining"));
    // New connections are still served for the delay.
    assert_eq!(get(sidecar.data, "/new").status, 200);
    for stream in &mut clients {
        let answer = read_answer(stream);
        assert_eq!((answer.status, answer.header("connection")), (200, "close"));
    }
    assert!(sidecar.process.wait().success());
}

#[test]
fn drains_for_a_hook_that_has_the_token_and_stays_until_it_is_ended() {
    let flags = ["--drain-delay", "100ms", "--drain-timeout", "60s", "--drain-token", "t0k3n"];
    let mut sidecar = Sidecar::start(&flags);
    for closed in ["/drain", "/drain/", "/drain/t0k3", "/drain/t0k3n/", "/drain/wrong"] {
        assert_eq!(get(sidecar.admin, closed).status, 404, "{closed}");
    }
    assert!(!get(sidecar.admin, "/config").text().contains("t0k3n"), "the token is told");
    assert_eq!(get(sidecar.admin, "/readyz").status, 200);
    let (data, admin) = (sidecar.data, sidecar.admin);
    let running = std::thread::spawn(move || get(data, "/sleep?ms=1500"));
    eventually("it runs", || sidecar.metric("tidegate_requests_in_flight", "") == 1.0);
    let hook = std::thread::spawn(move || get(admin, "/drain/t0k3n"));
    eventually("unready", || get(sidecar.admin, "/readyz").text().contains("draining"));
    assert!(!hook.is_finished(), "answered while a request runs");
    assert_eq!(running.join().unwrap().status, 200, "what runs is finished");
    let answer = hook.join().unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "drained\n"));
    // It is still alive, for whoever looks, and ends at once when it is told to.
    assert_eq!(get(sidecar.admin, "/healthz").status, 200);
    sidecar.process.signal(Signal::TERM);
    assert!(sidecar.process.wait().success());
}

#[test]
fn who_still_waits_when_the_drain_s_time_is_over_is_told_so() {
    let mut sidecar = Sidecar::start(&["--drain-timeout", "500ms"]);
    let mut running = connect(sidecar.data);
    write!(running, "GET /stream?n=100000&ms=10 HTTP/1.0\r\nhost: me\r\n\r\n").unwrap();
    sidecar.model.wait_for_line("REQUEST");
    let mut waiting = connect(sidecar.data);
    write!(waiting, "GET /waits HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    eventually("it waits", || sidecar.metric("tidegate_requests_queued", "") == 1.0);
    sidecar.process.signal(Signal::TERM);
    let answer = read_answer(&mut waiting);
    assert_eq!((answer.status, answer.reason()), (503, "draining"));
    assert_eq!(answer.header("connection"), "close");
    assert!(sidecar.process.wait().success());
    assert!(!sidecar.model.output().contains("/waits"), "the model has seen it");
    // Nothing but the connection's end says that such a body is whole. This one is not.
    let broken = running.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(broken.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut sidecar = Sidecar::start(&["--drain-timeout", "1h"]);
    let mut running = connect(sidecar.data);
    write!(running, "GET /sleep?ms=600000 HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    sidecar.model.wait_for_line("REQUEST");
    sidecar.process.signal(Signal::TERM);
    sidecar.process.wait_for_line("draining");
    sidecar.process.signal(Signal::TERM);
    assert!(sidecar.process.wait().success());
}

#[test]
fn integrals_agree_with_the_clock() {
    let sidecar = Sidecar::start(&[]);
    let start = now();
    assert_eq!(get(sidecar.data, "/sleep?ms=300").status, 200);
    sidecar.wait_until_idle();
    let elapsed = (now() - start).as_secs_f64();
    let seconds = sidecar.metric("tidegate_concurrency_seconds_total", "");
    assert!(seconds >= 0.3, "{seconds} s of a 300 ms request");
    assert!(seconds <= elapsed, "{seconds} s of {elapsed} s");
    assert_eq!(sidecar.metric("tidegate_requests_total", r#"code="200",reason="""#), 1.0);
}

#[test]
fn heads_that_must_not_pass_do_not() {
    let sidecar = Sidecar::start(&["--max-body", "10"]);
    for (request, status, reason) in [
        ("GET /evil HTTP/1.1\r\n\r\n", 400, "bad-request"),
        ("GET /evil HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400, "bad-request"),
        ("TRACE /evil HTTP/1.1\r\nhost: a\r\n\r\n", 405, "method-not-allowed"),
        ("POST /evil HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\n\r\n", 413, "body-too-large"),
    ] {
        let mut stream = connect(sidecar.data);
        let request = request.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let answer = read_answer(&mut stream);
        assert_eq!((answer.status, answer.reason()), (status, reason), "{request}");
    }
    let mut stream = connect(sidecar.data);
    write!(stream, "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    write!(stream, "b\r\n01234567890\r\n0\r\n\r\n").unwrap();
    let answer = read_answer(&mut stream);
    assert_eq!((answer.status, answer.reason()), (413, "body-too-large"));
    assert_eq!(sidecar.model.count_lines("/evil"), 0);
}
