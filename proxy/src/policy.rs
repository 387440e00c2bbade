//! Rules without IO: nothing here awaits, opens, reads a clock or draws a random number.
//!
//! A file here uses the standard library and its siblings only. Time is an argument.

pub mod admission;
pub mod drain_rate;
pub mod integral;
pub mod queue;
pub mod route;
pub mod slots;
