//! The least loaded of all endpoints; of equals, the first from a random place on.

/// Where to begin to look among `count` places; `draw` is random.
pub fn begin(count: usize, draw: u64) -> usize {
    (draw % count.max(1) as u64) as usize
}

/// Chooses among `places`. `load` is a place's share of taken slots, `None` where no slot is free.
pub fn choose(
    places: impl Iterator<Item = usize>,
    load: impl Fn(usize) -> Option<u64>,
) -> Option<usize> {
    let mut best = None;
    for (load, index) in places.filter_map(|index| Some((load(index)?, index))) {
        if best.is_none_or(|(least, _)| load < least) {
            best = Some((load, index));
        }
        if load == 0 {
            break;
        }
    }
    best.map(|(_, index)| index)
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
            let begin = begin(loads.len(), draw);
            let chosen = choose((begin..loads.len()).chain(0..begin), |index| loads[index]);
            prop_assert_eq!(chosen.and_then(|index| loads[index]), loads.iter().flatten().min().copied());
        }
    }

    #[test]
    fn of_equals_each_is_chosen_at_times() {
        let first = |draw| choose(begin(5, draw)..5, |_| Some(0));
        let chosen: std::collections::BTreeSet<_> = (0..100).filter_map(first).collect();
        assert_eq!(chosen.len(), 5);
    }
}
