//! Sidecars that are to tell when they have room, and don't, or say what makes no sense; and many who ask.

use super::fake::{Manner, counted, endpoint};
use crate::support::gateway::Gateway;
use crate::support::http::{connect, get, read_answer};
use crate::support::sidecar::Sidecar;
use crate::support::{PATIENCE, eventually};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use tidegate_api::endpoints::EndpointEntry;

/// An admin port that is ready, and says this when it is asked for room; without words it is silent
/// until who asks leaves. Counts the questions.
fn admin(words: Option<String>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let (counted, words) = (Arc::clone(&counted), words.clone());
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                loop {
                    let mut lines = reader.by_ref().lines().map_while(Result::ok);
                    let Some(first) = lines.next() else { return };
                    lines.take_while(|line| !line.is_empty()).for_each(drop);
                    let mut answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned();
                    if first.starts_with("GET /room") {
                        counted.fetch_add(1, Ordering::SeqCst);
                        let Some(words) = words.clone() else {
                            drop(reader.read(&mut [0]));
                            return;
                        };
                        answer = words;
                    }
                    if stream.write_all(answer.as_bytes()).is_err() || answer.is_empty() {
                        return;
                    }
                }
            });
        }
    });
    (address, asked)
}

#[test]
fn whatever_a_sidecar_says_of_its_room_requests_go_on_and_it_is_not_asked_more_often_than_it_refuses()
 {
    let whole = |body: &str| {
        Some(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
    };
    let part = |length: u32| {
        Some(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{{\"held\":0,"))
    };
    let most = u32::MAX;
    for (kind, words) in [
        ("an older version", Some("HTTP/1.1 404 No\r\ncontent-length: 2\r\n\r\nno".to_owned())),
        ("hangs", None),
        ("closes", Some(String::new())),
        ("another protocol", Some("SSH-2.0-x\r\n\r\n".to_owned())),
        ("breaks off", part(100)),
        ("endless", part(most)),
        ("no JSON", whole("{\"held\":")),
        ("something else", whole("{\"held\":-1,\"limit\":\"two\",\"waited\":0}")),
        ("always room", whole(r#"{"held":0,"limit":1,"waited":true,"pass":7}"#)),
        (
            "no sense",
            whole(&format!(r#"{{"held":{most},"limit":{most},"waited":false,"pass":null}}"#)),
        ),
    ] {
        let (admin, asked) = admin(words);
        let (busy, refused) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let (is_busy, counted) = (Arc::clone(&busy), Arc::clone(&refused));
        let answers = Manner::Told(Arc::new(move || {
            if !is_busy.load(Ordering::SeqCst) {
                return (200, "");
            }
            counted.fetch_add(1, Ordering::SeqCst);
            (503, "x-tidegate-reason: queue-full\r\n")
        }));
        let gateway = Gateway::start("60s", &[]);
        let full = EndpointEntry { admin: Some(admin), ..endpoint("full", answers, 1) };
        gateway.write_endpoints(vec![full]);
        gateway.wait_for_limit(1.0);
        let mut waiting = connect(gateway.data);
        write!(waiting, "GET /plain/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        let refused = || refused.load(Ordering::SeqCst);
        eventually(&format!("{kind}: it is asked again"), || refused() >= 3);
        busy.store(false, Ordering::SeqCst);
        assert_eq!(read_answer(&mut waiting).status, 200, "{kind}");
        let (asked, refused) = (asked.load(Ordering::SeqCst), refused());
        assert!((1..=refused).contains(&asked), "{kind}: {asked} questions, {refused} refusals");
        assert!(!gateway.process.output().contains("panicked"), "{kind}");
    }
}

#[test]
fn a_refusal_costs_no_connection() {
    let refusals = AtomicUsize::new(5);
    let few = |left: usize| left.checked_sub(1);
    let answers = Manner::Told(Arc::new(move || {
        match refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, few) {
            Ok(_) => (503, "x-tidegate-reason: queue-full\r\n"),
            Err(_) => (200, ""),
        }
    }));
    let (full, connected) = counted("full", answers, 1);
    let gateway = Gateway::start("60s", &[]);
    gateway.write_endpoints(vec![full]);
    gateway.wait_for_limit(1.0);
    let answer = get(gateway.data, "/plain/x");
    assert_eq!((answer.status, answer.header("x-tidegate-attempts")), (200, "6"));
    assert_eq!(connected.load(Ordering::SeqCst), 1);
}

#[test]
fn so_many_may_wait_for_room_that_probes_find_a_place() {
    const MANY: usize = 60;
    const SEATS: usize = 32;
    let replica = Sidecar::start(&[]);
    let mut held = connect(replica.data);
    held.write_all(b"GET /sleep?ms=600000 HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    replica.model.wait_for_line("/sleep");
    let (say, told) = mpsc::sync_channel(MANY);
    let asking = (0..MANY).map(|_| {
        let (mut stream, say) = (connect(replica.admin), say.clone());
        let other_end = stream.try_clone().unwrap();
        stream.write_all(b"GET /room?waited_us=7 HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        std::thread::spawn(move || {
            let answer = read_answer(&mut stream);
            drop(say.send((answer.status, answer.header("connection").to_owned())));
        });
        other_end
    });
    let asking: Vec<_> = asking.collect();
    for _ in SEATS..MANY {
        assert_eq!(told.recv_timeout(PATIENCE), Ok((503, "close".to_owned())));
    }
    for page in ["/readyz", "/healthz", "/metrics"] {
        assert_eq!(get(replica.admin, page).status, 200, "{page}");
    }
    // Who leaves makes room for others.
    drop(held);
    asking.iter().for_each(|stream| drop(stream.shutdown(std::net::Shutdown::Both)));
    eventually("another may ask", || get(replica.admin, "/room").status == 200);
}
