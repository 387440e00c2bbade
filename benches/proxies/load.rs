//! Load: what is sent to a peer, and how long its answers take.

mod chunked;
mod closed;
mod connection;
mod open;
mod secured;
mod streams;

pub(crate) use closed::{Client, Until, closed, http1};
pub(crate) use connection::{Connection, open_many};
pub(crate) use open::{in_one_line, open, scheduled};
pub(crate) use secured::{Secured, http1_in_tls, http2_in_tls};
pub(crate) use streams::streams;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use std::time::Duration;

/// The longest time that counts; what takes longer counts as this.
const LONGEST: Duration = Duration::from_secs(60);

/// The two ends of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    /// From now on it counts.
    Begin,
    /// It no longer counts; connections are still open.
    End,
}

/// What a load saw between the two edges.
pub(crate) struct Outcome {
    /// Requests, or events of streams.
    pub(crate) units: u64,
    /// How long it took, in nanoseconds.
    pub(crate) nanos: u64,
    /// How long each took, in nanoseconds.
    pub(crate) latencies: Histogram<u64>,
}

/// An empty histogram of nanoseconds, true to 0.1 %.
fn histogram() -> Result<Histogram<u64>> {
    let longest = u64::try_from(LONGEST.as_nanos()).unwrap_or(u64::MAX);
    Histogram::new_with_bounds(1, longest, 3).context("can't make a histogram")
}
