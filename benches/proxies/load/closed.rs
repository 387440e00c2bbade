//! Closed loop: each connection asks again as soon as it has its answer.

use super::{Connection, Edge, Outcome, histogram, open_many};
use crate::clock;
use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::{JoinError, JoinSet};

/// When a load ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// After so many requests, all of which count.
    Requests(u64),
    /// After a warm-up and this time.
    Elapsed { warm_up: Duration, time: Duration },
}

/// What the clients of one load share.
struct Shared {
    /// Requests that may still be begun.
    left: Cell<u64>,
    counts: Cell<bool>,
    latencies: RefCell<Histogram<u64>>,
}

type Clients = JoinSet<io::Result<()>>;

/// Asks on so many connections at once. To be run in a `LocalSet`.
///
/// # Errors
/// If a request fails, or what `edge` does.
pub(crate) async fn closed(
    to: SocketAddr,
    request: Vec<u8>,
    connections: u16,
    until: Until,
    edge: &mut impl FnMut(Edge) -> Result<()>,
) -> Result<Outcome> {
    let left = match until {
        Until::Requests(count) => count,
        Until::Elapsed { .. } => u64::MAX,
    };
    let shared = Rc::new(Shared {
        left: Cell::new(left),
        counts: Cell::new(false),
        latencies: RefCell::new(histogram()?),
    });
    let request: Rc<[u8]> = request.into();
    let opened = open_many(to, connections).await.context("can't connect")?;
    let mut clients = Clients::new();
    let start = |clients: &mut Clients| {
        for connection in opened {
            clients.spawn_local(ask(connection, Rc::clone(&request), Rc::clone(&shared)));
        }
    };
    let (begin, end);
    match until {
        Until::Requests(_) => {
            edge(Edge::Begin)?;
            begin = clock::now();
            shared.counts.set(true);
            start(&mut clients);
            while let Some(ended) = clients.join_next().await {
                finished(ended)?;
            }
            end = clock::now();
            edge(Edge::End)?;
        }
        Until::Elapsed { warm_up, time } => {
            start(&mut clients);
            run_for(&mut clients, warm_up).await?;
            edge(Edge::Begin)?;
            begin = clock::now();
            shared.counts.set(true);
            run_for(&mut clients, time).await?;
            shared.counts.set(false);
            end = clock::now();
            edge(Edge::End)?;
            clients.shutdown().await;
        }
    }
    let latencies = shared.latencies.borrow().clone();
    Ok(Outcome { units: latencies.len(), nanos: end - begin, latencies })
}

/// Lets the clients run, unless one of them fails.
async fn run_for(clients: &mut Clients, time: Duration) -> Result<()> {
    tokio::select! {
        () = tokio::time::sleep(time) => Ok(()),
        Some(ended) = clients.join_next() => finished(ended),
    }
}

fn finished(ended: Result<io::Result<()>, JoinError>) -> Result<()> {
    ended.context("a client broke down")?.context("a request failed")
}

async fn ask(mut connection: Connection, request: Rc<[u8]>, shared: Rc<Shared>) -> io::Result<()> {
    while let Some(left) = shared.left.get().checked_sub(1) {
        shared.left.set(left);
        let begin = clock::now();
        connection.exchange(&request).await?;
        if shared.counts.get() {
            shared.latencies.borrow_mut().saturating_record(clock::now() - begin);
        }
    }
    Ok(())
}
