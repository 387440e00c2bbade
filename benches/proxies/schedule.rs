//! When requests come and how long each takes to serve: drawn once, the same for all who are
//! compared.

use fastrand::Rng;
use std::time::Duration;

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    /// When it comes, in nanoseconds from the begin.
    pub(crate) due: u64,
    /// How long it takes to serve, in nanoseconds.
    pub(crate) service: u64,
}

/// Requests that come one by one at random (Poisson), `rate` a second on average, and take
/// exponential times with this mean.
pub(crate) fn draw(seed: u64, rate: f64, mean_service: Duration, time: Duration) -> Vec<Call> {
    let mut random = Rng::with_seed(seed);
    let mut exponential = |mean: f64| -mean * (1.0 - random.f64()).ln();
    let (mut at, mut calls) = (0.0, Vec::new());
    let (gap, service) = (1e9 / rate, mean_service.as_nanos() as f64);
    loop {
        at += exponential(gap);
        if at >= time.as_nanos() as f64 {
            return calls;
        }
        // Whole microseconds are what the origin is told.
        let micros = (exponential(service) / 1e3).ceil();
        calls.push(Call { due: at as u64, service: micros as u64 * 1000 });
    }
}

/// How long each waits, in nanoseconds, if all stand in one line before so many servers: who comes
/// first goes to the server that is free first. Nobody can do better without knowing how long each
/// will take.
pub(crate) fn ideal_waits(calls: &[Call], servers: usize) -> Vec<u64> {
    let mut free = vec![0_u64; servers.max(1)];
    let wait = |call: &Call| {
        let first = free.iter_mut().min()?;
        let begin = call.due.max(*first);
        *first = begin + call.service;
        Some(begin - call.due)
    };
    calls.iter().filter_map(wait).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_served_in_order_by_whoever_is_free() {
        let call = |due, service| Call { due, service };
        let calls = [call(0, 10), call(1, 3), call(2, 5), call(3, 1), call(30, 1)];
        assert_eq!(ideal_waits(&calls, 2), [0, 0, 2, 6, 0]);
        assert_eq!(ideal_waits(&calls, 1), [0, 9, 11, 15, 0]);
    }

    #[test]
    fn the_ideal_line_waits_as_theory_says() {
        // Erlang C for 8 servers at 80 %: 45.8 % wait, and those 12.5 ms on average.
        let service = Duration::from_millis(20);
        let calls = draw(1, 320.0, service, Duration::from_secs(10_000));
        let waits = ideal_waits(&calls, 8);
        let late = waits.iter().filter(|wait| **wait > 0).count() as f64 / waits.len() as f64;
        let mean = waits.iter().sum::<u64>() as f64 / waits.len() as f64 / 1e6;
        assert!((0.44..0.475).contains(&late), "{late}");
        assert!((5.3..6.2).contains(&mean), "{mean}");
    }

    #[test]
    fn a_seed_gives_the_same_again() {
        let time = Duration::from_secs(1);
        let one = |seed| draw(seed, 100.0, Duration::from_millis(1), time);
        assert_eq!(one(7), one(7));
        assert_ne!(one(7), one(8));
    }
}
