//! Finds how many requests an endpoint handles at once, from how long they take.
//!
//! A gradient limiter, after Envoy's adaptive concurrency filter (its "gradient controller") and
//! Netflix's concurrency-limits (`Gradient2Limit`): once a window of requests, `limit ← limit ×
//! gradient + headroom`, where the gradient says by how much requests take longer than they do at
//! low concurrency (the baseline). Below the knee it is 1 and the headroom makes the limit grow; at
//! the knee latency rises with concurrency, and the limit stays.
//!
//! Two things differ. Windows are compared by means, not by percentiles or single minima, as
//! inference times vary by themselves. And the baseline is measured anew now and then at half the
//! limit instead of at its minimum (as TCP BBR's ProbeRTT): with a limit near the knee, half of it
//! is below, and costs less throughput. A limit far above the knee is halved by each such probe.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// How much longer than the baseline requests may take before the limit falls. Below 1.2 the noise
/// of a window's mean pushes it down; at 2 as many again may wait inside the endpoint.
const TOLERANCE: f64 = 1.3;
/// No window lowers the limit further than this: one slow request is no collapse.
const GRADIENT_MIN: f64 = 0.5;
/// The share of a step that is taken.
const SMOOTHING: f64 = 0.5;
/// Requests in a window, and for each request of the limit: the mean of exponential times is then
/// within about a tenth.
const WINDOW_MIN: u32 = 50;
const WINDOW_PER_LIMIT: u32 = 2;
/// Windows from one probe to the next.
const PROBE_EVERY: u32 = 25;
/// Probes come this soon if requests take so much longer that the baseline itself is in doubt.
const PROBE_SOON: u32 = 4;
/// Below this gradient the baseline is in doubt.
const DOUBT: f64 = 0.75;

/// Between which limits to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitRange {
    /// The lowest.
    pub min: NonZeroU32,
    /// The highest; not below the lowest.
    pub max: NonZeroU32,
}

/// How many requests run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// This many.
    Fixed(NonZeroU32),
    /// As many as the endpoint is found to handle.
    Auto(LimitRange),
}

/// The search for one endpoint's limit.
#[derive(Debug, Clone)]
pub struct GradientLimit {
    range: LimitRange,
    limit: f64,
    /// Mean time of a request at low concurrency, in seconds; `None` before it was measured.
    baseline: Option<f64>,
    phase: Phase,
    windows_since_probe: u32,
    window: Window,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// The limit follows the gradient.
    Follow,
    /// Half the limit, to measure the baseline; then back to this.
    Probe { resume: f64 },
}

/// What was measured since the window began.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    /// Requests that began before it ran under another limit.
    begun: Option<Instant>,
    count: u32,
    sum: Duration,
    most_in_flight: u32,
}

// === impl GradientLimit ===

impl GradientLimit {
    /// Begins at the lowest limit and, so far as requests want it, grows.
    pub fn new(range: LimitRange) -> Self {
        Self {
            range,
            limit: f64::from(range.min.get()),
            baseline: None,
            phase: Phase::Follow,
            windows_since_probe: 0,
            window: Window::default(),
        }
    }

    /// The limit now.
    pub fn limit(&self) -> u32 {
        // Within the range, so that it fits.
        let (min, max) = (self.range.min.get(), self.range.max.get());
        (self.limit.round() as u32).clamp(min, max)
    }

    /// A request that began at `began` was answered; with it so many ran. Returns the limit if it
    /// is another one now.
    pub fn completed(&mut self, began: Instant, in_flight: u32, now: Instant) -> Option<u32> {
        let begun = *self.window.begun.get_or_insert(began);
        if began < begun {
            return None;
        }
        self.window.count += 1;
        self.window.sum += now.saturating_duration_since(began);
        self.window.most_in_flight = self.window.most_in_flight.max(in_flight);
        let before = self.limit();
        if self.window.count < WINDOW_MIN.max(WINDOW_PER_LIMIT * before) {
            return None;
        }
        let window =
            std::mem::replace(&mut self.window, Window { begun: Some(now), ..Window::default() });
        self.step(window);
        let after = self.limit();
        (after != before).then_some(after)
    }

    fn step(&mut self, window: Window) {
        let mean = window.sum.as_secs_f64() / f64::from(window.count);
        if let Phase::Probe { resume } = self.phase {
            self.baseline = Some(mean);
            self.phase = Phase::Follow;
            self.windows_since_probe = 0;
            self.limit = resume;
            return;
        }
        self.windows_since_probe += 1;
        // Against the limit as it was given out, a whole number.
        let taken = f64::from(window.most_in_flight) / f64::from(self.limit());
        let baseline = match self.baseline {
            // Nothing held it back: as good as a probe, and free.
            _ if taken <= 0.5 => mean,
            None => mean,
            Some(baseline) => baseline.min(mean),
        };
        self.baseline = Some(baseline);
        let gradient = (TOLERANCE * baseline / mean).clamp(GRADIENT_MIN, 1.0);
        let wanted = self.limit * gradient + self.headroom();
        // A limit that is not reached says nothing about a higher one.
        if wanted <= self.limit || taken >= 0.9 {
            self.limit += SMOOTHING * (wanted - self.limit);
        }
        self.limit = self.limit.clamp(self.range.min.get().into(), self.range.max.get().into());
        let in_doubt = gradient < DOUBT && self.windows_since_probe >= PROBE_SOON;
        if self.windows_since_probe >= PROBE_EVERY || in_doubt {
            self.probe();
        }
    }

    fn probe(&mut self) {
        let half = (self.limit / 2.0).max(self.range.min.get().into());
        self.phase = Phase::Probe { resume: self.limit };
        self.limit = half;
    }

    fn headroom(&self) -> f64 {
        (self.limit.sqrt() / 2.0).max(1.0)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "simulated time needs a start")]
mod tests;
