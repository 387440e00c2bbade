//! What one measurement of one peer gave.

use crate::load::Outcome;
use crate::peer::Peer;
use crate::usage::{Memory, Spent};
use serde::Serialize;

/// One measurement. Times are in microseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    /// What was asked, such as `small, 64 connections`.
    pub(crate) load: String,
    /// Who answered.
    pub(crate) peer: Peer,
    /// Which repeat this was, from 1.
    pub(crate) repeat: u32,
    /// Requests, or events of streams.
    pub(crate) units: u64,
    /// Units a second.
    pub(crate) rate: f64,
    /// Processor time a unit; none for no proxy.
    pub(crate) cpu_us: Option<f64>,
    /// The user's part of it.
    pub(crate) user_us: Option<f64>,
    /// The system's part of it.
    pub(crate) system_us: Option<f64>,
    /// Time a unit in which the peer was ready to run and others had its core.
    pub(crate) waited_us: Option<f64>,
    /// Half of the units took no longer.
    pub(crate) p50_us: f64,
    /// All but a hundredth took no longer.
    pub(crate) p99_us: f64,
    /// Memory before the first request.
    pub(crate) idle: Option<Memory>,
    /// Memory at the end, with all connections open.
    pub(crate) loaded: Option<Memory>,
    /// Of the machine, over the last minute.
    pub(crate) load_average: f64,
}

/// Instructions of one peer.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Instructions {
    /// Who.
    pub(crate) peer: Peer,
    /// A small request, in user space.
    pub(crate) a_request: f64,
}

/// What belongs to one measurement besides what the load saw.
pub(crate) struct Around {
    /// Processor time between the edges.
    pub(crate) spent: Option<Spent>,
    /// Memory before the first request.
    pub(crate) idle: Option<Memory>,
    /// Memory at the end.
    pub(crate) loaded: Option<Memory>,
    /// Of the machine.
    pub(crate) load_average: f64,
}

// === impl Sample ===

impl Sample {
    /// What a load saw, and what the peer spent on it.
    pub(crate) fn new(
        load: &str,
        peer: Peer,
        repeat: u32,
        outcome: &Outcome,
        around: &Around,
    ) -> Self {
        let units = outcome.units.max(1) as f64;
        let micros = |quantile| outcome.latencies.value_at_quantile(quantile) as f64 / 1e3;
        let cpu_us = around.spent.map(|spent| spent.total_us / units);
        let user_share = around.spent.and_then(|spent| spent.user_share);
        let user_us = cpu_us.zip(user_share).map(|(cpu, share)| cpu * share);
        Self {
            load: load.to_owned(),
            peer,
            repeat,
            units: outcome.units,
            rate: outcome.units as f64 * 1e9 / outcome.nanos.max(1) as f64,
            cpu_us,
            user_us,
            system_us: cpu_us.zip(user_us).map(|(cpu, user)| cpu - user),
            waited_us: around.spent.map(|spent| spent.waited_us / units),
            p50_us: micros(0.5),
            p99_us: micros(0.99),
            idle: around.idle,
            loaded: around.loaded,
            load_average: around.load_average,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;

    #[test]
    fn times_are_for_one_unit() {
        let mut latencies = Histogram::new_with_bounds(1, 1_000_000_000, 3).expect("bounds");
        (1..=100_u64).for_each(|micros| latencies.saturating_record(micros * 1000));
        let outcome = Outcome { units: 100, nanos: 50_000_000, latencies };
        let spent = Some(Spent { total_us: 2000.0, user_share: Some(0.25), waited_us: 300.0 });
        let around = Around { spent, idle: None, loaded: None, load_average: 0.0 };
        let sample = Sample::new("small", Peer::Raw, 1, &outcome, &around);
        assert_eq!((sample.cpu_us, sample.user_us), (Some(20.0), Some(5.0)));
        assert_eq!((sample.system_us, sample.rate), (Some(15.0), 2000.0));
        assert_eq!(sample.waited_us, Some(3.0));
        assert!((sample.p50_us - 50.0).abs() < 0.1, "{}", sample.p50_us);
        assert!((sample.p99_us - 99.0).abs() < 0.1, "{}", sample.p99_us);
    }
}
