//! Tidegate's control plane: reads what the proxies measure and resizes what is behind them.
//!
//! # The life of a decision
//!
//! `tick` runs it, once a second and whenever a gateway wakes a sleeping API:
//!
//! 1. observe: `scrape` asks every sidecar and the gateway; `sample` reads their metrics;
//! 2. aggregate: `load` turns counters into what was in flight, each request counted once,
//!    `traffic` into what came and went;
//! 3. decide: [`policy::decide`] says how many replicas, and by which rule;
//! 4. act: [`local`] starts, exchanges and drains replicas, and writes the endpoints file;
//! 5. explain: a log line, `metrics`, and [`status`] behind the port of `admin`.
//!
//! `rollouts` moves requests between the versions of an API, by [`policy::rollout`].
//! `follow` looks whether documents have changed; a [`Handle`] puts them in force between two ticks.
//! On Kubernetes `cluster` runs the same steps for what the API server tells.
//! `inject` gives pods their sidecars.
//! `decide` makes the same decisions from lines on standard input.
//!
//! [`policy`] is pure: no clock, no sockets. `clock` reads the clock, [`App`] does the wiring.

mod admin;
mod app;
mod args;
mod calendar;
mod calls;
mod child;
mod clock;
#[cfg(feature = "kubernetes")]
mod cluster;
mod decide;
mod documents;
mod door;
mod explain;
mod follow;
mod handle;
#[cfg(feature = "kubernetes")]
mod inject;
mod line;
mod listener;
pub mod load;
pub mod local;
mod log;
mod metric_source;
mod metrics;
mod places;
pub mod policy;
mod prometheus;
mod replace;
mod rollouts;
pub mod sample;
mod scaling;
mod scrape;
mod sources;
mod state;
pub mod status;
mod tick;
pub mod traffic;

pub use app::{App, Settings, StartError};
pub use args::{RunArgs, run};
pub use calendar::Calendar;
pub use child::{ChildArgs, child};
pub use decide::{DecideArgs, decide};
pub use follow::Follow;
pub use handle::Handle;
#[cfg(feature = "kubernetes")]
pub use inject::{InjectArgs, inject};
pub use scaling::scaling;
pub use status::Status;
pub use tick::{Prepared, Unfit};
