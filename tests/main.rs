//! End-to-end tests with real processes, and the house's own rules.
//!
//! One binary: `support` is what the tests share, each other module is a group of tests.

#![expect(clippy::unwrap_used, reason = "a test that can't go on says so by a panic")]

mod admission;
mod balance;
mod cold;
mod edge;
mod gateway;
mod hygiene;
mod kubernetes;
mod routing;
mod sidecar;
mod support;
mod tidy;
mod up;
mod wire;
