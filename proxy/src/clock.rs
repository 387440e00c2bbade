//! The only place in this crate that reads a clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The monotonic time. Goes through tokio, so that a paused test clock is obeyed.
#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A number that differs from start to start, to seed random draws with.
#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
pub fn seed() -> u64 {
    // A clock before 1970 gives 0, which is as good a seed as any.
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_nanos() as u64 ^ (u64::from(std::process::id()) << 32)
}
