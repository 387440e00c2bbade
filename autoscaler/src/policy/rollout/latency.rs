//! How long requests took, as a histogram tells it.

/// Requests by how long they took.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Latency {
    /// The upper end of each bucket in seconds, rising, and how many requests are in it.
    pub buckets: Vec<(f64, f64)>,
    /// How many took longer than the last bucket's end.
    pub beyond: f64,
}

// === impl Latency ===

impl Latency {
    /// How many requests there are.
    pub fn count(&self) -> f64 {
        self.buckets.iter().map(|(_, count)| count).sum::<f64>() + self.beyond
    }

    /// Adds what another one has counted. One with other buckets begins anew.
    pub fn add(&mut self, more: &Self) {
        let ends = |of: &Self| of.buckets.iter().map(|(end, _)| *end).collect::<Vec<_>>();
        if ends(self) != ends(more) {
            *self = more.clone();
            return;
        }
        for ((_, count), (_, more)) in self.buckets.iter_mut().zip(&more.buckets) {
            *count += more;
        }
        self.beyond += more.beyond;
    }

    /// What was counted since an earlier look at the same source. A source that counts anew has counted
    /// all that it says since then.
    pub fn since(&self, before: &Self) -> Self {
        let pairs = || self.buckets.iter().zip(&before.buckets);
        let is_same = self.buckets.len() == before.buckets.len()
            && pairs().all(|(now, before)| now.0 == before.0 && now.1 >= before.1)
            && self.beyond >= before.beyond;
        if !is_same {
            return self.clone();
        }
        let buckets = pairs().map(|(now, before)| (now.0, now.1 - before.1)).collect();
        Self { buckets, beyond: self.beyond - before.beyond }
    }

    /// How long so large a share of the requests took at the most, between a bucket's ends in
    /// proportion. Infinite past the last bucket's, and nothing without a request.
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let wanted = share * self.count();
        if wanted <= 0.0 {
            return None;
        }
        let (mut start, mut below) = (0.0, 0.0);
        for (end, count) in &self.buckets {
            if *count > 0.0 && below + count >= wanted {
                return Some(start + (end - start) * (wanted - below) / count);
            }
            (start, below) = (*end, below + count);
        }
        Some(f64::INFINITY)
    }

    /// How many took longer, in proportion within a bucket.
    pub fn longer_than(&self, seconds: f64) -> f64 {
        let mut start = 0.0;
        let above = self.buckets.iter().map(|(end, count)| {
            let part = ((end - seconds) / (end - start)).clamp(0.0, 1.0);
            start = *end;
            part * count
        });
        above.sum::<f64>() + self.beyond
    }

    /// How many took longer for sure: those in buckets that begin there or later.
    pub fn surely_longer_than(&self, seconds: f64) -> f64 {
        let mut start = 0.0;
        let above = self.buckets.iter().map(|(end, count)| {
            let begins = start;
            start = *end;
            if begins >= seconds { *count } else { 0.0 }
        });
        above.sum::<f64>() + self.beyond
    }

    /// The ends of the buckets.
    pub fn ends(&self) -> impl Iterator<Item = f64> {
        self.buckets.iter().map(|(end, _)| *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency(counts: [f64; 3], beyond: f64) -> Latency {
        Latency { buckets: [1.0, 2.0, 4.0].into_iter().zip(counts).collect(), beyond }
    }

    #[test]
    fn percentiles_and_tails() {
        let seen = latency([50.0, 40.0, 10.0], 0.0);
        for (share, seconds) in [(0.5, 1.0), (0.7, 1.5), (0.95, 3.0), (1.0, 4.0)] {
            assert!((seen.percentile(share).unwrap() - seconds).abs() < 1e-9, "{share}");
            assert!((seen.longer_than(seconds) - 100.0 * (1.0 - share)).abs() < 1e-9, "{share}");
        }
        assert_eq!((seen.surely_longer_than(1.5), seen.surely_longer_than(2.0)), (10.0, 10.0));
        assert_eq!((seen.longer_than(0.0), seen.longer_than(9.0)), (100.0, 0.0));
        let slow = latency([0.0, 0.0, 1.0], 9.0);
        assert_eq!((slow.percentile(0.5), slow.longer_than(9.0)), (Some(f64::INFINITY), 9.0));
        assert_eq!(Latency::default().percentile(0.5), None);
    }

    #[test]
    fn counts_go_on_and_begin_anew() {
        let (before, after) = (latency([1.0, 2.0, 3.0], 0.0), latency([4.0, 2.0, 3.0], 1.0));
        assert_eq!(after.since(&before), latency([3.0, 0.0, 0.0], 1.0));
        assert_eq!(before.since(&after), before, "a gateway was started anew");
        let mut sum = before.clone();
        sum.add(&after);
        assert_eq!(sum, latency([5.0, 4.0, 6.0], 1.0));
        let other = Latency { buckets: vec![(9.0, 1.0)], beyond: 0.0 };
        sum.add(&other);
        assert_eq!((sum.clone(), sum.since(&before)), (other.clone(), other));
    }
}
