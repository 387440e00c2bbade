//! Random streams: one for each purpose, so that a draw more for one leaves the others as they are.

use rand_pcg::Pcg64;

/// What is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stream {
    /// When requests come.
    Arrivals = 1,
    /// How long each runs.
    Service = 2,
    /// How long each replica takes to start.
    ColdStart = 3,
    /// When a replica fails.
    Failure = 4,
    /// Which scrape is lost.
    Scrape = 5,
    /// Which replica a request is sent to.
    Balancing = 6,
    /// How long each turn of a load takes.
    Turns = 7,
}

/// A stream of its own for `purpose`.
pub(crate) fn stream(seed: u64, purpose: Stream) -> Pcg64 {
    nth(seed, purpose, 0)
}

/// A stream of its own for `purpose` of the `number`th replica: so the same replica takes equally
/// long to start whatever policy starts it, and whenever.
pub(crate) fn nth(seed: u64, purpose: Stream, number: u64) -> Pcg64 {
    let stream = (u128::from(number) << 8) | purpose as u128;
    Pcg64::new(u128::from(seed), stream)
}
