//! Rolling replacement: how many replicas to start and to stop now, when what they are made of has
//! changed. As a Kubernetes Deployment does it.
//!
//! Those made as before are outdated. There are never more live replicas than wanted and the surge,
//! and nobody who is ready is stopped while fewer would be ready than wanted, less those that may be
//! unavailable. Replicas that drain are not counted: they only finish.

/// A number of replicas, or a share of those that are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// So many.
    Count(u32),
    /// So many in a hundred.
    Percent(u32),
}

/// What a replacement may take, as it is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// More live replicas than are wanted. A share is rounded up.
    pub surge: Part,
    /// Fewer ready ones than are wanted. A share is rounded down.
    pub unavailable: Part,
}

/// Replicas that do not drain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Live {
    /// Not ready yet, or not any more.
    pub starting: u32,
    /// Ready.
    pub ready: u32,
}

/// How an API stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many replicas there should be.
    pub wanted: u32,
    /// Made as they were before.
    pub outdated: Live,
    /// Made as they should be.
    pub current: Live,
}

/// What to do now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moves {
    /// Replicas to start, made as they should be.
    pub start: u32,
    /// Outdated ones to stop that are not ready.
    pub stop_outdated_starting: u32,
    /// Outdated ones to stop that are ready.
    pub stop_outdated_ready: u32,
    /// Others to stop: there are more than are wanted. Those that are not ready go first.
    pub stop_current: u32,
}

impl Part {
    fn of(self, wanted: u32, rounded_up: bool) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => {
                let hundredths = u64::from(wanted) * u64::from(percent);
                let part = if rounded_up { hundredths.div_ceil(100) } else { hundredths / 100 };
                u32::try_from(part).unwrap_or(u32::MAX)
            }
        }
    }
}

impl Allowance {
    /// The most live and the fewest ready replicas. Where rounding leaves no room at all, one may be
    /// unavailable: else nothing could ever be replaced.
    pub fn bounds(self, wanted: u32) -> (u32, u32) {
        let surge = self.surge.of(wanted, true);
        let unavailable = match (surge, self.unavailable.of(wanted, false)) {
            (0, 0) => 1,
            (_, unavailable) => unavailable,
        };
        (wanted.saturating_add(surge), wanted.saturating_sub(unavailable))
    }
}

impl Live {
    /// All.
    pub const fn all(self) -> u32 {
        self.starting.saturating_add(self.ready)
    }
}

/// What to do now, so that there are `wanted` replicas in the end and none is outdated.
pub fn plan(standing: Standing, allowance: Allowance) -> Moves {
    let Standing { wanted, outdated, current } = standing;
    if wanted == 0 {
        return Moves {
            start: 0,
            stop_outdated_starting: outdated.starting,
            stop_outdated_ready: outdated.ready,
            stop_current: current.all(),
        };
    }
    // Without outdated ones there is nothing to make room for.
    let (most, least_ready) =
        if outdated.all() == 0 { (wanted, 0) } else { allowance.bounds(wanted) };
    let stop_current = current.all().saturating_sub(wanted);
    let stays = Live {
        starting: current.starting.saturating_sub(stop_current),
        ready: current.ready - stop_current.saturating_sub(current.starting).min(current.ready),
    };
    let all = outdated.all().saturating_add(stays.all());
    // As many as must be ready stay, besides those that are on their way.
    let spare = all.saturating_sub(least_ready).saturating_sub(stays.starting);
    let stop_outdated_starting = outdated.starting.min(spare);
    let ready = outdated.ready.saturating_add(stays.ready);
    Moves {
        start: wanted.saturating_sub(stays.all()).min(most.saturating_sub(all)),
        stop_outdated_starting,
        stop_outdated_ready: outdated.ready.min(ready.saturating_sub(least_ready)),
        stop_current,
    }
}

#[cfg(test)]
mod tests;
