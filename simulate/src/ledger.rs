//! What became of each request, and what that adds up to.

use crate::scene::Objective;
use crate::span::{Nanos, seconds};
use serde::Serialize;

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It has not come yet.
    Coming,
    /// It waits.
    Waiting,
    /// It runs.
    Running,
    /// It was answered.
    Served,
    /// There was no room, or it waited too long.
    Refused,
    /// Its replica failed.
    Failed,
}

/// Every request's state and wait.
#[derive(Debug)]
pub(crate) struct Ledger {
    states: Vec<State>,
    /// From its coming to its start, or until it was refused.
    waits: Vec<Nanos>,
}

/// Counts and waits of some requests. `arrived` is the sum of the five counts after it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Tally {
    /// Requests that came.
    pub(crate) arrived: usize,
    /// Answered.
    pub(crate) served: usize,
    /// Turned away: no room, or no slot in time.
    pub(crate) refused: usize,
    /// Lost with a replica that failed.
    pub(crate) failed: usize,
    /// Waiting at the end.
    pub(crate) waiting: usize,
    /// Running at the end.
    pub(crate) running: usize,
    /// Waited longer than the objective, or got no answer.
    pub(crate) late: usize,
    /// Share of those that came.
    pub(crate) late_share: f64,
    /// Seconds that half of those that ran waited at most; nothing where none ran.
    pub(crate) wait_p50: Option<f64>,
    /// Seconds that 99 of 100 waited at most.
    pub(crate) wait_p99: Option<f64>,
    /// Seconds that the last waited.
    pub(crate) wait_max: Option<f64>,
}

impl Ledger {
    /// Nothing has come yet.
    pub(crate) fn new(requests: usize) -> Self {
        Self { states: vec![State::Coming; requests], waits: vec![0; requests] }
    }

    /// Where a request is.
    pub(crate) fn state(&self, request: usize) -> State {
        self.states[request]
    }

    /// A request goes on, after it has waited so long.
    pub(crate) fn set(&mut self, request: usize, state: State, waited: Nanos) {
        self.states[request] = state;
        self.waits[request] = waited;
    }

    /// A request that ran has ended.
    pub(crate) fn end(&mut self, request: usize, state: State) {
        self.states[request] = state;
    }

    /// How long a request waited.
    pub(crate) fn wait(&self, request: usize) -> Nanos {
        self.waits[request]
    }

    /// Whether a request is late, or will be for sure.
    pub(crate) fn is_late(&self, request: usize, objective: &Objective) -> bool {
        match self.states[request] {
            State::Coming => false,
            State::Refused | State::Failed => true,
            State::Waiting | State::Running | State::Served => self.waits[request] > objective.wait,
        }
    }

    /// The share of late ones among those that came, without the first `before` of all.
    pub(crate) fn late_share_after(&self, before: usize, objective: &Objective) -> f64 {
        let later = || before..self.states.len();
        let came = later().filter(|request| self.states[*request] != State::Coming).count();
        let late = later().filter(|request| self.is_late(*request, objective)).count();
        late as f64 / came.max(1) as f64
    }

    /// Adds up those of the requests that `chosen` chooses.
    pub(crate) fn tally(&self, objective: &Objective, chosen: impl Fn(usize) -> bool) -> Tally {
        let came: Vec<usize> = (0..self.states.len())
            .filter(|request| self.states[*request] != State::Coming && chosen(*request))
            .collect();
        let count = |state| came.iter().filter(|request| self.states[**request] == state).count();
        let late = came.iter().filter(|request| self.is_late(**request, objective)).count();
        let ran =
            |request: &&usize| matches!(self.states[**request], State::Served | State::Running);
        let mut waits: Vec<Nanos> =
            came.iter().filter(ran).map(|request| self.waits[*request]).collect();
        waits.sort_unstable();
        Tally {
            arrived: came.len(),
            served: count(State::Served),
            refused: count(State::Refused),
            failed: count(State::Failed),
            waiting: count(State::Waiting),
            running: count(State::Running),
            late,
            late_share: late as f64 / came.len().max(1) as f64,
            wait_p50: quantile(&waits, 0.5),
            wait_p99: quantile(&waits, 0.99),
            wait_max: waits.last().map(|last| seconds(*last)),
        }
    }
}

/// The smallest of the sorted `waits` that the share `of` is not above, in seconds.
fn quantile(waits: &[Nanos], of: f64) -> Option<f64> {
    let rank = (of * waits.len() as f64).ceil() as usize;
    waits.get(rank.saturating_sub(1)).map(|wait| seconds(*wait))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::SECOND;

    #[test]
    fn counts_add_up_and_who_gets_no_answer_is_late() {
        let mut ledger = Ledger::new(7);
        let all = [
            (State::Served, 0),
            (State::Served, 2),
            (State::Running, 1),
            (State::Waiting, 3),
            (State::Refused, 0),
            (State::Failed, 0),
        ];
        for (request, (state, waited)) in all.into_iter().enumerate() {
            ledger.set(request, state, waited * SECOND);
        }
        let objective = Objective { wait: SECOND, late: 0.01 };
        let tally = ledger.tally(&objective, |_| true);
        assert_eq!(tally.arrived, 6, "one has not come");
        let parts = [tally.served, tally.refused, tally.failed, tally.waiting, tally.running];
        assert_eq!(parts, [2, 1, 1, 1, 1]);
        assert_eq!(tally.late, 4, "served late, still waiting, refused, failed");
        assert_eq!([tally.wait_p50, tally.wait_p99, tally.wait_max], [1.0, 2.0, 2.0].map(Some));
        for before in 0..=7 {
            let later = ledger.tally(&objective, |request| request >= before);
            assert_eq!(ledger.late_share_after(before, &objective), later.late_share, "{before}");
        }
    }

    #[test]
    fn quantiles_are_waits_that_were() {
        let waits: Vec<Nanos> = (1..=200).map(|second| second * SECOND).collect();
        assert_eq!(quantile(&waits, 0.99), Some(198.0));
        assert_eq!(quantile(&waits, 0.5), Some(100.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
