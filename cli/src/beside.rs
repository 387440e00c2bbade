//! Shows by a thread of its own, so that who shows is never held up by a terminal that is paused or by a
//! pipe that nobody reads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// So much may wait to be shown; what comes while more would is lost, and that is said.
const MOST_WAITING: usize = 256;
/// How long the end waits for what is still to be shown.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// A line that stays.
    Line(String),
    /// Lines that take the place of those drawn before.
    Drawing(Vec<String>),
}

/// What shows.
pub(crate) struct Beside {
    waiting: Option<SyncSender<Shown>>,
    lost: AtomicUsize,
    ended: Mutex<Receiver<()>>,
}

// === impl Beside ===

impl Beside {
    /// Shows with this, one after the other.
    pub(crate) fn new(mut show: impl FnMut(Shown) + Send + 'static) -> Self {
        let (waiting, all) = sync_channel(MOST_WAITING);
        let (end, ended) = sync_channel(0);
        // It ends with the sender, or with the process.
        thread::spawn(move || {
            all.into_iter().for_each(&mut show);
            drop(end);
        });
        Self { waiting: Some(waiting), lost: AtomicUsize::new(0), ended: Mutex::new(ended) }
    }

    /// Shows it, if there is room to wait.
    pub(crate) fn show(&self, shown: Shown) {
        let Some(waiting) = &self.waiting else { return };
        let lost = self.lost.load(Ordering::Relaxed);
        if lost > 0 {
            let told = format!("… {lost} lines or drawings were lost: nobody read them");
            if waiting.try_send(Shown::Line(told)).is_err() {
                self.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
            self.lost.store(0, Ordering::Relaxed);
        }
        if waiting.try_send(shown).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.waiting = None;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        // It never says anything: it goes, or the time does.
        ended.recv_timeout(LAST_WORDS).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn who_is_not_read_goes_on_and_what_was_lost_is_said() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (begun, has_begun) = sync_channel(2 * MOST_WAITING);
        let (go, may_go) = sync_channel::<()>(0);
        let showing = Arc::clone(&seen);
        let beside = Beside::new(move |shown| {
            begun.send(()).ok();
            may_go.recv().ok();
            showing.lock().unwrap().push(shown);
        });
        let line = |number: usize| Shown::Line(number.to_string());
        beside.show(line(0));
        has_begun.recv().unwrap();
        (1..=MOST_WAITING + 7).for_each(|number| beside.show(line(number)));
        drop(go);
        // The first two are read: there is room for the word and for one more.
        has_begun.recv().unwrap();
        has_begun.recv().unwrap();
        beside.show(Shown::Drawing(vec!["last".to_owned()]));
        drop(beside);
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), MOST_WAITING + 3);
        assert!((0..=MOST_WAITING).all(|number| seen[number] == line(number)));
        let Shown::Line(word) = &seen[MOST_WAITING + 1] else { panic!("{seen:?}") };
        assert!(word.contains(" 7 "), "{word}");
        assert_eq!(seen[MOST_WAITING + 2], Shown::Drawing(vec!["last".to_owned()]));
    }
}
