//! The books of one request: opened when it comes, closed once, whatever becomes of it.

use crate::access::SpentTokens;
use crate::access_log::{Ending, Entry};
use crate::clock;
use crate::error::Refusal;
use crate::fields::Fields;
use crate::grpc;
use crate::metrics::{ApiMetrics, tokens};
use crate::policy::token_stream::TokenStream;
use http::HeaderMap;
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_api::reason::Reason;

thread_local! {
    /// Whether this worker cuts off what still runs. A request never changes threads.
    static CUTS_OFF: Cell<bool> = const { Cell::new(false) };
}

/// From here on what is dropped on this thread is cut off by the end of the process, not by its client.
pub fn cut_off() {
    CUTS_OFF.set(true);
}

/// The books of one request. Dropped unclosed, the client has left, or the process ends.
pub struct Account {
    metrics: Arc<ApiMetrics>,
    /// When the request came.
    pub arrived: Instant,
    dispatched: Option<Instant>,
    /// The status that was sent, if one was; the nearest to it if it is one of gRPC's.
    code: Option<u16>,
    /// Why a sidecar, not its model, gave that status.
    relayed: Option<Reason>,
    first_byte: Option<Duration>,
    /// What counts the answer's tokens, if they are counted.
    tokens: Option<Box<TokenStream>>,
    /// What its tenant has paid for it, until it has reached a model.
    spent: Option<Box<SpentTokens>>,
    /// Its line in the access log, if it is to have one.
    entry: Option<Box<Entry>>,
    closed: bool,
}

/// The books of a request that got no answer, and why. In a box: it is rare, and would make what all
/// requests hand on larger.
pub struct Unanswered(pub Box<(Account, Refusal)>);

// === impl Account ===

impl Account {
    /// Opens the books.
    pub fn open(metrics: Arc<ApiMetrics>, arrived: Instant, entry: Option<Box<Entry>>) -> Self {
        Self {
            metrics,
            arrived,
            dispatched: None,
            code: None,
            relayed: None,
            first_byte: None,
            tokens: None,
            spent: None,
            entry,
            closed: false,
        }
    }

    /// It has turned out whose request it is.
    pub fn belongs_to(&mut self, metrics: &Arc<ApiMetrics>) {
        self.metrics = Arc::clone(metrics);
    }

    /// Its tenant has paid for it, and gets that back if no slot is given.
    pub fn spends(&mut self, spent: Option<Box<SpentTokens>>) {
        self.spent = spent;
    }

    /// What the access log will say, if it will.
    pub fn entry(&mut self) -> Option<&mut Entry> {
        self.entry.as_deref_mut()
    }

    /// A slot was given.
    pub fn dispatched(&mut self, granted_at: Instant, was_cold: bool) {
        let waited = granted_at.saturating_duration_since(self.arrived).as_secs_f64();
        self.metrics.queue_wait.observe(waited);
        if let Some(cold_start) = self.metrics.cold_start.as_ref().filter(|_| was_cold) {
            cold_start.observe(waited);
        }
        self.dispatched = Some(granted_at);
        self.spent = None;
    }

    /// The upstream's body begins, of an answer with this head: are there tokens to count in it?
    pub fn body(&mut self, headers: &Fields) {
        if self.metrics.tokens.is_some() && self.code == Some(200) {
            self.tokens = tokens::form(headers).map(|form| Box::new(TokenStream::new(form)));
        }
    }

    /// A part of the upstream's body goes to the client.
    pub fn pass(&mut self, data: &[u8]) {
        if let Some(entry) = &mut self.entry {
            entry.sent += data.len() as u64;
        }
        if let Some(tokens) = &mut self.tokens {
            tokens.feed(data, clock::now());
        }
    }

    /// The upstream's trailers go to the client: of a gRPC answer they hold how it ended.
    pub fn trailers(&mut self, trailers: &HeaderMap) {
        let said = trailers.get(grpc::STATUS).and_then(|said| grpc::nearest_http(said.as_bytes()));
        if said.is_some() && self.code == Some(200) {
            self.code = said;
        }
    }

    /// The answer's status as far as it is known: what HTTP would say where gRPC says an error.
    pub fn status(&self) -> Option<u16> {
        self.code
    }

    /// The upstream's response head came; `relayed` if it is a sidecar's own answer.
    pub fn head(&mut self, code: u16, relayed: Option<Reason>, now: Instant) {
        let taken = now.saturating_duration_since(self.arrived);
        self.metrics.first_byte.observe(taken.as_secs_f64());
        self.first_byte = Some(taken);
        self.code = Some(code);
        self.relayed = relayed;
    }

    /// Closes the books: with the upstream's answer, or with why it could not be had.
    pub fn close(mut self, failed: Option<Reason>, now: Instant) {
        self.book(failed, now);
    }

    fn book(&mut self, failed: Option<Reason>, now: Instant) {
        self.closed = true;
        if let Some(spent) = self.spent.take() {
            spent.give_back();
        }
        let since = |start: Instant| now.saturating_duration_since(start).as_secs_f64();
        self.metrics.duration.observe(since(self.arrived));
        match self.dispatched {
            Some(dispatched) => self.metrics.observe_upstream(since(dispatched)),
            None => self.metrics.queue_wait.observe(since(self.arrived)),
        }
        let (status, reason) = match (failed.or(self.relayed), self.code) {
            (None, Some(code)) => (code, None),
            (Some(Reason::ClientGone), _) | (None, None) => {
                (Reason::ClientGone.status(), Some(Reason::ClientGone))
            }
            (Some(reason), sent) => (sent.unwrap_or_else(|| reason.status()), Some(reason)),
        };
        match reason {
            None => self.metrics.count_answered(status),
            Some(reason) => self.metrics.count_failed(status, reason),
        }
        if let (Some(metrics), Some(tokens)) = (&self.metrics.tokens, self.tokens.take()) {
            metrics.count(&tokens.tokens(), self.arrived);
        }
        if let Some(entry) = self.entry.take() {
            let duration = now.saturating_duration_since(self.arrived);
            entry.end(Ending {
                api: &self.metrics.api,
                status,
                reason: reason.map_or("", Reason::code),
                queue_wait: self
                    .dispatched
                    .map_or(duration, |at| at.saturating_duration_since(self.arrived)),
                first_byte: self.first_byte,
                duration,
            });
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if !self.closed {
            let cut_off = CUTS_OFF.get();
            let reason = if cut_off { Reason::Draining } else { Reason::ClientGone };
            self.book(Some(reason), clock::now());
        }
    }
}

// === impl Unanswered ===

impl Unanswered {
    /// These books, for this reason.
    pub fn new(account: Account, refusal: Refusal) -> Self {
        Self(Box::new((account, refusal)))
    }
}
