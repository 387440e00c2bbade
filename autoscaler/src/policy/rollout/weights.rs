//! The weights of the other versions while one takes over.

/// Shares `goal` among versions of these weights, the older ones first, as Knative does it: what is
/// missing the newest gets, and what is too much the oldest gives up first.
///
/// So with what the gateway does a client moves once at the most while another version takes over:
/// from its own to that one.
pub fn adjust(weights: &[u32], goal: u32) -> Vec<u32> {
    let sum = weights.iter().fold(0, |sum: u32, weight| sum.saturating_add(*weight));
    let mut adjusted = weights.to_vec();
    match adjusted.last_mut() {
        Some(newest) if goal > sum => *newest += goal - sum,
        _ => {
            let mut surplus = sum.saturating_sub(goal);
            for weight in &mut adjusted {
                let lost = surplus.min(*weight);
                *weight -= lost;
                surplus -= lost;
            }
        }
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Those of Knative's own cases that are about shares; the others are about steps of equal
    /// size over a given time, and ours are as the document lists them.
    #[test]
    fn shares_are_as_in_knative() {
        for (goal, before, after) in [
            (100, &[71, 29][..], &[71, 29][..]),
            (75, &[21, 21], &[21, 54]),
            (42, &[21, 22, 32], &[0, 10, 32]),
            (0, &[10, 5, 60], &[0, 0, 0]),
            (90, &[0, 0], &[0, 90]),
            (5, &[], &[]),
        ] {
            assert_eq!(adjust(before, goal), after, "{before:?} to {goal}");
        }
    }

    proptest! {
        #[test]
        fn the_sum_is_the_goal(weights in prop::collection::vec(0..=100_u32, 1..6), goal in 0..=100_u32) {
            prop_assert_eq!(adjust(&weights, goal).iter().sum::<u32>(), goal);
        }
    }
}
