//! Which places have a free slot: one bit each, so that the full ones need not be looked at.
//!
//! Where a thousand endpoints are nearly all taken, finding the free one among them by looking at each was
//! most of what a request cost.

use std::ops::Range;

/// Bits in a word.
const WORD: usize = u64::BITS as usize;

/// Places by number.
#[derive(Debug, Default)]
pub struct FreePlaces {
    words: Vec<u64>,
}

impl FreePlaces {
    /// Says whether a place has a free slot.
    pub fn set(&mut self, place: usize, is_free: bool) {
        let (word, bit) = (place / WORD, 1 << (place % WORD));
        if word >= self.words.len() {
            if !is_free {
                return;
            }
            self.words.resize(word + 1, 0);
        }
        if is_free {
            self.words[word] |= bit;
        } else {
            self.words[word] &= !bit;
        }
    }

    /// The free ones from `begin` on, then those before it.
    pub fn from(&self, begin: usize) -> impl Iterator<Item = usize> {
        let (split, before) = (begin / WORD, (1_u64 << (begin % WORD)) - 1);
        let of = move |index: usize, mask: u64| {
            let word = self.words.get(index).copied().unwrap_or(0);
            bits(word & mask).map(move |bit| index * WORD + bit)
        };
        let all = move |indexes: Range<usize>| indexes.flat_map(move |index| of(index, u64::MAX));
        let (later, sooner) = (all(split + 1..self.words.len()), all(0..split));
        of(split, !before).chain(later).chain(sooner).chain(of(split, before))
    }
}

/// The places of the ones in a word.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros() as usize;
        // Takes the lowest one away.
        word &= word.checked_sub(1)?;
        Some(bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_free_ones_come_in_order_from_any_place_on(
            free in prop::collection::btree_set(0..200_usize, 0..40),
            taken in prop::collection::btree_set(0..200_usize, 0..40),
            begin in 0..200_usize,
        ) {
            let mut places = FreePlaces::default();
            free.iter().for_each(|place| places.set(*place, true));
            taken.iter().for_each(|place| places.set(*place, false));
            let is_free = |place: &usize| free.contains(place) && !taken.contains(place);
            let want: Vec<usize> = (begin..200).chain(0..begin).filter(is_free).collect();
            prop_assert_eq!(places.from(begin).collect::<Vec<_>>(), want);
        }
    }
}
