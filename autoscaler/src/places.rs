//! Places for connections to a port that few have business with. When all are taken, the connection
//! on which nothing was asked for the longest gives way to the one that comes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The turn of who has a request in work.
const WORKS: u64 = 0;

/// So many places.
#[derive(Debug)]
pub(crate) struct Places {
    most: usize,
    taken: Arc<Mutex<Taken>>,
}

/// Those that are taken.
#[derive(Debug, Default)]
struct Taken {
    last_turn: u64,
    working: usize,
    /// On which nothing is asked, from the one that is quiet for the longest on.
    quiet: BTreeMap<u64, Arc<Notify>>,
}

/// A connection's place. Dropped, it is free.
#[derive(Debug)]
pub(crate) struct Place {
    taken: Arc<Mutex<Taken>>,
    /// Changes with `taken` locked only.
    turn: AtomicU64,
    asked_to_go: Arc<Notify>,
}

// === impl Places ===

impl Places {
    /// All of them free.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// A place, if need be that of a connection on which nothing is asked; none if there is no such.
    pub(crate) fn take(&self) -> Option<Place> {
        let mut taken = lock(&self.taken);
        if taken.working + taken.quiet.len() >= self.most {
            let (_, longest) = taken.quiet.pop_first()?;
            longest.notify_one();
        }
        let asked_to_go = Arc::default();
        let turn = taken.line_up(&asked_to_go).into();
        Some(Place { taken: Arc::clone(&self.taken), turn, asked_to_go })
    }
}

// === impl Taken ===

impl Taken {
    fn line_up(&mut self, asked_to_go: &Arc<Notify>) -> u64 {
        self.last_turn += 1;
        self.quiet.insert(self.last_turn, Arc::clone(asked_to_go));
        self.last_turn
    }
}

// === impl Place ===

impl Place {
    /// Answers a request: meanwhile the place is safe. Not any longer, as who does not read its answer
    /// is as quiet as who asks nothing.
    pub(crate) async fn working<T>(&self, answer: impl Future<Output = T>) -> T {
        {
            let mut taken = lock(&self.taken);
            // It may have been asked to go just now.
            if taken.quiet.remove(&self.turn.load(Ordering::Relaxed)).is_some() {
                taken.working += 1;
                self.turn.store(WORKS, Ordering::Relaxed);
            }
        }
        let answer = answer.await;
        let mut taken = lock(&self.taken);
        if self.turn.load(Ordering::Relaxed) == WORKS {
            taken.working -= 1;
            self.turn.store(taken.line_up(&self.asked_to_go), Ordering::Relaxed);
        }
        answer
    }

    /// Ready once the place is another's.
    pub(crate) async fn lost(&self) {
        self.asked_to_go.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        match self.turn.load(Ordering::Relaxed) {
            WORKS => taken.working -= 1,
            turn => drop(taken.quiet.remove(&turn)),
        }
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use std::pin::pin;
    use std::task::{Context, Waker};

    fn is_done(future: impl Future) -> bool {
        pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn who_is_quiet_for_the_longest_gives_way() {
        let places = Places::new(2);
        let (first, second) = (places.take().unwrap(), places.take().unwrap());
        assert!(!is_done(first.lost()) && !is_done(second.lost()));
        // Asked once, and answered: now it is the other one that is quiet for longer.
        assert!(is_done(first.working(ready(()))));
        let third = places.take().unwrap();
        assert!(is_done(second.lost()) && !is_done(first.lost()) && !is_done(third.lost()));
        drop(third);
        let _fourth = places.take().unwrap();
        assert!(!is_done(first.lost()), "there was a free place");
    }

    #[test]
    fn who_has_a_request_in_work_stays() {
        let places = Places::new(2);
        let (first, second) = (places.take().unwrap(), places.take().unwrap());
        {
            let (one, other) = (first.working(pending::<()>()), second.working(pending::<()>()));
            let (mut one, mut other) = (pin!(one), pin!(other));
            assert!(!is_done(one.as_mut()) && !is_done(other.as_mut()));
            assert!(places.take().is_none());
        }
        assert!(!is_done(first.lost()) && !is_done(second.lost()));
        drop(first);
        let third = places.take().unwrap();
        assert!(places.take().is_some() && is_done(third.lost()));
    }

    #[test]
    fn who_is_asked_to_go_and_asks_takes_no_second_place() {
        let places = Places::new(1);
        let (first, second) = (places.take().unwrap(), places.take().unwrap());
        assert!(is_done(first.working(ready(()))));
        assert!(is_done(first.lost()));
        drop(first);
        let _third = places.take().unwrap();
        assert!(is_done(second.lost()));
    }
}
