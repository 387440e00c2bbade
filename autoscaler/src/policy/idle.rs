//! Scale to zero: when the last replica may go.
//!
//! It goes when the rule has said zero for the whole grace, no request has been seen for the
//! retention, and nobody would miss it now: nothing runs, waits or is starting, and nothing about
//! that is a guess.

use std::time::Duration;

/// How long the last replica stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleSettings {
    /// After the rule first says zero.
    pub grace: Duration,
    /// After the last request.
    pub retention: Duration,
}

/// What the gate needs to know of this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idleness {
    /// Whether a request runs, waits or is held anywhere.
    pub busy: bool,
    /// Whether a replica is starting.
    pub starting: bool,
    /// Whether each source was read.
    pub certain: bool,
}

/// Why the last replica stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// A request runs, waits or is held.
    Busy,
    /// A replica is starting: someone asked for it.
    Starting,
    /// A source could not be read.
    Uncertain,
    /// The rule has not said zero for long enough.
    Grace,
    /// The last request is not long enough ago.
    Retention,
}

/// What the gate remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Idle {
    zero_since: Option<Duration>,
    last_busy: Option<Duration>,
}

impl Idle {
    /// A gate that begins at `now`. What happened before is unknown, so it counts as busy, also where a process
    /// goes on with what another one has seen: nobody looked in between.
    pub fn begin(now: Duration) -> Self {
        Self { zero_since: None, last_busy: Some(now) }
    }

    /// Notes whether there are requests.
    pub fn observe(&mut self, busy: bool, now: Duration) {
        if busy {
            self.last_busy = Some(now);
        }
    }

    /// Notes that the rule wants replicas.
    pub fn wanted(&mut self) {
        self.zero_since = None;
    }

    /// The rule says zero: `None` if the last replica may go, else why it stays.
    pub fn zero(&mut self, settings: IdleSettings, seen: Idleness, now: Duration) -> Option<Stay> {
        let since = *self.zero_since.get_or_insert(now);
        let quiet = self.last_busy.map_or(Duration::MAX, |last| now.saturating_sub(last));
        if seen.busy {
            self.zero_since = None;
            Some(Stay::Busy)
        } else if seen.starting {
            Some(Stay::Starting)
        } else if !seen.certain {
            Some(Stay::Uncertain)
        } else if now.saturating_sub(since) < settings.grace {
            Some(Stay::Grace)
        } else if quiet < settings.retention {
            Some(Stay::Retention)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Idleness = Idleness { busy: false, starting: false, certain: true };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn settings(grace: u64, retention: u64) -> IdleSettings {
        IdleSettings { grace: at(grace), retention: at(retention) }
    }

    #[test]
    fn grace_counts_from_the_first_zero_and_again_after_demand() {
        let mut idle = Idle::begin(at(0));
        let settings = settings(30, 0);
        assert_eq!(idle.zero(settings, QUIET, at(10)), Some(Stay::Grace));
        assert_eq!(idle.zero(settings, QUIET, at(39)), Some(Stay::Grace));
        idle.wanted();
        assert_eq!(idle.zero(settings, QUIET, at(41)), Some(Stay::Grace));
        assert_eq!(idle.zero(settings, QUIET, at(70)), Some(Stay::Grace));
        assert_eq!(idle.zero(settings, QUIET, at(71)), None);
    }

    #[test]
    fn a_request_during_the_grace_begins_it_anew() {
        let mut idle = Idle::begin(at(0));
        let settings = settings(30, 0);
        assert_eq!(idle.zero(settings, QUIET, at(10)), Some(Stay::Grace));
        let busy = Idleness { busy: true, ..QUIET };
        assert_eq!(idle.zero(settings, busy, at(20)), Some(Stay::Busy));
        assert_eq!(idle.zero(settings, QUIET, at(41)), Some(Stay::Grace));
        assert_eq!(idle.zero(settings, QUIET, at(71)), None);
    }

    #[test]
    fn retention_counts_from_the_last_request() {
        let mut idle = Idle::begin(at(0));
        idle.observe(true, at(5));
        idle.observe(false, at(6));
        assert_eq!(idle.zero(settings(0, 10), QUIET, at(14)), Some(Stay::Retention));
        assert_eq!(idle.zero(settings(0, 10), QUIET, at(15)), None);
    }

    #[test]
    fn stays_while_someone_would_miss_it() {
        let no_wait = settings(0, 0);
        for (seen, stay) in [
            (Idleness { busy: true, ..QUIET }, Stay::Busy),
            (Idleness { starting: true, ..QUIET }, Stay::Starting),
            (Idleness { certain: false, ..QUIET }, Stay::Uncertain),
        ] {
            assert_eq!(Idle::begin(at(0)).zero(no_wait, seen, at(1000)), Some(stay));
        }
        assert_eq!(Idle::begin(at(0)).zero(no_wait, QUIET, at(1000)), None);
    }
}
