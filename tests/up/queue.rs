//! Who waits, who is refused and who leaves, through gateway and sidecar to the model.

use crate::support::eventually;
use crate::support::http::{connect, get};
use crate::support::up::{Replica, Up, document, plain_command};
use std::io::Write;
use std::net::TcpStream;

/// One at a time, and two that wait.
const NARROW: &str = "
  concurrency: {limit: 1, queueCapacity: 2}
  autoscaling: {minReplicas: 1, maxReplicas: 1}
";

fn narrow() -> (Up, Replica) {
    let up = Up::start(&document(&plain_command(), NARROW), &[]);
    let replica = up.wait_for_ready(1).remove(0);
    (up, replica)
}

/// A request that takes until its client leaves.
fn ask(up: &Up, target: &str) -> TcpStream {
    let mut stream = connect(up.data);
    write!(stream, "GET {target} HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    stream
}

fn wait_for_queued(up: &Up, count: f64) {
    eventually("it waits", || up.metric("tidegate_requests_queued", "") == count);
}

#[test]
fn who_leaves_while_it_waits_never_reaches_the_model() {
    let (up, replica) = narrow();
    let running = ask(&up, "/sleep?ms=600000");
    eventually("it runs", || up.log(&replica).contains("REQUEST GET /sleep"));
    let waiting = ask(&up, "/left");
    wait_for_queued(&up, 1.0);
    drop(waiting);
    wait_for_queued(&up, 0.0);
    drop(running);
    // The model hears of it, and the next one finds its place free.
    eventually("the model hears of it", || up.log(&replica).contains("LEFT /sleep"));
    assert_eq!(get(up.data, "/after").status, 200);
    up.wait_until_idle();
    let log = up.log(&replica);
    assert!(log.contains("REQUEST GET /after") && !log.contains("/left"), "{log}");
    eventually("both are in the books", || {
        up.metric("tidegate_requests_total", "client-gone") == 2.0
    });
}

#[test]
fn who_finds_no_place_is_told_so_at_once() {
    let (up, replica) = narrow();
    let running = ask(&up, "/sleep?ms=600000");
    eventually("it runs", || up.log(&replica).contains("REQUEST GET /sleep"));
    let waiting = [ask(&up, "/waits"), ask(&up, "/waits")];
    wait_for_queued(&up, 2.0);
    let refused = get(up.data, "/refused");
    assert_eq!((refused.status, refused.reason()), (503, "queue-full"));
    let retry_after: u32 = refused.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&retry_after), "{retry_after} s");
    drop(waiting);
    drop(running);
    up.wait_until_idle();
    assert!(!up.log(&replica).contains("/refused"));
}
