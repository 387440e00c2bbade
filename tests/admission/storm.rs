//! A storm of requests at random: clients that leave at any moment, a model that fails, limits and
//! queues that change, timeouts. Whatever happens, the counters add up, and nothing is left over.

mod http1;
mod http2;

use super::settings_file;
use crate::support::http::{get, sum};
use crate::support::sidecar::proxy;
use crate::support::{eventually, now, replace};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// How many requests, unless the environment says otherwise.
const REQUESTS: u64 = 20_000;
const REQUESTS_VARIABLE: &str = "TIDEGATE_STORM_REQUESTS";
/// A slow machine sends fewer.
const LONGEST: Duration = Duration::from_secs(40);
/// Of HTTP/1.1, one request at once; of HTTP/2, eight.
const CLIENTS: [u64; 2] = [40, 6];

/// What clients saw.
#[derive(Default)]
struct Seen {
    /// Requests written as a whole.
    sent: AtomicU64,
    /// Those that the client did not wait for, or whose answer broke off.
    left: AtomicU64,
    /// Answers by status.
    by_code: Mutex<BTreeMap<u16, u64>>,
}

impl Seen {
    fn sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    fn left(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    fn answered(&self, status: u16) {
        *self.by_code.lock().unwrap().entry(status).or_default() += 1;
    }
}

/// Answers at once, late, with an error, half, or not at all.
async fn model(listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(async move {
            let mut stream = BufReader::new(stream);
            while let Some(()) = http1::read_head(&mut stream).await.map(drop) {
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

/// A request at random: its method, its path, and its fields.
fn request() -> (&'static str, &'static str, [(&'static str, String); 3]) {
    let priority = ["critical", "standard", "sheddable", "none"][fastrand::usize(0..4)];
    // A time that is no number is no limit.
    let timeout = match fastrand::bool() {
        true => fastrand::u32(1..400).to_string(),
        false => "none".to_owned(),
    };
    let fields = [
        ("x-tidegate-priority", priority.to_owned()),
        ("x-tenant", fastrand::u32(0..5).to_string()),
        ("x-request-timeout-ms", timeout),
    ];
    (if fastrand::bool() { "GET" } else { "POST" }, "/", fields)
}

/// Whether what the proxy counted is what the clients saw: each request once, and with its status
/// if its client waited for it.
fn check(seen: &Seen, page: &str, seed: u64) {
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (sent, left) = (of(&seen.sent), of(&seen.left));
    let by_code = seen.by_code.lock().unwrap();
    assert_eq!(sent, by_code.values().sum::<u64>() + left, "seed {seed}");
    let count = |name: &str, labels: &str| sum(page, name, labels) as u64;
    let ended = count("tidegate_requests_total", "");
    assert_eq!(ended, sent, "seed {seed}");
    let mut unseen = left;
    for (code, seen) in by_code.iter() {
        let counted = count("tidegate_requests_total", &format!("code=\"{code}\""));
        // Those that left may have had any status, which nobody saw.
        let more = counted.checked_sub(*seen).filter(|more| *more <= unseen);
        unseen -= more.unwrap_or_else(|| panic!("{counted}, {seen} with {code}, seed {seed}"));
    }
    assert_eq!(unseen, count("tidegate_requests_total", "code=\"499\""), "seed {seed}");
    assert_eq!(ended, count("tidegate_request_duration_seconds_count", ""), "seed {seed}");
    assert_eq!(ended, count("tidegate_queue_wait_seconds_count", ""), "seed {seed}");
    // All of it was there: otherwise this was no storm.
    for reason in
        ["queue-full", "queue-timeout", "upstream-timeout", "upstream-reset", "client-gone"]
    {
        let counted = count("tidegate_requests_total", &format!("reason=\"{reason}\""));
        assert!(counted > 0, "nothing ended with {reason}, seed {seed}");
    }
    assert!(by_code.get(&200).is_some_and(|ok| *ok > sent / 10), "seed {seed}");
    crate::support::say(&format!("{sent} requests, {left} left, answers {by_code:?}"));
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
    let [http1, http2] = CLIENTS;
    for _ in 0..http1 {
        clients.spawn(http1::client(data, Arc::clone(&seen), requests / 2 / http1, until));
    }
    for _ in 0..http2 {
        let seen = Arc::clone(&seen);
        clients.spawn_blocking(move || http2::client(data, &seen, requests / 2 / http2, until));
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
