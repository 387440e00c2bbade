//! Who was refused for want of a slot is told when there is one.

use super::Gate;
use crate::policy::admission::{Admission, Load};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// So many may wait to be told; more than these are answered at once.
const MAX_WAITING: u32 = 32;
/// The longest that one is kept waiting: it may have lost its interest.
const LONGEST: Duration = Duration::from_secs(5);

/// Those who wait for room without a place in line.
#[derive(Default)]
pub(super) struct Room {
    waiting: AtomicU32,
    made: Notify,
}

/// What is said to those who ask for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomReport {
    /// What runs and waits, and how many may run.
    pub load: Load,
    /// Whether there was no room at first.
    pub waited: bool,
}

/// Is counted while it is there.
struct Counted<'a>(&'a AtomicU32);

// === impl Gate ===

impl Gate {
    /// Waits until a request would find a slot, for a few seconds at the longest. It is no promise:
    /// all who wait are told, and the first to come has the slot.
    pub async fn room(&self) -> RoomReport {
        let waiting = self.room.waiting.fetch_add(1, Ordering::AcqRel);
        let _counted = Counted(&self.room.waiting);
        let mut waited = false;
        let until_room = async |waited: &mut bool| {
            loop {
                let mut made = pin!(self.room.made.notified());
                // Before it is looked: what is made after the look is not missed.
                made.as_mut().enable();
                if self.lock().admission.has_room() {
                    return;
                }
                *waited = true;
                made.await;
            }
        };
        if waiting < MAX_WAITING {
            // What there is at the end is said in any case.
            let _ = timeout(LONGEST, until_room(&mut waited)).await;
        }
        let seen = self.snapshot();
        let load = Load { held: seen.running.saturating_add(seen.waiting), limit: seen.limit };
        RoomReport { load, waited }
    }
}

// === impl Room ===

impl Room {
    /// Tells those who wait, if there is room.
    pub(super) fn tell<W>(&self, admission: &Admission<W>) {
        if self.waiting.load(Ordering::Acquire) > 0 && admission.has_room() {
            self.made.notify_waiters();
        }
    }
}

// === impl Counted ===

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
