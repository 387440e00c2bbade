//! How many connections clients hold, all workers together, and how many they may. A stream of
//! HTTP/2 costs about what a connection of HTTP/1 does, so there may be as many of those.

use prometheus::IntCounter;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places for clients' connections, and for their streams.
#[derive(Debug)]
pub struct Connections {
    free: Arc<Semaphore>,
    free_streams: Arc<Semaphore>,
    max: usize,
    refused: IntCounter,
}

/// A connection's or stream's place. Dropped, it is free again.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

// === impl Connections ===

impl Connections {
    /// So many places. Counts who finds none.
    pub fn new(max: usize, refused: IntCounter) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        let [free, free_streams] = [(); 2].map(|()| Arc::new(Semaphore::new(max)));
        Self { free, free_streams, max, refused }
    }

    /// A place, if one is free.
    pub fn enter(&self) -> Option<Place> {
        self.place(&self.free)
    }

    /// A stream's place, if one is free.
    pub fn enter_stream(&self) -> Option<Place> {
        self.place(&self.free_streams)
    }

    fn place(&self, free: &Arc<Semaphore>) -> Option<Place> {
        let place = Arc::clone(free).try_acquire_owned().ok().map(Place);
        if place.is_none() {
            self.refused.inc();
        }
        place
    }

    /// How many there are.
    pub fn most(&self) -> usize {
        self.max
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
        assert!(connections.enter_stream().is_some(), "streams have places of their own");
    }
}
