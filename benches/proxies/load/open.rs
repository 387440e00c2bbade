//! Open loop: requests at their times, whatever the answers do.
//!
//! Each request is timed from when it was due. So one that had to wait, because the peer or this
//! process was late, counts with its wait (no coordinated omission).

use super::{Connection, Edge, Outcome, histogram, open_many};
use crate::clock;
use crate::schedule::Call;
use crate::ticker::Ticker;
use crate::workload::timed_request;
use anyhow::{Context, Result, bail};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connections that are there from the start, used in turn.
const FIRST_CONNECTIONS: u16 = 16;
/// Requests at once. A peer that holds more is not keeping up.
const MAX_AT_ONCE: usize = 512;

/// Requests on their way, and how long each that was answered took.
struct Calls {
    running: JoinSet<io::Result<()>>,
    took: Rc<RefCell<Vec<u64>>>,
    ticker: Ticker,
}

/// Where requests go, and the connections that are there.
struct Way {
    to: SocketAddr,
    idle: RefCell<VecDeque<Connection>>,
    /// If no connection may be opened beside these: requests stand in one line for them.
    line: Option<Semaphore>,
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
    let way = Way::open(to).await?;
    let request: Rc<[u8]> = request.into();
    let (unmeasured, all) = (due_within(rate, warm_up), due_within(rate, warm_up + time));
    let mut calls = Calls::new()?;
    let start = clock::now();
    let mut begin = start;
    for number in 0..all {
        let due = start + number * 1_000_000_000 / rate;
        calls.ticker.until(due).await.context("can't wait")?;
        if number == unmeasured {
            calls.drain().await?;
            calls.took.borrow_mut().clear();
            edge(Edge::Begin)?;
            begin = clock::now();
        }
        calls.send(&way, Rc::clone(&request), due, 0)?;
    }
    calls.drain().await?;
    let end = clock::now();
    edge(Edge::End)?;
    let mut latencies = histogram()?;
    calls.took.borrow().iter().for_each(|took| latencies.saturating_record(*took));
    Ok(Outcome { units: latencies.len(), nanos: end - begin, latencies })
}

/// Sends requests as they are scheduled, in turn to these addresses, and says how long each was not
/// being served, in nanoseconds. To be run in a `LocalSet`.
///
/// # Errors
/// If a request fails, or the peer can't keep up.
pub(crate) async fn scheduled(to: &[SocketAddr], schedule: &[Call]) -> Result<Vec<u64>> {
    let mut ways = Vec::new();
    for to in to {
        ways.push(Way::open(*to).await?);
    }
    play(&ways, schedule).await
}

/// The same without a balancer: requests wait here, in one line, for whichever of these endpoints
/// has answered its last one.
///
/// # Errors
/// As [`scheduled`].
pub(crate) async fn in_one_line(endpoints: &[SocketAddr], schedule: &[Call]) -> Result<Vec<u64>> {
    play(&[Way::line(endpoints).await?], schedule).await
}

async fn play(ways: &[Rc<Way>], schedule: &[Call]) -> Result<Vec<u64>> {
    let mut calls = Calls::new()?;
    let start = clock::now();
    for (call, way) in schedule.iter().zip(ways.iter().cycle()) {
        let request = timed_request(call.service).into();
        calls.ticker.until(start + call.due).await.context("can't wait")?;
        calls.send(way, request, start + call.due, call.service)?;
    }
    calls.drain().await?;
    Ok(calls.took.take())
}

/// Requests that are due within a time.
fn due_within(rate: u64, time: Duration) -> u64 {
    u64::try_from(time.as_nanos() * u128::from(rate) / 1_000_000_000).unwrap_or(u64::MAX)
}

// === impl Way ===

impl Way {
    async fn open(to: SocketAddr) -> Result<Rc<Self>> {
        let opened = open_many(to, FIRST_CONNECTIONS).await.context("can't connect")?;
        Ok(Rc::new(Self { to, idle: RefCell::new(opened.into()), line: None }))
    }

    /// A way to all these endpoints, one request to each at a time.
    async fn line(endpoints: &[SocketAddr]) -> Result<Rc<Self>> {
        let mut idle = VecDeque::new();
        for endpoint in endpoints {
            idle.push_back(Connection::open(*endpoint).await.context("can't connect")?);
        }
        let to = *endpoints.first().context("there is no endpoint")?;
        let line = Some(Semaphore::new(idle.len()));
        Ok(Rc::new(Self { to, idle: RefCell::new(idle), line }))
    }

    async fn ask(&self, request: &[u8]) -> io::Result<()> {
        let _turn = match &self.line {
            Some(line) => Some(line.acquire().await.map_err(io::Error::other)?),
            None => None,
        };
        let idle = self.idle.borrow_mut().pop_front();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(self.to).await?,
        };
        connection.exchange(request).await?;
        self.idle.borrow_mut().push_back(connection);
        Ok(())
    }
}

// === impl Calls ===

impl Calls {
    fn new() -> Result<Self> {
        let ticker = Ticker::new().context("can't make a timer")?;
        Ok(Self { running: JoinSet::new(), took: Rc::default(), ticker })
    }

    /// Sends a request that was due at `due`; so much of the time that it takes does not count.
    fn send(&mut self, way: &Rc<Way>, request: Rc<[u8]>, due: u64, less: u64) -> Result<()> {
        if self.running.len() >= MAX_AT_ONCE {
            bail!("more than {MAX_AT_ONCE} requests at once: it doesn't keep up");
        }
        let (way, took) = (Rc::clone(way), Rc::clone(&self.took));
        self.running.spawn_local(async move {
            way.ask(&request).await?;
            took.borrow_mut().push((clock::now() - due).saturating_sub(less));
            Ok(())
        });
        while let Some(ended) = self.running.try_join_next() {
            ended.context("a client broke down")?.context("a request failed")?;
        }
        Ok(())
    }

    async fn drain(&mut self) -> Result<()> {
        while let Some(ended) = self.running.join_next().await {
            ended.context("a client broke down")?.context("a request failed")?;
        }
        Ok(())
    }
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
