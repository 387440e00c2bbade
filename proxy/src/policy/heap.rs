//! A priority queue whose keys can change: a binary heap that knows where each of its ids is.

/// In [`IndexedHeap::positions`]: not in the heap.
const ABSENT: u32 = u32::MAX;

/// Small dense ids by key, the smallest key first. Every operation takes time logarithmic in the
/// number of ids, and none for a single one.
#[derive(Debug)]
pub struct IndexedHeap<K> {
    heap: Vec<(K, u32)>,
    /// By id.
    positions: Vec<u32>,
}

// === impl IndexedHeap ===

impl<K> Default for IndexedHeap<K> {
    fn default() -> Self {
        Self { heap: Vec::new(), positions: Vec::new() }
    }
}

impl<K: Ord + Copy> IndexedHeap<K> {
    /// The id with the smallest key; of equal keys the smaller id.
    pub fn first(&self) -> Option<(K, u32)> {
        self.heap.first().copied()
    }

    /// Puts an id in, or changes its key.
    pub fn set(&mut self, id: u32, key: K) {
        let at = match self.position(id) {
            Some(at) => {
                self.heap[at].0 = key;
                at
            }
            None => {
                if self.positions.len() <= id as usize {
                    self.positions.resize(id as usize + 1, ABSENT);
                }
                self.heap.push((key, id));
                self.heap.len() - 1
            }
        };
        self.settle(at);
    }

    /// Takes an id out, if it is there.
    pub fn remove(&mut self, id: u32) {
        let Some(at) = self.position(id) else { return };
        self.heap.swap_remove(at);
        self.positions[id as usize] = ABSENT;
        if at < self.heap.len() {
            self.settle(at);
        }
    }

    fn position(&self, id: u32) -> Option<usize> {
        self.positions.get(id as usize).filter(|at| **at != ABSENT).map(|at| *at as usize)
    }

    /// Moves one entry up or down to where it belongs.
    fn settle(&mut self, mut at: usize) {
        while at > 0 && self.heap[at] < self.heap[(at - 1) / 2] {
            self.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let mut least = at;
            for child in [left, right] {
                if child < self.heap.len() && self.heap[child] < self.heap[least] {
                    least = child;
                }
            }
            if least == at {
                break;
            }
            self.swap(at, least);
            at = least;
        }
        self.positions[self.heap[at].1 as usize] = at as u32;
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.positions[self.heap[a].1 as usize] = a as u32;
        self.positions[self.heap[b].1 as usize] = b as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_first_is_the_least_after_any_changes(
            changes in prop::collection::vec((0..20u32, prop::option::of(0..50u64)), 1..200),
        ) {
            let mut heap = IndexedHeap::default();
            let mut model = BTreeMap::new();
            for (id, key) in changes {
                match key {
                    Some(key) => {
                        heap.set(id, key);
                        model.insert(id, key);
                    }
                    None => {
                        heap.remove(id);
                        model.remove(&id);
                    }
                }
                let least = model.iter().map(|(id, key)| (*key, *id)).min();
                prop_assert_eq!(heap.first(), least);
            }
        }
    }
}
