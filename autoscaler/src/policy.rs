//! The scaling rules, pure: standard library and plain numbers, time as an argument.
//!
//! [`decide`] puts a decision together: a [`rule`] makes a wish of an [`observation`], then come the
//! least and the most ([`bounds`]) and the last replica's gate ([`idle`]). A [`decision`] is a
//! number with a [`reason`], and says so in a [`sentence`].
//!
//! The rules, each a file: [`concurrency`], [`cortex`], [`ray`], [`slo`], [`metric`]. What they are
//! made of, in the order in which it comes: [`window`] (what was in flight), [`demand`] (how many replicas that
//! needs), [`bounds`] (rates), [`burst`] (a short window that may only grow), [`hold`] (wait before
//! shrinking); and for [`slo`]: [`arrivals`], [`pace`], [`season`] and [`period`] (what will come), [`learned`]
//! (service time, burstiness, cold start), [`erlang`] (how long requests would wait), [`keep`] (when a
//! replica may go) with `level` (how long each was not needed) and `rise` (how many are missed at once).
//!
//! [`rollout`] is a rule of another kind: it moves requests from one version of an API to another.
//!
//! [`replacement`] says how replicas are exchanged when what they are made of changes.
//! [`snapshot`] is what of all this outlives a process.
//!
//! A moment is a [`std::time::Duration`] since the process began, on a clock that never goes back.

pub mod arrivals;
pub mod bounds;
pub mod burst;
pub mod concurrency;
pub mod cortex;
pub mod decide;
pub mod decision;
pub mod demand;
pub mod erlang;
pub mod hold;
pub mod idle;
pub mod keep;
pub mod learned;
mod level;
pub mod lookback;
pub mod metric;
pub mod observation;
pub mod pace;
mod peakedness;
pub mod period;
pub mod ray;
pub mod reason;
pub mod replacement;
mod rise;
pub mod rollout;
pub mod rule;
pub mod season;
pub mod sentence;
pub mod slo;
pub mod snapshot;
mod trend;
pub mod window;
