//! The autoscaler on Kubernetes: the real program and its real client, against an API server, pods
//! and sidecars made here.
//!
//! - `api_server`: a small API server over HTTP, with faults on demand;
//! - `request`: what a request asks for; `store`: the objects, as an API server keeps them; `watch`:
//!   what has changed, as it is told;
//! - `cluster`: deployments that get pods, pods with sidecars that tell a load, autoscalers.

mod api_server;
mod cluster;
mod faults;
mod leadership;
mod many;
mod request;
mod scaling;
mod store;
mod watch;
