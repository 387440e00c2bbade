//! What a tick has made of things, as the status and the gauges tell it.

use super::{ApiControl, Control};
use crate::local::{Fleet, Phase, Replica};
use crate::rollouts::RolloutControl;
use crate::sample::ReplicaSample;
use crate::status::{ApiStatus, ReplicaState, ReplicaStatus, RolloutStatus, Status};
use std::sync::PoisonError;

impl Control {
    /// Makes the status and the gauges say what is.
    pub(crate) fn publish(&self) {
        let apis: Vec<ApiStatus> = self.apis.iter().map(|api| self.api_status(api)).collect();
        for api in &apis {
            self.metrics.replicas(&api.name, api.wanted, api.ready);
        }
        let rollouts: Vec<RolloutStatus> =
            self.rollouts.iter().map(RolloutControl::status).collect();
        for rollout in &self.rollouts {
            self.metrics.rollout(&rollout.api, rollout.weight());
        }
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = Status { apis, rollouts };
    }

    fn api_status(&self, api: &ApiControl) -> ApiStatus {
        let fleet = self.local.fleet(&api.name);
        let replicas: Vec<ReplicaStatus> = fleet
            .map_or(&[][..], Fleet::replicas)
            .iter()
            .map(|replica| replica_status(replica, api.sources.replica(&replica.id)))
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
            decisions: api.decisions.iter().cloned().collect(),
            replicas,
        }
    }
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
    }
}
