//! The same endpoint for the same key, as long as it has not too much to do.
//!
//! Rendezvous hashing (Thaler and Ravishankar, 1998), weighted by the endpoints' limits: each key
//! ranks all endpoints, and the highest that takes it has it. So an endpoint that comes or goes
//! moves its own keys only, and what is too much for a key's first endpoint always goes to the same
//! second. No endpoint is given more than a factor times its share of what runs (Mirrokni, Thorup
//! and Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2018).

use super::split_mix::mix;

/// One endpoint that takes requests, full or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Which place it is.
    pub index: usize,
    /// What it is known by: the same in every gateway and after a restart.
    pub identity: u64,
    /// Requests that run there.
    pub running: u32,
    /// How many may.
    pub limit: u32,
}

/// Chooses for a key. `factor_percent` of the mean load is the most an endpoint is given, at least
/// 100. `None` only if all are full.
pub fn choose(
    key: u64,
    factor_percent: u32,
    candidates: impl Iterator<Item = Candidate> + Clone,
) -> Option<usize> {
    let running: u64 = candidates.clone().map(|candidate| u64::from(candidate.running)).sum();
    let limit: u64 = candidates.clone().map(|candidate| u64::from(candidate.limit)).sum();
    // In hundredths of a request; above the mean of what will run, so that not all are beyond it.
    let allowed = (running + 1).saturating_mul(u64::from(factor_percent.max(100)));
    let takes = |candidate: &Candidate| {
        let bound = u128::from(allowed) * u128::from(candidate.limit);
        let next = u128::from(limit) * 100 * u128::from(candidate.running);
        candidate.running < candidate.limit && next < bound
    };
    let ranked =
        candidates.filter(takes).map(|candidate| (score(key, &candidate), candidate.index));
    ranked.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, index)| index)
}

/// A hash of a name that is the same in every process.
pub fn identity(name: &[u8]) -> u64 {
    // FNV-1a: names are few and ours.
    name.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Larger is better; a limit twice as large wins twice as often.
fn score(key: u64, candidate: &Candidate) -> f64 {
    let hash = mix(key ^ mix(candidate.identity));
    // In (0, 1): 53 bits, and half a unit so that neither end is reached.
    let uniform = ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    f64::from(candidate.limit) / -logarithm(uniform)
}

/// The natural logarithm of a number above 0. Our own, as it is then the same in every gateway; and
/// the system's would be all that a process uses of a library which takes 0.4 MB of it.
fn logarithm(number: f64) -> f64 {
    const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    const ONE: u64 = 1023;
    // The number is a fraction from 0.75 to 1.5 times a power of two.
    let exponent = (number.to_bits() >> FRACTION_BITS) as f64 - ONE as f64;
    let bits = number.to_bits() & ((1 << FRACTION_BITS) - 1) | ONE << FRACTION_BITS;
    let (fraction, exponent) = match f64::from_bits(bits) {
        fraction if fraction > 1.5 => (fraction / 2.0, exponent + 1.0),
        fraction => (fraction, exponent),
    };
    // ln((1 + t) / (1 - t)) is twice t + t³/3 + t⁵/5 and so on; here t is 0.2 at the most.
    let t = (fraction - 1.0) / (fraction + 1.0);
    let terms = (0..13).rev().map(|term| 1.0 / f64::from(2 * term + 1));
    let sum = terms.fold(0.0, |sum, term| sum * t * t + term);
    2.0 * t * sum + exponent * std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn endpoints(count: usize, limit: u32) -> Vec<Candidate> {
        let one = |index: usize| Candidate {
            index,
            identity: identity(format!("replica-{index}").as_bytes()),
            running: 0,
            limit,
        };
        (0..count).map(one).collect()
    }

    proptest! {
        #[test]
        fn the_bound_holds_and_no_full_endpoint_is_chosen(
            limits in prop::collection::vec(1u32..20, 1..12),
            keys in prop::collection::vec(0u64..8, 1..200),
            factor in 100u32..300,
        ) {
            let mut all = endpoints(limits.len(), 1);
            all.iter_mut().zip(&limits).for_each(|(endpoint, limit)| endpoint.limit = *limit);
            let total: u32 = limits.iter().sum();
            for (running, key) in keys.iter().enumerate() {
                let chosen = choose(*key, factor, all.iter().copied());
                prop_assert_eq!(chosen.is_some(), (running as u32) < total);
                let Some(index) = chosen else { break };
                all[index].running += 1;
                prop_assert!(all[index].running <= all[index].limit);
                let share = f64::from(all[index].limit) / f64::from(total);
                let bound = (running + 1) as f64 * f64::from(factor) / 100.0 * share;
                prop_assert!(f64::from(all[index].running) <= bound.ceil());
            }
        }

        #[test]
        fn an_endpoint_that_goes_moves_its_own_keys_only(count in 2usize..20, gone in 0usize..20) {
            let all = endpoints(count, 4);
            let left = all.iter().copied().filter(|one| one.index != gone % count);
            for key in 0..200u64 {
                let key = mix(key);
                let before = choose(key, 100_000, all.iter().copied()).unwrap();
                let after = choose(key, 100_000, left.clone()).unwrap();
                prop_assert!(before == after || before == gone % count);
            }
        }
    }

    #[test]
    fn logarithms() {
        for step in 0..4000 {
            let number = (f64::from(step) / -100.0).exp();
            for number in [number, 1.0 - number / 2.0] {
                let (own, expected) = (logarithm(number), number.ln());
                assert!((own - expected).abs() <= expected.abs() * 1e-14, "{number}: {own}");
            }
        }
    }

    #[test]
    fn keys_are_spread_by_the_limits() {
        let mut all = endpoints(4, 10);
        all[0].limit = 30;
        let mut keys = [0u32; 4];
        for key in 0..6000u64 {
            keys[choose(mix(key), 100_000, all.iter().copied()).unwrap()] += 1;
        }
        assert!((2850..3150).contains(&keys[0]), "{keys:?}");
        assert!(keys[1..].iter().all(|keys| (850..1150).contains(keys)), "{keys:?}");
    }
}
