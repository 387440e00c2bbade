//! Made-up workloads: a rate over time, and requests drawn from it.

use super::{MOST_REQUESTS, Request, Step, Workload, WorkloadError};
use crate::distribution::Distribution;
use crate::seed::{Stream, stream};
use crate::span::{Nanos, nanos};
use rand_distr::{Distribution as _, Exp1, StandardUniform};
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
    /// Requests a second at second `at`.
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
            law: Some(*self),
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
        let mut at = 0.0;
        loop {
            let gap: f64 = Exp1.sample(&mut random);
            at += gap / most;
            if at >= self.duration {
                return times;
            }
            let share: f64 = StandardUniform.sample(&mut random);
            if share * most < self.rate_at(at) {
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
        }
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
