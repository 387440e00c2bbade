//! A storm of requests at random: clients that leave at any moment, a model that fails, limits and
//! queues that change, timeouts. Whatever happens, the counters add up, and nothing is left over.

use super::{replace, settings_file};
use crate::support::http::{get, sum};
use crate::support::sidecar::proxy;
use crate::support::{eventually, now};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// How many requests, unless the environment says otherwise.
const REQUESTS: u64 = 20_000;
const REQUESTS_VARIABLE: &str = "TIDEGATE_STORM_REQUESTS";
/// A slow machine sends fewer.
const LONGEST: Duration = Duration::from_secs(40);
const CLIENTS: u64 = 48;

/// What clients saw.
#[derive(Default)]
struct Seen {
    /// Requests written as a whole.
    sent: AtomicU64,
    /// Requests whose answer was read to its end.
    answered: AtomicU64,
    /// Those that the client did not wait for, or whose answer broke off.
    left: AtomicU64,
    /// Answers by status.
    by_code: Mutex<BTreeMap<u16, u64>>,
}

/// Answers at once, late, with an error, half, or not at all.
async fn model(listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(async move {
            let mut stream = BufReader::new(stream);
            while let Some(()) = read_head(&mut stream).await.map(drop) {
                let answer: &[u8] = match fastrand::u32(0..100) {
                    0..3 => return,
                    3..6 => {
                        drop(
                            stream
                                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1")
                                .await,
                        );
                        return;
                    }
                    6..12 => b"HTTP/1.1 500 No\r\ncontent-length: 3\r\n\r\nno\n",
                    12..16 => {
                        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
                    }
                    _ => b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n",
                };
                let pause_ms = if fastrand::u32(0..200) == 0 { 120 } else { fastrand::u64(0..3) };
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                if stream.write_all(answer).await.is_err() {
                    return;
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Reads a head; its content length, if it has one.
async fn read_head(stream: &mut BufReader<TcpStream>) -> Option<Head> {
    let mut head = Head::default();
    for first in [true].into_iter().chain(std::iter::repeat(false)) {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if first {
            head.status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        } else if line.is_empty() {
            return Some(head);
        }
        let line = line.to_ascii_lowercase();
        match line.split_once(": ") {
            Some(("content-length", length)) => head.length = length.parse().ok(),
            Some(("connection", "close")) => head.close = true,
            _ => {}
        }
    }
    None
}

#[derive(Default)]
struct Head {
    status: u16,
    length: Option<usize>,
    close: bool,
}

/// One client after another on one connection, until one leaves.
async fn client(data: SocketAddr, seen: Arc<Seen>, requests: u64, until: std::time::Instant) {
    let mut connection: Option<BufReader<TcpStream>> = None;
    for _ in 0..requests {
        if now() > until {
            return;
        }
        let mut stream = match connection.take() {
            Some(stream) => stream,
            None => BufReader::new(TcpStream::connect(data).await.unwrap()),
        };
        if stream.write_all(request().as_bytes()).await.is_err() {
            continue;
        }
        seen.sent.fetch_add(1, Ordering::Relaxed);
        let patience = match fastrand::u32(0..10) {
            0 => Duration::ZERO,
            1 => Duration::from_micros(fastrand::u64(0..30_000)),
            _ => Duration::from_secs(60),
        };
        match tokio::time::timeout(patience, answer(&mut stream)).await {
            Ok(Some(head)) => {
                seen.answered.fetch_add(1, Ordering::Relaxed);
                *seen.by_code.lock().unwrap().entry(head.status).or_default() += 1;
                connection = (!head.close).then_some(stream);
                if head.status == 503 {
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..20))).await;
                }
            }
            Ok(None) | Err(_) => {
                seen.left.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn request() -> String {
    let priority = ["critical", "standard", "sheddable", "none"][fastrand::usize(0..4)];
    let (tenant, timeout) = (fastrand::u32(0..5), fastrand::u32(1..400));
    let head = format!("host: me\r\nx-tidegate-priority: {priority}\r\nx-tenant: {tenant}\r\n");
    let timeout = match fastrand::bool() {
        true => format!("x-request-timeout-ms: {timeout}\r\n"),
        false => String::new(),
    };
    match fastrand::bool() {
        true => format!("GET / HTTP/1.1\r\n{head}{timeout}\r\n"),
        false => format!("POST / HTTP/1.1\r\n{head}{timeout}content-length: 0\r\n\r\n"),
    }
}

/// Reads an answer to its end; its head. `None` if it broke off.
async fn answer(stream: &mut BufReader<TcpStream>) -> Option<Head> {
    let head = read_head(stream).await?;
    assert!(head.status >= 200, "a status {}", head.status);
    match head.length {
        Some(length) => {
            stream.read_exact(&mut vec![0; length]).await.ok()?;
        }
        None => loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
            if line == "0\r\n" {
                stream.read_line(&mut line).await.ok()?;
                break;
            }
        },
    }
    Some(head)
}

/// Changes limit and queue again and again.
async fn resize(file: PathBuf) {
    loop {
        let (limit, capacity, timeout) =
            (fastrand::u32(1..16), fastrand::u32(0..60), fastrand::u32(5..80));
        let limit = if limit > 14 { "auto:1-9".to_owned() } else { limit.to_string() };
        let text = format!(
            "concurrency: {limit}\nqueue-capacity: {capacity}\nqueue-timeout: {timeout}ms\n"
        );
        replace(&file, &text);
        tokio::time::sleep(Duration::from_millis(fastrand::u64(1..50))).await;
    }
}

/// Whether what the proxy counted is what the clients saw.
fn check(seen: &Seen, page: &str, seed: u64) {
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (sent, answered, left) = (of(&seen.sent), of(&seen.answered), of(&seen.left));
    assert_eq!(sent, answered + left, "seed {seed}");
    let count = |name: &str, labels: &str| sum(page, name, labels) as u64;
    let ended = count("tidegate_requests_total", "");
    // One that leaves before the proxy has read its head was never a request.
    assert!((answered..=sent).contains(&ended), "{ended} of {answered} to {sent}, seed {seed}");
    for (code, seen) in seen.by_code.lock().unwrap().iter() {
        let counted = count("tidegate_requests_total", &format!("code=\"{code}\""));
        let range = *seen..=seen + left;
        assert!(range.contains(&counted), "{counted} of {range:?} with {code}, seed {seed}");
    }
    assert_eq!(ended, count("tidegate_request_duration_seconds_count", ""), "seed {seed}");
    assert_eq!(ended, count("tidegate_queue_wait_seconds_count", ""), "seed {seed}");
    // All of it was there: otherwise this was no storm.
    for reason in
        ["queue-full", "queue-timeout", "upstream-timeout", "upstream-reset", "client-gone"]
    {
        let counted = count("tidegate_requests_total", &format!("reason=\"{reason}\""));
        assert!(counted > 0, "nothing ended with {reason}, seed {seed}");
    }
    assert!(
        seen.by_code.lock().unwrap().get(&200).is_some_and(|ok| *ok > sent / 10),
        "seed {seed}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_the_counters_add_up_and_nothing_is_left_over() {
    let seed = fastrand::u64(..);
    fastrand::seed(seed);
    let requests = std::env::var(REQUESTS_VARIABLE).ok().and_then(|text| text.parse().ok());
    let (requests, until) = match requests {
        Some(requests) => (requests, now() + 20 * LONGEST),
        None => (REQUESTS, now() + LONGEST),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap().to_string();
    let mut background = JoinSet::new();
    background.spawn(model(listener));
    let folder = TempDir::new().unwrap();
    let file = settings_file(&folder);
    let flags = ["--upstream", &upstream, "--config", file.to_str().unwrap()];
    let more = ["--trust-priority", "--tenant-header", "x-tenant", "--first-byte-timeout", "80ms"];
    let (_process, data, admin) = proxy("sidecar", &[&flags[..], &more[..]].concat());
    background.spawn(resize(file.clone()));
    let seen = Arc::new(Seen::default());
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(client(data, Arc::clone(&seen), requests / CLIENTS, until));
    }
    clients.join_all().await;
    eventually("nothing runs or waits", || {
        let page = get(admin, "/metrics").text();
        sum(&page, "tidegate_requests_in_flight", "") == 0.0
            && sum(&page, "tidegate_requests_queued", "") == 0.0
    });
    background.shutdown().await;
    check(&seen, &get(admin, "/metrics").text(), seed);
}
