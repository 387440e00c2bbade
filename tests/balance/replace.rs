//! Replicas that are replaced one after the other under load.

use crate::support::eventually;
use crate::support::gateway::{Gateway, entry};
use crate::support::http::{connect, read_answer};
use crate::support::load::Load;
use crate::support::sidecar::Sidecar;
use rustix::process::Signal;
use std::io::{Read, Write};
use tidegate_api::endpoints::EndpointState;

fn replica() -> Sidecar {
    Sidecar::start(&["--concurrency", "4", "--drain-delay", "200ms", "--drain-timeout", "60s"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_replacement_fails_nothing_and_streams_and_sockets_end_by_themselves() {
    let gateway = Gateway::start("60s", &[]);
    let mut running = vec![("r0".to_owned(), replica()), ("r1".to_owned(), replica())];
    let entries = |running: &[(String, Sidecar)], leaving: Option<&str>| {
        let state = |id: &str| match leaving == Some(id) {
            true => EndpointState::Draining,
            false => EndpointState::Active,
        };
        let one = |(id, sidecar): &(String, Sidecar)| {
            let entry = entry(id, sidecar, 4);
            tidegate_api::endpoints::EndpointEntry { state: state(id), ..entry }
        };
        gateway.write_endpoints(running.iter().map(one).collect());
    };
    entries(&running, None);
    gateway.wait_for_limit(8.0);
    let load = Load::start(6, gateway.data, "/plain/echo");
    load.wait_for_more(50);
    for generation in 2..5 {
        // One stream and one switched connection live through each replacement.
        let mut stream = connect(gateway.data);
        let head = "host: a\r\nconnection: close\r\n\r\n";
        write!(stream, "GET /plain/stream?n=40&ms=25 HTTP/1.1\r\n{head}").unwrap();
        let mut socket = connect(gateway.data);
        let head = "host: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
        write!(socket, "GET /plain/socket HTTP/1.1\r\n{head}").unwrap();
        let mut switched = [0; 12];
        socket.read_exact(&mut switched).unwrap();
        assert_eq!(&switched, b"HTTP/1.1 101");
        running.push((format!("r{generation}"), replica()));
        entries(&running, None);
        gateway.wait_for_limit(12.0);
        let (old, mut sidecar) = running.remove(0);
        running.insert(0, (old.clone(), sidecar));
        entries(&running, Some(&old));
        gateway.wait_for_limit(8.0);
        (_, sidecar) = running.remove(0);
        sidecar.process.signal(Signal::TERM);
        let answer = read_answer(&mut stream);
        assert_eq!(answer.status, 200);
        assert!(answer.text().trim_end().ends_with('0'), "the stream's last chunk came");
        socket.write_all(b"still here").unwrap();
        let mut seen = Vec::new();
        eventually("the socket still echoes", || {
            let mut part = [0; 256];
            let read = socket.read(&mut part).unwrap();
            seen.extend_from_slice(&part[..read]);
            seen.ends_with(b"still here")
        });
        drop(socket);
        assert!(sidecar.process.wait().success());
        entries(&running, None);
        load.wait_for_more(50);
    }
    let answers = load.stop().await;
    assert_eq!(answers.keys().collect::<Vec<_>>(), [&(200, String::new())], "{answers:?}");
}
