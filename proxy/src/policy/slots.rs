//! The places where requests run: each endpoint has as many as its concurrency limit.
//!
//! A sidecar has one endpoint, its model; a gateway has one for each replica. A request is given a
//! free slot of a definite endpoint, never a place behind a busy one ("late binding").

/// One endpoint among those of a [`Slots`]. Given again only after the endpoint is gone and the
/// last of its requests has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlotId(usize);

/// What an endpoint is told to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usability {
    /// New requests may be sent.
    Usable,
    /// No new requests for now: not ready, draining, or suspected.
    Unusable,
}

/// The endpoints with their free and taken slots.
#[derive(Debug)]
pub struct Slots {
    places: Vec<Option<Place>>,
    /// Free slots of usable endpoints.
    free: u32,
    /// Slots of usable endpoints.
    limit: u32,
    /// Requests running, on whatever endpoint.
    running: u32,
    random: SplitMix64,
}

#[derive(Debug)]
struct Place {
    limit: u32,
    running: u32,
    usability: Usability,
    removed: bool,
}

// === impl SlotId ===

impl SlotId {
    /// A small number, dense, for side tables.
    pub fn index(self) -> usize {
        self.0
    }
}

// === impl Slots ===

impl Slots {
    /// No endpoints. `seed` decides the random draws of the balancing choice.
    pub fn new(seed: u64) -> Self {
        Self { places: Vec::new(), free: 0, limit: 0, running: 0, random: SplitMix64(seed) }
    }

    /// Adds an endpoint.
    pub fn add(&mut self, limit: u32, usability: Usability) -> SlotId {
        let place = Place { limit, running: 0, usability, removed: false };
        let index = match self.places.iter().position(Option::is_none) {
            Some(vacant) => vacant,
            None => {
                self.places.push(None);
                self.places.len() - 1
            }
        };
        self.places[index] = Some(place);
        self.recount();
        SlotId(index)
    }

    /// Takes an endpoint away. Requests that run on it keep their slots to their end.
    pub fn remove(&mut self, id: SlotId) {
        if let Some(place) = self.place_mut(id) {
            place.removed = true;
            place.usability = Usability::Unusable;
        }
        self.vacate(id);
        self.recount();
    }

    /// Says whether an endpoint takes new requests.
    pub fn set_usability(&mut self, id: SlotId, usability: Usability) {
        if let Some(place) = self.place_mut(id).filter(|place| !place.removed) {
            place.usability = usability;
            self.recount();
        }
    }

    /// Changes an endpoint's limit. Below what runs it shrinks as requests end.
    pub fn set_limit(&mut self, id: SlotId, limit: u32) {
        if let Some(place) = self.place_mut(id) {
            place.limit = limit;
            self.recount();
        }
    }

    /// Takes a free slot, if there is one: the less loaded of two endpoints drawn at random, or,
    /// if neither is free, the least loaded of all. (Mitzenmacher, "The Power of Two Choices in
    /// Randomized Load Balancing", 2001.)
    pub fn take(&mut self) -> Option<SlotId> {
        if self.free == 0 {
            return None;
        }
        let index = self.draw_two().or_else(|| self.least_loaded())?;
        let place = self.places[index].as_mut()?;
        place.running += 1;
        self.running += 1;
        self.free -= 1;
        Some(SlotId(index))
    }

    /// Gives a slot back.
    pub fn give(&mut self, id: SlotId) {
        let Some(place) = self.place_mut(id) else { return };
        debug_assert!(place.running > 0, "a slot is given back once");
        let regained = place.usability == Usability::Usable && place.running <= place.limit;
        place.running -= 1;
        self.running -= 1;
        self.free += u32::from(regained);
        self.vacate(id);
    }

    /// Requests running, on whatever endpoint.
    pub fn running(&self) -> u32 {
        self.running
    }

    /// Requests running on one endpoint.
    pub fn running_on(&self, id: SlotId) -> u32 {
        self.places.get(id.0).and_then(Option::as_ref).map_or(0, |place| place.running)
    }

    /// Slots of usable endpoints, free or taken.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Free slots of usable endpoints.
    pub fn free(&self) -> u32 {
        self.free
    }

    fn draw_two(&mut self) -> Option<usize> {
        let count = self.places.len();
        if count == 1 {
            return Some(0);
        }
        let draw = self.random.next();
        // Two 32-bit halves of one draw: a modulus over at most thousands of endpoints.
        let first = (draw >> 32) as usize % count;
        let second = (draw & 0xffff_ffff) as usize % count;
        match (self.load(first), self.load(second)) {
            (Some(a), Some(b)) => Some(if b < a { second } else { first }),
            (Some(_), None) => Some(first),
            (None, Some(_)) => Some(second),
            (None, None) => None,
        }
    }

    fn least_loaded(&self) -> Option<usize> {
        let loads = (0..self.places.len()).filter_map(|i| self.load(i).map(|load| (load, i)));
        loads.min().map(|(_, index)| index)
    }

    /// Taken share of a free endpoint in parts of 65,536, or `None` if it has no free slot.
    fn load(&self, index: usize) -> Option<u64> {
        let place = self.places[index].as_ref()?;
        let free = place.usability == Usability::Usable && place.running < place.limit;
        free.then(|| (u64::from(place.running) << 16) / u64::from(place.limit))
    }

    fn place_mut(&mut self, id: SlotId) -> Option<&mut Place> {
        self.places.get_mut(id.0)?.as_mut()
    }

    fn vacate(&mut self, id: SlotId) {
        if self.place_mut(id).is_some_and(|place| place.removed && place.running == 0) {
            self.places[id.0] = None;
        }
    }

    fn recount(&mut self) {
        let usable =
            || self.places.iter().flatten().filter(|place| place.usability == Usability::Usable);
        self.limit = usable().map(|place| place.limit).sum();
        self.free = usable().map(|place| place.limit.saturating_sub(place.running)).sum();
    }
}

/// Steele, Lea and Flood's SplitMix64: enough randomness for a draw of two, from one seed.
#[derive(Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_out_every_free_slot_and_no_more() {
        let mut slots = Slots::new(7);
        let a = slots.add(2, Usability::Usable);
        let b = slots.add(1, Usability::Usable);
        slots.add(5, Usability::Unusable);
        let taken: Vec<_> = std::iter::from_fn(|| slots.take()).collect();
        assert_eq!(taken.len(), 3);
        assert_eq!((slots.running_on(a), slots.running_on(b)), (2, 1));
        slots.give(b);
        assert_eq!(slots.take(), Some(b));
    }

    #[test]
    fn a_lower_limit_is_reached_as_requests_end() {
        let mut slots = Slots::new(7);
        let only = slots.add(3, Usability::Usable);
        for _ in 0..3 {
            assert!(slots.take().is_some());
        }
        slots.set_limit(only, 1);
        slots.give(only);
        assert_eq!(slots.take(), None);
        slots.give(only);
        assert_eq!(slots.take(), None);
        slots.give(only);
        assert_eq!(slots.take(), Some(only));
    }

    #[test]
    fn an_endpoint_that_left_keeps_its_id_until_its_last_request_ends() {
        let mut slots = Slots::new(7);
        let gone = slots.add(1, Usability::Usable);
        assert_eq!(slots.take(), Some(gone));
        slots.remove(gone);
        assert_ne!(slots.add(1, Usability::Usable), gone);
        assert_eq!(slots.running(), 1);
        slots.give(gone);
        assert_eq!(slots.add(1, Usability::Usable), gone);
    }

    #[test]
    fn two_draws_even_the_load_out() {
        let mut slots = Slots::new(7);
        let ids: Vec<_> = (0..10).map(|_| slots.add(100, Usability::Usable)).collect();
        for _ in 0..500 {
            slots.take();
        }
        for id in ids {
            let running = slots.running_on(id);
            assert!((45..=55).contains(&running), "{running} of a mean of 50");
        }
    }
}
