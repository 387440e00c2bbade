//! A gateway before several replicas: which one a request is given, and what becomes of those that
//! fail.

mod choice;
mod fake;
mod faults;
mod hedging;
mod peers;
mod replace;
mod retries;
mod room;
mod slow_start;
