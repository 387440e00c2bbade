//! How many replicas a load needs. The only place that rounds up.

/// The least a replica can be meant for; below it a division would ask for absurd numbers.
const LEAST_TARGET: f64 = 0.01;

/// Forgives what floating point adds: 4.2 / 1.4 is 3 replicas, though it comes out above 3.
const ROUNDING: f64 = 1e-9;

/// In-flight requests one replica is aimed at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target(f64);

impl Target {
    /// `target` requests a replica, of which the share `utilization` is aimed at.
    ///
    /// With a concurrency `limit` no more than that is aimed at: a replica can't run more.
    pub fn new(target: f64, utilization: f64, limit: Option<u32>) -> Self {
        let most = limit.map_or(f64::INFINITY, f64::from);
        // Not `min`, which would turn what is no number into the limit; `max` makes it the least.
        let capped = if target > most { most } else { target };
        Self((capped * utilization).max(LEAST_TARGET))
    }

    /// Requests a replica.
    pub fn value(self) -> f64 {
        self.0
    }

    /// The replicas that `load` requests in flight need: `ceil(load / target)`.
    ///
    /// What is no number, or below zero, needs none; callers never pass it on as a measurement.
    pub fn wanted(self, load: f64) -> u32 {
        (load / self.0 - ROUNDING).ceil() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wanted_rounds_up_and_forgives_floating_point() {
        let target = Target::new(2.0, 0.7, None);
        for (load, wanted) in [
            (0.0, 0),
            (0.001, 1),
            (1.4, 1),
            (1.41, 2),
            (4.2, 3),
            (4.3, 4),
            (f64::NAN, 0),
            (-3.0, 0),
        ] {
            assert_eq!(target.wanted(load), wanted, "load {load}");
        }
        assert_eq!(target.wanted(f64::INFINITY), u32::MAX);
    }

    #[test]
    fn a_target_is_a_number_above_zero_whatever_it_is_made_of() {
        for bad in [f64::NAN, -1.0, 0.0] {
            assert_eq!(Target::new(bad, 0.7, None).value(), LEAST_TARGET, "{bad}");
        }
    }
}
