//! What a balancer says of the client before the client's first byte.

use crate::support::http::{Answer, connect, read_answer};
use crate::support::sidecar::Sidecar;
use crate::support::{eventually, h2};
use bytes::Bytes;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use tokio::task::JoinSet;

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n";
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f\xc0\0\x02\x08\x0a\0\0\x01\xdc\x04\x01\xbb\x04\0\0";

fn request(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: me\r\nconnection: close\r\n{lines}\r\n")
}

/// Sends this, and reads to the end.
fn send(sidecar: &Sidecar, parts: &[&[u8]]) -> Answer {
    let mut stream = connect(sidecar.data);
    for part in parts {
        // Who refuses early may be gone before the last part.
        drop(stream.write_all(part));
    }
    read_answer(&mut stream)
}

fn is_refused(sidecar: &Sidecar, parts: &[&[u8]]) -> bool {
    let before = sidecar.metric("tidegate_proxy_protocol_refused_total", "");
    let answer = send(sidecar, parts);
    answer.status == 0
        && answer.body.is_empty()
        && sidecar.metric("tidegate_proxy_protocol_refused_total", "") == before + 1.0
}

#[test]
fn the_client_is_who_the_header_says() {
    let sidecar = Sidecar::start(&["--proxy-protocol", "required", "--access-log", "all"]);
    // A client behind a trusted balancer is not trusted for that.
    let spoof = request("/one", "x-forwarded-for: 1.2.3.4\r\n");
    assert_eq!(send(&sidecar, &[V1, spoof.as_bytes()]).status, 200);
    let seen = sidecar.model.wait_for_line("/one");
    assert!(seen.contains("x-forwarded-for=192.0.2.7 "), "{seen}");
    assert!(seen.contains("forwarded=for=192.0.2.7;host=me;proto=http"), "{seen}");
    assert_eq!(send(&sidecar, &[V2, request("/two", "").as_bytes()]).status, 200);
    let seen = sidecar.model.wait_for_line("/two");
    assert!(seen.contains("x-forwarded-for=192.0.2.8 "), "{seen}");
    let unknown = [b"PROXY UNKNOWN\r\n".as_slice(), request("/own", "").as_bytes()].concat();
    assert_eq!(send(&sidecar, &[&unknown]).status, 200);
    let seen = sidecar.model.wait_for_line("/own");
    assert!(seen.contains("x-forwarded-for=127.0.0.1 "), "{seen}");
    let lines = sidecar.process.wait_for_lines(r#""event":"request""#, 3);
    let client = |line: &String| serde_json::from_str::<Value>(line).unwrap()["client"].clone();
    let clients: Vec<_> = lines.iter().map(client).collect();
    assert_eq!(clients, ["192.0.2.7", "192.0.2.8", "127.0.0.1"]);
    assert_eq!(sidecar.metric("tidegate_proxy_protocol_refused_total", ""), 0.0);
}

#[test]
fn a_header_may_come_in_pieces_and_so_may_what_is_none() {
    let sidecar = Sidecar::start(&["--proxy-protocol", "optional"]);
    for (header, path) in [(V1, "/first"), (V2, "/second"), (b"", "/third")] {
        let mut stream = connect(sidecar.data);
        stream.set_nodelay(true).unwrap();
        // PATCH begins like PROXY.
        let request = request(path, "").replace("GET", "PATCH");
        for byte in [header, request.as_bytes()].concat() {
            stream.write_all(&[byte]).unwrap();
        }
        assert_eq!(read_answer(&mut stream).status, 200, "{path}");
        let client = match path {
            "/first" => "192.0.2.7",
            "/second" => "192.0.2.8",
            _ => "127.0.0.1",
        };
        let seen = sidecar.model.wait_for_line(path);
        assert!(seen.contains(&format!("x-forwarded-for={client} ")), "{seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_may_follow() {
    let sidecar = Sidecar::start(&["--proxy-protocol", "required"]);
    let mut stream = tokio::net::TcpStream::connect(sidecar.data).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, V2).await.unwrap();
    let (sender, connection) = ::h2::client::handshake(stream).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(connection.await) });
    let mut sender = sender.ready().await.unwrap();
    let request = http::Request::post("http://me/echo").body(()).unwrap();
    let (response, mut body) = sender.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"body"), true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(h2::count_bytes(response.into_body()).await, Some(4));
    let seen = sidecar.model.wait_for_line("/echo");
    assert!(seen.contains("x-forwarded-for=192.0.2.8 "), "{seen}");
}

#[test]
fn who_is_not_trusted_is_not_believed() {
    let request = request("/spoofed", "");
    let required =
        Sidecar::start(&["--proxy-protocol", "required", "--trusted-hops", "10.0.0.0/8"]);
    assert!(is_refused(&required, &[V1, request.as_bytes()]));
    assert!(is_refused(&required, &[request.as_bytes()]));
    let optional =
        Sidecar::start(&["--proxy-protocol", "optional", "--trusted-hops", "10.0.0.0/8"]);
    // It is no request, and no header.
    assert_eq!(send(&optional, &[V1, request.as_bytes()]).status, 400);
    assert_eq!(send(&optional, &[V2, request.as_bytes()]).status, 400);
    assert_eq!(send(&optional, &[request.as_bytes()]).status, 200);
    let off = Sidecar::start(&[]);
    assert_eq!(send(&off, &[V1, request.as_bytes()]).status, 400);
    assert_eq!(required.model.count_lines("/spoofed") + off.model.count_lines("/spoofed"), 0);
}

#[test]
fn what_is_missing_malformed_oversize_twice_slow_or_cut_off_is_closed_and_counted() {
    let flags = ["--proxy-protocol", "required", "--header-timeout", "300ms"];
    let sidecar = Sidecar::start(&flags);
    let request = request("/never", "");
    let request = request.as_bytes();
    assert!(is_refused(&sidecar, &[request]), "missing");
    assert!(is_refused(&sidecar, &[b"PROXY TCP4 1.2.3 4.5.6.7 1 2\r\n", request]), "malformed");
    let long = format!("PROXY UNKNOWN {}", "x".repeat(1 << 16));
    assert!(is_refused(&sidecar, &[long.as_bytes()]), "oversize");
    let v2 = [&V2[..14], &[0xff, 0xff], &[0; 1 << 16]].concat();
    assert!(is_refused(&sidecar, &[&v2]), "oversize");
    // Nothing more of these comes, and the connection stays open.
    assert!(is_refused(&sidecar, &[&V1[..20]]), "slow");
    assert!(is_refused(&sidecar, &[&V2[..20]]), "slow");
    let before = sidecar.metric("tidegate_proxy_protocol_refused_total", "");
    for part in [&V1[..20], &V2[..20]] {
        let mut stream = connect(sidecar.data);
        stream.write_all(part).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert!(!matches!(stream.read(&mut [0; 1]), Ok(1..)), "cut off");
    }
    assert_eq!(sidecar.metric("tidegate_proxy_protocol_refused_total", ""), before + 2.0);
    // A second header is the client's, and no request.
    assert_eq!(send(&sidecar, &[V1, V1, request]).status, 400);
    assert_eq!(sidecar.model.count_lines("/never"), 0);
    // Who connects and says nothing only looks whether anybody listens.
    let before = sidecar.metric("tidegate_proxy_protocol_refused_total", "");
    drop(TcpStream::connect(sidecar.data).unwrap());
    assert_eq!(send(&sidecar, &[V1, request]).status, 200);
    eventually("all are gone", || sidecar.metric("tidegate_connections", "") == 0.0);
    assert_eq!(sidecar.metric("tidegate_proxy_protocol_refused_total", ""), before);
}
