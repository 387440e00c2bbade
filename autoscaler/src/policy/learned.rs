//! What the `slo` rule learns of one API: its service time, how bursty it is, how long a replica
//! takes to start. Each has a prior that counts until something is seen, and a bound.

use super::observation::{Observation, Traffic, is_load};
use super::peakedness::Peakedness;
use super::snapshot::Snapshot;
use std::collections::VecDeque;
use std::time::Duration;

/// The service time before one is seen, in seconds: a guess on the long side makes the prediction
/// rely less on requests finishing in time.
const FIRST_SERVICE: f64 = 1.0;
/// The shortest and the longest service time, in seconds.
const SERVICE_BOUNDS: (f64, f64) = (1e-4, 3600.0);
/// Requests that speak for the service time, at the least: older ones fade.
const SERVICE_MEMORY: f64 = 1000.0;
/// Requests that one look may speak for, at the most: else a single one that is wrong would speak for days.
const MOST_AT_ONCE: f64 = 10.0 * SERVICE_MEMORY;
/// Requests that make a mean: with that many it is off by a third.
const ENOUGH: f64 = 10.0;
/// Seconds that speak for it, at the least: when load falls, the long requests finish last, and must
/// not be taken for all.
const SERVICE_TIME: f64 = 120.0;
/// Squared coefficient of variation before it is seen: that of the exponential distribution.
const FIRST_VARIATION: f64 = 1.0;
/// Its bound: beyond, a mean says nothing anyway.
const MOST_VARIATION: f64 = 25.0;
/// A new start counts for one part in so many: the last few speak.
const START_MEMORY: f64 = 2.0;
/// The shortest and the longest cold start, in seconds.
const START_BOUNDS: (f64, f64) = (0.1, 3600.0);
/// Seconds for which a first start is believed to be slow: beyond, it is more likely stuck.
const MOST_TAKEN: f64 = 300.0;
/// Starts that are timed at once; those beyond are not.
const MOST_STARTS: usize = 1000;

/// What was learned.
#[derive(Debug, Clone)]
pub struct Learned {
    completions: f64,
    service_seconds: f64,
    /// Sum over ticks of (service seconds − completions × mean)², which grows by the variance with
    /// each completion.
    deviation: f64,
    peakedness: Peakedness,
    cold_start: f64,
    /// Until a start was seen to its end, how long one has taken already.
    taken: f64,
    knows_start: bool,
    starts: VecDeque<Duration>,
    last_ready: u32,
}

impl Learned {
    /// Nothing yet but a prior for the cold start.
    pub fn new(cold_start: Duration) -> Self {
        let (shortest, longest) = START_BOUNDS;
        Self {
            completions: 0.0,
            service_seconds: 0.0,
            deviation: 0.0,
            peakedness: Peakedness::new(),
            cold_start: cold_start.as_secs_f64().clamp(shortest, longest),
            taken: 0.0,
            knows_start: false,
            starts: VecDeque::new(),
            last_ready: 0,
        }
    }

    /// Mean service time in seconds.
    pub fn service(&self) -> f64 {
        let (shortest, longest) = SERVICE_BOUNDS;
        if self.completions < 1.0 {
            return FIRST_SERVICE;
        }
        (self.service_seconds / self.completions).clamp(shortest, longest)
    }

    /// Whether enough requests have ended for their mean to be more than a guess.
    pub fn knows_service(&self) -> bool {
        self.completions >= ENOUGH
    }

    /// Squared coefficient of variation of the service time.
    pub fn service_variation(&self) -> f64 {
        // The prior counts as ten requests, so that the first few don't speak alone.
        const PRIOR: f64 = 10.0;
        let mean = self.service();
        let seen = self.deviation / (mean * mean);
        ((seen + PRIOR * FIRST_VARIATION) / (self.completions + PRIOR)).clamp(0.0, MOST_VARIATION)
    }

    /// One standard deviation of the mean service time, as a share of it, at most 1.
    pub fn service_doubt(&self) -> f64 {
        (self.service_variation() / self.completions.max(1.0)).sqrt().min(1.0)
    }

    /// Variance over mean of the number of arrivals in a tick, at least 1, while their rate surely grows or falls by
    /// `slope`; `foreseen` where a period says what comes.
    pub fn peakedness(&self, slope: f64, foreseen: bool) -> f64 {
        self.peakedness.of(slope, foreseen)
    }

    /// Seconds from a replica's start until it is ready. Before one was seen, no less than the first
    /// takes already.
    pub fn cold_start(&self) -> f64 {
        self.cold_start.max(self.taken)
    }

    /// Seconds until the next replica is ready: one that starts now, if none is starting.
    pub fn until_ready(&self, now: Duration) -> f64 {
        let gone =
            self.starts.front().map_or(0.0, |began| now.saturating_sub(*began).as_secs_f64());
        (self.cold_start() - gone).max(0.0)
    }

    /// For how long, added up, those that are starting will serve before one that starts now is ready.
    pub fn ahead(&self, now: Duration) -> f64 {
        let gone = |began: &Duration| now.saturating_sub(*began).as_secs_f64();
        self.starts.iter().map(|began| gone(began).min(self.cold_start())).sum()
    }

    /// Learns from what a tick says of finished requests.
    pub fn finished(&mut self, traffic: &Traffic, now: Duration) {
        let Traffic { completions, service_seconds, .. } = *traffic;
        let sound = is_load(completions) && is_load(service_seconds);
        if !sound || completions < 1.0 || service_seconds <= 0.0 {
            return;
        }
        let mean = (service_seconds / completions).min(SERVICE_BOUNDS.1);
        let completions = completions.min(MOST_AT_ONCE);
        let service_seconds = completions * mean;
        let seconds = now.saturating_sub(traffic.from).as_secs_f64();
        let fade = (-(completions / SERVICE_MEMORY).min(seconds / SERVICE_TIME)).exp();
        self.completions = self.completions * fade + completions;
        self.service_seconds = self.service_seconds * fade + service_seconds;
        let off = service_seconds - completions * self.service();
        self.deviation = self.deviation * fade + off * off;
    }

    /// Learns from `arrivals` in a tick of `seconds` in which `expected` were to come.
    pub fn arrived(&mut self, arrivals: f64, expected: f64, seconds: f64) {
        self.peakedness.arrived(arrivals, expected, seconds);
    }

    pub(super) fn save(&self, to: &mut Snapshot) {
        let Self { completions, service_seconds, deviation, cold_start, .. } = *self;
        let around = self.peakedness.around();
        to.put("slo.learned", [[completions, service_seconds, deviation, around, cold_start]]);
        self.peakedness.save(to);
    }

    pub(super) fn load(&mut self, from: &Snapshot) {
        let Some(learned) = from.row("slo.learned") else { return };
        if learned.iter().all(|number| is_load(*number)) {
            let [completions, service_seconds, deviation, around, cold_start] = learned;
            let (shortest, longest) = START_BOUNDS;
            (self.completions, self.service_seconds) = (completions, service_seconds);
            self.deviation = deviation;
            self.peakedness.load(around, from);
            self.cold_start = cold_start.clamp(shortest, longest);
            self.knows_start = true;
        }
    }

    /// Times replicas from when they are seen starting until they are seen ready.
    pub fn started(&mut self, seen: &Observation, now: Duration) {
        let grown = seen.ready.saturating_sub(self.last_ready);
        self.last_ready = seen.ready;
        for _ in 0..grown {
            let Some(began) = self.starts.pop_front() else { break };
            let took = now.saturating_sub(began).as_secs_f64();
            let (shortest, longest) = START_BOUNDS;
            let part = if self.knows_start { START_MEMORY } else { 1.0 };
            self.cold_start += (took.clamp(shortest, longest) - self.cold_start) / part;
            self.knows_start = true;
        }
        // Fewer start than were seen to: the newest were taken back.
        self.starts.truncate(seen.starting as usize);
        while self.starts.len() < (seen.starting as usize).min(MOST_STARTS) {
            self.starts.push_back(now);
        }
        let oldest =
            self.starts.front().map_or(0.0, |began| now.saturating_sub(*began).as_secs_f64());
        self.taken = if self.knows_start { 0.0 } else { oldest.min(MOST_TAKEN) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn seen(ready: u32, starting: u32) -> Observation {
        Observation { current: ready + starting, ready, starting, ..Observation::default() }
    }

    #[test]
    fn a_first_start_is_believed_to_take_as_long_as_it_does_already() {
        let mut learned = Learned::new(at(10));
        learned.started(&seen(0, 2), at(100));
        learned.started(&seen(0, 2), at(105));
        assert_eq!((learned.cold_start(), learned.until_ready(at(105))), (10.0, 5.0));
        learned.started(&seen(0, 2), at(170));
        assert_eq!((learned.cold_start(), learned.until_ready(at(170))), (70.0, 0.0));
        learned.started(&seen(0, 2), at(9000));
        assert_eq!(learned.cold_start(), MOST_TAKEN, "it is stuck");
    }

    #[test]
    fn the_first_that_is_ready_replaces_the_guess_and_the_next_count_half() {
        let mut learned = Learned::new(at(10));
        learned.started(&seen(0, 2), at(100));
        learned.started(&seen(1, 1), at(220));
        assert_eq!(learned.cold_start(), 120.0);
        // The other one takes longer, which proves nothing of those to come: it may be stuck.
        learned.started(&seen(1, 1), at(900));
        assert_eq!(learned.cold_start(), 120.0);
        learned.started(&seen(2, 0), at(1000));
        assert_eq!(learned.cold_start(), 510.0);
    }

    #[test]
    fn those_that_start_serve_for_what_is_left_of_a_start() {
        let mut learned = Learned::new(at(30));
        learned.started(&seen(1, 1), at(100));
        learned.started(&seen(1, 2), at(110));
        // Ten and twenty seconds of the next thirty are still to pass.
        assert_eq!(learned.ahead(at(120)), 20.0 + 10.0);
    }
}
