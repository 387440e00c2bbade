//! The replicas: starting, ready, draining, gone, and what they have cost.

use crate::gateway::Key;
use crate::span::{Nanos, seconds};
use std::cmp::Reverse;
use tidegate_autoscaler::load::Meter;

/// Where a replica is in its life, in the order in which replicas are let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Not ready yet.
    Starting,
    /// Takes requests.
    Ready,
    /// Finishes what it has, and stays until then at the least.
    Draining(Nanos),
}

/// One replica.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) key: Key,
    pub(crate) phase: Phase,
    started: Nanos,
    /// What the autoscaler knows of it.
    pub(crate) meter: Meter,
    /// What its last sample said that it held.
    pub(crate) last_held: u32,
    /// What runs on it.
    pub(crate) running: Vec<usize>,
}

/// How many replicas are in which phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) starting: u32,
    pub(crate) ready: u32,
    pub(crate) draining: u32,
}

/// All replicas there are, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    replicas: Vec<Replica>,
    started: Key,
    counts: Counts,
    most: u32,
    /// Nanoseconds that replicas lived which are gone.
    spent: u128,
}

impl Fleet {
    /// Begins a replica.
    pub(crate) fn start(&mut self, now: Nanos) -> Key {
        let key = self.started;
        self.started += 1;
        self.replicas.push(Replica {
            key,
            phase: Phase::Starting,
            started: now,
            meter: Meter::default(),
            last_held: 0,
            running: Vec::new(),
        });
        self.counts.starting += 1;
        let Counts { starting, ready, draining } = self.counts;
        self.most = self.most.max(starting + ready + draining);
        key
    }

    /// Changes a replica's phase.
    pub(crate) fn set_phase(&mut self, key: Key, phase: Phase) {
        let Some(replica) = self.get_mut(key) else { return };
        let before = std::mem::replace(&mut replica.phase, phase);
        *self.counter(before) -= 1;
        *self.counter(phase) += 1;
    }

    /// A replica is gone.
    pub(crate) fn end(&mut self, key: Key, now: Nanos) {
        let Ok(index) = self.index(key) else { return };
        let replica = self.replicas.remove(index);
        *self.counter(replica.phase) -= 1;
        self.spent += u128::from(now - replica.started);
    }

    /// The `many` that are let go first: not yet ready, least busy when last seen, youngest.
    pub(crate) fn cheapest(&self, many: u32) -> Vec<Key> {
        let is_live = |replica: &&Replica| !matches!(replica.phase, Phase::Draining(_));
        let mut live: Vec<&Replica> = self.replicas.iter().filter(is_live).collect();
        live.sort_by_key(|replica| (replica.phase, replica.last_held, Reverse(replica.key)));
        live.into_iter().take(many as usize).map(|replica| replica.key).collect()
    }

    /// One replica.
    pub(crate) fn get(&self, key: Key) -> Option<&Replica> {
        self.index(key).ok().map(|index| &self.replicas[index])
    }

    /// One replica.
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Replica> {
        self.index(key).ok().map(|index| &mut self.replicas[index])
    }

    /// All replicas.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Replica> {
        self.replicas.iter_mut()
    }

    /// How many are in which phase.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// How many were ever started.
    pub(crate) fn started(&self) -> usize {
        self.started
    }

    /// The most there ever were at once.
    pub(crate) fn most(&self) -> u32 {
        self.most
    }

    /// What all have cost up to `now`, in replica-seconds, from start to end of each.
    pub(crate) fn seconds(&self, now: Nanos) -> f64 {
        let living = self.replicas.iter().map(|replica| u128::from(now - replica.started));
        let nanos = self.spent + living.sum::<u128>();
        seconds(1) * nanos as f64
    }

    fn index(&self, key: Key) -> Result<usize, usize> {
        self.replicas.binary_search_by_key(&key, |replica| replica.key)
    }

    fn counter(&mut self, phase: Phase) -> &mut u32 {
        match phase {
            Phase::Starting => &mut self.counts.starting,
            Phase::Ready => &mut self.counts.ready,
            Phase::Draining(_) => &mut self.counts.draining,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::SECOND;

    #[test]
    fn the_youngest_of_the_least_busy_goes_first_and_the_unready_before_all() {
        let mut fleet = Fleet::default();
        for (held, phase) in [
            (0, Phase::Ready),
            (2, Phase::Ready),
            (0, Phase::Ready),
            (9, Phase::Starting),
            (0, Phase::Draining(0)),
        ] {
            let key = fleet.start(0);
            fleet.set_phase(key, phase);
            fleet.get_mut(key).unwrap().last_held = held;
        }
        assert_eq!(fleet.cheapest(9), [3, 2, 0, 1]);
        assert_eq!(fleet.cheapest(2), [3, 2]);
        assert_eq!(fleet.counts(), Counts { starting: 1, ready: 3, draining: 1 });
    }

    #[test]
    fn each_costs_from_start_to_end() {
        let mut fleet = Fleet::default();
        let (one, _) = (fleet.start(0), fleet.start(2 * SECOND));
        fleet.end(one, 5 * SECOND);
        assert_eq!(fleet.seconds(6 * SECOND), 9.0);
        assert_eq!((fleet.most(), fleet.started()), (2, 2));
    }
}
