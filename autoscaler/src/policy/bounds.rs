//! How far one tick may move: up and down rates over what is ready, and the least and most.

/// The rates and limits of one API.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// The fewest replicas; 0 lets the API sleep.
    pub min: u32,
    /// The most replicas, at least `min`.
    pub max: u32,
    /// One tick wants at most this many times what is ready, and always at least one more.
    pub up_rate: f64,
    /// One tick wants at least what is ready divided by this.
    pub down_rate: f64,
}

/// Which bound moved a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The up rate cut it.
    UpRate,
    /// The down rate raised it.
    DownRate,
    /// The least raised it.
    Min,
    /// The most cut it.
    Max,
}

impl Bounds {
    /// `wanted` as far as the rates let one tick go from `ready` replicas.
    ///
    /// None ready counts as one, so that a sleeping API can grow.
    pub fn rate(&self, wanted: u32, ready: u32) -> (u32, Option<Bound>) {
        let ready = ready.max(1);
        let highest =
            ((f64::from(ready) * self.up_rate).ceil() as u32).max(ready.saturating_add(1));
        // A rate below 1 would force growth; it counts as 1, which forbids shrinking.
        let lowest = (f64::from(ready) / self.down_rate.max(1.0)).floor() as u32;
        if wanted > highest {
            (highest, Some(Bound::UpRate))
        } else if wanted < lowest {
            (lowest, Some(Bound::DownRate))
        } else {
            (wanted, None)
        }
    }

    /// `wanted` between the least and the most. The most wins if they contradict each other.
    pub fn limit(&self, wanted: u32) -> (u32, Option<Bound>) {
        if wanted > self.max {
            (self.max, Some(Bound::Max))
        } else if wanted < self.min.min(self.max) {
            (self.min.min(self.max), Some(Bound::Min))
        } else {
            (wanted, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { min: 1, max: 20, up_rate: 2.0, down_rate: 2.0 };

    #[test]
    fn rates_limit_one_step() {
        for (wanted, ready, want) in [
            (100, 4, (8, Some(Bound::UpRate))),
            (8, 4, (8, None)),
            (2, 4, (2, None)),
            (1, 4, (2, Some(Bound::DownRate))),
            (0, 1, (0, None)),
            (9, 0, (2, Some(Bound::UpRate))),
        ] {
            assert_eq!(BOUNDS.rate(wanted, ready), want, "{wanted} from {ready}");
        }
    }

    #[test]
    fn a_rate_of_one_still_grows_by_one() {
        for rate in [1.0, 0.1, f64::NAN] {
            let slow = Bounds { up_rate: rate, down_rate: rate, ..BOUNDS };
            assert_eq!(slow.rate(9, 3), (4, Some(Bound::UpRate)), "{rate}");
            assert_eq!(slow.rate(1, 3), (3, Some(Bound::DownRate)), "{rate}");
        }
    }

    #[test]
    fn least_and_most() {
        assert_eq!(BOUNDS.limit(0), (1, Some(Bound::Min)));
        assert_eq!(BOUNDS.limit(20), (20, None));
        assert_eq!(BOUNDS.limit(21), (20, Some(Bound::Max)));
        let mad = Bounds { min: 5, max: 2, ..BOUNDS };
        assert_eq!(mad.limit(1), (2, Some(Bound::Min)));
        assert_eq!(mad.limit(9), (2, Some(Bound::Max)));
    }
}
