//! `tidegate simulate`: the scaling rules against a trace or a made-up load, in virtual time.
//!
//! # How it goes
//!
//! 1. [`SimulateArgs`] are read: `document` (the simulated API, by the names it has in a file),
//!    `scene` (replicas, proxies, the autoscaler's rhythm), `workload` (the requests).
//! 2. `comparison` plays the workload once for each policy, and `sweep` for each setting.
//! 3. `engine` is the play: `events` in virtual time, `gateway` (the proxy's own admission and
//!    balancing), `fleet` (replicas and what they cost), `autoscaler` with `rule` (the control
//!    plane's own rules, fed by its own meters), `ledger` (what became of each request).
//! 4. `optimum` says what someone who knows the future would have done.
//! 5. `report` and `plot` show it.
//!
//! Equal arguments give equal results, byte for byte.

mod args;
mod autoscaler;
mod clock;
mod comparison;
mod distribution;
mod document;
mod engine;
mod error;
mod events;
mod fleet;
mod gateway;
mod ledger;
mod optimum;
mod outcome;
mod plot;
mod report;
mod rule;
mod scene;
mod seed;
mod span;
mod sweep;
mod workload;

#[cfg(test)]
use args::run_to;
pub use args::{SimulateArgs, run};
pub use error::SimulateError;
