//! Bodies larger than anybody would hold in memory, both ways, over both versions.

use crate::support::h2::{connect, count_bytes, send_bytes};
use crate::support::memory::{peak_rss_bytes, rss_bytes};
use crate::support::sidecar::proxy;
use bytes::Bytes;
use http::{Request, Response};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What a body of any size may add to the sidecar's memory.
const GROWTH: u64 = 8 << 20;
/// As much as a machine without haste takes a few seconds for.
const SIZE: u64 = 192 << 20;
const FULL_SIZE: u64 = 2 << 30;
const PART_BYTES: usize = 64 << 10;

/// The length that a head says. `None` at the connection's end.
fn read_length(reader: &mut impl BufRead) -> Option<(String, u64)> {
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if let Some((name, value)) = line.trim_end().split_once(": ")
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.parse().unwrap();
        }
        if line == "\r\n" {
            return Some((first, length));
        }
    }
}

fn drain(reader: &mut impl Read, length: u64) -> u64 {
    std::io::copy(&mut reader.take(length), &mut std::io::sink()).unwrap_or(0)
}

fn pour(to: &mut TcpStream, mut left: u64) -> std::io::Result<()> {
    let part = vec![b'x'; PART_BYTES];
    while left > 0 {
        let count = left.min(part.len() as u64);
        to.write_all(&part[..usize::try_from(count).unwrap()])?;
        left -= count;
    }
    Ok(())
}

/// Says how much came, or sends as much as the path says.
fn http1_upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut stream = stream;
                while let Some((first, length)) = read_length(&mut reader) {
                    let came = drain(&mut reader, length);
                    let wanted = wanted(first.split(' ').nth(1).unwrap_or_default());
                    let (size, body) = match wanted {
                        Some(size) => (size, String::new()),
                        None => (came.to_string().len() as u64, came.to_string()),
                    };
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n{body}");
                    let sent = stream.write_all(head.as_bytes());
                    if sent.and_then(|()| pour(&mut stream, wanted.unwrap_or(0))).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn wanted(path: &str) -> Option<u64> {
    path.strip_prefix("/down/")?.parse().ok()
}

/// The same over HTTP/2.
async fn http2_upstream(listener: tokio::net::TcpListener) {
    let mut tasks = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        tasks.spawn(async move {
            stream.set_nodelay(true).unwrap();
            let mut builder = h2::server::Builder::new();
            builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 20);
            let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
            let mut streams = JoinSet::new();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                streams.spawn(async move {
                    let (head, body) = request.into_parts();
                    let came = count_bytes(body).await.unwrap_or(0);
                    let mut stream = respond.send_response(Response::new(()), false).unwrap();
                    let (part, size) = match wanted(head.uri.path()) {
                        Some(size) => (Bytes::from(vec![b'x'; PART_BYTES]), size),
                        None => (came.to_string().into(), came.to_string().len() as u64),
                    };
                    send_bytes(&mut stream, &part, size).await;
                });
            }
        });
    }
}

/// Sends a body, then asks for one, over HTTP/1.1.
fn http1_client(to: SocketAddr, size: u64) {
    let mut stream = crate::support::http::connect(to);
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    write!(stream, "POST /up HTTP/1.1\r\nhost: me\r\ncontent-length: {size}\r\n\r\n").unwrap();
    pour(&mut stream, size).unwrap();
    // The count, of known length or as the only chunk.
    let (_, length) = read_length(&mut reader).unwrap();
    let mut said = String::new();
    if length == 0 {
        reader.read_line(&mut said).unwrap();
        said.clear();
        reader.read_line(&mut said).unwrap();
        drain(&mut reader, 5);
    } else {
        (&mut reader).take(length).read_to_string(&mut said).unwrap();
    }
    assert_eq!(said.trim_end(), size.to_string());
    write!(stream, "GET /down/{size} HTTP/1.1\r\nhost: me\r\nconnection: close\r\n\r\n").unwrap();
    let (_, length) = read_length(&mut reader).unwrap();
    // With chunks there is more than the body.
    let came = drain(&mut reader, u64::MAX);
    assert!(came == size && length == size || length == 0 && came > size, "{came} of {size}");
}

/// The same over HTTP/2.
async fn http2_client(to: SocketAddr, size: u64) {
    let mut tasks = JoinSet::new();
    let mut sender = connect(to, &mut tasks).await;
    let post = Request::post("http://me/up").header("content-length", size).body(()).unwrap();
    let (response, mut stream) = sender.send_request(post, false).unwrap();
    let part = Bytes::from(vec![b'x'; PART_BYTES]);
    send_bytes(&mut stream, &part, size).await.expect("all of it is taken");
    let mut body = response.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), size.to_string());
    let get = Request::get(format!("http://me/down/{size}")).body(()).unwrap();
    let (response, _) = sender.send_request(get, true).unwrap();
    assert_eq!(count_bytes(response.await.unwrap().into_body()).await, Some(size));
}

/// A body up and one down through a sidecar, for each pair of versions.
async fn stream_both_ways(size: u64) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http2 = listener.local_addr().unwrap();
    let mut background = JoinSet::new();
    background.spawn(http2_upstream(listener));
    let http1 = http1_upstream();
    for (client, upstream, address, protocol) in
        [(1, 1, http1, "http1"), (2, 1, http1, "http1"), (1, 2, http2, "h2c"), (2, 2, http2, "h2c")]
    {
        let address = address.to_string();
        let own = ["--upstream", &address, "--upstream-protocol", protocol];
        let flags = ["--readiness", "none", "--max-body", "4GiB"];
        let (process, data, _) = proxy("sidecar", &[own, flags].concat());
        let ask = async |size| match client {
            1 => tokio::task::spawn_blocking(move || http1_client(data, size)).await.unwrap(),
            _ => http2_client(data, size).await,
        };
        ask(1000).await;
        let before = rss_bytes(process.pid());
        let start = crate::support::now();
        ask(size).await;
        let seconds = (crate::support::now() - start).as_secs_f64();
        let growth = peak_rss_bytes(process.pid()).saturating_sub(before);
        crate::support::say(&format!(
            "HTTP/{client} to HTTP/{upstream}: {} MiB each way in {seconds:.1} s, {} KiB more memory",
            size >> 20,
            growth >> 10
        ));
        assert!(growth < GROWTH, "HTTP/{client} to HTTP/{upstream}: {growth} bytes more");
    }
    background.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_are_not_held() {
    stream_both_ways(SIZE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute; run it in release"]
async fn the_largest_bodies_are_not_held() {
    stream_both_ways(FULL_SIZE).await;
}
