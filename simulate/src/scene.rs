//! What a simulation is about, besides its requests and its rule.

use crate::distribution::Distribution;
use crate::gateway::{Balancing, Limits};
use crate::span::Nanos;
use std::time::Duration;
use tidegate_proxy::policy::overload::QueueOrder;

/// How replicas, proxies and the autoscaler behave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene {
    /// What runs and waits where.
    pub(crate) limits: Limits,
    /// How requests find a replica.
    pub(crate) balancing: Balancing,
    /// Who of those that wait is next.
    pub(crate) order: QueueOrder,
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
    /// When it begins, since the Unix epoch: schedules go by it.
    pub(crate) start: Duration,
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

// === impl Scene ===

#[cfg(test)]
impl Scene {
    /// For tests: from no replica on, with late binding; none fails, no scrape is lost, and at most
    /// 1 % may wait over 200 ms.
    pub(crate) fn from_zero(limits: Limits, cold_start: &str) -> Self {
        use crate::span::SECOND;
        Self {
            limits,
            balancing: Balancing::LateBinding,
            order: QueueOrder::Fifo,
            cold_start: cold_start.parse().expect("a test's own text"),
            drain_delay: SECOND,
            tick: SECOND,
            scrape_delay: SECOND / 100,
            scrape_loss: 0.0,
            fail_every: 0,
            initial: 0,
            min: 0,
            start: Duration::ZERO,
            objective: Objective { wait: SECOND / 5, late: 0.01 },
            seed: 3,
        }
    }
}

// === impl Objective ===

impl Objective {
    /// How many of so many requests may be late.
    pub(crate) fn allowance(&self, requests: usize) -> usize {
        // Forgives what floating point takes: 1 % of 700 are 7.
        (self.late * requests as f64 + 1e-9).floor() as usize
    }
}
