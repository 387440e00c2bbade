//! Files that change while a process runs, and processes that follow each other.

use super::{Own, Secured, files};
use crate::support::eventually;
use crate::support::http::read_answer;
use crate::support::replace;
use crate::support::sidecar::{Sidecar, plain_model, proxy};
use crate::support::tls::{self, Pair};
use rustix::process::Signal;
use rustls::ClientConfig;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

const FAILURES: &str = "tidegate_reload_failures_total";
const REQUEST: &[u8] = b"POST /echo HTTP/1.1\r\nhost: me\r\ncontent-length: 4\r\n\r\nbody";

/// Clients that ask one request after the other, each over a connection of its own or over one that
/// it keeps as long as it is told to.
struct Load {
    threads: Vec<JoinHandle<Result<(), String>>>,
    answered: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Load {
    fn start(to: SocketAddr, client: &ClientConfig) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let threads = [true, true, false, false].map(|keeps| {
            let (client, stop, answered) =
                (client.clone(), Arc::clone(&stop), Arc::clone(&answered));
            std::thread::spawn(move || {
                let mut kept = None;
                while !stop.load(Ordering::Relaxed) {
                    let stream = match kept.take() {
                        Some(stream) => stream,
                        None => BufReader::new(
                            tls::connect(to, &client, "127.0.0.1")
                                .map_err(|error| format!("no handshake: {error}"))?,
                        ),
                    };
                    let stays = ask(stream).map_err(|error| format!("no answer: {error}"))?;
                    answered.fetch_add(1, Ordering::Relaxed);
                    kept = stays.filter(|_| keeps);
                }
                Ok(())
            })
        });
        Self { threads: threads.into(), answered, stop }
    }

    fn wait_for_more(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("more are answered", || self.answered.load(Ordering::Relaxed) > before + 50);
    }

    /// Ends it; no request may have failed.
    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            assert_eq!(thread.join().unwrap(), Ok(()));
        }
    }
}

/// One request; the connection, if it stays.
fn ask(mut stream: BufReader<tls::Tls>) -> std::io::Result<Option<BufReader<tls::Tls>>> {
    stream.get_mut().write_all(REQUEST)?;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Err(std::io::Error::other(format!("it ended after {head:?}")));
        }
    }
    let mut body = [0; 4];
    stream.read_exact(&mut body)?;
    if !head.starts_with("HTTP/1.1 200") || body != *b"body" {
        return Err(std::io::Error::other(head));
    }
    Ok((!head.to_ascii_lowercase().contains("connection: close")).then_some(stream))
}

fn expiry(secured: &Secured) -> f64 {
    secured.sidecar.metric("tidegate_tls_certificate_expiry_timestamp_seconds", "own/tls.crt")
}

#[test]
fn a_certificate_is_replaced_under_load_and_a_wrong_one_is_not_taken() {
    let secured = Secured::start(&["--concurrency", "8"]);
    let (to, own) = (secured.sidecar.data, secured.folder.path().join("own"));
    let load = Load::start(to, &secured.client);
    load.wait_for_more();
    let shown = || tls::shown(to, &secured.client, "127.0.0.1").unwrap();
    let mut in_force = shown();
    let mut failures = 0.0;
    let good = |year| secured.authority.issue_until(&["127.0.0.1"], year);
    for year in 2090..2093 {
        let (next, other) = (good(year), good(year));
        for (wrong, why) in [
            (Pair { key: other.key, ..next.clone() }, "the key is not the certificate's"),
            (good(2020), "the certificate has expired: it ended at 2020-01-01T00:00:00Z"),
            (Pair { chain: "nothing".to_owned(), ..next.clone() }, "has no certificate in PEM"),
        ] {
            wrong.mount(&own);
            failures += 1.0;
            eventually("it is counted", || secured.sidecar.metric(FAILURES, "") == failures);
            secured.sidecar.process.wait_for_line(why);
            assert_eq!(shown(), in_force, "{why}");
        }
        next.mount(&own);
        eventually("the next is in force", || shown() == next.der());
        in_force = next.der();
        load.wait_for_more();
    }
    // `date -ud 2092-01-01 +%s`.
    assert_eq!(expiry(&secured), 3_849_984_000.0);
    assert_eq!(secured.sidecar.metric(FAILURES, ""), failures);
    load.stop();
    assert!(!secured.sidecar.process.output().contains("PRIVATE"));
}

#[test]
fn a_signal_has_the_files_looked_at_and_what_is_wrong_said_again() {
    let secured = Secured::start(&[]);
    let own = secured.folder.path().join("own");
    let wrong = Pair { chain: String::new(), key: String::new() };
    wrong.mount(&own);
    eventually("it is counted", || secured.sidecar.metric(FAILURES, "") == 1.0);
    secured.sidecar.process.signal(Signal::HUP);
    eventually("it is counted again", || secured.sidecar.metric(FAILURES, "") == 2.0);
    let next = secured.authority.issue(&["127.0.0.1"]);
    next.mount(&own);
    secured.sidecar.process.signal(Signal::HUP);
    let shown = || tls::shown(secured.sidecar.data, &secured.client, "127.0.0.1").unwrap();
    eventually("the next is in force", || shown() == next.der());
}

/// The status for who shows this; 0 for who is not let in.
fn status(secured: &Secured, client: &ClientConfig) -> u16 {
    tls::get(secured.sidecar.data, client, "/").map_or(0, |answer| answer.status)
}

#[test]
fn clients_are_asked_for_certificates() {
    let folder = tempfile::TempDir::new().unwrap();
    let (teams, others) = (tls::Authority::new(), tls::Authority::new());
    let ca = teams.write(folder.path(), "clients.pem");
    let (team, other) = (teams.issue(&["team"]), others.issue(&["team"]));
    for (auth, without) in [("required", 0), ("optional", 200)] {
        let flags = ["--tls-client-ca", &ca, "--tls-client-auth", auth];
        let secured = Secured::start(&flags);
        let client = |own| secured.authority.client(own);
        assert_eq!(status(&secured, &client(Some(&team))), 200, "{auth}");
        assert_eq!(status(&secured, &client(Some(&other))), 0, "{auth}");
        assert_eq!(status(&secured, &client(None)), without, "{auth}");
        let refused = if without == 0 { 2.0 } else { 1.0 };
        eventually("it is counted", || secured.failures("certificate") == refused);
    }
}

#[test]
fn who_is_no_longer_believed_does_not_go_on_with_an_old_session() {
    let folder = tempfile::TempDir::new().unwrap();
    let (teams, others) = (tls::Authority::new(), tls::Authority::new());
    let ca = teams.write(folder.path(), "clients.pem");
    let secured = Secured::start(&["--tls-client-ca", &ca]);
    // It keeps what it was given to go on with.
    let client = secured.authority.client(Some(&teams.issue(&["team"])));
    assert_eq!(status(&secured, &client), 200);
    let resumed = tls::connect(secured.sidecar.data, &client, "127.0.0.1").unwrap();
    assert_eq!(resumed.conn.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
    replace(Path::new(&ca), &others.pem);
    eventually("it is not let in", || status(&secured, &client) == 0);
    let other = secured.authority.client(Some(&others.issue(&["other"])));
    assert_eq!(status(&secured, &other), 200);
    // What is open goes on.
    let mut resumed = resumed;
    resumed.write_all(b"GET / HTTP/1.1\r\nhost: me\r\nconnection: close\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut resumed).status, 200);
}

#[test]
fn processes_follow_each_other_without_a_failed_request() {
    let (folder, Own { authority, path, .. }) = files();
    let socket = folder.path().join("takeover").to_str().unwrap().to_owned();
    let (model, model_addr) = plain_model(0);
    let upstream = model_addr.to_string();
    let with = |path: &str| -> Vec<String> {
        let flags = ["--tls-cert", path, "--takeover", &socket, "--drain-delay", "2s"];
        flags.map(str::to_owned).into()
    };
    let first = with(&path);
    let first: Vec<&str> = first.iter().map(String::as_str).collect();
    let mut first =
        Sidecar::before(model, model_addr, &[&first[..], &["--concurrency", "8"]].concat());
    let client = authority.client(None);
    let load = Load::start(first.data, &client);
    load.wait_for_more();
    let next = authority.issue(&["127.0.0.1"]);
    let next_path = folder.path().join("next");
    let flags = with(next.mount(&next_path));
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let (_second, data, _) =
        proxy("sidecar", &[&flags[..], &["--upstream", &upstream, "--concurrency", "8"]].concat());
    assert_eq!(data, first.data);
    assert!(first.process.wait().success());
    assert_eq!(tls::shown(data, &client, "127.0.0.1").unwrap(), next.der());
    load.wait_for_more();
    load.stop();
}
