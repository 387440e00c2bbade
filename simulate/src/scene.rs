//! What a simulation is about, besides its requests and its rule.

use crate::distribution::Distribution;
use crate::gateway::{Balancing, Limits};
use crate::span::Nanos;

/// How replicas, proxies and the autoscaler behave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene {
    /// What runs and waits where.
    pub(crate) limits: Limits,
    /// How requests find a replica.
    pub(crate) balancing: Balancing,
    /// From a replica's start until it is ready.
    pub(crate) cold_start: Distribution,
    /// How long a replica that goes still takes requests, at the least.
    pub(crate) drain_delay: Nanos,
    /// Between two looks of the autoscaler.
    pub(crate) tick: Nanos,
    /// From the moment that metrics describe to the decision made of them.
    pub(crate) scrape_delay: Nanos,
    /// The share of scrapes that are lost.
    pub(crate) scrape_loss: f64,
    /// The mean time until a ready replica fails; 0 is never.
    pub(crate) fail_every: Nanos,
    /// Replicas that are ready when it begins.
    pub(crate) initial: u32,
    /// The fewest replicas that a policy may want.
    pub(crate) min: u32,
    /// What is promised.
    pub(crate) objective: Objective,
    /// For every random draw.
    pub(crate) seed: u64,
}

/// What is promised: at most a share of the requests is late.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Objective {
    /// A request that waits longer is late; one that gets no answer is, too.
    pub(crate) wait: Nanos,
    /// The share of requests that may be late.
    pub(crate) late: f64,
}

impl Objective {
    /// How many of so many requests may be late.
    pub(crate) fn allowance(&self, requests: usize) -> usize {
        // Forgives what floating point takes: 1 % of 700 are 7.
        (self.late * requests as f64 + 1e-9).floor() as usize
    }
}
