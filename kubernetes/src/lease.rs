//! Who of several autoscalers may write: a Lease, as a state machine without clock or sockets.
//!
//! Times are by the caller's own monotonic clock, which goes on while a process is stopped. Nobody
//! compares the wall clocks of two machines: a lease has run out when its record has not changed
//! for as long as it says, seen from here. A leader counts its own time from before it asked, and
//! stops writing a margin before others may take over.

use std::time::Duration;

/// What a Lease object says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// Who has it; nobody once it was released.
    pub(crate) holder: Option<String>,
    /// How long it counts after a change.
    pub(crate) duration: Duration,
    /// How often it has gone to another holder.
    pub(crate) transitions: u32,
    /// The object's `resourceVersion`.
    pub(crate) version: String,
}

/// What to write next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    /// There is no Lease: create it.
    Create,
    /// It is ours: say that we live. The version must not have changed meanwhile.
    Renew(Record),
    /// Nobody has it any more: take it. The version must not have changed meanwhile.
    Take(Record),
}

/// One process's view of the Lease.
#[derive(Debug, Clone)]
pub(crate) struct Election {
    me: String,
    duration: Duration,
    seen: Option<(Record, Duration)>,
    until: Option<Duration>,
}

impl Election {
    /// A process named `me`, which no other is; it takes the Lease for `duration` at a time.
    pub(crate) fn new(me: String, duration: Duration) -> Self {
        Self { me, duration, seen: None, until: None }
    }

    /// How long to wait between two looks at the Lease: a leader has five tries before it must stop.
    pub(crate) fn period(&self) -> Duration {
        self.duration / 7
    }

    /// Whether we may write at `now`.
    ///
    /// True for two thirds of the duration after a claim was sent; others take over after all of it.
    pub(crate) fn may_write(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// The Lease as it was read at `now`, and what to do about it. `None` waits.
    pub(crate) fn observe(&mut self, record: Option<Record>, now: Duration) -> Option<Claim> {
        let Some(record) = record else {
            self.seen = None;
            return Some(Claim::Create);
        };
        let since = match &self.seen {
            Some((before, since)) if before.version == record.version => *since,
            _ => now,
        };
        self.seen = Some((record.clone(), since));
        let is_over = now >= since + record.duration;
        match record.holder.as_deref() {
            Some(holder) if holder == self.me => Some(Claim::Renew(record)),
            Some(holder) if !holder.is_empty() => {
                self.until = None;
                is_over.then_some(Claim::Take(record))
            }
            _ => Some(Claim::Take(record)),
        }
    }

    /// A claim that was sent at `sent` has been written.
    pub(crate) fn claimed(&mut self, sent: Duration) {
        self.until = Some(sent + self.duration * 2 / 3);
    }

    /// Another was faster (a conflict): whoever it is, we have nothing.
    pub(crate) fn refused(&mut self) {
        self.until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: Duration = Duration::from_secs(15);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn record(holder: &str, version: u32) -> Record {
        let holder = (!holder.is_empty()).then(|| holder.to_owned());
        Record { holder, duration: TERM, transitions: 0, version: version.to_string() }
    }

    fn election() -> Election {
        Election::new("me".to_owned(), TERM)
    }

    #[test]
    fn a_lease_that_is_missing_or_released_is_taken_at_once() {
        assert_eq!(election().observe(None, at(9)), Some(Claim::Create));
        let free = record("", 1);
        assert_eq!(election().observe(Some(free.clone()), at(9)), Some(Claim::Take(free)));
    }

    #[test]
    fn anothers_lease_is_taken_when_it_has_not_changed_for_its_duration() {
        let mut election = election();
        let mut look = |version, now| election.observe(Some(record("other", version)), at(now));
        assert_eq!(look(1, 100), None, "however old it was when it was first seen");
        assert_eq!(look(1, 114), None);
        assert_eq!(look(2, 114), None, "it lives");
        assert_eq!(look(2, 128), None);
        assert_eq!(look(2, 129), Some(Claim::Take(record("other", 2))));
    }

    #[test]
    fn a_leader_writes_for_two_thirds_of_its_term_and_renews() {
        let mut election = election();
        assert!(!election.may_write(at(0)));
        election.claimed(at(0));
        assert!(election.may_write(at(9)));
        assert!(!election.may_write(at(10)), "stopped for long: it must ask first");
        let mine = record("me", 1);
        assert_eq!(election.observe(Some(mine.clone()), at(40)), Some(Claim::Renew(mine)));
        assert!(!election.may_write(at(40)), "until the claim is written");
        election.claimed(at(40));
        assert!(election.may_write(at(49)));
    }

    #[test]
    fn who_sees_another_or_is_refused_stops_at_once() {
        let mut election = election();
        election.claimed(at(0));
        election.observe(Some(record("other", 3)), at(1));
        assert!(!election.may_write(at(1)));
        election.claimed(at(2));
        election.refused();
        assert!(!election.may_write(at(2)));
    }

    /// Two processes, any moments of stopping: never may both write.
    #[test]
    fn two_never_write_at_once() {
        for pause in 0..60 {
            let mut all =
                [Election::new("a".to_owned(), TERM), Election::new("b".to_owned(), TERM)];
            let mut stored: Option<Record> = None;
            let mut version = 0;
            for now in 0..120 {
                for (index, election) in all.iter_mut().enumerate() {
                    // `a` is stopped from 20 on, for as long as `pause`.
                    if index == 0 && (20..20 + pause).contains(&now) {
                        continue;
                    }
                    if election.observe(stored.clone(), at(now)).is_some() {
                        version += 1;
                        stored = Some(record(["a", "b"][index], version));
                        election.claimed(at(now));
                    }
                }
                let writers = all.iter().filter(|election| election.may_write(at(now))).count();
                assert!(writers <= 1, "pause {pause}, second {now}");
                assert!(writers == 1 || (20..40 + pause).contains(&now), "pause {pause}, {now}");
            }
        }
    }
}
