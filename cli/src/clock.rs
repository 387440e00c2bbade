//! The only reader of the clock in this crate.

use std::time::Instant;

/// This moment.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
