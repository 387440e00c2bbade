//! Open loop: requests at a fixed rate, whatever the answers do.
//!
//! Each request is timed from when it was due. So one that had to wait, because the peer or this
//! process was late, counts with its wait (no coordinated omission).

use super::{Connection, Edge, Outcome, histogram, open_many};
use crate::clock;
use crate::ticker::Ticker;
use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Connections that are there from the start, used in turn.
const FIRST_CONNECTIONS: u16 = 16;
/// Requests at once. A peer that holds more is not keeping up.
const MAX_AT_ONCE: usize = 512;

struct Shared {
    idle: RefCell<VecDeque<Connection>>,
    latencies: RefCell<Histogram<u64>>,
    counts: Cell<bool>,
}

/// Sends `rate` requests a second, for a warm-up and for `time`. To be run in a `LocalSet`.
///
/// # Errors
/// If a request fails, the peer can't keep up, or what `edge` does.
pub(crate) async fn open(
    to: SocketAddr,
    request: Vec<u8>,
    rate: u64,
    (warm_up, time): (Duration, Duration),
    edge: &mut impl FnMut(Edge) -> Result<()>,
) -> Result<Outcome> {
    let opened = open_many(to, FIRST_CONNECTIONS).await.context("can't connect")?;
    let shared = Rc::new(Shared {
        idle: RefCell::new(opened.into()),
        latencies: RefCell::new(histogram()?),
        counts: Cell::new(false),
    });
    let request: Rc<[u8]> = request.into();
    let ticker = Ticker::new().context("can't make a timer")?;
    let mut running = JoinSet::new();
    let (unmeasured, all) = (due_within(rate, warm_up), due_within(rate, warm_up + time));
    let start = clock::now();
    let mut begin = start;
    for number in 0..all {
        let due = start + number * 1_000_000_000 / rate;
        ticker.until(due).await.context("can't wait")?;
        if number == unmeasured {
            drain(&mut running).await?;
            edge(Edge::Begin)?;
            begin = clock::now();
            shared.counts.set(true);
        }
        if running.len() >= MAX_AT_ONCE {
            bail!("more than {MAX_AT_ONCE} requests at once: it doesn't keep up");
        }
        running.spawn_local(ask(to, Rc::clone(&request), due, Rc::clone(&shared)));
        while let Some(ended) = running.try_join_next() {
            ended.context("a client broke down")?.context("a request failed")?;
        }
    }
    drain(&mut running).await?;
    let end = clock::now();
    edge(Edge::End)?;
    let latencies = shared.latencies.borrow().clone();
    Ok(Outcome { units: latencies.len(), nanos: end - begin, latencies })
}

/// Requests that are due within a time.
fn due_within(rate: u64, time: Duration) -> u64 {
    u64::try_from(time.as_nanos() * u128::from(rate) / 1_000_000_000).unwrap_or(u64::MAX)
}

async fn drain(running: &mut JoinSet<io::Result<()>>) -> Result<()> {
    while let Some(ended) = running.join_next().await {
        ended.context("a client broke down")?.context("a request failed")?;
    }
    Ok(())
}

async fn ask(to: SocketAddr, request: Rc<[u8]>, due: u64, shared: Rc<Shared>) -> io::Result<()> {
    let idle = shared.idle.borrow_mut().pop_front();
    let mut connection = match idle {
        Some(connection) => connection,
        None => Connection::open(to).await?,
    };
    connection.exchange(&request).await?;
    if shared.counts.get() {
        shared.latencies.borrow_mut().saturating_record(clock::now() - due);
    }
    shared.idle.borrow_mut().push_back(connection);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_over_any_time() {
        assert_eq!(due_within(500, Duration::from_secs(2)), 1000);
        assert_eq!(due_within(3, Duration::from_millis(500)), 1);
        assert_eq!(due_within(500, Duration::ZERO), 0);
    }
}
