//! Connections to an endpoint that wait for their next exchange.

use crate::clock;
use crate::outbound::Connection;
use bytes::Bytes;
use h2::client::SendRequest;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How long an idle connection is kept. Uvicorn closes after 5 s, others later: closing first
/// spares most requests the race with the upstream's close.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// How long an HTTP/2 connection is kept without a stream. The race with a close does no harm there:
/// the other side says what it has not processed.
const SHARED_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Exchanges that share a connection. Most servers allow as many (RFC 9113 section 6.5.2).
pub const MAX_STREAMS: usize = 100;

/// One worker's idle connections to one endpoint, the last used first.
pub struct Pool {
    max_idle: usize,
    idle: Mutex<Vec<Idle>>,
    shared: Mutex<Vec<Shared>>,
}

struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

/// What begins streams on an HTTP/2 connection. Each stream holds one, which is how they are
/// counted.
#[derive(Clone)]
pub struct Streams {
    /// The connection.
    pub sender: SendRequest<Bytes>,
    count: Arc<()>,
}

/// An HTTP/2 connection, with which many exchanges go on at once.
struct Shared {
    streams: Streams,
    /// Since when it was seen without streams.
    idle_since: Option<Instant>,
}

// === impl Pool ===

impl Pool {
    /// A pool that keeps up to `max_idle` connections.
    pub fn new(max_idle: usize) -> Self {
        Self { max_idle, idle: Mutex::new(Vec::new()), shared: Mutex::new(Vec::new()) }
    }

    /// Closes connections that were idle for too long, or that the other side has closed; the
    /// others give their buffers back. Call it about once a second.
    pub fn sweep(&self) {
        let now = clock::now();
        self.with(|idle| {
            for mut stale in idle.extract_if(.., |entry| !entry.is_usable(now)) {
                stale.connection.say_end();
            }
            idle.iter_mut().for_each(|entry| entry.connection.rest());
        });
        self.with_shared(|shared| shared.retain_mut(|entry| entry.is_kept(now)));
    }

    /// The connection that was used last, if it can be used again.
    pub fn take(&self, now: Instant) -> Option<Box<Connection>> {
        self.with(|idle| {
            while let Some(mut entry) = idle.pop() {
                if entry.is_usable(now) {
                    return Some(entry.connection);
                }
                entry.connection.say_end();
            }
            None
        })
    }

    /// Keeps a connection, in the place of the oldest if there are too many.
    pub fn put(&self, connection: Box<Connection>, since: Instant) {
        self.with(|idle| {
            if idle.len() >= self.max_idle {
                idle.remove(0).connection.say_end();
            }
            idle.push(Idle { connection, since });
        });
    }

    /// A connection with room for one more stream.
    pub fn share(&self) -> Option<Streams> {
        self.with_shared(|shared| {
            shared.retain_mut(Shared::is_open);
            let free = shared.iter().find(|entry| entry.streams.have_room());
            free.map(|entry| entry.streams.clone())
        })
    }

    /// Keeps a connection that has room for more streams.
    pub fn put_shared(&self, streams: Streams) {
        self.with_shared(|shared| {
            if shared.len() >= self.max_idle {
                // Its streams go on; it only takes no more.
                shared.remove(0);
            }
            shared.push(Shared { streams, idle_since: None });
        });
    }

    fn with_shared<T>(&self, work: impl FnOnce(&mut Vec<Shared>) -> T) -> T {
        work(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner))
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

impl Shared {
    fn is_open(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        !matches!(self.streams.sender.poll_ready(&mut nobody), Poll::Ready(Err(_)))
    }

    fn is_kept(&mut self, now: Instant) -> bool {
        if self.streams.running() > 0 {
            self.idle_since = None;
        }
        let since = match self.idle_since {
            Some(since) => since,
            None => *self.idle_since.insert(now),
        };
        self.is_open() && now.saturating_duration_since(since) < SHARED_IDLE_TIMEOUT
    }
}

// === impl Streams ===

impl Streams {
    /// Of a new connection.
    pub fn new(sender: SendRequest<Bytes>) -> Self {
        Self { sender, count: Arc::new(()) }
    }

    /// How many run. The pool's own does not count.
    fn running(&self) -> usize {
        Arc::strong_count(&self.count) - 1
    }

    fn have_room(&self) -> bool {
        self.running() < MAX_STREAMS.min(self.sender.current_max_send_streams())
    }
}
