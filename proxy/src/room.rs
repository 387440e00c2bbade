//! Memory that all connections share for bytes of bodies: so much and no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many bytes may still be held.
#[derive(Debug)]
pub struct Room {
    left: AtomicUsize,
}

/// What one body has taken of it; given back when it is dropped.
#[derive(Debug)]
pub struct Taken {
    room: Arc<Room>,
    bytes: usize,
}

// === impl Room ===

impl Room {
    /// Room for so many bytes.
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(bytes) })
    }

    /// Nothing yet.
    pub fn none_taken(self: &Arc<Self>) -> Taken {
        Taken { room: Arc::clone(self), bytes: 0 }
    }
}

// === impl Taken ===

impl Taken {
    /// Takes so many more bytes, if they are there.
    pub fn take(&mut self, bytes: usize) -> bool {
        let less = |left: usize| left.checked_sub(bytes);
        let taken = self.room.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok();
        self.bytes += if taken { bytes } else { 0 };
        taken
    }

    /// Takes what is missing to have so many bytes, if they are there.
    pub fn reach(&mut self, bytes: usize) -> bool {
        match bytes.checked_sub(self.bytes) {
            None | Some(0) => true,
            Some(missing) => self.take(missing),
        }
    }

    /// Gives all of it back. Returns whether that was anything.
    pub fn give_back(&mut self) -> bool {
        let bytes = std::mem::take(&mut self.bytes);
        // Most have taken nothing, and need not touch what all workers share.
        if bytes > 0 {
            self.room.left.fetch_add(bytes, Ordering::Relaxed);
        }
        bytes > 0
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_there_is_and_all_of_it_comes_back() {
        let room = Room::new(10);
        let (mut first, mut second) = (room.none_taken(), room.none_taken());
        assert!(first.take(6) && !second.take(5) && second.take(4));
        assert!(first.reach(6) && first.reach(3) && !first.reach(7));
        second.give_back();
        assert!(first.reach(7) && !second.take(4));
        drop(first);
        assert!(second.take(10));
        drop(second);
        assert_eq!(room.left.load(Ordering::Relaxed), 10);
    }
}
