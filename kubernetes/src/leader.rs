//! Keeps a Lease in the API server: the edge around [`crate::lease`].

use crate::clock::Clock;
use crate::failure::{Failure, Tell};
use crate::lease::{Claim, Election, Record};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Which Lease, and who asks for it.
#[derive(Debug, Clone)]
pub struct LeaseSettings {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Our name, which no other process has.
    pub identity: String,
    /// How long it counts; whole seconds.
    pub duration: Duration,
}

/// Whether this process may write.
#[derive(Debug)]
pub struct Leader {
    clock: Clock,
    election: Mutex<Election>,
}

/// Keeps the Lease for one process.
pub struct Keeper {
    leases: Api<Lease>,
    settings: LeaseSettings,
    leader: Arc<Leader>,
    tell: Tell,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Leader {
    /// Whether it may write now.
    pub fn may_write(&self) -> bool {
        self.election().may_write(self.clock.now())
    }

    fn election(&self) -> MutexGuard<'_, Election> {
        // Nothing panics while it is held.
        self.election.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper {
    /// A keeper that has nothing yet.
    pub fn new(client: Client, settings: LeaseSettings, tell: Tell) -> Self {
        let election = Election::new(settings.identity.clone(), settings.duration);
        let leader = Leader { clock: Clock::start(), election: Mutex::new(election) };
        let leases = Api::namespaced(client, &settings.namespace);
        Self { leases, settings, leader: Arc::new(leader), tell }
    }

    /// Who knows whether this process may write.
    pub fn leader(&self) -> Arc<Leader> {
        Arc::clone(&self.leader)
    }

    /// Asks for the Lease and renews it until it is dropped.
    pub async fn keep(&self) -> Infallible {
        let period = self.leader.election().period();
        let mut failing = false;
        loop {
            match tokio::time::timeout(period * 2, self.turn()).await {
                Ok(Ok(())) => failing = false,
                Ok(Err(failure)) => self.failed(&failure, &mut failing),
                Err(_) => self.failed(&Failure::deadline(period * 2), &mut failing),
            }
            tokio::time::sleep(period).await;
        }
    }

    /// Gives the Lease back, if it is ours, so that another need not wait for its end.
    pub async fn release(&self) {
        let release = async {
            let Some(lease) = self.leases.get_opt(&self.settings.name).await? else {
                return Ok(false);
            };
            let record = record(&lease);
            if record.holder.as_deref() != Some(self.settings.identity.as_str()) {
                return Ok(false);
            }
            self.patch(&record, json!({"holderIdentity": "", "leaseDurationSeconds": 1})).await?;
            Ok::<bool, Failure>(true)
        };
        // Whatever comes of it: we write nothing more.
        self.leader.election().refused();
        match tokio::time::timeout(self.settings.duration / 3, release).await {
            Ok(Ok(true)) => tracing::info!("gives the lease back"),
            Ok(Ok(false)) => {}
            Ok(Err(failure)) => tracing::warn!(%failure, "can't give the lease back"),
            Err(_) => tracing::warn!("can't give the lease back in time"),
        }
    }

    /// One look at the Lease, and what follows from it.
    async fn turn(&self) -> Result<(), Failure> {
        let lease = self.leases.get_opt(&self.settings.name).await?;
        let clock = self.leader.clock;
        let claim = self.leader.election().observe(lease.as_ref().map(record), clock.now());
        let Some(claim) = claim else { return Ok(()) };
        // Our time counts from before the claim is sent: the others' begins when it has arrived.
        let sent = clock.now();
        let done = match &claim {
            Claim::Create => self.create().await,
            Claim::Renew(record) => self.patch(record, self.spec()).await,
            Claim::Take(record) => {
                let mut spec = self.spec();
                spec["acquireTime"] = now();
                spec["leaseTransitions"] = json!(record.transitions.saturating_add(1));
                self.patch(record, spec).await
            }
        };
        match done {
            Ok(()) => {
                if !matches!(claim, Claim::Renew(_)) {
                    tracing::info!(lease = self.settings.name, "has the lease");
                }
                self.leader.election().claimed(sent);
                Ok(())
            }
            // Another was faster, which is no fault; the next look tells who.
            Err(failure) if failure.code == "conflict" => {
                self.leader.election().refused();
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    fn failed(&self, failure: &Failure, failing: &mut bool) {
        (self.tell)("leases", failure.code);
        if !std::mem::replace(failing, true) {
            tracing::warn!(lease = self.settings.name, %failure, "can't ask for the lease");
        }
    }

    /// What every claim says.
    fn spec(&self) -> Value {
        json!({
            "holderIdentity": self.settings.identity,
            "leaseDurationSeconds": self.settings.duration.as_secs().max(1),
            "renewTime": now(),
        })
    }

    async fn create(&self) -> Result<(), Failure> {
        let mut spec = self.spec();
        spec["acquireTime"] = now();
        spec["leaseTransitions"] = json!(0);
        let lease = json!({"metadata": {"name": self.settings.name}, "spec": spec});
        // Plain data of the type's own shape.
        let lease: Lease = serde_json::from_value(lease).map_err(kube::Error::SerdeError)?;
        self.leases.create(&PostParams::default(), &lease).await?;
        Ok(())
    }

    /// Changes the Lease, unless it has changed since it was read.
    async fn patch(&self, read: &Record, spec: Value) -> Result<(), Failure> {
        let patch = json!({"metadata": {"resourceVersion": read.version}, "spec": spec});
        let params = PatchParams::default();
        self.leases.patch(&self.settings.name, &params, &Patch::Merge(&patch)).await?;
        Ok(())
    }
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let whole = |count: Option<i32>| count.and_then(|count| u32::try_from(count).ok());
    Record {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        duration: Duration::from_secs(u64::from(whole(spec.lease_duration_seconds).unwrap_or(0))),
        transitions: whole(spec.lease_transitions).unwrap_or(0),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

/// The time of day with the six digits that the API server wants.
fn now() -> Value {
    json!(format!("{:.6}", Clock::wall()))
}
