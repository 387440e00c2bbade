//! What a tick has made of things, as the status and the gauges tell it.

use super::{ApiControl, Control, Stage};
use crate::local::{Exchange, Fleet, Phase, Replica};
use crate::rollouts::RolloutControl;
use crate::sample::ReplicaSample;
use crate::status::{ApiStatus, ReplacementStatus, ReplicaState, ReplicaStatus, RolloutStatus};
use std::sync::PoisonError;

impl Control {
    /// Makes the status and the gauges say what is.
    pub(crate) fn publish(&self) {
        let apis: Vec<ApiStatus> = self.apis.iter().map(|api| self.api_status(api)).collect();
        for api in &apis {
            self.metrics.replicas(&api.name, api.wanted, api.ready);
            let stopped = api.replacement.as_ref().is_some_and(|one| one.stopped.is_some());
            let outdated = api.replacement.as_ref().map_or(0, |one| one.outdated);
            self.metrics.replacement(&api.name, outdated, stopped);
        }
        let rollouts: Vec<RolloutStatus> =
            self.rollouts.iter().map(RolloutControl::status).collect();
        for rollout in &self.rollouts {
            self.metrics.rollout(&rollout.api, rollout.weight());
        }
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        (status.apis, status.rollouts) = (apis, rollouts);
    }

    fn api_status(&self, api: &ApiControl) -> ApiStatus {
        let fleet = self.local.fleet(&api.name);
        let replicas: Vec<ReplicaStatus> = fleet
            .map_or(&[][..], Fleet::replicas)
            .iter()
            .map(|replica| ReplicaStatus {
                outdated: fleet.is_some_and(|fleet| fleet.is_outdated(replica)),
                ..replica_status(replica, api.sources.replica(&replica.id))
            })
            .collect();
        let counts = self.counts(&api.name);
        let waiting = api.sources.held();
        ApiStatus {
            name: api.name.clone(),
            wanted: api.wanted,
            ready: counts.ready,
            starting: counts.starting,
            draining: counts.draining,
            in_flight: replicas.iter().map(|replica| replica.in_flight).sum(),
            queued: replicas.iter().map(|replica| replica.queued).sum::<u32>() + waiting,
            replacement: fleet.and_then(Fleet::exchange).map(replacement),
            trouble: fleet.and_then(Fleet::trouble).map(str::to_owned),
            leaving: api.stage != Stage::Scaled,
            decisions: api.decisions.iter().cloned().collect(),
            replicas,
        }
    }
}

fn replacement(exchange: Exchange<'_>) -> ReplacementStatus {
    let Exchange { outdated, stalled } = exchange;
    ReplacementStatus { outdated, stopped: stalled.map(str::to_owned) }
}

fn replica_status(replica: &Replica, last: Option<ReplicaSample>) -> ReplicaStatus {
    ReplicaStatus {
        id: replica.id.clone(),
        state: match replica.phase {
            Phase::Starting => ReplicaState::Starting,
            Phase::Ready => ReplicaState::Ready,
            Phase::Draining => ReplicaState::Draining,
        },
        address: replica.address,
        admin: replica.admin,
        in_flight: last.map_or(0, |sample| sample.in_flight),
        queued: last.map_or(0, |sample| sample.queued),
        sidecar_pid: replica.sidecar_pid,
        model_pid: replica.model_pid,
        sidecar_rss_bytes: last.and_then(|sample| sample.resident_bytes),
        restarts: replica.restarts,
        outdated: false,
    }
}
