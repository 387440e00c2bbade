//! Who was refused for want of a slot is told when there is one.

use super::{Gate, State};
use crate::clock;
use crate::policy::admission::Load;
use crate::policy::precedence::Asker;
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The longest that one is kept waiting: it may have lost its interest.
const LONGEST: Duration = Duration::from_secs(5);

/// What is said to those who ask for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomReport {
    /// What runs and waits, and how many may run.
    pub load: Load,
    /// Whether there was no room at first.
    pub waited: bool,
    /// With this a request goes first for a moment.
    pub pass: Option<u64>,
}

/// Asks for as long as it is there.
struct Asking<'a> {
    gate: &'a Gate,
    asker: Asker,
}

// === impl Gate ===

impl Gate {
    /// Waits until a request, which waits since then elsewhere, would find a slot here; for a few
    /// seconds at the longest. It is no promise.
    pub async fn room(&self, since: Instant) -> RoomReport {
        let asker = self.lock().precedence.ask(since);
        let (mut waited, mut pass) = (false, None);
        // Where too many ask, what there is now is said.
        if let Some(asker) = asker {
            let _asking = Asking { gate: self, asker };
            let deadline = clock::now() + LONGEST;
            loop {
                let mut made = pin!(self.made_room.notified());
                // Before it is looked: what is made after the look is not missed.
                made.as_mut().enable();
                let now = clock::now();
                let again = match self.lock().look(asker, now) {
                    Ok(told) => {
                        pass = told;
                        break;
                    }
                    Err(again) => again.unwrap_or(deadline).min(deadline),
                };
                if now >= deadline {
                    break;
                }
                waited = true;
                tokio::select! {
                    () = made => {}
                    () = clock::sleep_until(again) => {}
                }
            }
        }
        let seen = self.snapshot();
        let load = Load { held: seen.running.saturating_add(seen.waiting), limit: seen.limit };
        RoomReport { load, waited, pass }
    }
}

// === impl State ===

impl State {
    /// Tells those who ask, if there is room.
    pub(super) fn tell_room(&mut self, made_room: &Notify, now: Instant) {
        if self.admission.has_room() && self.precedence.freed(now) {
            made_room.notify_waiters();
        }
    }

    /// The pass of one who is told; or when to look again, if that is known.
    fn look(&mut self, asker: Asker, now: Instant) -> Result<Option<u64>, Option<Instant>> {
        if let Some(pass) = self.precedence.is_told(asker) {
            return Ok(pass);
        }
        if !self.admission.has_room() {
            return Err(None);
        }
        if let Some(until) = self.precedence.told_until(now) {
            return Err(Some(until));
        }
        self.precedence.freed(now);
        self.precedence.is_told(asker).ok_or(None)
    }
}

// === impl Asking ===

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.gate.lock().precedence.leave(self.asker);
    }
}
