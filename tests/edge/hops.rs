//! What a model is told of the hops before it, and what a client is told of its request.

use crate::support::http::{Answer, connect, get, read_answer};
use crate::support::sidecar::Sidecar;
use std::collections::HashMap;
use std::io::Write;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const ALL_ZERO: &str = "00-00000000000000000000000000000000-0000000000000000-01";

/// Sends one request with these lines; what came back, and what the model saw.
fn ask(sidecar: &Sidecar, path: &str, lines: &str) -> (Answer, HashMap<String, String>) {
    let mut stream = connect(sidecar.data);
    write!(stream, "GET {path} HTTP/1.1\r\nhost: me:80\r\nconnection: close\r\n{lines}\r\n")
        .unwrap();
    let answer = read_answer(&mut stream);
    let seen = sidecar.model.wait_for_line(path);
    // A value with spaces was cut at them: its further words belong to it.
    let mut headers: HashMap<String, String> = HashMap::new();
    let mut last = String::new();
    for word in seen.split(' ').skip(3) {
        match word.split_once('=') {
            Some((name, value)) if !name.contains([';', '"']) && name != "for" => {
                last = name.to_owned();
                headers.insert(last.clone(), value.to_owned());
            }
            _ => *headers.get_mut(&last).unwrap() += &format!(" {word}"),
        }
    }
    (answer, headers)
}

const SPOOFED: &str = "x-forwarded-for: 1.2.3.4\r\nx-forwarded-proto: https\r\n\
     x-forwarded-host: evil\r\nx-real-ip: 1.2.3.4\r\nx_forwarded_for: 1.2.3.4\r\n";

#[test]
fn a_hop_that_is_not_trusted_is_not_believed() {
    let sidecar = Sidecar::start(&["--trusted-hops", "10.0.0.0/8"]);
    let (_, seen) = ask(&sidecar, "/spoofed", SPOOFED);
    assert_eq!(seen["x-forwarded-for"], "127.0.0.1");
    assert_eq!(seen["x-forwarded-proto"], "http");
    assert_eq!(seen["x-forwarded-host"], "me:80");
    assert_eq!(seen["forwarded"], "for=127.0.0.1;host=\"me:80\";proto=http");
    assert_eq!(seen["via"], "1.1 tidegate");
    assert!(!seen.contains_key("x-real-ip") && !seen.contains_key("x_forwarded_for"), "{seen:?}");
}

#[test]
fn what_a_trusted_hop_says_is_kept_and_added_to() {
    let sidecar = Sidecar::start(&[]);
    let (_, seen) = ask(&sidecar, "/trusted", SPOOFED);
    assert_eq!(seen["x-forwarded-for"], "1.2.3.4, 127.0.0.1");
    assert_eq!(seen["x-forwarded-proto"], "https");
    assert_eq!(seen["x-forwarded-host"], "evil");
    assert_eq!(
        seen["forwarded"],
        "for=1.2.3.4;host=evil;proto=https, for=127.0.0.1;host=\"me:80\";proto=http"
    );
    assert!(!seen.contains_key("x_forwarded_for"), "{seen:?}");
}

#[test]
fn headers_about_hops_can_be_left_out() {
    let sidecar = Sidecar::start(&["--forwarded-headers", "off"]);
    let (_, seen) = ask(&sidecar, "/off", "");
    let told = ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];
    assert!(!told.iter().any(|name| seen.contains_key(*name)), "{seen:?}");
    assert!(seen.contains_key("x-request-id") && seen.contains_key("traceparent"), "{seen:?}");
}

#[test]
fn a_proxy_s_own_header_can_t_be_named_away() {
    let sidecar = Sidecar::start(&[]);
    let named = "connection: x-forwarded-for, x-request-id, via\r\nx-forwarded-for: 1.2.3.4\r\n";
    let (_, seen) = ask(&sidecar, "/named", named);
    assert_eq!(seen["x-forwarded-for"], "127.0.0.1");
    assert!(seen.contains_key("x-request-id") && seen.contains_key("via"), "{seen:?}");
}

#[test]
fn a_request_is_known_by_one_name_on_both_sides() {
    let sidecar = Sidecar::start(&[]);
    let own = format!("x-request-id: my-1.own_ID\r\ntraceparent: {TRACE}\r\ntracestate: a=b\r\n");
    let (answer, seen) = ask(&sidecar, "/own", &own);
    assert_eq!(
        (answer.header("x-request-id"), &*seen["x-request-id"]),
        ("my-1.own_ID", "my-1.own_ID")
    );
    assert_eq!((&*seen["traceparent"], &*seen["tracestate"]), (TRACE, "a=b"));

    let made = |path, lines: &str| {
        let (answer, seen) = ask(&sidecar, path, lines);
        assert_eq!(answer.header("x-request-id"), seen["x-request-id"]);
        assert!(!seen.contains_key("tracestate"), "{seen:?}");
        (seen["x-request-id"].clone(), seen["traceparent"].clone())
    };
    let odd = format!("x-request-id: \"}}{{\r\ntraceparent: {ALL_ZERO}\r\ntracestate: a=b\r\n");
    let names = [
        made("/none", ""),
        made("/odd", &odd),
        made("/two", "x-request-id: a\r\nx-request-id: b\r\n"),
    ];
    for (id, trace) in &names {
        assert_eq!(*trace, format!("00-{id}-{}-01", trace.split('-').nth(2).unwrap()));
    }
    assert!(names[0] != names[1] && names[1] != names[2], "{names:?}");
}

#[test]
fn a_refusal_names_its_request_too() {
    let sidecar = Sidecar::start(&["--queue-capacity", "0"]);
    let mut running = connect(sidecar.data);
    write!(running, "GET /sleep?ms=600000 HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    sidecar.model.wait_for_line("REQUEST");
    let mut stream = connect(sidecar.data);
    let head = "GET / HTTP/1.1\r\nhost: me\r\nconnection: close\r\nx-request-id: mine\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let refused = read_answer(&mut stream);
    assert_eq!((refused.reason(), refused.header("x-request-id")), ("queue-full", "mine"));
    assert_eq!(get(sidecar.data, "/").header("x-request-id").len(), 32);
    let mut stream = connect(sidecar.data);
    stream.write_all(b"no head\r\n\r\n").unwrap();
    let unreadable = read_answer(&mut stream);
    assert_eq!((unreadable.status, unreadable.header("x-request-id").len()), (400, 32));
}
