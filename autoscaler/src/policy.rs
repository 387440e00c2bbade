//! The scaling rules, pure: standard library and plain numbers, time as an argument.
//!
//! In the order a decision is made: [`window`] (what was in flight), [`demand`] (how many replicas
//! that needs), [`bounds`] (rates, least and most), [`burst`] (a short window that may only grow),
//! [`hold`] (wait before shrinking), [`idle`] (may the last one go). [`decide`] puts them together.
//!
//! A moment is a [`std::time::Duration`] since the process began, on a clock that never goes back.

pub mod bounds;
pub mod burst;
pub mod decide;
pub mod demand;
pub mod hold;
pub mod idle;
pub mod reason;
pub mod window;
