//! How long a number of replicas was not needed, each time, and what that says of the next time.

use super::keep::SHORTEST;
use super::snapshot::{age, moment};
use std::time::Duration;

/// Gaps remembered for each number of replicas.
const GAPS: usize = 6;
/// Gaps that make a rule, and by which share of the longest at the most the shortest may be shorter
/// then. One is chance. Of gaps without any rule (exponential ones) two are so much alike once in
/// forty times, and three once in 160.
const ALIKE: [(usize, f64); 2] = [(2, 0.05), (3, 0.15)];

/// The share of a gap by which it may end sooner than any before.
const SLACK: f64 = 0.05;

/// A number of replicas: it is needed while so many are, or more.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Level {
    was_needed: bool,
    /// Since when fewer are needed.
    idle_since: Duration,
    /// The last gaps in seconds, newest first.
    gaps: [f32; GAPS],
    seen: u8,
}

impl Level {
    /// It is not needed from now on.
    pub(super) fn not_needed(&mut self, now: Duration) {
        self.idle_since = now;
    }

    /// It is needed again. A gap of up to `short` seconds is none.
    pub(super) fn needed(&mut self, short: f64, now: Duration) {
        let gap = now.saturating_sub(self.idle_since).as_secs_f64();
        let is_first = !std::mem::replace(&mut self.was_needed, true);
        // A shorter one is no gap: it is stayed through whatever one knows.
        if !is_first && gap > short {
            self.gaps.rotate_right(1);
            self.gaps[0] = gap as f32;
            self.seen = (self.seen + 1).min(GAPS as u8);
        }
    }

    /// The shortest and the longest gap.
    fn range(&self) -> Option<(f64, f64)> {
        let gaps = &self.gaps[..usize::from(self.seen)];
        let fold = |by: fn(f32, f32) -> f32| gaps.iter().copied().reduce(by).map(f64::from);
        Some((fold(f32::min)?, fold(f32::max)?))
    }

    /// When the next gap ends, if gaps are alike: between two ages in seconds, the sooner less what
    /// a start takes.
    fn end(&self, cold: f64) -> Option<(f64, f64)> {
        let (least, most) = self.range()?;
        let spread = most - least;
        let seen = usize::from(self.seen);
        let (_, alike) = ALIKE.iter().rev().find(|(gaps, _)| seen >= *gaps)?;
        if spread > alike * most {
            return None;
        }
        let slack = spread.max(SLACK * most);
        Some((least - slack - cold, most + slack))
    }

    /// Seconds since it was last needed.
    pub(super) fn age(&self, now: Duration) -> f64 {
        now.saturating_sub(self.idle_since).as_secs_f64()
    }

    /// Whether it is about to be needed.
    pub(super) fn is_due(&self, cold: f64, now: Duration) -> bool {
        let age = self.age(now);
        self.end(cold).is_some_and(|(from, to)| (from..=to).contains(&age))
    }

    /// Whether it is known to be needed only later, and so much that it pays to go meanwhile.
    pub(super) fn rests(&self, cold: f64, now: Duration) -> bool {
        let age = self.age(now);
        self.end(cold).is_some_and(|(from, _)| from > cold && age > SHORTEST && age < from)
    }

    /// Whether one that is there stays for another moment: for `seconds`, and up to `most_seconds` where that
    /// is no shorter than the gaps are on average, with the one that goes on now.
    pub(super) fn keeps(&self, seconds: f64, most_seconds: f64, now: Duration) -> bool {
        let age = self.age(now);
        let gaps = self.gaps[..usize::from(self.seen)].iter();
        let total = age + gaps.copied().map(f64::from).sum::<f64>();
        let is_soon = age <= most_seconds && total <= f64::from(self.seen) * seconds;
        self.was_needed && (age <= seconds || is_soon)
    }

    pub(super) fn row(&self, now: Duration) -> [f64; 2 + GAPS] {
        let mut row = [0.0; 2 + GAPS];
        (row[0], row[1]) = (age(self.idle_since, now), f64::from(u8::from(self.was_needed)));
        row[2..].iter_mut().zip(&self.gaps).for_each(|(to, gap)| *to = f64::from(*gap));
        row
    }

    /// What was written down at `taken`.
    pub(super) fn of_row(row: [f64; 2 + GAPS], taken: Duration) -> Self {
        let mut level = Self { was_needed: row[1] > 0.0, ..Self::default() };
        level.idle_since = moment(row[0], taken).unwrap_or_default();
        level.gaps.iter_mut().zip(&row[2..]).for_each(|(gap, of)| *gap = *of as f32);
        let known = level.gaps.iter().take_while(|gap| **gap > 0.0);
        level.seen = known.count() as u8;
        level
    }
}
