//! Scaling on Kubernetes: `run --kubernetes`.
//!
//! The steps of a tick are those of [`crate::tick`], for what the API server tells:
//!
//! - `app`: the wiring: watches, the Lease, the ticks;
//! - `own`: applies what is made of the APIs that carry a pod template;
//! - `tick`: observe (pods' sidecars and gateways), aggregate, decide;
//! - `recorded`: observe by what a Prometheus has scraped;
//! - `scaled`: one API whose target is known, between ticks;
//! - `wake`: a tick of those APIs only for which a gateway holds requests;
//! - `door`: which gateways may ask for that;
//! - `act`: marks the pods that are to go, and patches `/scale`;
//! - `rolling`: versions that take over, step by step;
//! - `report`: the resources' statuses and events;
//! - `conditions`: a status as the resource has it. Pure;
//! - `retire`: which pods are to go. Pure;
//! - `metrics`: what only a cluster has to tell.
//!
//! Whoever does not hold the Lease watches and writes nothing. Whoever gets it knows how many
//! replicas there are, and nothing of the load: nothing shrinks before a whole window was seen.

mod act;
mod app;
mod args;
mod conditions;
mod door;
mod metrics;
mod own;
mod recorded;
mod report;
mod retire;
mod rolling;
mod scaled;
mod tick;
mod wake;

pub(crate) use app::{ClusterError, ClusterSettings, run};
pub(crate) use args::KubernetesArgs;
