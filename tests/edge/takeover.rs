//! Processes that follow each other on the same sockets, under load.

use crate::support::gateway::{Gateway, entry};
use crate::support::h2;
use crate::support::http::{connect, get, read_answer};
use crate::support::process::Process;
use crate::support::sidecar::{Sidecar, proxy};
use crate::support::{binary, eventually, say};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Clients that keep their connections, over HTTP/1.1 and over HTTP/2.
const KEEPERS: usize = 4;
/// Clients that connect for each request: so many that some are always in a listener's line. With
/// fewer, sockets that merely share the port pass too.
const CONNECTERS: usize = 64;
/// How often the process is replaced.
const RESTARTS: usize = 4;

/// What clients saw: nobody asks twice, so that each failure counts.
#[derive(Default)]
struct Seen {
    answered: AtomicUsize,
    failed: std::sync::Mutex<BTreeMap<String, usize>>,
    stop: AtomicBool,
}

impl Seen {
    fn note(&self, kind: &str, outcome: Result<u16, String>) {
        if outcome == Ok(200) {
            self.answered.fetch_add(1, Ordering::Relaxed);
        } else {
            let mut failed = self.failed.lock().unwrap();
            *failed.entry(format!("{kind}: {outcome:?}")).or_default() += 1;
        }
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

/// One request over HTTP/1.1; with whether the connection stays.
async fn ask(stream: &mut BufReader<TcpStream>, connection: &str) -> std::io::Result<(u16, bool)> {
    let head = format!(
        "POST /plain/echo HTTP/1.1\r\nhost: a\r\n{connection}content-length: 4\r\n\r\nbody"
    );
    stream.write_all(head.as_bytes()).await?;
    let (mut status, mut stays, mut length) = (0, true, 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_ascii_lowercase();
        match line.split_once(": ") {
            None if line.is_empty() => break,
            None => status = line.split(' ').nth(1).unwrap().parse().unwrap(),
            Some(("connection", "close")) => stays = false,
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(_) => {}
        }
    }
    stream.read_exact(&mut vec![0; length]).await?;
    Ok((status, stays))
}

/// Asks over connections that are kept as long as the server says, or over one for each request.
async fn http1(to: SocketAddr, kind: &'static str, connection: &'static str, seen: Arc<Seen>) {
    let mut kept = None;
    while seen.goes_on() {
        let outcome = async {
            let mut stream = match kept.take() {
                Some(stream) => stream,
                None => BufReader::new(TcpStream::connect(to).await?),
            };
            let (status, stays) = ask(&mut stream, connection).await?;
            kept = stays.then_some(stream);
            Ok(status)
        };
        let outcome: std::io::Result<u16> = outcome.await;
        seen.note(kind, outcome.map_err(|error| error.to_string()));
    }
}

/// Asks over HTTP/2, over a connection anew whenever the server takes no more on the last.
async fn http2(to: SocketAddr, seen: Arc<Seen>) {
    let mut tasks = JoinSet::new();
    let mut sender = h2::connect(to, &mut tasks).await;
    while seen.goes_on() {
        let Ok(mut ready) = sender.clone().ready().await else {
            sender = h2::connect(to, &mut tasks).await;
            continue;
        };
        let outcome = async {
            let request = http::Request::post(format!("http://{to}/plain/echo")).body(()).unwrap();
            let (response, mut body) = ready.send_request(request, false)?;
            body.send_data(Bytes::from_static(b"body"), true)?;
            let (head, body) = response.await?.into_parts();
            Ok((head.status.as_u16(), h2::count_bytes(body).await))
        };
        let outcome: Result<_, ::h2::Error> = outcome.await;
        let outcome = outcome.map_err(|error| error.to_string());
        seen.note(
            "h2",
            outcome.and_then(|(status, bytes)| match bytes {
                Some(4) => Ok(status),
                broken => Err(format!("{status} with {broken:?} bytes")),
            }),
        );
    }
}

fn path(folder: &TempDir) -> String {
    folder.path().join("takeover.sock").to_str().unwrap().to_owned()
}

/// A gateway before two replicas, which may be followed by another.
fn first(folder: &TempDir) -> (Gateway, [Sidecar; 2]) {
    let sidecars = [0; 2].map(|_| Sidecar::start(&["--concurrency", "8"]));
    let gateway = Gateway::start("60s", &["--takeover", &path(folder), "--drain-delay", "1s"]);
    gateway.write_endpoints(vec![entry("a", &sidecars[0], 8), entry("b", &sidecars[1], 8)]);
    gateway.wait_for_limit(16.0);
    (gateway, sidecars)
}

/// The process that follows this gateway.
fn next(gateway: &Gateway, folder: &TempDir, workers: &str) -> Process {
    let path = path(folder);
    gateway.another(&["--workers", workers, "--takeover", &path, "--drain-delay", "1s"])
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_under_load_fail_no_request() {
    let folder = TempDir::new().unwrap();
    let (mut gateway, _sidecars) = first(&folder);
    let seen = Arc::new(Seen::default());
    let mut clients = JoinSet::new();
    for _ in 0..KEEPERS {
        clients.spawn(http1(gateway.data, "kept", "", Arc::clone(&seen)));
        clients.spawn(http2(gateway.data, Arc::clone(&seen)));
    }
    for _ in 0..CONNECTERS {
        clients.spawn(http1(gateway.data, "new", "connection: close\r\n", Arc::clone(&seen)));
    }
    let answered = || seen.answered.load(Ordering::Relaxed);
    let more = |count| {
        let before = answered();
        eventually("more answers come", || answered() >= before + count);
    };
    for workers in ["2", "3", "1", "4"].into_iter().cycle().take(RESTARTS) {
        more(100);
        let mut stream = connect(gateway.data);
        let head = "host: a\r\nconnection: close\r\n\r\n";
        write!(stream, "GET /plain/stream?n=60&ms=25 HTTP/1.1\r\n{head}").unwrap();
        eventually("the stream has begun", || stream.peek(&mut [0; 64]).unwrap() > 0);
        let process = next(&gateway, &folder, workers);
        let mut old = std::mem::replace(&mut gateway.process, process);
        assert!(old.wait().success(), "{}", old.output());
        assert!(old.errors().contains("another process has taken over"), "{}", old.errors());
        // What ran in the old process has come to its end.
        assert!(read_answer(&mut stream).text().ends_with("0\r\n\r\n"));
        assert_eq!(get(gateway.admin, "/readyz").status, 200);
        // It knew its endpoints before it served: nobody found the API asleep.
        assert_eq!(gateway.metric("tidegate_cold_start_seconds_count", ""), 0.0);
    }
    more(100);
    seen.stop.store(true, Ordering::Relaxed);
    clients.join_all().await;
    let failed = seen.failed.lock().unwrap();
    say(&format!("{} requests over {RESTARTS} restarts", answered()));
    assert!(failed.is_empty(), "of {} requests: {failed:?}", answered());
    assert!(answered() > 500, "{}", answered());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_rests_when_another_process_takes_over_is_still_answered() {
    let folder = TempDir::new().unwrap();
    let sidecar = Sidecar::start(&[]);
    let gateway = Gateway::start("60s", &["--takeover", &path(&folder), "--drain-delay", "60s"]);
    gateway.write_endpoints(vec![entry("a", &sidecar, 1)]);
    gateway.wait_for_limit(1.0);
    let stream = TcpStream::connect(gateway.data).await.unwrap();
    let mut kept = BufReader::new(stream);
    assert_eq!(ask(&mut kept, "").await.unwrap(), (200, true));
    let _next = next(&gateway, &folder, "1");
    gateway.process.wait_for_line("another process has taken over");
    // It is told to come back elsewhere, with its answer.
    assert_eq!(ask(&mut kept, "").await.unwrap(), (200, false));
}

#[test]
fn who_can_not_start_takes_nothing() {
    let folder = TempDir::new().unwrap();
    let (gateway, _sidecars) = first(&folder);
    let taken = connect(gateway.admin).peer_addr().unwrap().to_string();
    // It would have what the first has, but for requests it is to listen where another does.
    let documents = gateway.documents.to_str().unwrap();
    let endpoints = gateway.endpoints_file.to_str().unwrap();
    let mut next = Process::start(
        Command::new(binary("tidegate-proxy"))
            .args(["gateway", "--takeover", &path(&folder), "--listen", &taken])
            .args(["--admin", "127.0.0.1:0", "--config", documents, "--endpoints", endpoints]),
    );
    assert!(!next.wait().success());
    let said = next.errors();
    assert!(said.contains(&format!("can't listen on {taken} (--listen)")), "{said}");
    gateway.process.wait_for_line("a new process did not take over; this one goes on");
    assert_eq!(get(gateway.data, "/plain/status?code=204").status, 204);
    assert_eq!(get(gateway.admin, "/readyz").status, 200);
}

#[test]
fn a_sidecar_is_followed_too_and_a_path_that_can_not_be_is_named() {
    let folder = TempDir::new().unwrap();
    let path = path(&folder);
    let mut first = Sidecar::start(&["--takeover", &path]);
    let upstream = first.model_addr.to_string();
    let flags = ["--upstream", &upstream, "--takeover", &path];
    let (_process, data, admin) = proxy("sidecar", &flags);
    assert_eq!((data, admin), (first.data, first.admin));
    assert!(first.process.wait().success());
    eventually("the second is ready", || get(admin, "/readyz").status == 200);
    assert_eq!(get(data, "/status?code=204").status, 204);

    let nowhere = Path::new(&path).with_file_name("none").join("takeover.sock");
    let mut process = Process::start(
        Command::new(binary("tidegate-proxy"))
            .args(["sidecar", "--upstream", &upstream, "--listen", "127.0.0.1:0"])
            .args(["--admin", "127.0.0.1:0", "--takeover", nowhere.to_str().unwrap()]),
    );
    assert!(!process.wait().success());
    let said = process.errors();
    let expected = format!("can't use {} (--takeover)", nowhere.display());
    assert!(said.contains(&expected) && said.contains("No such file"), "{said}");
}
