//! The contract between Tidegate's parts. No IO.
//!
//! # Layout
//!
//! - [`document`]: the checked `InferenceApi`, what the rest of the code works with.
//! - [`endpoints`]: the file by which the autoscaler tells a gateway where replicas listen.
//! - [`names`]: metric, header and path names.
//! - [`reason`]: why the proxy refused or failed a request.

pub mod document;
pub mod endpoints;
pub mod names;
pub mod reason;
