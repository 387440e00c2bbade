//! Rules without IO: nothing here awaits, opens, reads a clock or draws a random number.
//!
//! A file here uses the standard library and its siblings only. Time is an argument.

pub mod admission;
pub mod choice;
pub mod claim;
pub mod consistent_hash;
pub mod drain_rate;
pub mod ejection;
pub mod free;
pub mod heap;
pub mod hedging;
pub mod integral;
pub mod least_loaded;
pub mod limit;
pub mod line;
pub mod member;
pub mod model_field;
pub mod models;
pub mod overload;
pub mod percentile;
pub mod power_of_two;
pub mod precedence;
pub mod prompt;
pub mod queue;
pub mod rate;
pub mod retry_budget;
pub mod route;
pub mod server_names;
pub mod service_time;
pub mod slots;
pub mod slow_start;
pub mod split;
pub mod split_mix;
pub mod tenants;
pub mod token_stream;
pub mod tokens;
pub mod two_windows;
