//! One place where requests can be sent: a model behind a sidecar, or a sidecar behind a gateway.

use crate::pool::Pool;
use crate::socket::Address;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How often connections that were idle for too long are closed.
const SWEEP_PERIOD: Duration = Duration::from_secs(1);

/// An endpoint with its idle connections.
pub struct Endpoint {
    /// Unique within its API.
    pub id: String,
    /// Where requests go.
    pub address: Address,
    /// Idle connections, one pool for each worker, so that no two workers meet at a lock.
    pub pools: Box<[Pool]>,
    suspicions: AtomicU64,
    cleared: AtomicU64,
    suspected: Notify,
    started: AtomicBool,
    full: Notify,
    /// Since when the first waits of the requests that found no room.
    refused_since: Mutex<Option<Instant>>,
    tells_room: AtomicBool,
    http2: AtomicU8,
}

/// What is known of an endpoint's protocol.
const UNKNOWN: u8 = 0;
const HTTP1: u8 = 1;
const HTTP2: u8 = 2;

/// How many suspicions there were when a probe began.
#[derive(Debug, Clone, Copy)]
pub struct ProbeStart(u64);

// === impl Endpoint ===

impl Endpoint {
    /// An endpoint for `workers` workers that keeps up to `max_idle` connections for each.
    pub fn new(id: String, address: Address, workers: usize, max_idle: usize) -> Self {
        Self {
            id,
            address,
            pools: (0..workers).map(|_| Pool::new(max_idle)).collect(),
            suspicions: AtomicU64::new(0),
            cleared: AtomicU64::new(0),
            suspected: Notify::new(),
            started: AtomicBool::new(false),
            full: Notify::new(),
            refused_since: Mutex::new(None),
            tells_room: AtomicBool::new(false),
            http2: AtomicU8::new(UNKNOWN),
        }
    }

    /// A request found the endpoint gone or closed: it counts as unready, and is probed at once.
    pub fn suspect(&self) {
        self.suspicions.fetch_add(1, Ordering::AcqRel);
        // It may come back as something else.
        self.http2.store(UNKNOWN, Ordering::Release);
        self.suspected.notify_one();
    }

    /// Whether no probe that began after the last suspicion has passed.
    pub fn is_suspected(&self) -> bool {
        self.suspicions.load(Ordering::Acquire) != self.cleared.load(Ordering::Acquire)
    }

    /// Call before a probe: a suspicion that comes while it runs is not cleared by it.
    pub fn probe_start(&self) -> ProbeStart {
        ProbeStart(self.suspicions.load(Ordering::Acquire))
    }

    /// A probe has passed: clears the suspicions from before its start.
    pub fn probe_passed(&self, start: ProbeStart) {
        self.cleared.store(start.0, Ordering::Release);
        self.started.store(true, Ordering::Release);
    }

    /// Whether it has ever passed a probe.
    pub fn has_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// Whether it speaks HTTP/2, if that is known.
    pub fn speaks_http2(&self) -> Option<bool> {
        match self.http2.load(Ordering::Acquire) {
            UNKNOWN => None,
            known => Some(known == HTTP2),
        }
    }

    /// It was asked whether it speaks HTTP/2.
    pub fn set_speaks_http2(&self, speaks: bool) {
        self.http2.store(if speaks { HTTP2 } else { HTTP1 }, Ordering::Release);
    }

    /// Closes connections that were idle for too long, for ever.
    pub async fn sweep(&self) {
        loop {
            tokio::time::sleep(SWEEP_PERIOD).await;
            self.pools.iter().for_each(Pool::sweep);
        }
    }

    /// Waits for a suspicion.
    pub async fn suspicion(&self) {
        self.suspected.notified().await;
    }

    /// A request that waits since then found no room. Returns whether it will be told when there is
    /// some.
    pub fn found_full(&self, since: Instant) -> bool {
        let mut first = self.refused_since.lock().unwrap_or_else(PoisonError::into_inner);
        *first = Some(first.map_or(since, |first| first.min(since)));
        drop(first);
        self.full.notify_one();
        self.tells_room.load(Ordering::Acquire)
    }

    /// Waits for requests that find no room. Returns since when the first of them waits.
    pub async fn fullness(&self) -> Instant {
        loop {
            self.full.notified().await;
            let first = self.refused_since.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(first) = first {
                return first;
            }
        }
    }

    /// Whether it tells when it has room.
    pub fn set_tells_room(&self, tells: bool) {
        self.tells_room.store(tells, Ordering::Release);
    }
}
