//! The part of the engine in which the autoscaler looks and decides, in `tidegate-autoscaler`'s
//! rhythm: each tick, and at once when requests are held and nothing is ready.

use super::World;
use crate::events::Event;
use crate::rule::Wanted;
use crate::span::Nanos;

/// From the moment that a request is held to the autoscaler's hearing of it.
const WAKE_PUSH: Nanos = 1_000_000;
/// The gateway repeats itself while requests are held.
const WAKE_REPEAT: Nanos = 500_000_000;
/// The least time between two wake-ups that the autoscaler acts on.
const WAKE_LEAST_BETWEEN: Nanos = 50_000_000;
/// After a wake-up the autoscaler looks again this soon: the first request often leads a burst.
const SECOND_LOOK: Nanos = 100_000_000;

impl World<'_> {
    /// Reads the metrics and plans the next turn.
    pub(super) fn scrape(&mut self, turn: u64) {
        if turn != self.turn {
            return; // A wake-up has moved the turns.
        }
        let Some(autoscaler) = &mut self.autoscaler else { return };
        autoscaler.scrape(&mut self.fleet, &self.gateway, self.counters, self.now);
        self.events.plan(self.now + self.scene.scrape_delay, Event::Decide);
        self.events.plan(self.now + self.scene.tick, Event::Scrape(turn));
    }

    pub(super) fn decide(&mut self) {
        let Some(autoscaler) = &mut self.autoscaler else { return };
        let wanted = autoscaler.decide(self.wanted, &self.fleet, self.now);
        self.act(wanted);
    }

    /// The gateway says that it holds requests, as long as it does.
    pub(super) fn wake_if_closed(&mut self) {
        let is_held = self.gateway.is_closed() && self.gateway.gateway(self.now).held > 0;
        if is_held && !self.wake_planned && self.autoscaler.is_some() {
            let soonest = self.last_wake.map_or(0, |last| last + WAKE_LEAST_BETWEEN);
            self.events.plan(soonest.max(self.now + WAKE_PUSH), Event::Wake);
            self.wake_planned = true;
        }
    }

    pub(super) fn wake(&mut self) {
        self.wake_planned = false;
        let held = self.gateway.gateway(self.now).held;
        let Some(autoscaler) = &mut self.autoscaler else { return };
        if held == 0 || !self.gateway.is_closed() {
            return;
        }
        if self.last_wake.is_none_or(|last| self.now - last >= self.scene.tick) {
            self.turn += 1;
            let look = self.now + SECOND_LOOK.min(self.scene.tick);
            self.events.plan(look, Event::Scrape(self.turn));
        }
        self.last_wake = Some(self.now);
        let wanted = autoscaler.wake(self.wanted, &self.fleet, held, self.now);
        self.act(wanted);
        self.events.plan(self.now + WAKE_REPEAT, Event::Wake);
        self.wake_planned = true;
    }

    fn act(&mut self, Wanted { replicas, reason }: Wanted) {
        if replicas != self.wanted {
            self.record.decided(reason);
            self.record.wanted(self.now, replicas);
            self.wanted = replicas;
        }
        self.scale(replicas);
    }
}
