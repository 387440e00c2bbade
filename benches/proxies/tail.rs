//! How long requests waited behind each way of balancing, beside one ideal line.

use crate::summary::Spread;
use serde::Serialize;

/// One way of balancing in one repeat. Times are in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TailSample {
    /// Who balanced, and how.
    pub(crate) balancer: String,
    /// Which repeat this was, from 1.
    pub(crate) repeat: u32,
    /// Requests.
    pub(crate) units: usize,
    /// The mean wait.
    pub(crate) mean_ms: f64,
    /// Half waited no longer.
    pub(crate) p50_ms: f64,
    /// All but a hundredth waited no longer.
    pub(crate) p99_ms: f64,
    /// That by what it is in one line before all endpoints, with the same requests.
    pub(crate) to_ideal: f64,
    /// That by what it is in one line that the load itself keeps, through the same sockets.
    pub(crate) to_line: f64,
}

/// What all but a hundredth wait at most without a balancer, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beside {
    ideal: f64,
    real: f64,
}

/// One way of balancing: medians over the repeats.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TailRow {
    /// Who balanced, and how.
    pub(crate) balancer: String,
    pub(crate) mean_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Of the repeats' ratios, each to the ideal line of the same requests.
    pub(crate) to_ideal: Spread,
    /// Of the repeats' ratios, each to the line of the load itself.
    pub(crate) to_line: Spread,
}

// === impl Beside ===

impl Beside {
    /// The computed line's waits, and those of the line that the load keeps.
    pub(crate) fn new(ideal: &[u64], real: &[u64]) -> Self {
        let [ideal, real] = [ideal, real].map(|waits| quantile(waits, 0.99).max(1.0));
        Self { ideal, real }
    }
}

// === impl TailSample ===

impl TailSample {
    /// What these waits, in nanoseconds, were beside those without a balancer.
    pub(crate) fn new(balancer: &str, repeat: u32, waits: &[u64], beside: Beside) -> Self {
        let p99 = quantile(waits, 0.99);
        Self {
            balancer: balancer.to_owned(),
            repeat,
            units: waits.len(),
            mean_ms: waits.iter().sum::<u64>() as f64 / waits.len().max(1) as f64 / 1e6,
            p50_ms: quantile(waits, 0.5) / 1e6,
            p99_ms: p99 / 1e6,
            to_ideal: p99 / beside.ideal,
            to_line: p99 / beside.real,
        }
    }
}

/// The smallest value that such a share of all does not exceed; 0 of none.
fn quantile(values: &[u64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).map_or(0.0, |value| *value as f64)
}

/// One row for each balancer, in the order in which they were measured.
pub(crate) fn rows(samples: &[TailSample]) -> Vec<TailRow> {
    let mut names: Vec<&str> = Vec::new();
    for sample in samples {
        if !names.contains(&sample.balancer.as_str()) {
            names.push(&sample.balancer);
        }
    }
    let row = |name: &str| {
        let own = || samples.iter().filter(|sample| sample.balancer == name);
        let of = |value: fn(&TailSample) -> f64| Spread::of(own().map(value).collect());
        Some(TailRow {
            balancer: name.to_owned(),
            mean_ms: of(|sample| sample.mean_ms)?.median,
            p50_ms: of(|sample| sample.p50_ms)?.median,
            p99_ms: of(|sample| sample.p99_ms)?.median,
            to_ideal: of(|sample| sample.to_ideal)?,
            to_line: of(|sample| sample.to_line)?,
        })
    };
    names.into_iter().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_told_beside_the_ideal_ones() {
        let waits: Vec<u64> = (1..=200).map(|wait| wait * 2_000_000).collect();
        let ideal: Vec<u64> = (1..=200).map(|wait| wait * 1_000_000).collect();
        let real: Vec<u64> = (1..=200).map(|wait| wait * 1_600_000).collect();
        let beside = Beside::new(&ideal, &real);
        let sample = TailSample::new("x", 1, &waits, beside);
        assert_eq!((sample.p50_ms, sample.p99_ms, sample.mean_ms), (200.0, 396.0, 201.0));
        assert!((sample.to_ideal - 2.0).abs() < 1e-9);
        assert!((sample.to_line - 1.25).abs() < 1e-9);
        assert_eq!(TailSample::new("none", 1, &[], Beside::new(&[], &[])).p99_ms, 0.0);
    }

    #[test]
    fn a_row_is_the_median_of_its_repeats() {
        let beside = Beside::new(&[1_000_000], &[2_000_000]);
        let sample = |name, repeat, wait: u64| TailSample::new(name, repeat, &[wait], beside);
        let samples = [
            sample("b", 1, 1_000_000),
            sample("a", 1, 1),
            sample("b", 2, 3_000_000),
            sample("b", 3, 9_000_000),
        ];
        let rows = rows(&samples);
        assert_eq!((rows[0].balancer.as_str(), rows[0].p99_ms), ("b", 3.0));
        assert_eq!((rows[0].to_ideal.least, rows[0].to_ideal.most), (1.0, 9.0));
        assert_eq!((rows[0].to_line.least, rows[0].to_line.most), (0.5, 4.5));
        assert_eq!(rows[1].balancer, "a");
    }
}
