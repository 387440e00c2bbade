//! Fields go on in the order, in the case and as often as they came, both ways.

use crate::support::http::connect;
use crate::support::recorder::{Step, Upstream};
use crate::support::sidecar::proxy;
use std::io::{Read, Write};

/// Lines that a map would sort, join or write anew.
const LINES: [&str; 9] = [
    "X-A: 1",
    "Set-Cookie: a=1",
    "x-B: two words\tand a tab",
    "X-a: 2",
    "Set-Cookie: b=2; Path=/",
    "Accept-ENCODING: gzip",
    "X-Obs: \u{e9}\u{fc}",
    "X-Empty: ",
    "X-A: 1",
];

/// One character a byte.
fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect()
}

/// The lines of a head that are among those of the test.
fn known(head: &[u8]) -> Vec<String> {
    let text: String = head.iter().map(|byte| char::from(*byte)).collect();
    let head = text.split("\r\n\r\n").next().unwrap().to_owned();
    head.split("\r\n").filter(|line| LINES.contains(line)).map(str::to_owned).collect()
}

/// Sends a request with these lines to a model that answers with the same; what the model and the
/// client read.
fn exchange(lines: &[&str]) -> (Vec<u8>, Vec<u8>) {
    let lines = lines.join("\r\n");
    let answer = format!("HTTP/1.1 200 OK\r\n{lines}\r\nContent-Length: 2\r\n\r\nok");
    let upstream = Upstream::start(vec![Step::Send(bytes(&answer))]);
    let address = upstream.address.to_string();
    let (_process, data, _) = proxy("sidecar", &["--upstream", &address, "--readiness", "none"]);
    let mut client = connect(data);
    let request = format!("GET /p HTTP/1.1\r\nHost: t\r\n{lines}\r\nConnection: close\r\n\r\n");
    client.write_all(&bytes(&request)).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    let seen = upstream.seen.lock().unwrap().clone();
    (seen, answer)
}

#[test]
fn order_case_and_repeats_are_kept_both_ways() {
    let (seen, answer) = exchange(&LINES);
    assert_eq!(known(&seen), LINES);
    assert_eq!(known(&answer), LINES);
}

#[test]
fn as_many_fields_as_a_head_may_have_go_on() {
    // Host, Connection and Content-Length are the others.
    let lines: Vec<String> = (0..98).map(|number| format!("X-{number}: {number}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (seen, answer) = exchange(&lines);
    for head in [seen, answer] {
        let head = String::from_utf8(head).unwrap();
        assert!(head.contains(&format!("\r\n{}\r\n", lines.join("\r\n"))), "{head}");
    }
}
