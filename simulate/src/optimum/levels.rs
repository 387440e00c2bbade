//! Replicas needed over time, as levels: level k is needed while k replicas or more are.

use crate::span::{Nanos, seconds};

/// A stretch of time for which a level is needed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Segment {
    /// From 1.
    pub(crate) level: u32,
    pub(crate) from: Nanos,
    pub(crate) to: Nanos,
    /// Request-nanoseconds that run on this level.
    pub(crate) work: f64,
}

impl Segment {
    /// Work for each nanosecond that it costs, a start included.
    pub(crate) fn use_of(&self, start_costs: Nanos) -> f64 {
        self.work / (self.to - self.from + start_costs).max(1) as f64
    }
}

/// The segments of what is needed where each interval takes one of the `width` places of a level.
pub(crate) fn of_intervals(intervals: &[(Nanos, Nanos)], width: u32) -> Vec<Segment> {
    let mut turns: Vec<(Nanos, bool)> =
        intervals.iter().flat_map(|(from, to)| [(*from, true), (*to, false)]).collect();
    // Ends first, so that what ends and what begins at one moment don't need room at once.
    turns.sort_unstable();
    let mut open: Vec<Nanos> = Vec::new();
    let mut segments = Vec::new();
    let mut running = 0_u32;
    for (at, begins) in turns {
        running = if begins { running + 1 } else { running - 1 };
        let needed = running.div_ceil(width) as usize;
        while open.len() < needed {
            open.push(at);
        }
        while open.len() > needed {
            let level = open.len() as u32;
            let from = open.pop().unwrap_or(at);
            if from < at {
                segments.push(Segment { level, from, to: at, work: 0.0 });
            }
        }
    }
    segments
}

/// The least that it costs to have each level while it is needed, in replica-seconds: a gap is
/// either stayed through or costs a start. The first `initial` levels are there at time 0.
pub(crate) fn cost(segments: &[Segment], start: Nanos, initial: u32) -> f64 {
    let mut sorted = segments.to_vec();
    sorted.sort_by_key(|segment| (segment.level, segment.from));
    let mut sum = 0.0;
    let mut before: Option<Segment> = None;
    for segment in sorted {
        let gap = match before.filter(|before| before.level == segment.level) {
            Some(before) => segment.from - before.to,
            None if segment.level <= initial => segment.from,
            None => Nanos::MAX,
        };
        sum += seconds(segment.to - segment.from) + seconds(gap.min(start));
        before = Some(segment);
    }
    sum
}

/// Joins the segments of each level over gaps shorter than a start costs. The first `initial`
/// levels are there at time 0, and may stay until they are needed.
pub(crate) fn bridge(mut segments: Vec<Segment>, start: Nanos, initial: u32) -> Vec<Segment> {
    let there = |level| Segment { level, from: 0, to: 0, work: 0.0 };
    segments.extend((1..=initial).map(there));
    segments.sort_by_key(|segment| (segment.level, segment.from, segment.to));
    let mut bridged: Vec<Segment> = Vec::new();
    for segment in segments {
        match bridged.last_mut() {
            Some(last)
                if last.level == segment.level && segment.from <= last.to.saturating_add(start) =>
            {
                last.to = last.to.max(segment.to);
                last.work += segment.work;
            }
            _ => bridged.push(segment),
        }
    }
    bridged.retain(|segment| segment.from < segment.to);
    bridged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::SECOND;

    fn segment(level: u32, from: u64, to: u64) -> Segment {
        Segment { level, from: from * SECOND, to: to * SECOND, work: 1.0 }
    }

    #[test]
    fn intervals_stack_up_in_levels() {
        let at = |from, to| (from * SECOND, to * SECOND);
        let needed = of_intervals(&[at(0, 10), at(2, 4), at(3, 6), at(6, 8)], 2);
        let want = [(2, 3, 4), (1, 0, 10)];
        let seen: Vec<_> =
            needed.iter().map(|s| (s.level, s.from / SECOND, s.to / SECOND)).collect();
        assert_eq!(seen, want);
    }

    #[test]
    fn a_gap_costs_itself_or_a_start_whichever_is_less() {
        let needed = [segment(1, 5, 10), segment(1, 13, 20), segment(1, 90, 95)];
        assert_eq!(cost(&needed, 0, 0), 17.0);
        assert_eq!(cost(&needed, 10 * SECOND, 0), 10.0 + 5.0 + 3.0 + 7.0 + 10.0 + 5.0);
        assert_eq!(cost(&needed, 10 * SECOND, 1), 5.0 + 5.0 + 3.0 + 7.0 + 10.0 + 5.0);
    }

    #[test]
    fn short_gaps_are_bridged_and_who_is_not_needed_soon_goes() {
        let needed = vec![segment(1, 5, 10), segment(1, 13, 20), segment(2, 90, 95)];
        let bridged = bridge(needed, 6 * SECOND, 2);
        let seen: Vec<_> =
            bridged.iter().map(|s| (s.level, s.from / SECOND, s.to / SECOND)).collect();
        assert_eq!(seen, [(1, 0, 20), (2, 90, 95)]);
        assert_eq!(bridged[0].work, 2.0);
    }
}
