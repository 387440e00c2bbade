//! How sure it is that something happens more often than it may, and not by chance.

/// What is called sure: chance alone would look like this once in 10,000 looks at the most. Looks
/// come each tick, so a bound that holds once in a hundred would break in every long step.
pub const SURE: f64 = 9.22;

/// What is called likely: once in 20.
pub const LIKELY: f64 = 3.0;

/// The evidence that what happened `count` times of `all` does not happen with this probability: the
/// natural logarithm of the odds against chance, which Chernoff's bound makes of the divergence
/// between the two. 0 where the two agree.
pub fn evidence(count: f64, all: f64, probability: f64) -> f64 {
    if all <= 0.0 {
        return 0.0;
    }
    let share = (count / all).clamp(0.0, 1.0);
    let part = |share: f64, expected: f64| match share {
        0.0 => 0.0,
        _ => share * (share / expected).ln(),
    };
    (all * (part(share, probability) + part(1.0 - share, 1.0 - probability))).max(0.0)
}

/// The evidence that two things happen with different probabilities, each `count` times of `all`.
pub fn difference(one: (f64, f64), other: (f64, f64)) -> f64 {
    let all = one.1 + other.1;
    if all <= 0.0 {
        return 0.0;
    }
    let common = (one.0 + other.0) / all;
    evidence(one.0, one.1, common) + evidence(other.0, other.1, common)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sure_and_what_may_be_chance() {
        for (count, all, probability, sure) in [
            (3.0, 3.0, 0.01, true),
            (2.0, 2.0, 0.01, false),
            (1.0, 50.0, 0.01, false),
            (4.0, 200.0, 0.01, false),
            (12.0, 200.0, 0.01, true),
            (1.0, 1e6, 0.0, true),
            (0.0, 1e6, 0.0, false),
            (0.0, 0.0, 0.01, false),
            (5.0, 5.0, 1.0, false),
        ] {
            let found = evidence(count, all, probability);
            assert_eq!(found >= SURE, sure, "{count} of {all} at {probability}: {found}");
        }
    }

    /// Chernoff's bound is above the exact tail: what is called sure is at least that.
    #[test]
    fn chance_is_not_called_sure() {
        for (all, probability) in [(20_u32, 0.05_f64), (60, 0.01), (150, 0.1)] {
            let mut term = (1.0 - probability).powi(all as i32);
            let mut below = 0.0;
            for count in 0..=all {
                let tail = 1.0 - below;
                let is_more = f64::from(count) > probability * f64::from(all);
                if is_more && evidence(f64::from(count), f64::from(all), probability) >= SURE {
                    assert!(tail <= 1e-4 + 1e-12, "{count} of {all}: {tail}");
                }
                below += term;
                term *= f64::from(all - count) / f64::from(count + 1) * probability
                    / (1.0 - probability);
            }
        }
    }

    #[test]
    fn two_shares_differ_surely_or_not() {
        assert!(difference((12.0, 600.0), (3.0, 5400.0)) >= SURE);
        assert!(difference((2.0, 100.0), (10.0, 900.0)) < SURE);
        assert!(difference((0.0, 0.0), (0.0, 0.0)) == 0.0);
        assert!(difference((0.0, 10.0), (0.0, 90.0)) == 0.0);
    }
}
