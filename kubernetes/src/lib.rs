//! Tidegate on Kubernetes: what its resource looks like, who may act, and how the API server is
//! asked.
//!
//! # Layout
//!
//! - [`crd`]: the `InferenceApi` resource's definition, made of the document's own schema. Pure.
//! - `structural`: JSON schema → what Kubernetes takes of it. Pure.
//! - [`lease`]: who of several may write, as a state machine. Pure.
//! - [`resource`]: what the resource is called, and its objects as documents.
//!
//! The sidecar never has any of it: a test keeps the client out of its slim build.

pub mod crd;
pub mod lease;
pub mod resource;
mod structural;

// Its types are part of this crate's own interface.
pub use k8s_openapi;
pub use kube;
