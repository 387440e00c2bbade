//! Made-up workloads: a rate over time, and requests drawn from it.

use super::{MOST_REQUESTS, Request, Step, Workload, WorkloadError};
use crate::distribution::Distribution;
use crate::seed::{Stream, stream};
use crate::span::{Nanos, nanos};
use rand_distr::{Distribution as _, Exp1, StandardUniform};
use rand_pcg::Pcg64;
use std::f64::consts::TAU;

/// How the rate goes over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shape {
    /// `--rate` requests a second, evenly spaced
    Constant,
    /// `--rate` requests a second, at random
    Poisson,
    /// `--rate`, and from `--change-at` on `--peak`
    Step,
    /// `--rate`, which from `--change-at` on grows to `--peak` within `--change-for`
    Ramp,
    /// A wave from `--rate` to `--peak` and back each `--period`
    Sine,
    /// `--rate`, but `--peak` from `--change-at` on for `--change-for`
    Spike,
    /// `--rate` and `--peak` in turn, each for half of `--period`
    OnOff,
    /// `--rate` and `--peak` in turns of random length, both together `--period` on average: a
    /// Markov-modulated Poisson process
    Mmpp,
}

/// A made-up workload.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plan {
    pub(crate) shape: Shape,
    /// Requests a second at the least.
    pub(crate) rate: f64,
    /// Requests a second at the most.
    pub(crate) peak: f64,
    /// Seconds.
    pub(crate) duration: f64,
    /// Seconds from the start.
    pub(crate) change_at: f64,
    /// Seconds.
    pub(crate) change_for: f64,
    /// Seconds.
    pub(crate) period: f64,
    pub(crate) service: Distribution,
}

impl Plan {
    /// Requests a second at second `at`; where that is left to chance, on average.
    pub(crate) fn rate_at(&self, at: f64) -> f64 {
        let (low, high) = (self.rate, self.peak);
        match self.shape {
            Shape::Constant | Shape::Poisson => low,
            Shape::Step => {
                if at < self.change_at {
                    low
                } else {
                    high
                }
            }
            Shape::Ramp => {
                let share = (at - self.change_at) / self.change_for.max(f64::MIN_POSITIVE);
                low + (high - low) * share.clamp(0.0, 1.0)
            }
            Shape::Sine => {
                let turn = TAU * at / self.period;
                low + (high - low) * (1.0 - turn.cos()) / 2.0
            }
            Shape::Spike => {
                let inside = at >= self.change_at && at < self.change_at + self.change_for;
                if inside { high } else { low }
            }
            Shape::OnOff => {
                let second_half = (at / self.period).fract() >= 0.5;
                if second_half { high } else { low }
            }
            Shape::Mmpp => f64::midpoint(low, high),
        }
    }

    /// The most that [`Plan::rate_at`] ever is.
    fn most(&self) -> f64 {
        match self.shape {
            Shape::Constant | Shape::Poisson => self.rate,
            _ => self.rate.max(self.peak),
        }
    }

    /// The requests. Equal for equal seeds.
    pub(crate) fn draw(&self, seed: u64) -> Result<Workload, WorkloadError> {
        // Told before memory is filled: a chance hit of the last few is told by `checked`.
        if self.most() * self.duration > 1.1 * MOST_REQUESTS as f64 {
            return Err(WorkloadError::TooMany);
        }
        let mut service = stream(seed, Stream::Service);
        let requests = self.times(seed).into_iter().map(|at| Request {
            at,
            service: self.service.sample(&mut service),
            tenant: 0,
        });
        let step = (self.shape == Shape::Step && self.change_at < self.duration)
            .then(|| Step { at: nanos(self.change_at), load: self.peak * self.service.mean() });
        Workload {
            name: self.name(),
            requests: requests.collect(),
            end: nanos(self.duration),
            // Nobody can know when its turns end.
            law: (self.shape != Shape::Mmpp).then_some(*self),
            step,
            rises: Vec::new(),
            tenants: vec![String::new()],
        }
        .checked()
    }

    /// When requests come. At random means: a Poisson process whose rate changes, drawn at the
    /// highest rate and thinned (Lewis and Shedler, "Simulation of nonhomogeneous Poisson
    /// processes by thinning", 1979).
    fn times(&self, seed: u64) -> Vec<Nanos> {
        let mut times = Vec::new();
        let most = self.most();
        if most <= 0.0 {
            return times;
        }
        if self.shape == Shape::Constant {
            let count = (self.duration * most).floor() as u64;
            times.extend((0..count).map(|number| nanos(number as f64 / most)));
            return times;
        }
        let mut random = stream(seed, Stream::Arrivals);
        let mut turns = Turns::begin(self, seed);
        let mut at = 0.0;
        loop {
            let gap: f64 = Exp1.sample(&mut random);
            at += gap / most;
            if at >= self.duration {
                return times;
            }
            let share: f64 = StandardUniform.sample(&mut random);
            let rate = if self.shape == Shape::Mmpp { turns.rate_at(at) } else { self.rate_at(at) };
            if share * most < rate {
                times.push(nanos(at));
            }
        }
    }

    fn name(&self) -> String {
        let Self { rate, peak, .. } = self;
        match self.shape {
            Shape::Constant => format!("constant {rate}/s"),
            Shape::Poisson => format!("Poisson {rate}/s"),
            Shape::Step => format!("step {rate} to {peak}/s"),
            Shape::Ramp => format!("ramp {rate} to {peak}/s"),
            Shape::Sine => format!("sine {rate} to {peak}/s"),
            Shape::Spike => format!("spike {rate} to {peak}/s"),
            Shape::OnOff => format!("on-off {rate} and {peak}/s"),
            Shape::Mmpp => format!("MMPP {rate} and {peak}/s"),
        }
    }
}

/// Turns of random length, at one rate and at another.
struct Turns {
    random: Pcg64,
    /// Seconds that one lasts on average.
    mean: f64,
    until: f64,
    rates: [f64; 2],
}

impl Turns {
    /// The first is at the rate, and the second at the peak.
    fn begin(plan: &Plan, seed: u64) -> Self {
        let random = stream(seed, Stream::Turns);
        // Whoever asks for turns that no request meets need not wait for them to be drawn.
        let (mean, rates) = ((plan.period / 2.0).max(1e-3), [plan.peak, plan.rate]);
        Self { random, mean, until: 0.0, rates }
    }

    /// The rate at a moment that is not before the last one asked for.
    fn rate_at(&mut self, at: f64) -> f64 {
        while self.until <= at {
            let length: f64 = Exp1.sample(&mut self.random);
            self.until += length * self.mean;
            self.rates.swap(0, 1);
        }
        self.rates[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::SECOND;

    fn plan(shape: Shape) -> Plan {
        Plan {
            shape,
            rate: 20.0,
            peak: 60.0,
            duration: 1000.0,
            change_at: 400.0,
            change_for: 200.0,
            period: 100.0,
            service: "100ms".parse().unwrap(),
        }
    }

    #[test]
    fn each_shape_has_the_rate_it_says() {
        // Requests expected between two seconds, by integrating the rate by hand.
        for (shape, from, to, want) in [
            (Shape::Constant, 0, 1000, 20_000.0),
            (Shape::Poisson, 0, 1000, 20_000.0),
            (Shape::Step, 0, 400, 8_000.0),
            (Shape::Step, 400, 1000, 36_000.0),
            (Shape::Ramp, 0, 400, 8_000.0),
            (Shape::Ramp, 400, 600, 8_000.0),
            (Shape::Ramp, 600, 1000, 24_000.0),
            (Shape::Sine, 0, 1000, 40_000.0),
            (Shape::Spike, 400, 600, 12_000.0),
            (Shape::Spike, 600, 1000, 8_000.0),
            (Shape::OnOff, 0, 50, 1_000.0),
            (Shape::OnOff, 50, 100, 3_000.0),
        ] {
            let workload = plan(shape).draw(5).unwrap();
            let inside = |request: &&Request| (from * SECOND..to * SECOND).contains(&request.at);
            let count = workload.requests.iter().filter(inside).count() as f64;
            let noise = if shape == Shape::Constant { 1.0 } else { 4.0 * f64::sqrt(want) };
            assert!((count - want).abs() <= noise, "{shape:?} {from}..{to}: {count} of {want}");
        }
    }

    #[test]
    fn turns_of_random_length_are_bursty_at_their_own_pace() {
        let mmpp = Plan { rate: 0.0, duration: 96_000.0, ..plan(Shape::Mmpp) };
        let workload = mmpp.draw(5).unwrap();
        let counts = |seconds: u64| {
            let mut counts = vec![0.0; (96_000 / seconds) as usize];
            workload
                .requests
                .iter()
                .for_each(|one| counts[(one.at / SECOND / seconds) as usize] += 1.0);
            counts
        };
        let dispersion = |counts: &[f64]| {
            let mean = counts.iter().sum::<f64>() / counts.len() as f64;
            let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>();
            (mean, variance / counts.len() as f64 / mean)
        };
        // Half of the time at 60 a second: the rate's variance is 900, and forgotten within 25 s, as either
        // turn may end (Fischer and Meier-Hellstern, "The MMPP cookbook", 1993).
        let (mean, of_second) = dispersion(&counts(1));
        assert!((mean - 30.0).abs() < 3.0, "{mean}");
        assert!((of_second - 31.0).abs() < 2.0, "{of_second}");
        let (_, of_ten_minutes) = dispersion(&counts(600));
        let tau = 25.0_f64;
        let want =
            1.0 + 2.0 * 900.0 / 30.0 * tau * (1.0 - tau / 600.0 * (1.0 - (-600.0 / tau).exp()));
        assert!((of_ten_minutes / want - 1.0).abs() < 0.4, "{of_ten_minutes}, not {want}");
        assert!(workload.law.is_none() && mmpp.draw(5).unwrap() == workload);
        assert_ne!(mmpp.draw(6).unwrap().requests.len(), workload.requests.len());
    }

    #[test]
    fn only_a_step_is_one() {
        let step = plan(Shape::Step).draw(1).unwrap().step.unwrap();
        assert_eq!(step, Step { at: 400 * SECOND, load: 6.0 });
        assert_eq!(plan(Shape::Ramp).draw(1).unwrap().step, None);
    }

    #[test]
    fn none_and_too_many_are_refused() {
        let none = Plan { rate: 0.0, ..plan(Shape::Poisson) };
        assert!(matches!(none.draw(1), Err(WorkloadError::Empty)));
        let many = Plan { rate: 1e9, ..plan(Shape::Constant) };
        assert!(matches!(many.draw(1), Err(WorkloadError::TooMany)));
    }
}
