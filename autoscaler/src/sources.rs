//! What one API's sidecars and gateways have said, added up with each request counted once.
//!
//! A sidecar counts what it holds, running and waiting; a gateway only what waits there, because
//! what it has handed on is counted by a sidecar.

use crate::load::{Meter, total};
use crate::policy::observation::Observation;
use crate::sample::{QueueSample, ReplicaSample};
use crate::traffic::Flow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What came of asking a source.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Heard<T> {
    /// A sample, and when it was taken.
    Said(Duration, T),
    /// No answer.
    Lost,
    /// It was not its turn: what it said last still counts.
    NotAsked,
}

/// Everything that one API's sources have said.
#[derive(Debug)]
pub(crate) struct Sources {
    /// Until when the load is known.
    known: Duration,
    /// Until when it is known what came.
    counted: Duration,
    replicas: BTreeMap<String, Seen<ReplicaSample>>,
    gateways: BTreeMap<String, Seen<QueueSample>>,
}

/// A source's meter and its last sample.
#[derive(Debug, Clone)]
struct Seen<T> {
    meter: Meter,
    last: Option<T>,
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self { meter: Meter::default(), last: None }
    }
}

impl Sources {
    /// Nothing was said before `now`.
    pub(crate) fn begin(now: Duration) -> Self {
        Self { known: now, counted: now, replicas: BTreeMap::new(), gateways: BTreeMap::new() }
    }

    /// Takes what all sources have said into account, and says what they say together. One that is not
    /// named any more is gone.
    pub(crate) fn read(
        &mut self,
        replicas: &[(&str, Heard<ReplicaSample>)],
        gateways: &[(&str, Heard<QueueSample>)],
        now: Duration,
    ) -> Observation {
        keep(&mut self.replicas, replicas);
        keep(&mut self.gateways, gateways);
        let mut parts = Vec::new();
        let mut flow = Flow::default();
        for (id, heard) in replicas {
            let seen = entry(&mut self.replicas, id);
            match heard {
                Heard::Said(at, sample) => {
                    parts.push(seen.meter.read(*at, sample.request_seconds, held(*sample)));
                    flow.sidecar(seen.last.as_ref(), sample);
                    seen.last = Some(*sample);
                }
                Heard::Lost => parts.push(seen.meter.lost(now)),
                Heard::NotAsked => parts.extend(seen.last.map(|_| seen.meter.unread())),
            }
        }
        for (id, heard) in gateways {
            let seen = entry(&mut self.gateways, id);
            match heard {
                Heard::Said(at, queue) => {
                    parts.push(seen.meter.read(*at, queue.request_seconds, queue.queued));
                    flow.gateway(seen.last.as_ref(), queue);
                    seen.last = Some(*queue);
                }
                Heard::Lost => {
                    parts.push(seen.meter.lost(now));
                    flow.gateway_lost();
                }
                Heard::NotAsked => parts.extend(seen.last.map(|_| seen.meter.unread())),
            }
        }
        let total = total(&parts, self.known);
        if total.load.is_some() {
            self.known = now;
        }
        let traffic = flow.traffic(self.counted, !gateways.is_empty());
        // What a source that was lost has counted meanwhile comes with its next sample.
        if traffic.is_some() {
            self.counted = now;
        }
        Observation {
            load: total.load,
            complete: total.complete,
            lost: total.lost,
            running: self.running(),
            held: self.held(),
            traffic,
            ..Observation::default()
        }
    }

    /// What a replica said last.
    pub(crate) fn replica(&self, id: &str) -> Option<ReplicaSample> {
        self.replicas.get(id)?.last
    }

    /// Requests at sidecars, running and waiting, by what they said last.
    pub(crate) fn running(&self) -> u32 {
        let samples = self.replicas.values().filter_map(|seen| seen.last);
        samples.map(held).fold(0, u32::saturating_add)
    }

    /// Requests that wait, at sidecars and gateways, by what they said last.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn queued(&self) -> u32 {
        let samples = self.replicas.values().filter_map(|seen| seen.last);
        samples.map(|sample| sample.queued).fold(self.held(), u32::saturating_add)
    }

    /// Requests that wait at gateways, by what they said last.
    pub(crate) fn held(&self) -> u32 {
        let queues = self.gateways.values().filter_map(|seen| seen.last);
        queues.map(|queue| queue.queued).fold(0, u32::saturating_add)
    }
}

/// Requests that a sidecar holds, running and waiting.
pub(crate) fn held(sample: ReplicaSample) -> u32 {
    sample.in_flight.saturating_add(sample.queued)
}

fn keep<T, H>(seen: &mut BTreeMap<String, Seen<T>>, named: &[(&str, H)]) {
    let named: BTreeSet<&str> = named.iter().map(|(id, _)| *id).collect();
    seen.retain(|id, _| named.contains(id.as_str()));
}

fn entry<'a, T>(seen: &'a mut BTreeMap<String, Seen<T>>, id: &str) -> &'a mut Seen<T> {
    // Not `entry`: that would copy the name each time.
    if !seen.contains_key(id) {
        seen.insert(id.to_owned(), Seen::default());
    }
    seen.get_mut(id).unwrap_or_else(|| unreachable!("it was just put there"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::observation::Load;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn sidecar(request_seconds: f64, in_flight: u32) -> ReplicaSample {
        ReplicaSample {
            request_seconds,
            completions: 0.0,
            service_seconds: 0.0,
            in_flight,
            queued: 1,
            draining: false,
            resident_bytes: None,
        }
    }

    fn queue(queued: u32, ended: f64) -> QueueSample {
        QueueSample { request_seconds: 0.0, queued, in_flight: 0, ended }
    }

    #[test]
    fn all_that_is_said_is_added_up() {
        let mut sources = Sources::begin(at(0));
        let said = |now, seconds: f64| Heard::Said(at(now), sidecar(seconds, 2));
        sources.read(&[("a", said(1, 0.0)), ("b", said(1, 0.0))], &[], at(1));
        let queues =
            [("g", Heard::Said(at(2), queue(4, 0.0))), ("h", Heard::Said(at(2), queue(5, 0.0)))];
        let sum = sources.read(&[("a", said(2, 2.0)), ("b", said(2, 3.0))], &queues, at(2));
        assert_eq!((sum.running, sum.held, sum.complete), (6, 9, true));
        assert_eq!(sum.load, Some(Load { from: at(1), average: 14.0 }));
    }

    #[test]
    fn whose_turn_it_is_not_still_counts_and_who_is_gone_does_not() {
        let mut sources = Sources::begin(at(0));
        let first = Heard::Said(at(1), sidecar(0.0, 2));
        sources.read(&[("a", first), ("b", first)], &[], at(1));
        let sum = sources.read(&[("a", Heard::NotAsked), ("b", Heard::NotAsked)], &[], at(2));
        assert_eq!((sum.running, sum.complete), (6, true));
        assert_eq!(sum.load.unwrap().average, 6.0);
        let sum = sources.read(&[("a", Heard::NotAsked)], &[], at(3));
        assert_eq!((sum.running, sum.load.unwrap().average), (3, 3.0));
    }

    #[test]
    fn one_lost_gateway_makes_it_unknown_what_came() {
        let mut sources = Sources::begin(at(0));
        let said = |now, ended| Heard::Said(at(now), queue(0, ended));
        sources.read(&[], &[("g", said(1, 5.0)), ("h", said(1, 7.0))], at(1));
        let sum = sources.read(&[], &[("g", said(2, 6.0)), ("h", Heard::Lost)], at(2));
        assert_eq!((sum.traffic, sum.complete, sum.lost), (None, true, true));
        let sum = sources.read(&[], &[("g", said(3, 8.0)), ("h", said(3, 9.0))], at(3));
        assert_eq!(sum.traffic.unwrap().arrivals, 4.0);
    }
}
