//! The scale-down delay: fewer replicas must have been enough for a while before some go.
//!
//! Which is the maximum of what was wanted over a sliding window, in steps of one second.

use super::snapshot::{Snapshot, age, moment};
use std::collections::VecDeque;
use std::time::Duration;

/// A sliding maximum over the last `size` steps.
///
/// Kept as falling values: an older one matters only while it is larger than all newer ones. So
/// there are never more than `size` of them.
#[derive(Debug, Clone)]
pub struct MaxWindow {
    size: u64,
    falling: VecDeque<(u64, u32)>,
}

impl MaxWindow {
    /// A window in which the value of step `i` counts until step `i + size`, exclusively.
    pub fn new(size: u64) -> Self {
        Self { size, falling: VecDeque::new() }
    }

    /// Records `value` at `step` and returns the largest in the window. Steps don't go back.
    pub fn record(&mut self, step: u64, value: u32) -> u32 {
        while self.falling.back().is_some_and(|&(_, last)| last <= value) {
            self.falling.pop_back();
        }
        // A smaller value in the step of a larger one changes nothing.
        if self.falling.back().is_none_or(|&(last, _)| last != step) {
            self.falling.push_back((step, value));
        }
        while self
            .falling
            .front()
            .is_some_and(|&(first, _)| step.saturating_sub(first) >= self.size)
        {
            self.falling.pop_front();
        }
        self.falling.front().map_or(value, |&(_, most)| most)
    }
}

/// The scale-down delay of one API.
#[derive(Debug, Clone)]
pub struct Hold(Option<MaxWindow>);

impl Hold {
    /// Holds each wish for `delay`; zero holds nothing.
    pub fn new(delay: Duration) -> Self {
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        Self((seconds > 0).then(|| MaxWindow::new(seconds)))
    }

    /// The most that was wanted within the delay, `wanted` included.
    pub fn record(&mut self, wanted: u32, now: Duration) -> u32 {
        match &mut self.0 {
            Some(window) => window.record(now.as_secs(), wanted),
            None => wanted,
        }
    }

    pub(super) fn save(&self, name: &str, to: &mut Snapshot, now: Duration) {
        let falling = self.0.iter().flat_map(|window| &window.falling);
        let row = |&(step, value)| [age(Duration::from_secs(step), now), f64::from(value)];
        to.put(name, falling.map(row));
    }

    pub(super) fn load(&mut self, name: &str, from: &Snapshot, taken: Duration) {
        let Some(window) = self.0.as_mut().filter(|_| from.has(name)) else { return };
        window.falling.clear();
        let row = |[age, value]: [f64; 2]| Some((moment(age, taken)?.as_secs(), value as u32));
        for (step, value) in from.rows(name).filter_map(row) {
            window.record(step, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_a_wish_for_the_delay_and_no_longer() {
        let mut hold = Hold::new(Duration::from_secs(5));
        let seen: Vec<u32> = [4, 1, 1, 1, 1, 1, 0]
            .into_iter()
            .zip(0..)
            .map(|(wanted, second)| hold.record(wanted, Duration::from_secs(second)))
            .collect();
        assert_eq!(seen, [4, 4, 4, 4, 4, 1, 1]);
    }

    #[test]
    fn no_delay_holds_nothing() {
        let mut hold = Hold::new(Duration::ZERO);
        assert_eq!(hold.record(9, Duration::ZERO), 9);
        assert_eq!(hold.record(1, Duration::ZERO), 1);
    }

    #[test]
    fn memory_is_bounded_by_the_size() {
        let mut window = MaxWindow::new(10);
        for step in 0..1000_u32 {
            window.record(u64::from(step), 1000 - step);
            assert!(window.falling.len() <= 10);
        }
    }
}
