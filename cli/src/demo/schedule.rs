//! What the demo sends and when: phases of different rates, and seeded arrivals within them.
//!
//! Arrivals don't wait for answers: people don't either. Pure; times are since the demo's start.

use std::time::Duration;

/// Requests a second in the burst: about what one replica can do at the most, so that the queue
/// which builds up during the cold start can only be worked off by several.
const BURST_RATE: f64 = 50.0;

/// Requests a second afterwards: what one replica does with ease.
const STEADY_RATE: f64 = 15.0;

/// A stretch of time with one rate of arrivals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Phase {
    /// Shown in each line.
    pub(crate) name: &'static str,
    /// When it begins.
    pub(crate) begin: Duration,
    /// When the next one begins.
    pub(crate) end: Duration,
    /// Arrivals a second, on average.
    pub(crate) rate: f64,
}

/// The demo's phases; together they take `length`.
pub(crate) fn phases(length: Duration) -> [Phase; 4] {
    let at = |share: f64| length.mul_f64(share);
    let phase = |name, begin, end, rate| Phase { name, begin: at(begin), end: at(end), rate };
    [
        phase("quiet", 0.0, 0.05, 0.0),
        phase("burst", 0.05, 0.35, BURST_RATE),
        phase("steady", 0.35, 0.75, STEADY_RATE),
        phase("quiet again", 0.75, 1.0, 0.0),
    ]
}

/// When requests are sent, in order: gaps are exponential, as if from many people who know nothing
/// of each other. The same seed gives the same times.
pub(crate) fn arrivals(phases: &[Phase], seed: u64) -> Vec<Duration> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut times = Vec::new();
    for phase in phases.iter().filter(|phase| phase.rate > 0.0) {
        let mut time = phase.begin;
        loop {
            time += gap(random.f64(), phase.rate);
            if time >= phase.end {
                break;
            }
            times.push(time);
        }
    }
    times
}

/// The exponential gap for a uniform draw from [0, 1).
fn gap(draw: f64, rate: f64) -> Duration {
    Duration::from_secs_f64(-(1.0 - draw).ln() / rate)
}

/// The phase at a time; the last one for all later times.
pub(crate) fn phase_at(phases: &[Phase], time: Duration) -> Option<&Phase> {
    phases.iter().find(|phase| time < phase.end).or_else(|| phases.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn phases_follow_each_other_and_fill_the_time() {
        let phases = phases(MINUTE);
        assert_eq!(phases[0].begin, Duration::ZERO);
        assert_eq!(phases[3].end, MINUTE);
        assert!(phases.windows(2).all(|pair| pair[0].end == pair[1].begin));
        assert_eq!(phase_at(&phases, Duration::ZERO).unwrap().name, "quiet");
        assert_eq!(phase_at(&phases, phases[1].begin).unwrap().name, "burst");
        assert_eq!(phase_at(&phases, MINUTE * 2).unwrap().name, "quiet again");
    }

    #[test]
    fn a_seed_gives_the_same_arrivals_and_another_seed_others() {
        let phases = phases(MINUTE);
        assert_eq!(arrivals(&phases, 1), arrivals(&phases, 1));
        assert_ne!(arrivals(&phases, 1), arrivals(&phases, 2));
    }

    #[test]
    fn each_phase_has_about_its_rate_and_quiet_ones_nothing() {
        let phases = phases(MINUTE * 10);
        let times = arrivals(&phases, 7);
        assert!(times.is_sorted());
        for phase in phases {
            let count =
                times.iter().filter(|time| phase.begin <= **time && **time < phase.end).count();
            let expected = phase.rate * (phase.end - phase.begin).as_secs_f64();
            // Six standard deviations of a Poisson count.
            let tolerance = 6.0 * expected.sqrt();
            assert!((count as f64 - expected).abs() <= tolerance, "{} {count}", phase.name);
        }
    }

    #[test]
    fn gaps_are_finite_for_every_draw() {
        assert_eq!(gap(0.0, 10.0), Duration::ZERO);
        assert!(gap(1.0 - f64::EPSILON / 2.0, 10.0) < Duration::from_secs(4));
    }
}
