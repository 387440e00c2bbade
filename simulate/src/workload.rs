//! The requests of a simulation: when each comes, how long it runs, whose it is.

pub(crate) mod shape;
pub(crate) mod trace;

use crate::span::{Nanos, seconds};

/// The most requests of one workload: bounds the memory to a few GiB.
pub(crate) const MOST_REQUESTS: usize = 20_000_000;

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    /// When it comes.
    pub(crate) at: Nanos,
    /// How long it runs at a replica.
    pub(crate) service: Nanos,
    /// Whose it is: an index into [`Workload::tenants`].
    pub(crate) tenant: u32,
}

/// All requests, in the order in which they come.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Workload {
    /// What it is, for titles.
    pub(crate) name: String,
    /// By time.
    pub(crate) requests: Vec<Request>,
    /// When it ends; no request comes later.
    pub(crate) end: Nanos,
    /// What it was drawn from, where it was.
    pub(crate) law: Option<shape::Plan>,
    /// A sudden and lasting change, where there is one.
    pub(crate) step: Option<Step>,
    /// When it rises without a sign, where somebody said so.
    pub(crate) rises: Vec<Nanos>,
    /// Names of tenants; one without a name where nobody named any.
    pub(crate) tenants: Vec<String>,
}

#[cfg(test)]
impl Workload {
    /// For tests: these requests of one tenant, and nothing known of where they come from.
    pub(crate) fn of(requests: Vec<Request>, end: Nanos) -> Self {
        Self {
            name: String::new(),
            requests,
            end,
            law: None,
            step: None,
            rises: Vec::new(),
            tenants: vec![String::new()],
        }
    }
}

/// A sudden change of the rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    /// When.
    pub(crate) at: Nanos,
    /// Requests running on average afterwards, if none had to wait.
    pub(crate) load: f64,
}

/// A workload that can't be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkloadError {
    /// Too much for memory.
    #[error(
        "more than {MOST_REQUESTS} requests; take a shorter --duration, a lower --rate, or a \
         smaller --repeat or --scale-rate"
    )]
    TooMany,
    /// Nothing to simulate.
    #[error(
        "there is not one request; raise --rate or --duration, or --scale-rate where a trace is played"
    )]
    Empty,
    /// A trace of no requests.
    #[error(
        "{file}: no request comes after the names of the columns; add lines, or name another file with --trace"
    )]
    NoLines {
        /// The file.
        file: String,
    },
    /// A trace that can't be read.
    #[error("can't read {file}: {source}; name a CSV file with --trace")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// A line of a trace that is none.
    #[error("{file}:{line}: {what}")]
    BadLine {
        /// The file.
        file: String,
        /// From 1.
        line: u64,
        /// What it is and what it must be.
        what: String,
    },
}

impl Workload {
    /// Requests that run on average, if none had to wait.
    pub(crate) fn load(&self) -> f64 {
        let work: f64 = self.requests.iter().map(|request| seconds(request.service)).sum();
        work / seconds(self.end.max(1))
    }

    /// Sorts, and checks that there is something, but not too much.
    pub(crate) fn checked(mut self) -> Result<Self, WorkloadError> {
        if self.requests.is_empty() {
            return Err(WorkloadError::Empty);
        }
        if self.requests.len() > MOST_REQUESTS {
            return Err(WorkloadError::TooMany);
        }
        // Stable: requests of one moment stay in the order they were given in.
        self.requests.sort_by_key(|request| request.at);
        let last = self.requests.last().map_or(0, |request| request.at);
        self.end = self.end.max(last + 1);
        Ok(self)
    }
}
