//! The least loaded of all endpoints; of equals, the first from a random place on.

/// Chooses among `count` places. `load` is a place's share of taken slots, `None` where no slot is
/// free; `draw` is random.
pub fn choose(count: usize, draw: u64, load: impl Fn(usize) -> Option<u64>) -> Option<usize> {
    let begin = (draw % count.max(1) as u64) as usize;
    let places = (begin..count).chain(0..begin);
    let free = places.filter_map(|index| load(index).map(|load| (load, index)));
    free.min_by_key(|(load, _)| *load).map(|(_, index)| index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_free_is_less_loaded(
            loads in prop::collection::vec(prop::option::of(0u64..9), 0..20),
            draw: u64,
        ) {
            let chosen = choose(loads.len(), draw, |index| loads[index]);
            prop_assert_eq!(chosen.and_then(|index| loads[index]), loads.iter().flatten().min().copied());
        }
    }

    #[test]
    fn of_equals_each_is_chosen_at_times() {
        let chosen: std::collections::BTreeSet<_> =
            (0..100).filter_map(|draw| choose(5, draw, |_| Some(0))).collect();
        assert_eq!(chosen.len(), 5);
    }
}
