//! How far one tick may move: up and down rates over what is ready, and the least and most.

/// The least and the most replicas of one API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The fewest replicas; 0 lets the API sleep.
    pub min: u32,
    /// The most replicas, at least `min`.
    pub max: u32,
}

/// How far one tick may move from what is ready.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// One tick wants at most this many times what is ready, and always at least one more.
    pub up: f64,
    /// One tick wants at least what is ready divided by this.
    pub down: f64,
}

/// Which bound moved a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// It cut the wish.
    Highest,
    /// It raised the wish.
    Lowest,
}

impl Rates {
    /// `wanted` as far as the rates let one tick go from `ready` replicas.
    ///
    /// None ready counts as one, so that a sleeping API can grow.
    pub fn rate(&self, wanted: u32, ready: u32) -> (u32, Option<Bound>) {
        let ready = ready.max(1);
        let highest = ((f64::from(ready) * self.up).ceil() as u32).max(ready.saturating_add(1));
        // A rate below 1 would force growth; it counts as 1, which forbids shrinking.
        let lowest = (f64::from(ready) / self.down.max(1.0)).floor() as u32;
        if wanted > highest {
            (highest, Some(Bound::Highest))
        } else if wanted < lowest {
            (lowest, Some(Bound::Lowest))
        } else {
            (wanted, None)
        }
    }
}

impl Limits {
    /// `wanted` between the least and the most. The most wins if they contradict each other.
    pub fn limit(&self, wanted: u32) -> (u32, Option<Bound>) {
        if wanted > self.max {
            (self.max, Some(Bound::Highest))
        } else if wanted < self.min.min(self.max) {
            (self.min.min(self.max), Some(Bound::Lowest))
        } else {
            (wanted, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_limit_one_step() {
        let rates = Rates { up: 2.0, down: 2.0 };
        for (wanted, ready, want) in [
            (100, 4, (8, Some(Bound::Highest))),
            (8, 4, (8, None)),
            (2, 4, (2, None)),
            (1, 4, (2, Some(Bound::Lowest))),
            (0, 1, (0, None)),
            (9, 0, (2, Some(Bound::Highest))),
        ] {
            assert_eq!(rates.rate(wanted, ready), want, "{wanted} from {ready}");
        }
    }

    #[test]
    fn a_rate_of_one_still_grows_by_one() {
        for rate in [1.0, 0.1, f64::NAN] {
            let slow = Rates { up: rate, down: rate };
            assert_eq!(slow.rate(9, 3), (4, Some(Bound::Highest)), "{rate}");
            assert_eq!(slow.rate(1, 3), (3, Some(Bound::Lowest)), "{rate}");
        }
    }

    #[test]
    fn least_and_most() {
        let limits = Limits { min: 1, max: 20 };
        assert_eq!(limits.limit(0), (1, Some(Bound::Lowest)));
        assert_eq!(limits.limit(20), (20, None));
        assert_eq!(limits.limit(21), (20, Some(Bound::Highest)));
        let mad = Limits { min: 5, max: 2 };
        assert_eq!(mad.limit(1), (2, Some(Bound::Lowest)));
        assert_eq!(mad.limit(9), (2, Some(Bound::Highest)));
    }
}
