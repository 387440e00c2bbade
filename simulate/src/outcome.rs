//! What came of a simulation.

use crate::ledger::Ledger;
use crate::span::Nanos;
use std::collections::BTreeMap;

/// What came of a simulation.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What became of each request.
    pub(crate) ledger: Ledger,
    /// What all replicas cost, from the start of each to its end.
    pub(crate) replica_seconds: f64,
    /// The most replicas at once, whether starting, ready or draining.
    pub(crate) most: u32,
    /// Replicas ever started.
    pub(crate) started: usize,
    /// What was when.
    pub(crate) record: Record,
}

/// Numbers of replicas over time, and why they changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Record {
    /// Replicas wanted, from then on.
    pub(crate) wanted: Vec<(Nanos, u32)>,
    /// Replicas ready, from then on.
    pub(crate) ready: Vec<(Nanos, u32)>,
    /// How many changes each reason has made.
    pub(crate) reasons: BTreeMap<&'static str, u64>,
}

impl Record {
    /// So many are wanted from now on.
    pub(crate) fn wanted(&mut self, now: Nanos, count: u32) {
        push(&mut self.wanted, now, count);
    }

    /// So many are ready from now on.
    pub(crate) fn ready(&mut self, now: Nanos, count: u32) {
        push(&mut self.ready, now, count);
    }

    /// A change was made for this reason.
    pub(crate) fn decided(&mut self, reason: &'static str) {
        *self.reasons.entry(reason).or_default() += 1;
    }

    /// With times counted from `start`; what was before is at 0.
    pub(crate) fn since(mut self, start: Nanos) -> Self {
        for list in [&mut self.wanted, &mut self.ready] {
            list.iter_mut().for_each(|(at, _)| *at = at.saturating_sub(start));
        }
        self
    }

    /// How often what is wanted turned from growing to shrinking or back.
    pub(crate) fn turns(&self) -> u32 {
        let mut last = None;
        let mut turns = 0;
        for pair in self.wanted.windows(2) {
            let grows = pair[1].1 > pair[0].1;
            if last.is_some_and(|last| last != grows) {
                turns += 1;
            }
            last = Some(grows);
        }
        turns
    }
}

/// When a list first reaches `count`, at `from` or later.
pub(crate) fn reached(list: &[(Nanos, u32)], count: u32, from: Nanos) -> Option<Nanos> {
    if at(list, from) >= count {
        return Some(from);
    }
    list.iter().find(|(at, value)| *at >= from && *value >= count).map(|(at, _)| *at)
}

/// What a list says for a moment.
pub(crate) fn at(list: &[(Nanos, u32)], moment: Nanos) -> u32 {
    let after = list.partition_point(|(at, _)| *at <= moment);
    after.checked_sub(1).map_or(0, |index| list[index].1)
}

fn push(list: &mut Vec<(Nanos, u32)>, now: Nanos, count: u32) {
    match list.last_mut() {
        Some((_, last)) if *last == count => {}
        // Several changes of one moment are one.
        Some((at, last)) if *at == now => *last = count,
        _ => list.push((now, count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_counted_when_growth_becomes_shrinking_or_back() {
        let mut record = Record::default();
        for (second, count) in (0..).zip([1, 2, 5, 5, 4, 3, 6, 6, 1]) {
            record.wanted(second, count);
        }
        assert_eq!(record.turns(), 3);
        assert_eq!(record.wanted.len(), 7, "the same again is no change");
    }

    #[test]
    fn a_list_says_what_holds_from_when() {
        let list = [(0, 1), (10, 5), (20, 2)];
        assert_eq!([at(&list, 0), at(&list, 9), at(&list, 10), at(&list, 99)], [1, 1, 5, 2]);
        assert_eq!(reached(&list, 5, 3), Some(10));
        assert_eq!(reached(&list, 2, 12), Some(12));
        assert_eq!(reached(&list, 3, 20), None);
    }
}
