//! The only place in this crate that reads a clock.

use http::HeaderValue;
use std::cell::RefCell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A `Date` that this thread wrote, and until when it is right.
struct WrittenDate {
    value: HeaderValue,
    until: SystemTime,
}

/// The monotonic time. Goes through tokio, so that a paused test clock is obeyed.
#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Now as a `Date` header has it. Written once a second on each thread.
#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
pub fn http_date() -> HeaderValue {
    thread_local! {
        static DATE: RefCell<Option<WrittenDate>> = const { RefCell::new(None) };
    }
    let now = SystemTime::now();
    DATE.with_borrow_mut(|date| match date {
        Some(date) if now < date.until && date.until <= now + Duration::from_secs(1) => {
            date.value.clone()
        }
        date => {
            let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
            let until = UNIX_EPOCH + Duration::from_secs(since_epoch.as_secs() + 1);
            let text = httpdate::fmt_http_date(now);
            // A date has no byte that a header may not have.
            let value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
            date.insert(WrittenDate { value, until }).value.clone()
        }
    })
}

/// Now as logs have it, in UTC.
#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
pub fn timestamp() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

/// Now in seconds since 1970, for what is valid until a date.
#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A number that differs from start to start, to seed random draws with.
#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
pub fn seed() -> u64 {
    // A clock before 1970 gives 0, which is as good a seed as any.
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_nanos() as u64 ^ (u64::from(std::process::id()) << 32)
}

/// Waits until then.
#[cfg(not(test))]
pub async fn sleep_until(deadline: Instant) {
    tokio::time::sleep_until(deadline.into()).await;
}

/// Waits, in unit tests, until any moment: their scheduler tries many, and its time stands still.
/// What is further away than this never comes.
#[cfg(test)]
const FAR: Duration = Duration::from_secs(24 * 3600);
#[cfg(test)]
pub(crate) async fn sleep_until(deadline: Instant) {
    use shuttle::rand::Rng;
    if deadline.saturating_duration_since(now()) > FAR {
        std::future::pending::<()>().await;
    }
    while shuttle::rand::thread_rng().gen_bool(0.9) {
        shuttle::future::yield_now().await;
    }
}
