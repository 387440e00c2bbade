//! The simulated autoscaler's eyes: what its scrapes of sidecars and gateway add up to.
//!
//! As in `tidegate-autoscaler`'s tick: counters are read at one moment, and the decision is made
//! of them a little later, with the replicas there are by then.

use crate::fleet::Fleet;
use crate::gateway::Gateway;
use crate::rule::{Rule, Seen, Wanted};
use crate::seed::{Stream, stream};
use crate::span::{Nanos, SECOND};
use rand_distr::{Bernoulli, Distribution as _};
use rand_pcg::Pcg64;
use std::time::Duration;
use tidegate_autoscaler::load::{Meter, Part, Total, total};
use tidegate_autoscaler::policy::observation::Traffic;

/// The gateway's counters of requests.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Counters {
    /// Requests that came, also those that were refused.
    pub(crate) arrivals: u64,
    /// Requests that a replica has finished.
    pub(crate) completions: u64,
    /// Nanoseconds that those ran.
    pub(crate) service: u128,
}

/// A rule, and what is kept between its decisions.
pub(crate) struct Autoscaler<'a> {
    rule: &'a mut dyn Rule,
    gateway: Meter,
    gateway_held: u32,
    /// Until when the load is known.
    known: Duration,
    /// What the last scrape said.
    scraped: Vec<Part>,
    running: u32,
    /// The counters when they were last read.
    counters: (Duration, Counters),
    traffic: Option<Traffic>,
    loss: Option<Bernoulli>,
    random: Pcg64,
}

impl<'a> Autoscaler<'a> {
    /// Begins now. `loss` is the share of scrapes that are lost.
    pub(crate) fn new(rule: &'a mut dyn Rule, loss: f64, seed: u64) -> Self {
        Self {
            rule,
            gateway: Meter::default(),
            gateway_held: 0,
            known: Duration::ZERO,
            scraped: Vec::new(),
            running: 0,
            counters: (Duration::ZERO, Counters::default()),
            traffic: None,
            // 0 and everything that is no probability lose nothing.
            loss: Bernoulli::new(loss).ok().filter(|_| loss > 0.0),
            random: stream(seed, Stream::Scrape),
        }
    }

    /// Asks every sidecar and the gateway.
    pub(crate) fn scrape(
        &mut self,
        fleet: &mut Fleet,
        gateway: &Gateway,
        counters: Counters,
        now: Nanos,
    ) {
        let at = Duration::from_nanos(now);
        self.scraped.clear();
        self.running = 0;
        for replica in fleet.iter_mut() {
            let part = if self.is_lost() {
                replica.meter.lost(at)
            } else {
                let sample = gateway.sidecar(replica.key, now);
                replica.last_held = sample.held;
                replica.meter.read(at, sample.request_seconds, sample.held)
            };
            self.scraped.push(part);
            self.running += replica.last_held;
        }
        let part = if self.is_lost() {
            self.traffic = None;
            self.gateway.lost(at)
        } else {
            let (from, before) = std::mem::replace(&mut self.counters, (at, counters));
            self.traffic = (from < at).then(|| counters.since(&before, from));
            let sample = gateway.gateway(now);
            self.gateway_held = sample.held;
            self.gateway.read(at, sample.request_seconds, sample.held)
        };
        self.scraped.push(part);
    }

    /// Decides by the last scrape.
    pub(crate) fn decide(&mut self, current: u32, fleet: &Fleet, now: Nanos) -> Wanted {
        let now = Duration::from_nanos(now);
        let total = total(&self.scraped, self.known);
        if total.load.is_some() {
            self.known = now;
        }
        let counts = fleet.counts();
        let seen = Seen {
            current,
            ready: counts.ready,
            starting: counts.starting,
            total,
            running: self.running,
            held: self.gateway_held,
            traffic: self.traffic.take(),
        };
        self.rule.decide(&seen, now)
    }

    /// Decides by nothing but what the gateway holds, because nothing is ready.
    pub(crate) fn wake(&mut self, current: u32, fleet: &Fleet, held: u32, now: Nanos) -> Wanted {
        let seen = Seen {
            current,
            ready: 0,
            starting: fleet.counts().starting,
            total: Total { load: None, complete: false, lost: true },
            running: 0,
            held: held.max(1),
            traffic: None,
        };
        self.rule.decide(&seen, Duration::from_nanos(now))
    }

    fn is_lost(&mut self) -> bool {
        self.loss.is_some_and(|loss| loss.sample(&mut self.random))
    }
}

impl Counters {
    fn since(&self, before: &Self, from: Duration) -> Traffic {
        Traffic {
            from,
            arrivals: (self.arrivals - before.arrivals) as f64,
            completions: (self.completions - before.completions) as f64,
            service_seconds: (self.service - before.service) as f64 / SECOND as f64,
        }
    }
}
