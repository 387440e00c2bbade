//! The access log: a line of JSON on standard output for each request that has ended.
//!
//! Lines go through a bounded queue to a thread of their own. Where the reader is slower than the
//! requests are, lines are dropped and counted; no request waits for it.

use crate::clock;
use crate::hop::Peer;
use crate::identity::{Identity, Sampling, draw};
use crate::message::Request;
use http::{Method, Uri};
use prometheus::IntCounter;
use serde::Serialize;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// Lines that may wait to be written.
const MAX_LINES: usize = 4096;
/// So much is written at once at the most.
const MAX_WRITE_BYTES: usize = 64 << 10;
/// What a client chooses is cut to so many bytes.
const MAX_TEXT_BYTES: usize = 1024;
/// How long the last lines may take at the end of the process.
const FAREWELL: Duration = Duration::from_secs(1);

/// Which requests are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Selection {
    /// None.
    #[default]
    Off,
    /// Those with a status from 400 on, and those that broke off.
    Errors,
    /// A share, drawn at random.
    Sampled(Sampling),
    /// All.
    All,
}

/// Where ended requests are written to.
#[derive(Debug)]
pub struct AccessLog {
    selection: Selection,
    lines: SyncSender<Vec<u8>>,
    dropped: IntCounter,
}

/// The thread that writes.
#[derive(Debug)]
pub struct Writer(Receiver<()>);

/// What is known of a request that is to be logged.
#[derive(Debug)]
pub struct Entry {
    log: Arc<AccessLog>,
    method: Option<Method>,
    uri: Option<Uri>,
    identity: Identity,
    /// Who sent it, as its connection has it.
    pub client: Option<String>,
    /// The version of TLS that it came over.
    tls: Option<&'static str>,
    /// Whose it is.
    pub tenant: Option<String>,
    /// The endpoint that it was sent to last.
    pub endpoint: Option<String>,
    /// How many it was sent to.
    pub attempts: u32,
    /// How much of its body came.
    pub received: Received,
    /// How much of the answer's body went.
    pub sent: u64,
}

/// How much of a request's body came.
#[derive(Debug, Clone)]
pub enum Received {
    /// All of it, before the request was sent on.
    All(u64),
    /// What is counted here as it comes.
    SoFar(Arc<AtomicU64>),
}

/// How a request has ended.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// The API.
    pub api: &'a str,
    /// The status that was sent.
    pub status: u16,
    /// Why, if it was not simply answered; else empty.
    pub reason: &'static str,
    /// From arrival to a slot, or to the end.
    pub queue_wait: Duration,
    /// From arrival to the upstream's head.
    pub first_byte: Option<Duration>,
    /// From arrival to the end.
    pub duration: Duration,
}

/// A line. What is not known is left out.
#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    time: String,
    status: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    api: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    queue_wait_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_seconds: Option<f64>,
    duration_seconds: f64,
    bytes_in: u64,
    bytes_out: u64,
    request_id: &'a str,
    trace_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    attempts: u32,
}

// === impl AccessLog ===

impl AccessLog {
    /// Starts the thread that writes to standard output, unless nothing is to be logged.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn start(
        selection: Selection,
        dropped: IntCounter,
    ) -> io::Result<Option<(Arc<Self>, Writer)>> {
        if selection == Selection::Off {
            return Ok(None);
        }
        Self::to(selection, dropped, io::stdout()).map(Some)
    }

    fn to(
        selection: Selection,
        dropped: IntCounter,
        out: impl Write + Send + 'static,
    ) -> io::Result<(Arc<Self>, Writer)> {
        let (lines, waiting) = sync_channel(MAX_LINES);
        let (done, ended) = sync_channel(1);
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            write_lines(&waiting, out);
            drop(done);
        })?;
        Ok((Arc::new(Self { selection, lines, dropped }), Writer(ended)))
    }

    /// Begins the entry of a request, if it may be logged.
    pub fn begin<B>(
        self: &Arc<Self>,
        request: &Request<B>,
        identity: &Identity,
        peer: &Peer,
    ) -> Option<Box<Entry>> {
        let mut entry = self.begin_unread(identity, Some(peer))?;
        entry.method = Some(request.method().clone());
        entry.uri = Some(request.uri().clone());
        Some(entry)
    }

    /// Begins the entry of a request whose head can't be read.
    pub fn begin_unread(
        self: &Arc<Self>,
        identity: &Identity,
        peer: Option<&Peer>,
    ) -> Option<Box<Entry>> {
        match self.selection {
            Selection::Sampled(share) if !share.takes(draw()) => return None,
            Selection::Off => return None,
            _ => {}
        }
        Some(Box::new(Entry {
            log: Arc::clone(self),
            method: None,
            uri: None,
            identity: identity.clone(),
            client: peer.map(|peer| peer.address.clone()),
            tls: peer.and_then(|peer| peer.tls),
            tenant: None,
            endpoint: None,
            attempts: 0,
            received: Received::All(0),
            sent: 0,
        }))
    }
}

// === impl Writer ===

impl Writer {
    /// Waits until all is written, for a bounded time. Call when nobody logs any more.
    pub fn finish(self) {
        // Nothing is ever sent: the wait ends when the thread does.
        if self.0.recv_timeout(FAREWELL) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the last lines of the access log were not read in time");
        }
    }
}

// === impl Entry ===

impl Entry {
    /// Writes the line of a request that has ended so.
    pub fn end(self, ending: Ending<'_>) {
        let is_error = ending.status >= 400 || !ending.reason.is_empty();
        if self.log.selection == Selection::Errors && !is_error {
            return;
        }
        let Ok(mut line) = serde_json::to_vec(&self.line(&ending)) else { return };
        line.push(b'\n');
        if self.log.lines.try_send(line).is_err() {
            self.log.dropped.inc();
        }
    }

    fn line<'a>(&'a self, ending: &Ending<'a>) -> Line<'a> {
        Line {
            event: "request",
            time: clock::timestamp(),
            status: ending.status,
            reason: ending.reason,
            method: self.method.as_ref().map(Method::as_str).map(cut),
            // Without the query, which may hold what nobody should read.
            path: self.uri.as_ref().map(Uri::path).map(cut),
            api: ending.api,
            client: self.client.as_deref(),
            tls: self.tls,
            tenant: self.tenant.as_deref().map(cut),
            queue_wait_seconds: seconds(ending.queue_wait),
            first_byte_seconds: ending.first_byte.map(seconds),
            duration_seconds: seconds(ending.duration),
            bytes_in: self.received.bytes(),
            bytes_out: self.sent,
            request_id: std::str::from_utf8(self.identity.request_id.as_ref()).unwrap_or(""),
            trace_id: self.identity.trace_id(),
            endpoint: self.endpoint.as_deref(),
            attempts: self.attempts,
        }
    }
}

// === impl Received ===

impl Received {
    fn bytes(&self) -> u64 {
        match self {
            Self::All(bytes) => *bytes,
            Self::SoFar(bytes) => bytes.load(Ordering::Relaxed),
        }
    }
}

/// Writes what comes, as many lines at once as are there.
fn write_lines(waiting: &Receiver<Vec<u8>>, mut out: impl Write) {
    let mut batch = Vec::new();
    while let Ok(line) = waiting.recv() {
        batch.extend_from_slice(&line);
        while batch.len() < MAX_WRITE_BYTES
            && let Ok(line) = waiting.try_recv()
        {
            batch.extend_from_slice(&line);
        }
        if let Err(error) = out.write_all(&batch).and_then(|()| out.flush()) {
            // From here on lines are dropped, and counted where they are made.
            return tracing::warn!(%error, "can't write the access log: no more lines");
        }
        batch.clear();
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT_BYTES)).unwrap_or(text)
}

fn seconds(duration: Duration) -> f64 {
    // To the microsecond: finer digits are noise.
    duration.as_micros() as f64 / 1e6
}

#[cfg(test)]
mod tests;
