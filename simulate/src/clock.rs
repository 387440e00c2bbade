//! The only reader of the clock in this crate, and the only user of what it says: as a start.

use std::time::Instant;

/// A moment from which virtual time is counted. Only differences to it are ever used, so which
/// moment it is changes nothing.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub(crate) fn start() -> Instant {
    Instant::now()
}
