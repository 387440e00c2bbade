//! What is counted and logged of requests that end in a way of their own.

use crate::support::eventually;
use crate::support::frames::{Frame, Raw, SETTINGS, field};
use crate::support::http::{connect, get, metric, read_answer};
use crate::support::recorder::{Step, Upstream};
use crate::support::sidecar::{Sidecar, proxy};
use rustix::process::Signal;
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};

const HEAD: u8 = 0x88;

/// Who serves HTTP/2 may say in a frame of its own that nothing follows.
#[test]
fn an_answer_without_a_body_is_whole_with_its_head() {
    let settings = [Frame::new(SETTINGS, 0, 0, [])];
    let upstream = Raw::serve(&settings, |mut raw, _| {
        while let Some(stream) = raw.next_request() {
            let head = [&[HEAD][..], &field("content-length", "5")].concat();
            raw.frame(&Frame::headers(stream, head, false));
        }
    });
    let upstream = upstream.to_string();
    let flags = ["--upstream", &upstream, "--upstream-protocol", "h2c", "--readiness", "none"];
    let (_process, data, admin) = proxy("sidecar", &flags);
    let mut client = connect(data);
    write!(client, "HEAD / HTTP/1.1\r\nhost: me\r\nconnection: close\r\n\r\n").unwrap();
    let answer = read_answer(&mut client);
    assert_eq!((answer.status, answer.header("content-length")), (200, "5"));
    eventually("it has ended", || metric(admin, "tidegate_requests_in_flight", "") == 0.0);
    let counted = |labels: &str| metric(admin, "tidegate_requests_total", labels);
    assert_eq!((counted(r#"code="200",reason="""#), counted("client-gone")), (1.0, 0.0));
}

#[test]
fn a_switch_that_nobody_asked_for_is_counted_as_what_the_client_is_told() {
    let switch = "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let upstream = Upstream::start(vec![Step::Send(switch.into()), Step::Pause]);
    let address = upstream.address.to_string();
    let (_process, data, admin) =
        proxy("sidecar", &["--upstream", &address, "--readiness", "none"]);
    let answer = get(data, "/");
    assert_eq!((answer.status, answer.reason()), (502, "upstream-reset"));
    let counted = r#"code="502",reason="upstream-reset""#;
    assert_eq!(metric(admin, "tidegate_requests_total", counted), 1.0);
    assert_eq!(metric(admin, "tidegate_requests_total", r#"code="101""#), 0.0);
}

/// Its head is here, and its body is known to be no good before a byte of it goes to the client.
#[test]
fn an_answer_that_breaks_off_at_once_is_counted_as_what_the_client_sees() {
    let broken = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n";
    let upstream = Upstream::start(vec![Step::Send(broken.into()), Step::Pause]);
    let address = upstream.address.to_string();
    let flags = ["--upstream", &address, "--readiness", "none", "--access-log", "all"];
    let (process, data, admin) = proxy("sidecar", &flags);
    let answer = get(data, "/");
    assert_eq!((answer.status, answer.header("transfer-encoding")), (200, "chunked"));
    assert_eq!(answer.text(), "", "it looks whole");
    let counted = r#"code="200",reason="upstream-reset""#;
    assert_eq!(metric(admin, "tidegate_requests_total", counted), 1.0);
    let line = process.wait_for_line(r#""event":"request""#);
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["status"], &line["reason"]), (&200.into(), &"upstream-reset".into()));
}

/// It is the process that left, not its client.
#[test]
fn what_a_drain_cuts_off_is_logged_as_that() {
    let mut sidecar =
        Sidecar::start(&["--access-log", "all", "--drain-timeout", "300ms", "--concurrency", "2"]);
    let mut begun = connect(sidecar.data);
    write!(begun, "GET /stream?n=100000&ms=10 HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    begun.read_exact(&mut [0; 12]).unwrap();
    let mut silent = connect(sidecar.data);
    write!(silent, "GET /sleep?ms=600000 HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    sidecar.model.wait_for_line("/sleep");
    sidecar.process.signal(Signal::TERM);
    assert!(sidecar.process.wait().success());
    let mut ends = Vec::new();
    for line in sidecar.process.wait_for_lines(r#""event":"request""#, 2) {
        let line: Value = serde_json::from_str(&line).unwrap();
        ends.push((line["status"].as_u64().unwrap(), line["reason"].as_str().unwrap().to_owned()));
    }
    ends.sort();
    assert_eq!(ends, [(200, "draining".to_owned()), (503, "draining".to_owned())]);
}

/// One list, in whatever lines it comes: HTTP/2 in it is not passed on, the rest is.
#[test]
fn of_several_protocols_to_switch_to_all_but_http2_go_on() {
    for lines in ["h2c, websocket", "websocket\r\nupgrade: h2c", "h2c\r\nupgrade: websocket"] {
        let upstream = Upstream::start(vec![Step::Pause]);
        let address = upstream.address.to_string();
        let (_process, data, _) =
            proxy("sidecar", &["--upstream", &address, "--readiness", "none"]);
        let mut client = connect(data);
        let head = "GET / HTTP/1.1\r\nhost: me\r\nconnection: upgrade, http2-settings\r\n";
        write!(client, "{head}http2-settings: AAMAAABk\r\nupgrade: {lines}\r\n\r\n").unwrap();
        let mut begin = [0; 12];
        client.read_exact(&mut begin).unwrap();
        assert_eq!(&begin, b"HTTP/1.1 101", "{lines}");
        let seen = upstream.seen().to_ascii_lowercase();
        assert!(seen.contains("\r\nupgrade: websocket\r\n"), "{seen}");
        assert!(!seen.contains("h2c") && !seen.contains("http2-settings"), "{seen}");
    }
}

#[test]
fn a_tunnel_that_is_quiet_for_too_long_does_not_look_ended() {
    let sidecar = Sidecar::start(&["--idle-timeout", "300ms"]);
    let mut client = connect(sidecar.data);
    write!(
        client,
        "GET /ws HTTP/1.1\r\nhost: me\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    )
    .unwrap();
    let end = client.read_to_end(&mut Vec::new());
    assert_eq!(end.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
    let counted = r#"code="101",reason="upstream-timeout""#;
    eventually("it is counted", || sidecar.metric("tidegate_requests_total", counted) == 1.0);
}
