//! Both ends of TLS over real sockets: what waits in them, and what only looks as if.

use super::*;
use crate::socket::{Address, Socket};
use crate::wire::{Outgoing, Wire};
use bytes::Bytes;
use rcgen::{CertificateParams, KeyPair};
use std::future::poll_fn;
use std::task::{Context, Waker};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(60);
const PART: usize = 1 << 10;

/// A server's end and a client's end of one connection.
async fn both() -> (Socket, Socket) {
    let folder = TempDir::new().unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = certificate.self_signed(&key).unwrap().pem();
    std::fs::write(folder.path().join("tls.crt"), certificate).unwrap();
    std::fs::write(folder.path().join("tls.key"), key.serialize_pem()).unwrap();
    let files = CertificateFiles::parse(folder.path().to_str().unwrap()).unwrap();
    let authorities = files.chain.clone();
    let settings = TlsSettings {
        clients: Some(ServerTlsSettings {
            certificates: vec![files],
            min_version: MinVersion::default(),
            clients: None,
        }),
        endpoints: Some(EndpointTlsSettings { authorities, certificate: None, name: None }),
    };
    let failures = IntCounter::new("failures", "Failures.").unwrap();
    let (tls, _) = Tls::start(&settings, &Registry::new(), &failures).unwrap();
    let (server, client) = (tls.clients.unwrap(), tls.endpoints.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::from(listener.local_addr().unwrap());
    let serving = async {
        let (stream, _) = listener.accept().await.unwrap();
        match server.greet(stream, PATIENCE).await {
            Greeting::Secured(socket, version) => {
                assert_eq!(version, "1.3");
                socket
            }
            Greeting::Plaintext(_) | Greeting::Failed => panic!("no handshake"),
        }
    };
    let asking = async {
        let socket = address.connect().await.unwrap();
        client.secure(socket, &address, Offer::Either).await.unwrap()
    };
    tokio::join!(serving, asking)
}

#[tokio::test]
async fn what_is_agreed_on_is_what_both_like_best() {
    let (server, client) = both().await;
    assert_eq!(client.agreed_protocol(), Some(&b"h2"[..]));
    assert_eq!(server.agreed_protocol(), Some(&b"h2"[..]));
}

#[tokio::test]
async fn a_note_to_tls_itself_is_neither_an_answer_nor_an_end() {
    let (mut server, client) = both().await;
    // What the client could go on with later has come.
    poll_fn(|cx| client.poll_read_ready(cx)).await.unwrap();
    let mut client = Wire::new(client);
    assert!(!client.is_spent());
    server.write_all(b"unasked").await.unwrap();
    let spent = async {
        while !client.is_spent() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, spent).await.unwrap();
    let (server, client) = both().await;
    drop(server);
    let mut client = Wire::new(client);
    let spent = async {
        while !client.is_spent() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, spent).await.unwrap();
}

#[tokio::test]
async fn what_is_decrypted_and_not_yet_read_is_there_to_be_read() {
    let (mut server, mut client) = both().await;
    client.write_all(b"ab").await.unwrap();
    let mut byte = [0];
    server.read_exact(&mut byte).await.unwrap();
    let mut nobody = Context::from_waker(Waker::noop());
    // All of it has left the system: nothing would ever wake who waits for that.
    assert!(server.poll_read_ready(&mut nobody).is_ready());
    server.read_exact(&mut byte).await.unwrap();
    assert_eq!(byte, *b"b");
    assert!(server.poll_read_ready(&mut nobody).is_pending());
    // An end that was said is there each time.
    client.say_end();
    assert_eq!(server.read(&mut byte).await.unwrap(), 0);
    assert!(server.poll_read_ready(&mut nobody).is_ready());
}

#[tokio::test]
async fn what_is_written_is_on_its_way_when_it_is_said_to_be() {
    let (server, mut client) = both().await;
    let mut server = Wire::new(server);
    let (mut out, mut written) = (Outgoing::default(), 0);
    let mut nobody = Context::from_waker(Waker::noop());
    while {
        out.data = Bytes::from_static(&[7; PART]);
        written += PART;
        server.poll_write(&mut nobody, &mut out).is_ready()
    } {}
    assert!(out.is_empty() && !server.is_flushed(), "it is encrypted, and waits for room");
    let writing = async {
        poll_fn(|cx| server.poll_write(cx, &mut out)).await.unwrap();
        assert!(server.is_flushed());
        // Nobody writes on: what is not on its way by now never comes.
    };
    let reading = async {
        let mut all = vec![0; written];
        client.read_exact(&mut all).await.unwrap();
    };
    tokio::time::timeout(PATIENCE, async { tokio::join!(writing, reading) }).await.unwrap();
}

#[tokio::test]
async fn an_end_is_told_from_a_break() {
    let (mut server, mut client) = both().await;
    server.say_end();
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    let (server, mut client) = both().await;
    drop(server);
    assert!(client.read(&mut [0]).await.is_err());
}
