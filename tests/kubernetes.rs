//! The autoscaler on Kubernetes: the real program and its real client, against an API server, pods
//! and sidecars made here.
//!
//! - `api_server`: a small API server over HTTP, with faults on demand; `answer`: what it answers;
//! - `request`: what a request asks for; `store`: the objects, as an API server keeps them; `watch`:
//!   what has changed, as it is told; `apply`: server-side apply; `log`: logs of containers;
//!   `legacy_events`: events of `v1`;
//! - `schema`: what the resource's definition makes of an object;
//! - `cluster`: deployments that get pods, and autoscalers; `sidecars`: the load that pods tell;
//! - `tokens`: service accounts' tokens;
//! - `front`: a gateway, and pods with real sidecars;
//! - `walk`: the steps that a real API server must pass too.

mod annotated;
mod answer;
mod api_server;
mod apply;
mod cluster;
mod command;
mod faults;
mod front;
mod gateway;
mod injector;
mod leadership;
mod legacy_events;
mod log;
mod many;
mod others;
mod recorded;
mod request;
mod rights;
mod rollout;
mod scaling;
mod schema;
mod sidecars;
mod slices;
mod store;
mod template;
mod tokens;
mod waking;
mod walk;
mod watch;
