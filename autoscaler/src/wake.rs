//! Wake-ups: which APIs somebody holds a request for. Any number of calls is one entry each.

use crate::clock::Clock;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The least time between two wake-ups, so that nobody can make the autoscaler do nothing else.
const LEAST_BETWEEN: Duration = Duration::from_millis(50);

/// The APIs that can be woken, and which of them are waiting for it.
#[derive(Debug)]
pub(crate) struct Wakes {
    waiting: Mutex<BTreeMap<String, bool>>,
    notify: Notify,
}

impl Wakes {
    /// Wake-ups for these APIs and no others, so that their number is bounded.
    pub(crate) fn new(apis: impl Iterator<Item = String>) -> Self {
        let waiting = Mutex::new(apis.map(|api| (api, false)).collect());
        Self { waiting, notify: Notify::new() }
    }

    /// Asks for `api` to be woken. False where there is no such API.
    pub(crate) fn ask(&self, api: &str) -> bool {
        let mut waiting = self.waiting();
        let Some(asked) = waiting.get_mut(api) else { return false };
        *asked = true;
        drop(waiting);
        self.notify.notify_one();
        true
    }

    /// Waits until an API is to be woken, at the earliest a little after `last`.
    pub(crate) async fn next(&self, clock: Clock, last: Option<Duration>) -> Vec<String> {
        if let Some(last) = last {
            clock.sleep_until(last + LEAST_BETWEEN).await;
        }
        self.notify.notified().await;
        let mut waiting = self.waiting();
        let asked = waiting.iter_mut().filter(|(_, asked)| **asked);
        asked.map(|(api, asked)| (*asked = false, api.clone()).1).collect()
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<String, bool>> {
        // Nothing panics while it is held, and the flags would be sound if it did.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_calls_are_one_wake_up_and_the_next_waits_a_little() {
        let clock = Clock::start();
        let wakes = Wakes::new(["a", "b"].into_iter().map(String::from));
        assert!(!wakes.ask("c"), "an unknown API is refused");
        for _ in 0..100 {
            assert!(wakes.ask("b"));
        }
        assert_eq!(wakes.next(clock, None).await, ["b"]);
        let last = clock.now();
        assert!(wakes.ask("a"));
        assert_eq!(wakes.next(clock, Some(last)).await, ["a"]);
        assert!(clock.now() >= last + LEAST_BETWEEN);
    }
}
