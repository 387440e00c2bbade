//! Replicas are exchanged while requests run: the document changes, streams and sockets go on to their
//! end, and no request fails.

use crate::support::http::{Http, connect, get, read_answer};
use crate::support::up::{Replica, Up, document, plain_command};
use crate::support::{eventually, h2, now, say};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Replicas that are ready all the time.
const REPLICAS: usize = 4;

/// Clients of each protocol, each of which asks again as soon as it has its answer, or a little later
/// where all together are faster than a thousand requests a second.
const CLIENTS: usize = 4;

/// Between two requests of one client, at the least.
const PACE: Duration = Duration::from_millis(8);

/// Parts of a long stream; it lasts ten seconds.
const PARTS: usize = 200;

/// Answers, by status and version, or the reason of a refusal.
type Seen = BTreeMap<(u16, String), usize>;

fn version(version: &str, limit: u32) -> String {
    let spec = format!(
        "  concurrency: {{limit: {limit}}}\n  autoscaling: {{minReplicas: {REPLICAS}, maxReplicas: 8}}"
    );
    let plain = document(&plain_command(), &spec);
    plain.replace("container: {", &format!("container: {{env: {{VERSION: {version}}}, "))
}

/// Requests over both protocols, until it is stopped.
struct Traffic {
    clients: JoinSet<Seen>,
    answered: Arc<AtomicUsize>,
    stop: watch::Sender<bool>,
}

impl Traffic {
    fn start(to: SocketAddr) -> Self {
        let (stop, stopped) = watch::channel(false);
        let answered = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        for client in 0..2 * CLIENTS {
            let (stopped, answered) = (stopped.clone(), Arc::clone(&answered));
            clients.spawn(async move {
                let mut asks = Asker::new(client >= CLIENTS, to).await;
                let mut seen = Seen::new();
                let mut pace = tokio::time::interval(PACE);
                pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                while !*stopped.borrow() {
                    pace.tick().await;
                    *seen.entry(asks.ask().await).or_default() += 1;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                seen
            });
        }
        Self { clients, answered, stop }
    }

    fn wait_for_more(&self, more: usize) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("more answers come", || self.answered.load(Ordering::Relaxed) >= before + more);
    }

    async fn stop(mut self) -> Seen {
        self.stop.send(true).unwrap();
        let mut all = Seen::new();
        while let Some(seen) = self.clients.join_next().await {
            for (kind, count) in seen.unwrap() {
                *all.entry(kind).or_default() += count;
            }
        }
        all
    }
}

/// A client on a connection that stays.
enum Asker {
    Http1(Http, SocketAddr),
    Http2 { sender: ::h2::client::SendRequest<Bytes>, _connection: JoinSet<()> },
}

impl Asker {
    async fn new(is_http2: bool, to: SocketAddr) -> Self {
        if !is_http2 {
            return Self::Http1(Http::new(), to);
        }
        let mut connection = JoinSet::new();
        let sender = h2::connect(to, &mut connection).await;
        Self::Http2 { sender, _connection: connection }
    }

    async fn ask(&mut self) -> (u16, String) {
        match self {
            Self::Http1(http, to) => {
                let answer = http.post(*to, "/x", "body").await;
                let said = match answer.reason() {
                    "" => answer.header("x-version"),
                    reason => reason,
                };
                (answer.status, said.to_owned())
            }
            Self::Http2 { sender, .. } => ask_http2(sender).await.unwrap_or_default(),
        }
    }
}

async fn ask_http2(sender: &mut ::h2::client::SendRequest<Bytes>) -> Option<(u16, String)> {
    let request = hyper::Request::get("http://test/y").body(()).unwrap();
    *sender = sender.clone().ready().await.ok()?;
    let (answer, _) = sender.send_request(request, true).ok()?;
    let (head, body) = answer.await.ok()?.into_parts();
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    let said = text("x-tidegate-reason").or_else(|| text("x-version")).unwrap_or("").to_owned();
    h2::count_bytes(body).await?;
    Some((head.status.as_u16(), said))
}

/// A stream of ten seconds. Returns how many of its parts came, and whether it came to its end.
fn stream(to: SocketAddr) -> JoinHandle<(usize, bool)> {
    let mut stream = connect(to);
    let target = format!("/stream?n={PARTS}&ms=50");
    write!(stream, "GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    std::thread::spawn(move || {
        let answer = read_answer(&mut stream);
        (answer.text().matches("data").count(), answer.body.ends_with(b"0\r\n\r\n"))
    })
}

/// A socket that was opened by an upgrade.
struct Socket(TcpStream);

impl Socket {
    fn open(to: SocketAddr) -> Self {
        let mut socket = connect(to);
        let head =
            "GET /socket HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
        socket.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
        Self(socket)
    }

    fn echoes(&mut self) {
        self.0.write_all(b"still there?").unwrap();
        let mut back = [0; 12];
        self.0.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"still there?");
    }
}

/// Changes the document, and waits until all live replicas are made by it. Sees to it that enough were
/// ready all the time.
fn exchange(up: &Up, document: &str) {
    let before: Vec<Replica> = up.replicas().into_iter().filter(is_live).collect();
    up.write_document(document);
    eventually("the change is seen", || {
        up.replicas().iter().any(|replica| replica.outdated || !before.contains(replica))
    });
    eventually("all are exchanged", || {
        let status = up.status();
        assert!(status["ready"].as_u64().unwrap() >= REPLICAS as u64, "{status:#}");
        let live: Vec<Replica> = up.replicas().into_iter().filter(is_live).collect();
        assert!(live.len() <= REPLICAS + 1, "{live:#?}");
        live.len() == REPLICAS && live.iter().all(|one| !one.outdated && one.state == "ready")
    });
}

fn is_live(replica: &Replica) -> bool {
    replica.state != "draining"
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_change_twice_under_load_and_no_request_fails() {
    let up = Up::start(&version("one", 8), &["--drain-timeout", "60s", "--tick", "200ms"]);
    let first = up.wait_for_ready(REPLICAS);
    let (began, traffic) = (now(), Traffic::start(up.data));
    traffic.wait_for_more(200);
    let mut sockets: Vec<Socket> = (0..3).map(|_| Socket::open(up.data)).collect();
    let mut streams: Vec<_> = (0..3).map(|_| stream(up.data)).collect();
    exchange(&up, &version("two", 8));
    traffic.wait_for_more(200);
    // Old replicas drain, and what they hold goes on.
    sockets.iter_mut().for_each(Socket::echoes);
    assert!(up.replicas().iter().any(|one| first.iter().any(|old| old.id == one.id)));
    streams.extend((0..3).map(|_| stream(up.data)));
    exchange(&up, &version("three", 16));
    sockets.iter_mut().for_each(Socket::echoes);
    traffic.wait_for_more(200);
    drop(sockets);
    for stream in streams {
        assert_eq!(stream.join().unwrap(), (PARTS, true));
    }
    let last = up.wait_for_ready(REPLICAS);
    assert!(!last.iter().any(|one| first.iter().any(|old| old.id == one.id)), "{last:#?}");
    for version in 0..10 {
        assert_eq!(get(up.data, "/last").header("x-version"), "three", "request {version}");
    }
    let (seen, took) = (traffic.stop().await, (now() - began).as_secs_f64());
    let all: usize = seen.values().sum();
    say(&format!("{all} requests in {took:.1} s, {:.0} a second: {seen:?}", all as f64 / took));
    let versions: Vec<_> = seen.keys().map(|(status, said)| (*status, said.as_str())).collect();
    assert_eq!(versions, [(200, "one"), (200, "three"), (200, "two")], "{seen:?}");
    up.wait_until_idle();
    // Ten more of this test, six streams and three sockets.
    let counted = up.metric("tidegate_requests_total", "");
    assert_eq!(counted, (all + 10 + 6 + 3) as f64);
    let changed = get(up.autoscaler, "/status").text();
    assert!(changed.contains("\"changes\": 2"), "{changed}");
}
