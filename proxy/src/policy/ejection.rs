//! Which endpoints are taken out for a while, by what became of the requests sent to them.
//!
//! Three causes: requests in a row that found no connection or lost it, a share of 5xx answers, and
//! (by setting) answers much slower than the other endpoints'. Back-pressure (503 and 429) is none.
//! Each time in a row an endpoint stays out twice as long; there is a bound on how long, and on the
//! share of endpoints that are out at once.

use super::two_windows::TwoWindows;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Over how long the share of errors and the mean time to an answer are taken: one to two of these.
const WINDOW: Duration = Duration::from_secs(10);
/// With fewer answers in that time an endpoint is not judged by shares and means.
const MIN_ANSWERS: u32 = 20;

/// When an endpoint is taken out, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EjectionRules {
    /// Broken exchanges in a row; 0 is off.
    pub consecutive_errors: u32,
    /// Share of answers that are errors, in (0, 1]; 0 is off.
    pub error_rate: f64,
    /// The first time in a row.
    pub base_time: Duration,
    /// At the most.
    pub max_time: Duration,
    /// The largest share of all endpoints that may be out at once.
    pub max_share: f64,
    /// How many times slower than the median of the others is too slow; 0 is off.
    pub slow_factor: f64,
}

/// What became of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered, after this time.
    Answered(Duration),
    /// It was answered with an error of the server's own.
    Error,
    /// No connection could be made, or it broke before the answer.
    Broken,
}

/// An answer of which it is not known yet how it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unjudged {
    /// How long it took to begin.
    pub took: Duration,
    /// Whether its client set a deadline.
    pub hurried: bool,
}

/// Why an endpoint was taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Broken exchanges in a row.
    Broken,
    /// Too large a share of errors.
    Errors,
    /// Too slow beside the others.
    Slow,
}

/// All endpoints of one API, by small numbers.
#[derive(Debug)]
pub struct Ejection {
    rules: EjectionRules,
    members: BTreeMap<usize, Member>,
}

#[derive(Debug)]
struct Member {
    broken: u32,
    late: TwoWindows<Seen>,
    out: Option<(Instant, Cause)>,
    /// How often it was taken out in a row.
    times: u32,
    /// When it last came back.
    back: Instant,
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    answers: u32,
    errors: u32,
    took: Duration,
}

// === impl Unjudged ===

impl Unjudged {
    /// What it is with this status. Back-pressure (503 and 429) is no error, nor is that its client gave
    /// too little time.
    pub fn outcome(self, status: u16) -> Outcome {
        let is_error = match status {
            503 => false,
            504 => !self.hurried,
            status => (500..600).contains(&status),
        };
        if is_error { Outcome::Error } else { Outcome::Answered(self.took) }
    }
}

// === impl EjectionRules ===

impl Default for EjectionRules {
    fn default() -> Self {
        Self {
            consecutive_errors: 5,
            error_rate: 0.5,
            base_time: Duration::from_secs(5),
            max_time: Duration::from_secs(60),
            max_share: 0.5,
            slow_factor: 0.0,
        }
    }
}

// === impl Cause ===

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 3] = [Self::Broken, Self::Errors, Self::Slow];

    /// The word for it in logs, metrics and pages.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Broken => "errors-in-a-row",
            Self::Errors => "error-rate",
            Self::Slow => "slow",
        }
    }
}

// === impl Ejection ===

impl Ejection {
    /// No endpoints.
    pub fn new(rules: EjectionRules) -> Self {
        Self { rules, members: BTreeMap::new() }
    }

    /// Other rules from now on. Who is out stays out for as long as was said.
    pub fn set_rules(&mut self, rules: EjectionRules) {
        self.rules = rules;
    }

    /// An endpoint comes, with nothing held against it.
    pub fn add(&mut self, index: usize, now: Instant) {
        let late = TwoWindows::new(WINDOW, now);
        self.members.insert(index, Member { broken: 0, late, out: None, times: 0, back: now });
    }

    /// An endpoint goes.
    pub fn remove(&mut self, index: usize) {
        self.members.remove(&index);
    }

    /// Why an endpoint is out, and until when.
    pub fn out(&self, index: usize) -> Option<(Instant, Cause)> {
        self.members.get(&index)?.out
    }

    /// Counts what became of a request. Returns why its endpoint is out from now on.
    pub fn record(&mut self, index: usize, outcome: Outcome, now: Instant) -> Option<Cause> {
        self.members.get_mut(&index)?.count(outcome, now);
        let cause = self.members.get(&index).and_then(|member| self.judge(index, member))?;
        if !self.has_room() {
            return None;
        }
        let rules = self.rules;
        let member = self.members.get_mut(&index)?;
        member.eject(&rules, cause, now);
        Some(cause)
    }

    /// An endpoint whose time is over comes back. Call until there is none.
    pub fn poll(&mut self, now: Instant) -> Option<usize> {
        let is_over = |member: &Member| member.out.is_some_and(|(until, _)| until <= now);
        let (index, member) = self.members.iter_mut().find(|(_, member)| is_over(member))?;
        member.out = None;
        member.back = now;
        // What ran while it was out says nothing of how it is now.
        (member.broken, member.late) = (0, TwoWindows::new(WINDOW, now));
        Some(*index)
    }

    /// When [`Ejection::poll`] has something to say.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.members.values().filter_map(|member| member.out.map(|(until, _)| until)).min()
    }

    fn judge(&self, index: usize, member: &Member) -> Option<Cause> {
        let rules = &self.rules;
        if member.out.is_some() {
            return None;
        }
        if rules.consecutive_errors > 0 && member.broken >= rules.consecutive_errors {
            return Some(Cause::Broken);
        }
        let (answers, errors, mean) = member.seen();
        if answers < MIN_ANSWERS {
            return None;
        }
        if rules.error_rate > 0.0 && f64::from(errors) >= rules.error_rate * f64::from(answers) {
            return Some(Cause::Errors);
        }
        let is_slow = rules.slow_factor > 0.0
            && self.median_of_others(index).is_some_and(|median| mean > median * rules.slow_factor);
        is_slow.then_some(Cause::Slow)
    }

    /// Of the mean seconds to an answer of those endpoints that can be judged.
    fn median_of_others(&self, index: usize) -> Option<f64> {
        let others = self.members.iter().filter(|(other, _)| **other != index);
        let seen = others.map(|(_, member)| member.seen());
        let mut means: Vec<f64> =
            seen.filter(|(answers, ..)| *answers >= MIN_ANSWERS).map(|(_, _, mean)| mean).collect();
        means.sort_by(f64::total_cmp);
        means.get(means.len() / 2).copied()
    }

    /// Whether one more may be out.
    fn has_room(&self) -> bool {
        let out = self.members.values().filter(|member| member.out.is_some()).count();
        (out + 1) as f64 <= self.rules.max_share * self.members.len() as f64
            && out + 1 < self.members.len()
    }
}

// === impl Member ===

impl Member {
    fn count(&mut self, outcome: Outcome, now: Instant) {
        let current = self.late.current(now);
        current.answers += 1;
        match outcome {
            Outcome::Answered(took) => {
                self.broken = 0;
                current.took += took;
            }
            // It can be reached.
            Outcome::Error => {
                self.broken = 0;
                current.errors += 1;
            }
            Outcome::Broken => {
                self.broken += 1;
                current.errors += 1;
            }
        }
    }

    /// Answers, errors among them, and the mean seconds to one that was none.
    fn seen(&self) -> (u32, u32, f64) {
        let (current, previous) = self.late.both();
        let answers = current.answers + previous.answers;
        let errors = current.errors + previous.errors;
        let took = (current.took + previous.took).as_secs_f64();
        (answers, errors, took / f64::from((answers - errors).max(1)))
    }

    fn eject(&mut self, rules: &EjectionRules, cause: Cause, now: Instant) {
        // Who was well for as long as the longest ejection begins anew.
        if now.saturating_duration_since(self.back) >= rules.max_time {
            self.times = 0;
        }
        let factor = 1u32.checked_shl(self.times).unwrap_or(u32::MAX);
        let time = rules.base_time.saturating_mul(factor).min(rules.max_time);
        self.times = self.times.saturating_add(1);
        self.out = Some((now + time, cause));
        // What was held against it is dealt with.
        (self.broken, self.late) = (0, TwoWindows::new(WINDOW, now));
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "simulated time needs a start")]
mod tests;
