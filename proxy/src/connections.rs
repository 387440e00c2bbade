//! How many connections clients hold, all workers together, and how many they may.

use prometheus::IntCounter;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places for clients' connections.
#[derive(Debug)]
pub struct Connections {
    free: Arc<Semaphore>,
    max: usize,
    refused: IntCounter,
}

/// A connection's place. Dropped, it is free again.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

// === impl Connections ===

impl Connections {
    /// So many places. Counts who finds none.
    pub fn new(max: usize, refused: IntCounter) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(max)), max, refused }
    }

    /// A place, if one is free.
    pub fn enter(&self) -> Option<Place> {
        let place = Arc::clone(&self.free).try_acquire_owned().ok().map(Place);
        if place.is_none() {
            self.refused.inc();
        }
        place
    }

    /// How many are taken.
    pub fn open(&self) -> usize {
        self.max - self.free.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_it_is_left() {
        let refused = IntCounter::new("refused", "Refused.").unwrap();
        let connections = Connections::new(2, refused.clone());
        let (first, second) = (connections.enter(), connections.enter());
        assert!(first.is_some() && second.is_some() && connections.enter().is_none());
        assert_eq!((connections.open(), refused.get()), (2, 1));
        drop(first);
        assert_eq!(connections.open(), 1);
        assert!(connections.enter().is_some());
    }
}
