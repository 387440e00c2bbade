//! Who waits for an API that nobody serves any more, and nobody will start.

use super::Admission;
use std::time::Instant;

impl<W> Admission<W> {
    /// Takes the first of those who wait out of line, where there is no slot to wait for.
    pub fn turn_away(&mut self, now: Instant) -> Option<W> {
        if self.slots.limit() > 0 {
            return None;
        }
        let ticket = self.queue.next(now)?;
        self.cancel(ticket, now)
    }
}
