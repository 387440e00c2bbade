//! The less loaded of two endpoints drawn at random, or, if neither is free, the least loaded of all.
//! (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.)

use super::least_loaded;

/// Chooses among `count` places. `load` is a place's share of taken slots, `None` where no slot is
/// free; `draw` is random; `free` are those with a free slot, from a place on.
pub fn choose<F: Iterator<Item = usize>>(
    count: usize,
    draw: u64,
    load: impl Fn(usize) -> Option<u64>,
    free: impl FnOnce(usize) -> F,
) -> Option<usize> {
    if count == 0 {
        return None;
    }
    // Two 32-bit halves of one draw: a modulus over at most thousands of endpoints.
    let first = (draw >> 32) as usize % count;
    let second = (draw & 0xffff_ffff) as usize % count;
    match (load(first), load(second)) {
        (Some(a), Some(b)) => Some(if b < a { second } else { first }),
        (Some(_), None) => Some(first),
        (None, Some(_)) => Some(second),
        (None, None) => least_loaded::choose(free(least_loaded::begin(count, draw)), load),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_a_free_place_whenever_there_is_one_and_never_another(
            loads in prop::collection::vec(prop::option::of(0u64..9), 0..20),
            draw: u64,
        ) {
            let all = |begin| (begin..loads.len()).chain(0..begin);
            let chosen = choose(loads.len(), draw, |index| loads[index], all);
            prop_assert_eq!(chosen.is_some(), loads.iter().any(Option::is_some));
            prop_assert!(chosen.is_none_or(|index| loads[index].is_some()));
        }
    }
}
