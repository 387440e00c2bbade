//! What it costs a request to take a kept connection and to give it back.
//!
//! `cargo bench -p tidegate-benches --bench pool`

#![expect(clippy::disallowed_methods, reason = "simulated time needs a start")]

use divan::Bencher;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use tidegate_proxy::outbound::Connection;
use tidegate_proxy::pool::Pool;
use tidegate_proxy::socket::Socket;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

const MAX_HEAD_BYTES: usize = 64 << 10;
/// As many as a busy sidecar keeps.
const MAX_IDLE: usize = 1024;

fn main() {
    divan::main();
}

/// A pool of so many connections that are open on both sides, and those other sides.
fn filled(idle: usize, now: Instant) -> std::io::Result<(Runtime, Pool, Vec<TcpStream>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let pool = Pool::new(MAX_IDLE);
    let accepted = runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let mut accepted = Vec::new();
        for _ in 0..idle {
            let (near, far) = tokio::try_join!(TcpStream::connect(address), listener.accept())?;
            accepted.push(far.0);
            pool.put(Box::new(Connection::new(Socket::Tcp(near), MAX_HEAD_BYTES)), now);
        }
        std::io::Result::Ok(accepted)
    })?;
    Ok((runtime, pool, accepted))
}

/// Takes the connection that was used last, after a look whether it is still open, and keeps it
/// again.
#[divan::bench(args = [1, 64, 256])]
fn take_and_put(bencher: Bencher<'_, '_>, idle: usize) {
    let now = Instant::now();
    let filled = filled(idle, now);
    let (runtime, pool, _far) = filled.unwrap_or_else(|error| unreachable!("{error}"));
    let _within = runtime.enter();
    bencher.bench_local(|| {
        let connection = pool.take(now + Duration::from_secs(1));
        let connection = connection.unwrap_or_else(|| unreachable!("one is idle"));
        pool.put(connection, now);
    });
}

/// What is done once a second for all that are kept.
#[divan::bench(args = [64, 256])]
fn sweep(bencher: Bencher<'_, '_>, idle: usize) {
    let filled = filled(idle, tidegate_proxy::clock::now() + Duration::from_secs(3600));
    let (runtime, pool, _far) = filled.unwrap_or_else(|error| unreachable!("{error}"));
    let _within = runtime.enter();
    bencher.bench_local(|| pool.sweep());
}
