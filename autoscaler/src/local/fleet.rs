//! The replicas of one API, as plain facts, and the choice which of them go. No processes.

use super::StartFailure;
use super::backoff;
use super::make::Make;
use super::replica::{News, Order};
use crate::policy::replacement::{Allowance, Live, Moves, Part, Standing, plan};
use crate::scaling::allowance;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tidegate_api::endpoints::{EndpointEntry, EndpointState};
use tokio::sync::watch;

/// Failed starts in a row after which an API, or its new make, is taken for one that can't be started.
const STALLS_AFTER: u32 = 3;

/// Where all replicas listen on one port there can be but one: it goes before the next comes.
const ONE_AT_A_TIME: Allowance = Allowance { surge: Part::Count(0), unavailable: Part::Count(1) };

/// Where a replica is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Not ready yet, or its model is being restarted.
    Starting,
    /// Its sidecar said it can serve.
    Ready,
    /// It finishes what it has and then goes.
    Draining,
}

/// One replica.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) id: String,
    pub(crate) phase: Phase,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) sidecar_pid: Option<u32>,
    pub(crate) model_pid: Option<u32>,
    pub(crate) restarts: u32,
    /// The model's own.
    pub(crate) port: u16,
    pub(super) make: Arc<Make>,
    /// How many tries the fleet had had when its start began.
    pub(super) tries_before: u32,
    pub(super) log: PathBuf,
    pub(super) orders: watch::Sender<Order>,
}

/// The replicas of one API, oldest first.
#[derive(Debug)]
pub(crate) struct Fleet {
    /// What replicas are to be made of.
    pub(super) make: Arc<Make>,
    /// Whether one of that make was ready.
    is_proven: bool,
    /// What they were made of before, while some of it are left or may be needed again.
    before: Option<Arc<Make>>,
    /// Failed starts in a row of replicas of that make.
    make_failures: u32,
    /// Failed starts, ever. Of those that were on their way together the first counts: they are one try,
    /// however many replicas are wanted.
    pub(super) tries: u32,
    /// Why the last start failed, if none has been ready since.
    trouble: Option<String>,
    /// Why the make of before stays in force: those of the new one don't get ready.
    stalled: Option<String>,
    pub(super) replicas: Vec<Replica>,
    pub(super) started: u64,
    pub(super) was_ready: bool,
    pub(super) failures: u32,
    pub(super) next_start: Duration,
    /// Its API is gone: nothing is started any more.
    pub(super) is_retired: bool,
    /// Whether it was there from the beginning: only then can its failure be the end of all.
    pub(super) is_founding: bool,
}

/// How many replicas are in which phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) starting: u32,
    pub(crate) ready: u32,
    pub(crate) draining: u32,
}

/// How the exchange of an API's replicas goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exchange<'a> {
    /// Replicas made as before, besides those that drain.
    pub(crate) outdated: u32,
    /// Why it has stopped, if it has.
    pub(crate) stalled: Option<&'a str>,
}

impl Fleet {
    pub(super) fn new(make: Make) -> Self {
        Self {
            make: Arc::new(make),
            is_proven: false,
            before: None,
            make_failures: 0,
            tries: 0,
            trouble: None,
            stalled: None,
            replicas: Vec::new(),
            started: 0,
            was_ready: false,
            failures: 0,
            next_start: Duration::ZERO,
            is_retired: false,
            is_founding: true,
        }
    }

    /// The replicas, oldest first.
    pub(crate) fn replicas(&self) -> &[Replica] {
        &self.replicas
    }

    /// How many are in which phase.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for replica in &self.replicas {
            match replica.phase {
                Phase::Starting => counts.starting += 1,
                Phase::Ready => counts.ready += 1,
                Phase::Draining => counts.draining += 1,
            }
        }
        counts
    }

    /// Whether a replica is made of something else than replicas are to be made of.
    pub(crate) fn is_outdated(&self, replica: &Replica) -> bool {
        !replica.make.is_as(&self.make)
    }

    /// Why the last start failed, if none has been ready since.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Whether nothing of it is ready, and the starts since fail again and again.
    pub(super) fn is_hopeless(&self) -> bool {
        let is_ready = |replica: &Replica| replica.phase == Phase::Ready;
        self.failures >= STALLS_AFTER && !self.replicas.iter().any(is_ready)
    }

    /// What has failed so far says nothing any more.
    pub(super) fn try_anew(&mut self) {
        (self.failures, self.next_start) = (0, Duration::ZERO);
    }

    /// The exchange of replicas, while there is one.
    pub(crate) fn exchange(&self) -> Option<Exchange<'_>> {
        let live = self.replicas.iter().filter(|replica| replica.phase != Phase::Draining);
        let outdated = live.filter(|replica| self.is_outdated(replica)).count();
        let outdated = u32::try_from(outdated).unwrap_or(u32::MAX);
        let stalled = self.stalled.as_deref();
        (outdated > 0 || stalled.is_some()).then_some(Exchange { outdated, stalled })
    }

    /// From now on replicas are made of this. Says whether that makes those that are outdated.
    pub(super) fn revise(&mut self, make: Make) -> bool {
        let differs = !self.make.is_as(&make);
        let make = Arc::new(make);
        let old = std::mem::replace(&mut self.make, Arc::clone(&make));
        if differs {
            if self.is_proven {
                self.before = Some(old);
            }
            // Back to what it was: that is known to work.
            let is_ready = |replica: &Replica| replica.phase == Phase::Ready;
            self.is_proven = self.before.as_ref().is_some_and(|before| before.is_as(&make))
                || self.replicas.iter().any(|one| is_ready(one) && one.make.is_as(&make));
            (self.make_failures, self.stalled) = (0, None);
            (self.failures, self.next_start) = (0, Duration::ZERO);
            self.forget_before();
        }
        differs
    }

    /// What the next replica is made of.
    pub(super) fn next_make(&self) -> &Arc<Make> {
        match (&self.before, &self.stalled) {
            (Some(before), Some(_)) => before,
            _ => &self.make,
        }
    }

    /// What to start and to stop now, so that there are `wanted` replicas and none is outdated.
    pub(super) fn moves(&self, wanted: u32) -> Moves {
        let mut standing = Standing { wanted, ..Standing::default() };
        for replica in self.replicas.iter().filter(|replica| replica.phase != Phase::Draining) {
            // While the old make is in force, those made of it are as they should be.
            let is_outdated = self.stalled.is_none() && self.is_outdated(replica);
            let of = if is_outdated { &mut standing.outdated } else { &mut standing.current };
            add(of, replica.phase);
        }
        let one_port = self.next_make().has_fixed_port();
        let allowance =
            if one_port { ONE_AT_A_TIME } else { allowance(&self.make.api.rolling_update) };
        let moves = plan(standing, allowance);
        let start = match (one_port, self.is_retired) {
            (_, true) => 0,
            // Also one that drains still holds the port.
            (true, _) if !self.replicas.is_empty() => 0,
            _ => moves.start,
        };
        Moves { start, ..moves }
    }

    /// Which replicas these moves stop: of those that may go the starting, then the least busy, then
    /// the newest.
    pub(super) fn leaving(&self, moves: Moves, busy: &dyn Fn(&str) -> u32) -> Vec<String> {
        let is_outdated = |replica: &Replica| self.stalled.is_none() && self.is_outdated(replica);
        let old = |phase| move |replica: &Replica| is_outdated(replica) && replica.phase == phase;
        let (starting, ready) = (old(Phase::Starting), old(Phase::Ready));
        let mut leaving = self.cheapest(moves.stop_outdated_starting, busy, &starting);
        leaving.extend(self.cheapest(moves.stop_outdated_ready, busy, &ready));
        leaving.extend(self.cheapest(moves.stop_current, busy, &|replica| !is_outdated(replica)));
        leaving
    }

    fn cheapest(
        &self,
        many: u32,
        busy: &dyn Fn(&str) -> u32,
        may_go: &dyn Fn(&Replica) -> bool,
    ) -> Vec<String> {
        let mut live: Vec<(usize, &Replica)> = self
            .replicas
            .iter()
            .enumerate()
            .filter(|(_, replica)| replica.phase != Phase::Draining && may_go(replica))
            .collect();
        live.sort_by_key(|(age, replica)| {
            (replica.phase, busy(&replica.id), std::cmp::Reverse(*age))
        });
        live.into_iter().take(many as usize).map(|(_, replica)| replica.id.clone()).collect()
    }

    /// Takes news of one replica into account.
    pub(super) fn learn(&mut self, id: &str, news: News, now: Duration) -> Lesson {
        let Some(replica) = self.replicas.iter_mut().find(|replica| replica.id == id) else {
            return Lesson::Nothing;
        };
        let is_current = replica.make.is_as(&self.make);
        match news {
            News::Model { pid, restarts } => {
                replica.model_pid = Some(pid);
                replica.restarts = restarts;
            }
            News::Bound { address, admin, pid } => {
                (replica.address, replica.admin) = (Some(address), Some(admin));
                replica.sidecar_pid = Some(pid);
            }
            News::Ready => {
                if replica.phase == Phase::Starting {
                    replica.phase = Phase::Ready;
                }
                (self.was_ready, self.failures, self.next_start) = (true, 0, Duration::ZERO);
                self.trouble = None;
                if is_current {
                    (self.is_proven, self.make_failures) = (true, 0);
                }
            }
            News::Died => {
                replica.model_pid = None;
                if replica.phase == Phase::Ready {
                    replica.phase = Phase::Starting;
                }
            }
            News::Leaving => replica.phase = Phase::Draining,
            News::Gone => self.replicas.retain(|replica| replica.id != id),
            News::Failed(failure) => {
                let log = replica.log.clone();
                self.trouble = Some(failure.to_string());
                let is_first = replica.tries_before == self.tries;
                self.tries = self.tries.saturating_add(u32::from(is_first));
                replica.tries_before = self.tries;
                if is_first {
                    self.failures = self.failures.saturating_add(1);
                }
                self.next_start = now + backoff::wait(self.failures);
                let stalls = is_first && is_current && self.count_failure(&failure);
                return Lesson::Failed { failure, log, stalls };
            }
        }
        if self.forget_before() { Lesson::Exchanged } else { Lesson::Nothing }
    }

    /// Counts a failed start of the make that replicas should have. Says whether with this one the
    /// make of before is in force again.
    fn count_failure(&mut self, failure: &StartFailure) -> bool {
        self.make_failures = self.make_failures.saturating_add(1);
        let stalls =
            self.before.is_some() && self.stalled.is_none() && self.make_failures >= STALLS_AFTER;
        if stalls {
            self.stalled = Some(failure.to_string());
            // That one has not failed.
            (self.failures, self.next_start) = (0, Duration::ZERO);
        }
        stalls
    }

    /// Forgets the make of before once all have the new one and it works. Says whether it did.
    fn forget_before(&mut self) -> bool {
        let is_over = self.before.is_some() && self.is_proven && self.exchange().is_none();
        if is_over {
            self.before = None;
        }
        is_over
    }

    /// The replicas of a make that does not get ready.
    pub(super) fn hopeless(&self) -> Vec<String> {
        let is_hopeless =
            |replica: &&Replica| replica.phase == Phase::Starting && !self.is_outdated(replica);
        self.replicas.iter().filter(is_hopeless).map(|replica| replica.id.clone()).collect()
    }

    /// What the endpoints file says of this API.
    pub(super) fn endpoints(&self) -> Vec<EndpointEntry> {
        let entry = |replica: &Replica| {
            Some(EndpointEntry {
                id: replica.id.clone(),
                address: replica.address?,
                admin: replica.admin,
                concurrency: replica.make.api.concurrency.limit.get(),
                state: match replica.phase {
                    Phase::Draining => EndpointState::Draining,
                    Phase::Starting | Phase::Ready => EndpointState::Active,
                },
            })
        };
        self.replicas.iter().filter_map(entry).collect()
    }
}

fn add(live: &mut Live, phase: Phase) {
    match phase {
        Phase::Starting => live.starting += 1,
        Phase::Ready => live.ready += 1,
        Phase::Draining => {}
    }
}

/// What came of news.
#[derive(Debug)]
pub(super) enum Lesson {
    /// Nothing that anybody waits for.
    Nothing,
    /// All replicas are made as they should be.
    Exchanged,
    /// A start failed.
    Failed {
        /// Why.
        failure: StartFailure,
        /// Where its output is.
        log: PathBuf,
        /// Whether the make of before is in force again.
        stalls: bool,
    },
}

#[cfg(test)]
mod tests;
