//! The replicas of one API, as plain facts, and the choice which of them go first. No processes.

use super::replica::{News, Order};
use super::{StartFailure, backoff};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tidegate_api::document::InferenceApi;
use tidegate_api::endpoints::{EndpointEntry, EndpointState};
use tokio::sync::watch;

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
    pub(super) log: PathBuf,
    pub(super) orders: watch::Sender<Order>,
}

/// The replicas of one API, oldest first.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(super) api: Arc<InferenceApi>,
    pub(super) program: PathBuf,
    pub(super) python_bin: Option<PathBuf>,
    pub(super) replicas: Vec<Replica>,
    pub(super) started: u64,
    pub(super) was_ready: bool,
    pub(super) failures: u32,
    pub(super) next_start: Duration,
}

/// How many replicas are in which phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) starting: u32,
    pub(crate) ready: u32,
    pub(crate) draining: u32,
}

impl Fleet {
    pub(super) fn new(
        api: Arc<InferenceApi>,
        program: PathBuf,
        python_bin: Option<PathBuf>,
    ) -> Self {
        Self {
            api,
            program,
            python_bin,
            replicas: Vec::new(),
            started: 0,
            was_ready: false,
            failures: 0,
            next_start: Duration::ZERO,
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

    /// Takes news of one replica into account; returns the failure if a start failed.
    pub(super) fn learn(&mut self, id: &str, news: News, now: Duration) -> Option<Failed> {
        let replica = self.replicas.iter_mut().find(|replica| replica.id == id)?;
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
                (self.was_ready, self.failures, self.next_start) = (true, 0, Duration::ZERO);
                if replica.phase == Phase::Starting {
                    replica.phase = Phase::Ready;
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
                self.failures = self.failures.saturating_add(1);
                self.next_start = now + backoff::wait(self.failures);
                return Some(Failed { failure, log });
            }
        }
        None
    }

    /// Which `many` replicas go first: starting ones, then the least busy, then the newest.
    pub(super) fn cheapest(&self, many: usize, busy: &dyn Fn(&str) -> u32) -> Vec<String> {
        let mut live: Vec<(usize, &Replica)> = self
            .replicas
            .iter()
            .enumerate()
            .filter(|(_, replica)| replica.phase != Phase::Draining)
            .collect();
        live.sort_by_key(|(age, replica)| {
            (replica.phase, busy(&replica.id), std::cmp::Reverse(*age))
        });
        live.into_iter().take(many).map(|(_, replica)| replica.id.clone()).collect()
    }

    /// What the endpoints file says of this API.
    pub(super) fn endpoints(&self) -> Vec<EndpointEntry> {
        let entry = |replica: &Replica| {
            Some(EndpointEntry {
                id: replica.id.clone(),
                address: replica.address?,
                admin: replica.admin,
                concurrency: self.api.concurrency.limit.get(),
                state: match replica.phase {
                    Phase::Draining => EndpointState::Draining,
                    Phase::Starting | Phase::Ready => EndpointState::Active,
                },
            })
        };
        self.replicas.iter().filter_map(entry).collect()
    }
}

/// A start that failed, and where its output is.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) failure: StartFailure,
    pub(super) log: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(id: &str, phase: Phase) -> Replica {
        Replica {
            id: id.to_owned(),
            phase,
            address: None,
            admin: None,
            sidecar_pid: None,
            model_pid: None,
            restarts: 0,
            port: 0,
            log: PathBuf::new(),
            orders: watch::Sender::new(Order::Live),
        }
    }

    fn fleet(replicas: Vec<Replica>) -> Fleet {
        let text = "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {name: api}\n\
                    spec: {container: {command: [model]}}\n";
        let api = tidegate_api::parse(text, "test", std::path::Path::new("/")).unwrap().remove(0);
        Fleet { replicas, ..Fleet::new(Arc::new(api), PathBuf::new(), None) }
    }

    #[test]
    fn starting_ones_go_first_then_the_least_busy_then_the_newest() {
        use Phase::{Draining, Ready, Starting};
        let phases = [("a", Ready), ("b", Ready), ("c", Starting), ("d", Ready), ("e", Draining)];
        let fleet = fleet(phases.map(|(id, phase)| replica(id, phase)).into());
        let busy = |id: &str| u32::from(id == "d") * 3;
        assert_eq!(fleet.cheapest(9, &busy), ["c", "b", "a", "d"]);
        assert_eq!(fleet.cheapest(2, &busy), ["c", "b"]);
        assert_eq!(fleet.counts(), Counts { starting: 1, ready: 3, draining: 1 });
    }

    #[test]
    fn a_draining_replica_never_becomes_ready_again() {
        let mut fleet = fleet(vec![replica("a", Phase::Draining)]);
        assert!(fleet.learn("a", News::Ready, Duration::ZERO).is_none());
        assert_eq!(fleet.replicas()[0].phase, Phase::Draining);
    }

    #[test]
    fn failed_starts_wait_longer_each_time_until_one_is_ready() {
        let mut fleet = fleet(vec![replica("a", Phase::Starting)]);
        let now = Duration::from_secs(100);
        let waits = [0, 1, 2, 4].map(|wait| {
            fleet.learn("a", News::Failed(StartFailure::NotReady(now)), now).unwrap();
            (fleet.next_start - now, Duration::from_secs(wait))
        });
        assert!(waits.iter().all(|(got, want)| got == want), "{waits:?}");
        fleet.learn("a", News::Ready, now);
        assert_eq!((fleet.failures, fleet.was_ready, fleet.next_start), (0, true, Duration::ZERO));
    }
}
