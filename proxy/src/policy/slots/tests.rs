//! Slots are given and taken back, whatever else happens to their endpoints.

use super::*;

#[test]
fn gives_out_every_free_slot_and_no_more() {
    let mut slots = Slots::new(Choice::PowerOfTwo, 7);
    let a = slots.add(0, 2, Usability::Usable);
    let b = slots.add(0, 1, Usability::Usable);
    slots.add(0, 5, Usability::Unusable);
    let taken: Vec<_> = std::iter::from_fn(|| slots.take(None)).collect();
    assert_eq!(taken.len(), 3);
    assert_eq!((slots.running_on(a), slots.running_on(b)), (2, 1));
    slots.give(b);
    assert_eq!(slots.take(None), Some(b));
}

#[test]
fn a_lower_limit_is_reached_as_requests_end() {
    let mut slots = Slots::new(Choice::PowerOfTwo, 7);
    let only = slots.add(0, 3, Usability::Usable);
    for _ in 0..3 {
        assert!(slots.take(None).is_some());
    }
    slots.set_limit(only, 1);
    slots.give(only);
    assert_eq!(slots.take(None), None);
    slots.give(only);
    assert_eq!(slots.take(None), None);
    slots.give(only);
    assert_eq!(slots.take(None), Some(only));
}

#[test]
fn a_ceiling_holds_back_what_the_limit_allows() {
    let mut slots = Slots::new(Choice::PowerOfTwo, 7);
    let (new, old) = (slots.add(0, 3, Usability::Usable), slots.add(0, 1, Usability::Usable));
    slots.set_ceiling(new, 1);
    assert_eq!((slots.limit(), slots.free(), slots.limit_of(new)), (2, 2, 3));
    while slots.take(None).is_some() {}
    assert_eq!((slots.running_on(new), slots.running_on(old)), (1, 1));
    slots.set_ceiling(new, 2);
    assert_eq!(slots.take(None), Some(new));
    slots.set_ceiling(new, u32::MAX);
    assert_eq!((slots.take(None), slots.take(None)), (Some(new), None));
}

#[test]
fn an_endpoint_that_left_keeps_its_id_until_its_last_request_ends() {
    let mut slots = Slots::new(Choice::PowerOfTwo, 7);
    let gone = slots.add(0, 1, Usability::Usable);
    assert_eq!(slots.take(None), Some(gone));
    slots.remove(gone);
    assert_ne!(slots.add(0, 1, Usability::Usable), gone);
    assert_eq!(slots.running(), 1);
    slots.give(gone);
    assert_eq!(slots.add(0, 1, Usability::Usable), gone);
}

#[test]
fn two_draws_even_the_load_out() {
    let mut slots = Slots::new(Choice::PowerOfTwo, 7);
    let ids: Vec<_> = (0..10).map(|_| slots.add(0, 100, Usability::Usable)).collect();
    for _ in 0..500 {
        slots.take(None);
    }
    for id in ids {
        let running = slots.running_on(id);
        assert!((45..=55).contains(&running), "{running} of a mean of 50");
    }
}

#[test]
fn whatever_happens_the_free_ones_and_the_sums_are_known() {
    let mut slots = Slots::new(Choice::PowerOfTwo, 7);
    let (mut random, mut ids, mut taken) = (SplitMix64(3), Vec::new(), Vec::new());
    for _ in 0..5_000 {
        let draw = random.draw();
        let pick = |count: usize| (draw >> 8) as usize % count.max(1);
        let any = ids.get(pick(ids.len())).copied();
        let few = (draw >> 40) as u32 % 3;
        match (draw % 17, any) {
            (16, Some(id)) => slots.set_ceiling(id, few),
            (0, _) => ids.push(slots.add(draw, few, Usability::Usable)),
            (1, Some(id)) => slots.remove(id),
            (2, Some(id)) => slots.set_limit(id, few),
            (3, Some(id)) => slots.set_foreign(id, few),
            (4, Some(id)) => slots.set_usability(id, Usability::Unusable),
            (5, Some(id)) => slots.set_usability(id, Usability::Usable),
            (6..11, _) => taken.extend(slots.take(None)),
            _ if !taken.is_empty() => slots.give(taken.swap_remove(pick(taken.len()))),
            _ => {}
        }
        let is_free = |index: &usize| slots.load(*index).is_some();
        let want: Vec<usize> = (0..slots.places.len()).filter(is_free).collect();
        assert_eq!(slots.free_places.from(0).collect::<Vec<_>>(), want);
        let usable =
            || slots.places.iter().flatten().filter(|place| place.usability == Usability::Usable);
        let sums = [Place::slots, Place::free].map(|of| usable().map(of).sum::<u32>());
        assert_eq!([slots.limit(), slots.free()], sums);
    }
}

#[test]
fn a_slot_beside_another_is_never_on_the_same_endpoint() {
    for choice in
        [Choice::PowerOfTwo, Choice::LeastLoaded, Choice::ConsistentHash { factor_percent: 125 }]
    {
        let mut slots = Slots::new(choice, 7);
        let a = slots.add(1, 9, Usability::Usable);
        assert_eq!(slots.take_beside(Some(1), a), None);
        let b = slots.add(2, 2, Usability::Usable);
        for _ in 0..2 {
            assert_eq!(slots.take_beside(Some(1), a), Some(b));
        }
        assert_eq!((slots.take_beside(None, a), slots.free()), (None, 9));
    }
}

#[test]
fn what_others_run_is_not_given_out_again() {
    for choice in
        [Choice::PowerOfTwo, Choice::LeastLoaded, Choice::ConsistentHash { factor_percent: 125 }]
    {
        let mut slots = Slots::new(choice, 7);
        let a = slots.add(1, 2, Usability::Usable);
        let b = slots.add(2, 2, Usability::Usable);
        slots.set_foreign(a, 2);
        assert_eq!(slots.free(), 2);
        assert_eq!((slots.take(Some(1)), slots.take(Some(2))), (Some(b), Some(b)));
        assert_eq!(slots.take(Some(3)), None);
        slots.set_foreign(a, 1);
        assert_eq!(slots.take(None), Some(a));
        slots.set_foreign(a, 5);
        slots.give(a);
        assert_eq!(slots.take(None), None);
        slots.set_foreign(a, 0);
        assert_eq!((slots.take(None), slots.take(None)), (Some(a), Some(a)));
    }
}

#[test]
fn limits_without_sense_do_not_overflow() {
    for choice in [Choice::PowerOfTwo, Choice::LeastLoaded] {
        let mut slots = Slots::new(choice, 1);
        let ids = [1, u32::MAX, u32::MAX].map(|limit| slots.add(0, limit, Usability::Usable));
        assert_eq!((slots.limit(), slots.free()), (u32::MAX, u32::MAX));
        let taken = slots.take(None).unwrap();
        slots.set_foreign(ids[1], u32::MAX);
        slots.give(taken);
        assert_eq!((slots.running(), slots.free()), (0, u32::MAX));
        ids.into_iter().for_each(|id| slots.remove(id));
        assert_eq!((slots.limit(), slots.free()), (0, 0));
    }
}
