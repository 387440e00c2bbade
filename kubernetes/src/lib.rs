//! Tidegate on Kubernetes: what its resource looks like, who may act, and how the API server is
//! asked.
//!
//! # Layout
//!
//! - [`crd`]: the `InferenceApi` resource's definition, made of the document's own schema. Pure.
//! - `structural`: JSON schema → what Kubernetes takes of it. Pure.
//! - [`facts`]: objects of the cluster → what is needed of them. Pure.
//! - `lease`: who of several may write, as a state machine. Pure.
//! - [`owned`]: what is made of an API with a pod template. Pure.
//! - [`resource`]: what the resource is called, and its objects as documents. Pure.
//! - [`scalable`]: what a `/scale` says of targets whose kinds nobody watches. Pure.
//! - [`asked`]: a Deployment's annotations as a document. Pure.
//! - `slice`: the addresses behind a Service. Pure.
//! - `claims`: the resources, and the Deployments that ask by annotations. Pure.
//! - `rival`: other autoscalers' claims to what is scaled. Pure.
//! - [`connect`]: a client, from the user's configuration or the pod's account.
//! - [`watch`]: one list and watch for each kind, kept as facts; of other kinds their `/scale`.
//! - [`rollout`]: what a status says of a version that takes over. Pure.
//! - [`view`]: the facts as a scaling tick sees them. Pure.
//! - [`serving`]: the facts as a gateway sees them. Pure.
//! - [`leader`]: keeps the Lease.
//! - [`write`]: scales, statuses, events, what is made of templates; each only while the Lease is ours.
//! - [`callers`]: whose token somebody has.
//! - [`apis`]: InferenceApis as a person's tool reads and changes them; [`target`]: what they scale;
//!   [`logs`]: what its pods write.
//! - [`doctor`]: looks over a cluster's set-up.
//! - [`injector`]: gives pods their sidecars.
//! - [`failure`]: why the API server did not do what was asked; `patience`: how long until it is asked again.
//!
//! The sidecar never has any of it: a test keeps the client out of its slim build.

pub mod apis;
pub mod asked;
pub mod callers;
mod claims;
mod clock;
pub mod connect;
pub mod crd;
pub mod doctor;
pub mod facts;
pub mod failure;
pub mod injector;
pub mod leader;
mod lease;
pub mod logs;
pub mod owned;
mod patience;
pub mod resource;
mod rival;
pub mod rollout;
pub mod scalable;
pub mod serving;
mod slice;
mod structural;
pub mod target;
pub mod view;
pub mod watch;
pub mod write;

// Its types are part of this crate's own interface.
pub use k8s_openapi;
pub use kube;
