//! The places where requests run: each endpoint has as many as its concurrency limit.
//!
//! A sidecar has one endpoint, its model; a gateway has one for each replica. A request is given a
//! free slot of a definite endpoint, never a place behind a busy one ("late binding").

use super::choice::Choice;
use super::consistent_hash::{self, Candidate};
use super::free::FreePlaces;
use super::split_mix::SplitMix64;
use super::{least_loaded, power_of_two};

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
    /// Which of them have a free slot.
    free_places: FreePlaces,
    /// Free slots of usable endpoints. Limits are what endpoints say of themselves, and need not make
    /// sense: no sum of them overflows here.
    free: u64,
    /// Slots of usable endpoints.
    limit: u64,
    /// Requests running, on whatever endpoint.
    running: u32,
    choice: Choice,
    random: SplitMix64,
}

#[derive(Debug)]
struct Place {
    /// What the endpoint is known by.
    identity: u64,
    limit: u32,
    /// The most that it may have for now, whatever its limit.
    ceiling: u32,
    running: u32,
    /// What is known to run there for others.
    foreign: u32,
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
    pub fn new(choice: Choice, seed: u64) -> Self {
        let random = SplitMix64(seed);
        let (places, free_places) = (Vec::new(), FreePlaces::default());
        Self { places, free_places, free: 0, limit: 0, running: 0, choice, random }
    }

    /// Adds an endpoint. `identity` is what its keys go by where requests are hashed.
    pub fn add(&mut self, identity: u64, limit: u32, usability: Usability) -> SlotId {
        let place = Place {
            identity,
            limit,
            ceiling: u32::MAX,
            running: 0,
            foreign: 0,
            usability,
            removed: false,
        };
        let index = match self.places.iter().position(Option::is_none) {
            Some(vacant) => vacant,
            None => {
                self.places.push(None);
                self.places.len() - 1
            }
        };
        self.limit += u64::from(place.usable());
        self.free += u64::from(place.free());
        self.free_places.set(index, place.free() > 0);
        self.places[index] = Some(place);
        SlotId(index)
    }

    /// Takes an endpoint away. Requests that run on it keep their slots to their end.
    pub fn remove(&mut self, id: SlotId) {
        self.change(id, |place| {
            place.removed = true;
            place.usability = Usability::Unusable;
        });
        self.vacate(id);
    }

    /// Says whether an endpoint takes new requests.
    pub fn set_usability(&mut self, id: SlotId, usability: Usability) {
        self.change(id, |place| {
            if !place.removed {
                place.usability = usability;
            }
        });
    }

    /// Changes an endpoint's limit. Below what runs it shrinks as requests end.
    pub fn set_limit(&mut self, id: SlotId, limit: u32) {
        self.change(id, |place| place.limit = limit);
    }

    /// The most that an endpoint may have for now, whatever its limit.
    pub fn set_ceiling(&mut self, id: SlotId, ceiling: u32) {
        self.change(id, |place| place.ceiling = ceiling);
    }

    /// How many requests of others run on an endpoint, as far as that is known.
    pub fn set_foreign(&mut self, id: SlotId, foreign: u32) {
        self.change(id, |place| place.foreign = foreign);
    }

    /// Another rule of the choice from now on.
    pub fn set_choice(&mut self, choice: Choice) {
        self.choice = choice;
    }

    /// Takes a free slot, if there is one, by the rule of the choice. `key` is what requests that
    /// belong together have in common.
    pub fn take(&mut self, key: Option<u64>) -> Option<SlotId> {
        self.take_but(key, None)
    }

    /// The same on another endpoint than this one.
    pub fn take_beside(&mut self, key: Option<u64>, not: SlotId) -> Option<SlotId> {
        self.take_but(key, Some(not.0))
    }

    fn take_but(&mut self, key: Option<u64>, not: Option<usize>) -> Option<SlotId> {
        if self.free == 0 {
            return None;
        }
        let id = SlotId(self.choose(key, not)?);
        self.change(id, |place| place.running += 1);
        self.running += 1;
        Some(id)
    }

    /// Gives a slot back.
    pub fn give(&mut self, id: SlotId) {
        let running = self.running_on(id);
        debug_assert!(running > 0, "a slot is given back once");
        if running == 0 {
            return;
        }
        self.change(id, |place| place.running -= 1);
        self.running -= 1;
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

    /// How many may run on one endpoint.
    pub fn limit_of(&self, id: SlotId) -> u32 {
        self.places.get(id.0).and_then(Option::as_ref).map_or(0, |place| place.limit)
    }

    /// Slots of usable endpoints, free or taken.
    pub fn limit(&self) -> u32 {
        u32::try_from(self.limit).unwrap_or(u32::MAX)
    }

    /// Free slots of usable endpoints.
    pub fn free(&self) -> u32 {
        u32::try_from(self.free).unwrap_or(u32::MAX)
    }

    fn choose(&mut self, key: Option<u64>, not: Option<usize>) -> Option<usize> {
        if let ([Some(_)], None) = (self.places.as_slice(), not) {
            return Some(0);
        }
        let draw = self.random.draw();
        let count = self.places.len();
        let load = |index: usize| self.load(index).filter(|_| not != Some(index));
        match (self.choice, key) {
            (Choice::LeastLoaded, _) => {
                let begin = least_loaded::begin(count, draw);
                least_loaded::choose(self.free_places.from(begin), load)
            }
            (Choice::ConsistentHash { factor_percent }, Some(key)) => {
                let others = self.candidates().filter(move |one| not != Some(one.index));
                consistent_hash::choose(key, factor_percent, others)
            }
            (Choice::PowerOfTwo | Choice::ConsistentHash { .. }, _) => {
                power_of_two::choose(count, draw, load, |begin| self.free_places.from(begin))
            }
        }
    }

    /// Taken share of a free endpoint in parts of 65,536, or `None` if it has no free slot.
    fn load(&self, index: usize) -> Option<u64> {
        let place = self.places[index].as_ref().filter(|place| place.free() > 0)?;
        Some((u64::from(place.taken()) << 16) / u64::from(place.slots()))
    }

    fn candidates(&self) -> impl Iterator<Item = Candidate> + Clone {
        let of = |(index, place): (usize, &Option<Place>)| {
            let place = place.as_ref().filter(|place| place.usability == Usability::Usable)?;
            let (identity, running, limit) = (place.identity, place.taken(), place.slots());
            Some(Candidate { index, identity, running, limit })
        };
        self.places.iter().enumerate().filter_map(of)
    }

    /// Changes one endpoint, and the sums by as much: a load report comes with every answer, and there may
    /// be thousands of endpoints.
    fn change(&mut self, id: SlotId, change: impl FnOnce(&mut Place)) {
        let Some(place) = self.places.get_mut(id.0).and_then(Option::as_mut) else { return };
        let before = (place.usable(), place.free());
        change(place);
        let after = (place.usable(), place.free());
        self.limit = self.limit - u64::from(before.0) + u64::from(after.0);
        self.free = self.free - u64::from(before.1) + u64::from(after.1);
        self.free_places.set(id.0, after.1 > 0);
    }

    /// Gives the place of an endpoint that has left to the next one.
    fn vacate(&mut self, id: SlotId) {
        let Some(place) = self.places.get_mut(id.0) else { return };
        if place.as_ref().is_some_and(|place| place.removed && place.running == 0) {
            *place = None;
        }
    }
}

// === impl Place ===

impl Place {
    /// Slots that are taken, by whomever.
    fn taken(&self) -> u32 {
        self.running.saturating_add(self.foreign)
    }

    /// How many there are for now.
    fn slots(&self) -> u32 {
        self.limit.min(self.ceiling)
    }

    /// How many there are for new requests, free or taken.
    fn usable(&self) -> u32 {
        match self.usability {
            Usability::Usable => self.slots(),
            Usability::Unusable => 0,
        }
    }

    fn free(&self) -> u32 {
        self.usable().saturating_sub(self.taken())
    }
}

#[cfg(test)]
mod tests;
