//! Which of an API's versions gets a request, by the weights in force and one number.
//!
//! The versions lie on a line one after the other, each as long as its weight, and the number is a
//! spot on it. Drawn at random it gives each version its share; made of a client's key it keeps the
//! client where it is. The version that grows lies first and the next to shrink after it: then every
//! spot changes hands once at the most while one version takes over from all others.

/// The index of the version at this spot, of all numbers there are. `None` if all weights are 0.
pub fn choose(weights: impl Iterator<Item = u32> + Clone, spot: u64) -> Option<usize> {
    let whole: u64 = weights.clone().map(u64::from).sum();
    // Below `whole`, and the same share of it as `spot` is of all numbers.
    let at = (u128::from(spot) * u128::from(whole)) >> u64::BITS;
    let mut end = 0;
    weights.into_iter().position(|weight| {
        end += u128::from(weight);
        at < end
    })
}

/// Whether a share of all requests takes the one with this number.
pub fn takes(share: f64, drawn: u64) -> bool {
    // 53 bits, which a floating-point number holds exactly.
    ((drawn >> 11) as f64) < share * (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spot(share: f64) -> u64 {
        (share * u64::MAX as f64) as u64
    }

    #[test]
    fn each_version_has_its_part_of_the_line() {
        for (weights, share, version) in [
            (&[10, 90][..], 0.0, Some(0)),
            (&[10, 90], 0.0999, Some(0)),
            (&[10, 90], 0.1001, Some(1)),
            (&[10, 90], 1.0, Some(1)),
            (&[0, 100], 0.0, Some(1)),
            (&[0, 100, 0], 1.0, Some(1)),
            (&[1, 1, 1], 0.5, Some(1)),
            (&[u32::MAX, u32::MAX], 0.75, Some(1)),
            (&[0, 0], 0.5, None),
            (&[], 0.5, None),
        ] {
            let found = choose(weights.iter().copied(), spot(share));
            assert_eq!(found, version, "{weights:?} at {share}");
        }
    }

    #[test]
    fn a_share_takes_so_many() {
        for (share, drawn, taken) in [
            (1.0, u64::MAX, true),
            (0.0, 0, false),
            (0.5, u64::MAX / 2 - 4096, true),
            (0.5, u64::MAX / 2 + 4096, false),
        ] {
            assert_eq!(takes(share, drawn), taken, "{share} of {drawn}");
        }
    }

    proptest! {
        #[test]
        fn shares_are_the_weights(weights in prop::collection::vec(0..100_u32, 1..6)) {
            let whole: u32 = weights.iter().sum();
            prop_assume!(whole > 0);
            let mut seen = vec![0_u32; weights.len()];
            let spots = 10_000_u64;
            for n in 0..spots {
                let spot = (u64::MAX / spots) * n + u64::MAX / spots / 2;
                seen[choose(weights.iter().copied(), spot).unwrap()] += 1;
            }
            for (seen, weight) in seen.iter().zip(&weights) {
                let expected = f64::from(*weight) / f64::from(whole) * spots as f64;
                prop_assert!((f64::from(*seen) - expected).abs() <= 2.0, "{seen} for {expected}");
            }
        }

        /// One version takes over; of the others the first on the line gives its weight up first.
        #[test]
        fn a_client_moves_once_while_a_version_takes_over(
            before in prop::collection::vec(0..50_u32, 1..5),
            spot: u64,
        ) {
            let whole: u32 = before.iter().sum();
            prop_assume!(whole > 0);
            let mut path = Vec::new();
            for taken in 0..=whole {
                let mut left = taken;
                let others = before.iter().map(|weight| {
                    let lost = left.min(*weight);
                    left -= lost;
                    weight - lost
                });
                let weights: Vec<u32> = std::iter::once(taken).chain(others).collect();
                path.push(choose(weights.iter().copied(), spot).unwrap());
            }
            path.dedup();
            prop_assert!(path.len() <= 2 && path.last() == Some(&0), "{path:?}");
        }
    }
}
