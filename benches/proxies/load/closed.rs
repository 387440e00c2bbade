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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
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

/// A connection that asks the same again and again.
pub(crate) trait Client: 'static {
    /// Sends the request and reads its whole answer.
    ///
    /// # Errors
    /// If the connection fails, or the answer is not 200.
    async fn ask(&mut self) -> io::Result<()>;
}

/// One that has its request in bytes.
pub(crate) struct Http1<S = TcpStream> {
    /// The connection.
    pub(crate) connection: Connection<S>,
    /// The request.
    pub(crate) request: Rc<[u8]>,
}

type Clients = JoinSet<io::Result<()>>;

/// So many clients that send this.
///
/// # Errors
/// If a connection is refused.
pub(crate) async fn http1(
    to: SocketAddr,
    request: Vec<u8>,
    connections: u16,
) -> Result<Vec<Http1>> {
    let request: Rc<[u8]> = request.into();
    let opened = open_many(to, connections).await.context("can't connect")?;
    let client = |connection| Http1 { connection, request: Rc::clone(&request) };
    Ok(opened.into_iter().map(client).collect())
}

/// Asks on all of these connections at once. To be run in a `LocalSet`.
///
/// # Errors
/// If a request fails, or what `edge` does.
pub(crate) async fn closed(
    opened: Vec<impl Client>,
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
    let mut clients = Clients::new();
    let start = |clients: &mut Clients| {
        for client in opened {
            clients.spawn_local(ask(client, Rc::clone(&shared)));
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

async fn ask(mut client: impl Client, shared: Rc<Shared>) -> io::Result<()> {
    while let Some(left) = shared.left.get().checked_sub(1) {
        shared.left.set(left);
        let begin = clock::now();
        client.ask().await?;
        if shared.counts.get() {
            shared.latencies.borrow_mut().saturating_record(clock::now() - begin);
        }
    }
    Ok(())
}

// === impl Http1 ===

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Client for Http1<S> {
    async fn ask(&mut self) -> io::Result<()> {
        self.connection.exchange(&self.request).await
    }
}
