//! Connections to an endpoint that wait for their next exchange.

use crate::clock;
use crate::outbound::Connection;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an idle connection is kept. Uvicorn closes after 5 s, others later: closing first
/// spares most requests the race with the upstream's close.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// One worker's idle connections to one endpoint, the last used first.
pub struct Pool {
    max_idle: usize,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

// === impl Pool ===

impl Pool {
    /// A pool that keeps up to `max_idle` connections.
    pub fn new(max_idle: usize) -> Self {
        Self { max_idle, idle: Mutex::new(Vec::new()) }
    }

    /// Closes connections that were idle for too long, or that the other side has closed; the
    /// others give their buffers back. Call it about once a second.
    pub fn sweep(&self) {
        let now = clock::now();
        self.with(|idle| {
            idle.retain_mut(|entry| entry.is_usable(now));
            idle.iter_mut().for_each(|entry| entry.connection.rest());
        });
    }

    /// The connection that was used last, if it can be used again.
    pub fn take(&self, now: Instant) -> Option<Connection> {
        self.with(|idle| {
            while let Some(mut entry) = idle.pop() {
                if entry.is_usable(now) {
                    return Some(entry.connection);
                }
            }
            None
        })
    }

    /// Keeps a connection, in the place of the oldest if there are too many.
    pub fn put(&self, connection: Connection, since: Instant) {
        self.with(|idle| {
            if idle.len() >= self.max_idle {
                idle.remove(0);
            }
            idle.push(Idle { connection, since });
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut Vec<Idle>) -> T) -> T {
        // Nothing in here panics; if it did, a list of connections is still a list.
        work(&mut self.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Idle {
    fn is_usable(&mut self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < IDLE_TIMEOUT && !self.connection.is_spent()
    }
}
