//! Who goes first when a full endpoint has a slot again and several gateways want it.
//!
//! A gateway whose own request has just ended would be the first to know, and could keep the slot for
//! as long as it has requests, older ones of others or not. So whoever was refused may ask to be told;
//! all who asked are told when there is a slot, and for a moment it is theirs: whoever comes first with
//! the pass that they were given, or with a request that has waited for longer than any of theirs.

use std::time::{Duration, Instant};

/// So many may ask at once.
const MOST: usize = 32;
/// How long those who were told go first: some ways to them and back. Longer is worse, as they may not
/// need it any more.
const HOLD: Duration = Duration::from_millis(1);

/// A request that is not to wait here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hurry {
    /// Since when it waits, here and before.
    pub since: Instant,
    /// What it was given as its gateway was told of the slot.
    pub pass: Option<u64>,
}

/// Who asked to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker(u64);

/// Who asked, and who goes first.
#[derive(Debug, Default)]
pub struct Precedence {
    asking: Vec<(Asker, Instant)>,
    asked: u64,
    told: Option<Told>,
}

/// A slot that some were told of.
#[derive(Debug, Clone, Copy)]
struct Told {
    /// All that asked before the one of this number were told.
    pass: u64,
    /// Since when the first of their requests waits.
    oldest: Instant,
    until: Instant,
}

// === impl Precedence ===

impl Precedence {
    /// Somebody whose request waits since then asks to be told. `None` if too many do.
    pub fn ask(&mut self, since: Instant) -> Option<Asker> {
        if self.asking.len() >= MOST {
            return None;
        }
        let asker = Asker(self.asked);
        self.asked += 1;
        self.asking.push((asker, since));
        Some(asker)
    }

    /// One does not ask any more.
    pub fn leave(&mut self, asker: Asker) {
        self.asking.retain(|(asking, _)| *asking != asker);
    }

    /// There is a slot that nobody here waits for: whether there is somebody to be told of it.
    pub fn freed(&mut self, now: Instant) -> bool {
        if self.asking.is_empty() || self.told_until(now).is_some() {
            return false;
        }
        let oldest = self.asking.iter().map(|(_, since)| *since).min().unwrap_or(now);
        self.asking.clear();
        self.told = Some(Told { pass: self.asked, oldest, until: now + HOLD });
        true
    }

    /// Until when those who were told of a slot go first, if it is still there.
    pub fn told_until(&self, now: Instant) -> Option<Instant> {
        self.told.map(|told| told.until).filter(|until| *until > now)
    }

    /// Whether this one was told, and its pass if the slot is still there.
    pub fn is_told(&self, asker: Asker) -> Option<Option<u64>> {
        let asks = self.asking.iter().any(|(asking, _)| *asking == asker);
        let pass = self.told.map(|told| told.pass).filter(|pass| asker.0 < *pass);
        (!asks).then_some(pass)
    }

    /// Whether a request is to leave the one slot to those who were told of it.
    pub fn stands_back(&self, hurry: &Hurry, now: Instant) -> bool {
        self.told.is_some_and(|told| {
            told.until > now && hurry.pass != Some(told.pass) && hurry.since > told.oldest
        })
    }

    /// The slot is taken.
    pub fn taken(&mut self) {
        self.told = None;
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "simulated time needs a start")]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn who_was_told_and_who_is_older_goes_first_for_a_moment() {
        let start = Instant::now();
        let at = |ms: u32| start + MS * ms;
        let mut precedence = Precedence::default();
        assert!(!precedence.freed(at(0)), "nobody asks");
        let (young, old) = (precedence.ask(at(5)).unwrap(), precedence.ask(at(3)).unwrap());
        assert_eq!(precedence.is_told(young), None);
        assert!(precedence.freed(at(10)));
        let pass = precedence.is_told(old).unwrap();
        assert_eq!(precedence.is_told(young), Some(pass));
        let late = precedence.ask(at(1)).unwrap();
        assert_eq!(precedence.is_told(late), None, "it asked after that");
        let back = |since, pass| precedence.stands_back(&Hurry { since: at(since), pass }, at(10));
        assert_eq!(
            [back(9, pass), back(9, None), back(3, None), back(4, Some(77))],
            [false, true, false, true]
        );
        assert!(!precedence.stands_back(&Hurry { since: at(9), pass: None }, at(11)), "it is over");
        assert!(precedence.freed(at(11)), "the next is told");
        assert!(!precedence.stands_back(&Hurry { since: at(9), pass: None }, at(13)));
    }

    #[test]
    fn a_slot_that_is_taken_is_nobody_elses_and_askers_are_bounded() {
        let now = Instant::now();
        let mut precedence = Precedence::default();
        let askers: Vec<_> = (0..MOST).filter_map(|_| precedence.ask(now)).collect();
        assert_eq!((askers.len(), precedence.ask(now)), (MOST, None));
        precedence.leave(askers[0]);
        assert!(precedence.ask(now).is_some());
        assert!(precedence.freed(now));
        precedence.taken();
        assert!(!precedence.stands_back(&Hurry { since: now + MS, pass: None }, now));
        assert_eq!(precedence.is_told(askers[1]), Some(None), "told, and too late");
    }
}
