//! From two samples of each source to what came and went between them. Pure.
//!
//! Where a gateway is, it sees every request, also those refused: what came is what ended and what
//! it holds more of. Without one, the sidecars' counts are added up. A counter that went back
//! belongs to a process that began anew, and says nothing of the time before.

use crate::policy::observation::Traffic;
use crate::sample::{QueueSample, ReplicaSample};
use std::time::Duration;

/// What was added up at one tick.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Flow {
    completions: f64,
    service_seconds: f64,
    at_sidecars: f64,
    at_gateways: Option<f64>,
    gateway_lost: bool,
    sidecar_read: bool,
}

impl Flow {
    /// A sidecar's sample, and the one before it.
    pub fn sidecar(&mut self, before: Option<&ReplicaSample>, now: &ReplicaSample) {
        self.sidecar_read = true;
        let first = ReplicaSample { completions: 0.0, service_seconds: 0.0, ..*now };
        let Some(before) = before else { return self.finished(&first, now) };
        if now.completions < before.completions || now.service_seconds < before.service_seconds {
            return;
        }
        self.finished(before, now);
        let held = |sample: &ReplicaSample| f64::from(sample.in_flight) + f64::from(sample.queued);
        let came = now.completions - before.completions + held(now) - held(before);
        self.at_sidecars += came.max(0.0);
    }

    fn finished(&mut self, before: &ReplicaSample, now: &ReplicaSample) {
        self.completions += now.completions - before.completions;
        self.service_seconds += now.service_seconds - before.service_seconds;
    }

    /// A gateway's sample, and the one before it.
    pub fn gateway(&mut self, before: Option<&QueueSample>, now: &QueueSample) {
        let Some(before) = before.filter(|before| now.ended >= before.ended) else { return };
        let held = |sample: &QueueSample| f64::from(sample.in_flight) + f64::from(sample.queued);
        let came = (now.ended - before.ended + held(now) - held(before)).max(0.0);
        *self.at_gateways.get_or_insert(0.0) += came;
    }

    /// A gateway did not answer: what came to it is not known.
    pub fn gateway_lost(&mut self) {
        self.gateway_lost = true;
    }

    /// What came and went since `from`; nothing where no source could say.
    pub fn traffic(&self, from: Duration, has_gateway: bool) -> Option<Traffic> {
        let arrivals = if has_gateway {
            self.at_gateways.filter(|_| !self.gateway_lost)?
        } else {
            self.sidecar_read.then_some(self.at_sidecars)?
        };
        let Self { completions, service_seconds, .. } = *self;
        Some(Traffic { from, arrivals, completions, service_seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sidecar(completions: f64, service_seconds: f64, in_flight: u32) -> ReplicaSample {
        ReplicaSample {
            request_seconds: 0.0,
            completions,
            service_seconds,
            in_flight,
            queued: 0,
            draining: false,
            resident_bytes: None,
        }
    }

    fn gateway(ended: f64, in_flight: u32, queued: u32) -> QueueSample {
        QueueSample { request_seconds: 0.0, queued, in_flight, ended }
    }

    const FROM: Duration = Duration::from_secs(7);

    #[test]
    fn a_gateway_counts_what_came_also_what_it_refused() {
        let mut flow = Flow::default();
        flow.sidecar(Some(&sidecar(10.0, 1.0, 2)), &sidecar(14.0, 1.5, 3));
        flow.gateway(Some(&gateway(10.0, 2, 4)), &gateway(20.0, 3, 1));
        let expected =
            Traffic { from: FROM, arrivals: 8.0, completions: 4.0, service_seconds: 0.5 };
        assert_eq!(flow.traffic(FROM, true), Some(expected));
        assert_eq!(flow.traffic(FROM, false), Some(Traffic { arrivals: 5.0, ..expected }));
    }

    #[test]
    fn what_began_anew_or_was_not_read_says_nothing() {
        let mut flow = Flow::default();
        assert_eq!(flow.traffic(FROM, true), None);
        assert_eq!(flow.traffic(FROM, false), None);
        flow.sidecar(Some(&sidecar(10.0, 1.0, 2)), &sidecar(1.0, 0.1, 3));
        flow.gateway(Some(&gateway(10.0, 2, 4)), &gateway(2.0, 3, 1));
        assert_eq!(flow.traffic(FROM, true), None);
        let none = Traffic { from: FROM, arrivals: 0.0, completions: 0.0, service_seconds: 0.0 };
        assert_eq!(flow.traffic(FROM, false), Some(none));
    }

    #[test]
    fn a_new_sidecar_has_finished_what_it_counts() {
        let mut flow = Flow::default();
        flow.sidecar(None, &sidecar(3.0, 0.6, 1));
        let traffic = flow.traffic(FROM, false).unwrap();
        assert_eq!((traffic.completions, traffic.service_seconds), (3.0, 0.6));
    }
}
