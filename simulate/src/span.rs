//! Virtual time: nanoseconds since the simulation began.

use std::time::Duration;

/// A moment or a length of virtual time, in nanoseconds: exact, so that equal runs are equal.
pub(crate) type Nanos = u64;

/// One second.
pub(crate) const SECOND: Nanos = 1_000_000_000;

/// Seconds as nanoseconds; what is negative or no number is none.
pub(crate) fn nanos(seconds: f64) -> Nanos {
    // `as` saturates, and takes NaN for 0.
    (seconds * SECOND as f64).round() as Nanos
}

/// Nanoseconds as seconds.
pub(crate) fn seconds(nanos: Nanos) -> f64 {
    nanos as f64 / SECOND as f64
}

/// A duration in nanoseconds, at most the 584 years that they can say.
pub(crate) fn of(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}
