//! The local target: replicas as processes on this machine.
//!
//! One replica is a model process and the sidecar process in front of it. Each has a task of its
//! own (`replica`), which tells `Local` (`target`) its news through one bounded channel. `Local` keeps the
//! list, starts and stops replicas, and writes the endpoints file.
//!
//! Replicas end with the autoscaler, however that ends: see [`crate::child`] and `watchdog`. Children
//! must be spawned by the thread that runs the runtime (see [`crate::child`]), so the
//! autoscaler needs a `current_thread` runtime on a thread that lives as long as itself.

mod backoff;
mod endpoints;
mod failure;
mod fleet;
mod give_up;
mod launch;
mod log;
mod make;
mod model;
mod port;
mod preflight;
mod process;
mod replica;
mod sidecar;
mod target;
mod watchdog;

pub use failure::{GaveUp, StartFailure};
pub(crate) use fleet::{Counts, Exchange, Fleet, Phase, Replica};
pub(crate) use make::Make;
pub use preflight::{PreflightError, preflight};
pub(crate) use target::{Local, LocalSettings};
