//! Local replicas for real: processes, signals, files. Sidecar and model are small Python scripts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod change;
mod failures;
mod life;
mod orphans;
mod restart;
mod world;
