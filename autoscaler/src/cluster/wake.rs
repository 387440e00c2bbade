//! A tick out of turn, of those APIs only for which a gateway holds requests.

use super::act::Order;
use super::tick::{Cluster, order};
use crate::policy::observation::Observation;
use crate::scrape::GatewayReading;
use std::time::Duration;
use tidegate_kubernetes::facts::{Key, PodPhase};

/// The longest that gateways are waited for: who has died must not keep the others' requests.
const LOOK: Duration = Duration::from_millis(250);

impl Cluster {
    /// Which APIs can be woken here: none, unless this autoscaler leads.
    pub(super) fn wakeable(&self) -> Vec<String> {
        let mine = self.leads && self.view.is_known;
        let scaled = self.apis.iter().filter(|(_, api)| mine && api.scaled.is_some());
        scaled.map(|(key, _)| key.to_string()).collect()
    }

    /// Wakes those of them that have nothing ready; the next tick sees to the others.
    ///
    /// No window and no sidecar is needed: how much is held says it all.
    pub(super) async fn wake(&mut self, names: &[String]) {
        let begun = self.clock.now();
        self.follow(begun);
        self.lead(begun);
        if !self.leads || !self.view.is_known {
            return;
        }
        let asleep = self.view.apis.iter().filter(|(key, view)| {
            view.count(PodPhase::Ready) == 0 && names.contains(&key.to_string())
        });
        let asleep: Vec<Key> = asleep.map(|(key, _)| key.clone()).collect();
        if asleep.is_empty() {
            return;
        }
        let gateways = self.gateways(Some(LOOK)).await;
        let now = self.clock.now();
        let orders = asleep.iter().filter_map(|key| self.wake_one(key, &gateways, now)).collect();
        self.act(orders).await;
        self.report();
        self.publish();
    }

    fn wake_one(
        &mut self,
        key: &Key,
        gateways: &[(String, Option<GatewayReading>)],
        now: Duration,
    ) -> Option<Order> {
        let (view, api) = (self.view.apis.get(key)?, self.apis.get_mut(key)?);
        let (scaled, workload) = (api.scaled.as_mut()?, view.workload.as_ref()?);
        let document = view.document()?;
        if view.problem.is_some() || now < self.quiet_until {
            return None;
        }
        let name = key.to_string();
        let (current, version) = scaled.current(workload, now);
        if current != scaled.wanted {
            scaled.adopt(current, now);
        }
        let readings = gateways.iter().filter_map(|(_, reading)| reading.as_ref()?.as_ref().ok());
        let queued = readings.filter_map(|reading| Some(reading.sample.queues.get(&name)?.queued));
        let observation = Observation {
            current,
            starting: current,
            // Whoever wakes holds a request, whether or not it is counted yet.
            held: queued.sum::<u32>().max(1),
            floor: scaled.calendar.floor(self.clock.wall()),
            ..Observation::default()
        };
        let decision = scaled.scaler.decide(&observation, now);
        self.metrics.decided(&name, decision.reason);
        tracing::debug!(api = name, held = observation.held, to = decision.replicas, "woken");
        order(key, view, scaled, document, &decision, version)
    }
}
