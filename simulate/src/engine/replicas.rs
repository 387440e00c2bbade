//! The part of the engine in which replicas come and go.

use super::World;
use crate::events::Event;
use crate::fleet::Phase;
use crate::gateway::Key;
use crate::ledger::State;
use crate::seed::{Stream, nth};
use crate::span::Nanos;
use rand_distr::{Distribution as _, Exp1};

impl World<'_> {
    /// Starts replicas, or lets some go, until `wanted` are not draining.
    pub(super) fn scale(&mut self, wanted: u32) {
        let counts = self.fleet.counts();
        let live = counts.starting + counts.ready;
        for _ in live..wanted {
            let mut random = nth(self.scene.seed, Stream::ColdStart, self.fleet.started() as u64);
            let cold = self.scene.cold_start.sample(&mut random);
            self.start(cold);
        }
        for key in self.fleet.cheapest(live.saturating_sub(wanted)) {
            self.drain(key);
        }
    }

    pub(super) fn start_planned(&mut self, cold: Nanos) {
        self.start(cold);
    }

    /// The one with the least to do goes: who knows the future, knows that, too.
    pub(super) fn drain_planned(&mut self) {
        let gateway = &self.gateway;
        for replica in self.fleet.iter_mut() {
            replica.last_held = gateway.held_by(replica.key);
        }
        // A planned start is never called off, so one that is ready is let go.
        let starting = self.fleet.counts().starting;
        if let Some(key) = self.fleet.cheapest(starting + 1).last() {
            self.drain(*key);
        }
    }

    fn start(&mut self, cold: Nanos) {
        let key = self.fleet.start(self.now);
        self.events.plan(self.now.saturating_add(cold), Event::Ready(key));
    }

    /// A replica is ready, unless it was let go before, and takes what waits.
    pub(super) fn ready(&mut self, key: Key) {
        if self.fleet.get(key).is_none_or(|replica| replica.phase != Phase::Starting) {
            return;
        }
        self.fleet.set_phase(key, Phase::Ready);
        self.record.ready(self.now, self.fleet.counts().ready);
        for request in self.gateway.open(key, self.now) {
            self.offer(request);
        }
        self.dispatch(Some(key));
        if self.scene.fail_every > 0 && self.autoscaler.is_some() {
            let one: f64 = Exp1.sample(&mut nth(self.scene.seed, Stream::Failure, key as u64));
            // `as` saturates: then it never fails.
            let lives = (one * self.scene.fail_every as f64) as Nanos;
            self.events.plan(self.now.saturating_add(lives), Event::Fail(key));
        }
    }

    /// Lets a replica go: one that is not ready at once, another when it has finished.
    fn drain(&mut self, key: Key) {
        let Some(replica) = self.fleet.get(key) else { return };
        if replica.phase == Phase::Starting {
            self.end(key);
            return;
        }
        self.gateway.close(key);
        let until = self.now.saturating_add(self.scene.drain_delay);
        self.fleet.set_phase(key, Phase::Draining(until));
        self.record.ready(self.now, self.fleet.counts().ready);
        self.events.plan(until, Event::Drained(key));
    }

    pub(super) fn end_if_drained(&mut self, key: Key) {
        let Some(replica) = self.fleet.get(key) else { return };
        let may_end = matches!(replica.phase, Phase::Draining(until) if until <= self.now);
        if may_end && self.gateway.held_by(key) == 0 {
            self.end(key);
        }
    }

    /// A replica fails, with all that it runs and all that waits in its sidecar.
    pub(super) fn fail(&mut self, key: Key) {
        let Some(replica) = self.fleet.get_mut(key) else { return };
        let running = std::mem::take(&mut replica.running);
        self.gateway.close(key);
        for request in self.gateway.waiting_at(key) {
            self.gateway.cancel(request, self.now);
            let waited = self.waited(request);
            self.ledger.set(request, State::Failed, waited);
        }
        for request in running {
            self.ledger.end(request, State::Failed);
            self.gateway.finish(request, key, false, self.now);
        }
        self.end(key);
        self.record.ready(self.now, self.fleet.counts().ready);
    }

    fn end(&mut self, key: Key) {
        self.gateway.forget(key);
        self.fleet.end(key, self.now);
    }
}
