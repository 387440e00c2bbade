//! The only place of the harness that reads a clock.

use rustix::time::{ClockId, clock_gettime};
use std::time::SystemTime;

/// Nanoseconds of the monotonic clock, which all processes of a machine share.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // The monotonic clock begins at 0 and never runs backwards.
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// The date and time, in UTC.
#[expect(clippy::disallowed_methods, reason = "results say when they were measured")]
pub(crate) fn date() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}
