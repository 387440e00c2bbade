//! What somebody has called for: APIs to be woken, since a request is held for each of them, and APIs
//! whose replicas are to be exchanged. Any number of calls is one entry each.

use crate::clock::Clock;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The least time between two answers, so that nobody can make the autoscaler do nothing else.
const LEAST_BETWEEN: Duration = Duration::from_millis(50);

/// The APIs that can be called for, and which of them are waiting for it.
#[derive(Debug)]
pub(crate) struct Calls {
    waiting: Mutex<BTreeMap<String, Called>>,
    notify: Notify,
}

/// What one API is called for.
#[derive(Debug, Clone, Copy, Default)]
struct Called {
    wake: bool,
    refresh: bool,
}

/// APIs that are called for, by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) wake: Vec<String>,
    pub(crate) refresh: Vec<String>,
}

impl Calls {
    /// Calls for these APIs and no others, so that their number is bounded.
    pub(crate) fn new(apis: impl Iterator<Item = String>) -> Self {
        let waiting = Mutex::new(apis.map(|api| (api, Called::default())).collect());
        Self { waiting, notify: Notify::new() }
    }

    /// From now on for these and no others. What was called for and not answered yet stays so.
    pub(crate) fn set<'a>(&self, apis: impl Iterator<Item = &'a str>) {
        let mut waiting = self.waiting();
        let before = std::mem::take(&mut *waiting);
        let called = |api: &str| before.get(api).copied().unwrap_or_default();
        *waiting = apis.map(|api| (api.to_owned(), called(api))).collect();
    }

    /// Asks for `api` to be woken. False where there is no such API.
    pub(crate) fn wake(&self, api: &str) -> bool {
        self.ask(api, |called| called.wake = true)
    }

    /// Asks for the replicas of `api` to be exchanged. False where there is no such API.
    pub(crate) fn refresh(&self, api: &str) -> bool {
        self.ask(api, |called| called.refresh = true)
    }

    fn ask(&self, api: &str, what: fn(&mut Called)) -> bool {
        let mut waiting = self.waiting();
        let Some(called) = waiting.get_mut(api) else { return false };
        what(called);
        drop(waiting);
        self.notify.notify_one();
        true
    }

    /// Waits until an API is called for, at the earliest a little after `last`.
    pub(crate) async fn next(&self, clock: Clock, last: Option<Duration>) -> Asked {
        if let Some(last) = last {
            clock.sleep_until(last + LEAST_BETWEEN).await;
        }
        self.notify.notified().await;
        let mut asked = Asked::default();
        for (api, called) in self.waiting().iter_mut() {
            let Called { wake, refresh } = std::mem::take(called);
            asked.wake.extend(wake.then(|| api.clone()));
            asked.refresh.extend(refresh.then(|| api.clone()));
        }
        asked
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<String, Called>> {
        // Nothing panics while it is held, and the flags would be sound if it did.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn many_calls_are_one_answer_and_the_next_waits_a_little() {
        let clock = Clock::start();
        let calls = Calls::new(["a", "b"].into_iter().map(String::from));
        assert!(!calls.wake("c") && !calls.refresh("c"), "an unknown API is refused");
        for _ in 0..100 {
            assert!(calls.wake("b") && calls.refresh("a"));
        }
        let asked = calls.next(clock, None).await;
        assert_eq!(asked, Asked { wake: names(&["b"]), refresh: names(&["a"]) });
        let last = clock.now();
        assert!(calls.wake("a"));
        assert_eq!(calls.next(clock, Some(last)).await.wake, names(&["a"]));
        assert!(clock.now() >= last + LEAST_BETWEEN);
    }

    #[tokio::test(start_paused = true)]
    async fn apis_come_and_go_and_what_was_called_for_stays_so() {
        let calls = Calls::new(["a", "b"].into_iter().map(String::from));
        assert!(calls.wake("a") && calls.wake("b"));
        calls.set(["b", "c"].into_iter());
        assert!(!calls.wake("a") && calls.wake("c"));
        assert_eq!(calls.next(Clock::start(), None).await.wake, names(&["b", "c"]));
    }
}
