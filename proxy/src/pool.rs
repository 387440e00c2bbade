//! Connections to an endpoint that wait for their next request.

use crate::clock;
use crate::request_body::RequestBody;
use hyper::client::conn::http1::SendRequest;
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
    sender: SendRequest<RequestBody>,
    since: Instant,
}

// === impl Pool ===

impl Pool {
    /// A pool that keeps up to `max_idle` connections.
    pub fn new(max_idle: usize) -> Self {
        Self { max_idle, idle: Mutex::new(Vec::new()) }
    }

    /// Closes connections that were idle for too long.
    pub fn sweep(&self) {
        let now = clock::now();
        self.with(|idle| idle.retain(|entry| entry.is_fresh(now) && !entry.sender.is_closed()));
    }

    /// The connection that was used last, if it can be used again.
    pub fn take(&self) -> Option<SendRequest<RequestBody>> {
        let now = clock::now();
        self.with(|idle| {
            let mut unready = None;
            let found = loop {
                let Some(entry) = idle.pop() else { break None };
                if !entry.is_fresh(now) {
                    // The rest is older still.
                    idle.clear();
                    break None;
                }
                if entry.sender.is_ready() {
                    break Some(entry.sender);
                }
                // Its task has yet to see the response's end, or its request is still being sent.
                if !entry.sender.is_closed() && unready.is_none() {
                    unready = Some(entry);
                }
            };
            idle.extend(unready);
            found
        })
    }

    /// Keeps a connection, in the place of the oldest if there are too many.
    pub fn put(&self, sender: SendRequest<RequestBody>) {
        let since = clock::now();
        self.with(|idle| {
            if idle.len() >= self.max_idle {
                idle.remove(0);
            }
            idle.push(Idle { sender, since });
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut Vec<Idle>) -> T) -> T {
        // Nothing in here panics; if it did, a list of connections is still a list.
        work(&mut self.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Idle {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < IDLE_TIMEOUT
    }
}
