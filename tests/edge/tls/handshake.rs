//! How connections begin: versions, protocols, names, and what is no handshake.

use super::{Secured, files};
use crate::support::eventually;
use crate::support::http::{connect, get, read_answer};
use crate::support::process::Process;
use crate::support::python::succeed;
use crate::support::sidecar::Sidecar;
use crate::support::tls::{self, Pair};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use tokio::net::TcpStream;

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n";

/// What curl says of itself with these arguments; it must end well.
fn curl(arguments: &[&str]) -> String {
    let said = ["-sS", "--max-time", "60", "-w", "%{http_version} %{http_code} %{num_connects}\n"];
    succeed(Process::start(Command::new("curl").args(said).args(arguments)))
}

fn url(to: SocketAddr, path: &str) -> String {
    format!("https://{to}{path}")
}

#[test]
fn http1_and_http2_are_agreed_on_and_the_next_hop_is_told() {
    let secured = Secured::start(&["--access-log", "all"]);
    let (to, ca) = (secured.sidecar.data, secured.ca.as_str());
    for (flag, version, path) in [("--http1.1", "1.1", "/one"), ("--http2", "2", "/two")] {
        let said = curl(&["--cacert", ca, flag, &url(to, path), "-d", "body"]);
        assert_eq!(said, format!("body{version} 200 1"), "{flag}");
        let seen = secured.sidecar.model.wait_for_line(path);
        assert!(seen.contains("x-forwarded-proto=https "), "{seen}");
        assert!(seen.contains(&format!("forwarded=for=127.0.0.1;host=\"{to}\";proto=https")));
    }
    // Two requests, one connection.
    let both = [url(to, "/"), url(to, "/")];
    let said = curl(&["--cacert", ca, "--http1.1", &both[0], &both[1]]);
    assert_eq!(said, "hello\n1.1 200 1\nhello\n1.1 200 0");
    // curl speaks HTTP/2 only if it is asked to, and Python never does.
    let python = "import ssl, sys, urllib.request as r; tls = ssl.create_default_context(cafile=sys.argv[1]); \
                  print(r.urlopen(sys.argv[2], b'body', context=tls, timeout=60).read())";
    let asked = Command::new("python3").args(["-c", python, ca, &url(to, "/echo")]).output();
    assert_eq!(String::from_utf8_lossy(&asked.unwrap().stdout), "b'body'\n");
    let line = secured.sidecar.process.wait_for_line(r#""event":"request""#);
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["tls"], "1.3");
    // Who does not know the authority goes.
    let stranger = Command::new("curl").args(["-sS", &url(to, "/")]).output().unwrap();
    assert_eq!(stranger.status.code(), Some(60), "{stranger:?}");
    eventually("it is counted", || secured.failures("rejected") == 1.0);
}

#[test]
fn the_name_chooses_the_certificate() {
    let (folder, own) = files();
    let a = own.authority.issue(&["a.test"]);
    let b = own.authority.issue(&["*.b.test", "b.test"]);
    let (a_path, b_path) = (folder.path().join("a"), folder.path().join("b"));
    let b_path = b.mount(&b_path);
    let b_files = format!("{b_path}/tls.crt:{b_path}/tls.key");
    let several = format!("{},{}", own.path, a.mount(&a_path));
    let sidecar = Sidecar::start(&["--tls-cert", &several, "--tls-cert", &b_files]);
    let client = own.authority.client(None);
    let shown = |name| tls::shown(sidecar.data, &client, name);
    for (name, pair) in [("a.test", &a), ("b.test", &b), ("x.b.test", &b), ("127.0.0.1", &own.pair)]
    {
        assert_eq!(shown(name).unwrap(), pair.der(), "{name}");
    }
    // It is shown the first, which is not what it wants.
    let error = shown("c.test").unwrap_err().to_string();
    assert!(error.contains("not valid for name"), "{error}");
    let expiry = |file: &str| {
        let labels = format!("certificate=\"{file}\"");
        sidecar.metric("tidegate_tls_certificate_expiry_timestamp_seconds", &labels)
    };
    // `date -ud 2099-01-01 +%s`.
    assert_eq!(expiry(&format!("{}/tls.crt", own.path)), 4_070_908_800.0);
    assert_eq!(expiry(&format!("{b_path}/tls.crt")), 4_070_908_800.0);
}

#[test]
fn old_versions_are_refused() {
    let secured = Secured::start(&[]);
    let to = secured.sidecar.data;
    let script = "import socket, ssl, sys; tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); \
                  tls.check_hostname = False; tls.verify_mode = ssl.CERT_NONE; \
                  tls.set_ciphers('ALL:@SECLEVEL=0'); tls.minimum_version = ssl.TLSVersion.TLSv1; \
                  tls.maximum_version = ssl.TLSVersion.TLSv1_1; \
                  raw = socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=60); \
                  tls.wrap_socket(raw)";
    let port = to.port().to_string();
    let old = Command::new("python3").args(["-W", "ignore", "-c", script, &port]).output().unwrap();
    let said = String::from_utf8_lossy(&old.stderr).into_owned();
    assert!(said.contains("ALERT"), "{said}");
    assert_eq!(secured.failures("incompatible"), 1.0);
    let only = |version| secured.authority.client_of(None, &[version]);
    assert_eq!(tls::get(to, &only(&TLS12), "/").unwrap().status, 200);
    let newest = Secured::start(&["--tls-min-version", "1.3"]);
    let only = |version| newest.authority.client_of(None, &[version]);
    let to = newest.sidecar.data;
    assert!(tls::get(to, &only(&TLS12), "/").is_err());
    assert_eq!(tls::get(to, &only(&TLS13), "/").unwrap().status, 200);
    assert_eq!(newest.failures("incompatible"), 1.0);
}

#[test]
fn what_is_no_handshake_is_told_so_and_what_is_half_of_one_is_cut() {
    let secured = Secured::start(&["--header-timeout", "300ms"]);
    let to = secured.sidecar.data;
    let answer = get(to, "/never");
    assert_eq!((answer.status, answer.reason()), (400, "tls-required"));
    assert!(answer.text().contains("https://"), "{}", answer.text());
    for text in [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], b"\0\0\0", b"\x80\x2e\x01"] {
        let mut stream = connect(to);
        stream.write_all(text).unwrap();
        assert_eq!(read_answer(&mut stream).status, 400, "{}", text.escape_ascii());
    }
    assert_eq!(secured.failures("plaintext"), 4.0);
    // A record that never ends; one that is none; one that is too long.
    let slow: &[u8] = b"\x16\x03\x01\x00\xc8\x01\x00";
    for (text, reason) in [
        (slow, "timeout"),
        (b"\x16\x03\x01\x00\x04\x63\x00\x00\x00", "malformed"),
        (b"\x16\x03\x01\xff\xff\x01", "malformed"),
    ] {
        let before = secured.failures(reason);
        let mut stream = connect(to);
        stream.write_all(text).unwrap();
        // Perhaps an alert, and then an end that is no reset.
        let mut alert = Vec::new();
        stream.read_to_end(&mut alert).unwrap();
        assert!(alert.is_empty() || alert[0] == 21, "{alert:?}");
        eventually("it is counted", || secured.failures(reason) == before + 1.0);
    }
    let mut stream = connect(to);
    stream.write_all(slow).unwrap();
    drop(stream);
    eventually("its leaving is counted", || secured.failures("closed") == 1.0);
    // Who says nothing only looks whether anybody listens.
    drop(connect(to));
    let mut silent = connect(to);
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    eventually("all are gone", || secured.sidecar.metric("tidegate_connections", "") == 0.0);
    assert_eq!(secured.failures("closed") + secured.failures("timeout"), 3.0);
    assert_eq!(secured.sidecar.model.count_lines("/never"), 0);
}

#[test]
fn a_proxy_header_comes_before_the_handshake() {
    let secured = Secured::start(&["--proxy-protocol", "required", "--header-timeout", "3s"]);
    let to = secured.sidecar.data;
    let mut stream = connect(to);
    stream.write_all(V1).unwrap();
    let mut stream = tls::shake_hands(stream, &secured.client, "127.0.0.1").unwrap();
    let request = b"GET /via HTTP/1.1\r\nhost: me\r\nconnection: close\r\n\r\n";
    stream.write_all(request).unwrap();
    assert_eq!(read_answer(&mut stream).status, 200);
    let seen = secured.sidecar.model.wait_for_line("/via");
    assert!(seen.contains("forwarded=for=192.0.2.7;host=me;proto=https"), "{seen}");
    assert!(seen.contains("x-forwarded-for=192.0.2.7 "), "{seen}");
    // Header and hello in one piece, and in pieces of a byte.
    let hello = hello(&secured);
    for size in [usize::MAX, 1] {
        let mut stream = connect(to);
        stream.set_nodelay(true).unwrap();
        for part in [V1, &hello].concat().chunks(size.min(hello.len() + V1.len())) {
            stream.write_all(part).unwrap();
        }
        let mut record = [0; 5];
        stream.read_exact(&mut record).unwrap();
        assert_eq!(record[0], 22, "a handshake goes on: {record:?}");
    }
    // The handshake is not begun, or not with TLS.
    let mut stream = connect(to);
    stream.write_all(V1).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    let mut stream = connect(to);
    stream.write_all(&[V1, request].concat()).unwrap();
    assert_eq!(read_answer(&mut stream).reason(), "tls-required");
    let mut stream = connect(to);
    stream.write_all(&hello).unwrap();
    assert!(!matches!(stream.read(&mut [0]), Ok(1..)), "no header");
    assert_eq!(secured.sidecar.metric("tidegate_proxy_protocol_refused_total", ""), 1.0);
}

/// A client's first words.
fn hello(secured: &Secured) -> Vec<u8> {
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let config = Arc::new(secured.client.clone());
    let mut session = ClientConnection::new(config, name).unwrap();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    hello
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_place_is_closed() {
    let secured = Secured::start(&["--max-connections", "1"]);
    let held = tls::connect(secured.sidecar.data, &secured.client, "127.0.0.1").unwrap();
    eventually("it is held", || secured.sidecar.metric("tidegate_connections", "") == 1.0);
    let refused = TcpStream::connect(secured.sidecar.data).await.unwrap();
    refused.readable().await.unwrap();
    assert!(!matches!(refused.try_read(&mut [0]), Ok(1..)));
    assert_eq!(secured.sidecar.metric("tidegate_connections_refused_total", ""), 1.0);
    drop(held);
    eventually("there is a place again", || {
        tls::get(secured.sidecar.data, &secured.client, "/")
            .is_ok_and(|answer| answer.status == 200)
    });
}

#[test]
fn what_can_t_be_used_is_said_at_the_start() {
    let (folder, own) = files();
    let other = own.authority.issue(&["127.0.0.1"]);
    let mixed = folder.path().join("mixed");
    let mixed = Pair { key: other.key, ..own.pair.clone() }.mount(&mixed).to_owned();
    let binary = crate::support::binary("tidegate-proxy");
    let ca = format!("{}/tls.key", own.path);
    for (flags, said) in [
        (&["--tls-cert", &mixed][..], "(--tls-cert): the key is not the certificate's"),
        (&["--tls-cert", "/nowhere"], "can't read /nowhere/tls.crt"),
        (&["--tls-cert", &own.path, "--tls-client-ca", &ca], "(--tls-client-ca): it has no cert"),
        (&["--tls-client-ca", &own.ca], "--tls-cert <FOLDER|CERT:KEY>"),
        (&["--tls-cert", &own.path, "--tls-min-version", "1.1"], "[possible values: 1.2, 1.3]"),
    ] {
        let listen = ["sidecar", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let ended = Command::new(&binary).args(listen).args(flags).output().unwrap();
        let text = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success() && text.contains(said), "{flags:?}: {text}");
        assert!(!text.contains("PRIVATE"), "{text}");
    }
}
