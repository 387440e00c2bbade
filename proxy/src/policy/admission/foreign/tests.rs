//! Several gateways before the same endpoints, in virtual time.

use super::*;
use crate::policy::admission::{Grant, Offer, Rules, Turn};
use crate::policy::choice::Choice;
use crate::policy::claim::Claim;
use crate::policy::overload::QueueOrder;
use crate::policy::precedence::{Asker, Hurry, Precedence};
use crate::policy::queue::QueueLimits;
use crate::policy::slots::Usability;
use crate::policy::split_mix::SplitMix64;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const ENDPOINTS: usize = 8;
const MEAN_MS: f64 = 20.0;
const LOAD: f64 = 0.8;
const REQUESTS: usize = 20_000;
/// From a gateway to an endpoint, or back, in virtual networks.
const HOP: Duration = Duration::from_micros(50);
/// The same between processes that share two cores, most of it the change from one to the other.
const REAL_HOP: Duration = Duration::from_micros(200);
const RULES: Rules = Rules {
    limits: QueueLimits { capacity: 1_000_000, bytes: 0 },
    order: QueueOrder::Fifo,
    budget: None,
    choice: Choice::PowerOfTwo,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives(usize),
    Reaches { request: usize, gateway: usize, endpoint: usize, pass: Option<u64> },
    Refused { request: usize, gateway: usize },
    Ends { request: usize, gateway: usize, endpoint: usize },
    Told { request: usize, gateway: usize },
    Asks { gateway: usize, endpoint: usize, since: Instant },
    HasRoom { gateway: usize, endpoint: usize, pass: Option<u64> },
    LooksAgain(usize),
    Tends(usize),
}

/// Exponential numbers from a seed.
struct Draws(SplitMix64);

struct World {
    start: Instant,
    hop: Duration,
    /// From an endpoint that has room to who is told of it.
    word: Duration,
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    sequence: u64,
    gateways: Vec<Admission<usize>>,
    tickets: Vec<Option<crate::policy::queue::Ticket>>,
    grants: Vec<Option<Grant>>,
    arrived: Vec<Instant>,
    service: Vec<Duration>,
    waited: Vec<Duration>,
    busy: [u32; ENDPOINTS],
    slots: Vec<Vec<SlotId>>,
    /// Whether endpoints tell when they have room.
    tells: bool,
    precedence: [Precedence; ENDPOINTS],
    /// Which gateways wait to be told, by endpoint.
    asking: [Vec<(usize, Asker)>; ENDPOINTS],
    /// What each gateway was given by each endpoint.
    passes: Vec<[Option<u64>; ENDPOINTS]>,
    refusals: usize,
    /// When each gateway looks again, of its own accord.
    tends: Vec<Option<Instant>>,
}

impl Draws {
    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (((self.0.draw() >> 11) as f64 + 0.5) / (1u64 << 53) as f64).ln()
    }
}

impl World {
    fn new(gateways: usize, tells: bool, (hop, word): (Duration, Duration)) -> Self {
        let start = Instant::now();
        let mut draws = Draws(SplitMix64(7));
        let mut at = start;
        let (mut arrived, mut service) = (Vec::new(), Vec::new());
        for _ in 0..REQUESTS {
            let gap = draws.exponential(MEAN_MS / LOAD / ENDPOINTS as f64);
            at += Duration::from_secs_f64(gap / 1000.0);
            arrived.push(at);
            service.push(Duration::from_secs_f64(draws.exponential(MEAN_MS) / 1000.0));
        }
        let mut slots = Vec::new();
        let gateway = |seed: usize| {
            let mut admission = Admission::new(RULES, seed as u64, start);
            let add = |at| admission.slots_mut().add(at as u64, 1, Usability::Usable);
            slots.push((0..ENDPOINTS).map(add).collect());
            admission
        };
        let mut world = Self {
            start,
            hop,
            word,
            events: BinaryHeap::new(),
            sequence: 0,
            gateways: (0..gateways).map(gateway).collect(),
            slots,
            tells,
            precedence: Default::default(),
            asking: Default::default(),
            passes: vec![[None; ENDPOINTS]; gateways],
            tickets: vec![None; REQUESTS],
            grants: vec![None; REQUESTS],
            waited: vec![Duration::ZERO; REQUESTS],
            busy: [0; ENDPOINTS],
            refusals: 0,
            tends: vec![None; gateways],
            arrived,
            service,
        };
        for request in 0..REQUESTS {
            world.at(world.arrived[request], Event::Arrives(request));
        }
        world
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, event)));
    }

    fn run(mut self) -> Self {
        while let Some(Reverse((now, _, event))) = self.events.pop() {
            self.step(event, now);
        }
        self
    }

    fn step(&mut self, event: Event, now: Instant) {
        match event {
            Event::Arrives(request) => self.offer(request, request % self.gateways.len(), now),
            Event::Reaches { request, gateway, endpoint, pass } => {
                let hurry = Hurry { since: self.arrived[request], pass };
                let stands_back = self.precedence[endpoint].stands_back(&hurry, now);
                if self.busy[endpoint] == 1 || stands_back {
                    self.refusals += 1;
                    return self.at(now + self.hop, Event::Refused { request, gateway });
                }
                self.precedence[endpoint].taken();
                self.busy[endpoint] = 1;
                self.waited[request] = now - self.arrived[request];
                let end = now + self.service[request];
                self.at(end, Event::Ends { request, gateway, endpoint });
            }
            Event::Refused { request, gateway } => {
                let grant = self.grants[request].unwrap();
                let (endpoint, since) = (grant.slot.index(), self.arrived[request]);
                self.gateways[gateway].refused(grant.slot, self.tells, now);
                if self.tells {
                    self.at(now + self.hop, Event::Asks { gateway, endpoint, since });
                }
                self.gateways[gateway].finish(grant, false, now);
                self.offer(request, gateway, now);
                self.poll(gateway, now);
            }
            Event::Ends { request, gateway, endpoint } => {
                self.busy[endpoint] = 0;
                self.at(now + self.hop, Event::Told { request, gateway });
                self.tell(endpoint, now);
            }
            Event::Asks { gateway, endpoint, since } => {
                let asker = self.precedence[endpoint].ask(since).unwrap();
                self.asking[endpoint].push((gateway, asker));
                self.tell(endpoint, now);
            }
            Event::LooksAgain(endpoint) => self.tell(endpoint, now),
            Event::HasRoom { gateway, endpoint, pass } => {
                let slot = self.slots[gateway][endpoint];
                self.passes[gateway][endpoint] = pass;
                self.gateways[gateway].reported(slot, Load { held: 0, limit: 1 }, now);
                self.poll(gateway, now);
            }
            Event::Told { request, gateway } => {
                let grant = self.grants[request].take().unwrap();
                // The report was made while it ran: none but itself.
                self.gateways[gateway].reported(grant.slot, Load { held: 1, limit: 1 }, now);
                self.gateways[gateway].finish(grant, true, now);
                self.poll(gateway, now);
            }
            Event::Tends(gateway) => {
                self.tends[gateway] = None;
                self.gateways[gateway].forget(now);
                self.poll(gateway, now);
            }
        }
    }

    fn tell(&mut self, endpoint: usize, now: Instant) {
        if self.busy[endpoint] == 1 {
            return;
        }
        let precedence = &mut self.precedence[endpoint];
        precedence.freed(now);
        let again = precedence.told_until(now);
        for (gateway, asker) in std::mem::take(&mut self.asking[endpoint]) {
            match self.precedence[endpoint].is_told(asker) {
                Some(pass) => self.at(now + self.word, Event::HasRoom { gateway, endpoint, pass }),
                None => self.asking[endpoint].push((gateway, asker)),
            }
        }
        if let Some(again) = again {
            self.at(again, Event::LooksAgain(endpoint));
        }
    }

    fn offer(&mut self, request: usize, gateway: usize, now: Instant) {
        let (admission, claim) = (&mut self.gateways[gateway], Claim::default());
        let before = self.tickets[request];
        let offer = match self.grants[request] {
            Some(refused) => admission.offer_again(&claim, refused.slot, now),
            None => admission.offer(&claim, None, now),
        };
        match offer {
            Offer::Admitted(grant) => self.send(request, gateway, grant, now),
            Offer::MustWait => {
                let never = self.start + Duration::from_secs(1_000_000);
                self.tickets[request] = Some(admission.wait(&claim, before, never, request, now));
                self.poll(gateway, now);
            }
            Offer::Refused(_) => panic!("there is room"),
        }
    }

    fn poll(&mut self, gateway: usize, now: Instant) {
        while let Some(turn) = self.gateways[gateway].poll(now) {
            let Turn::Start(ticket, request, grant) = turn else { panic!("nobody is late") };
            self.tickets[request] = Some(ticket);
            self.send(request, gateway, grant, now);
        }
        let next = self.gateways[gateway].next_forgotten();
        if let Some(next) = next.filter(|next| self.tends[gateway].is_none_or(|at| *next < at)) {
            self.tends[gateway] = Some(next);
            self.at(next, Event::Tends(gateway));
        }
    }

    fn send(&mut self, request: usize, gateway: usize, grant: Grant, now: Instant) {
        self.grants[request] = Some(grant);
        let endpoint = grant.slot.index();
        let pass = self.passes[gateway][endpoint].take();
        self.at(now + self.hop, Event::Reaches { request, gateway, endpoint, pass });
    }

    fn p99(&self) -> Duration {
        let mut waited = self.waited.clone();
        waited.sort_unstable();
        waited[waited.len() * 99 / 100]
    }
}

/// One line before all endpoints, over no network: exactly as early as can be.
fn ideal(world: &World) -> Duration {
    let mut free: BinaryHeap<_> = (0..ENDPOINTS).map(|_| Reverse(world.start)).collect();
    let mut waited: Vec<Duration> = Vec::new();
    for (arrived, service) in world.arrived.iter().zip(&world.service) {
        let Reverse(at) = free.pop().unwrap();
        let begin = at.max(*arrived);
        waited.push(begin - *arrived);
        free.push(Reverse(begin + *service));
    }
    waited.sort_unstable();
    waited[waited.len() * 99 / 100]
}

#[test]
fn the_tail_is_that_of_one_line_nearly() {
    let best = ideal(&World::new(1, true, (HOP, HOP))).as_secs_f64();
    for (tells, gateways, at_most, most_refusals) in [
        (true, 1, 1.05, 0.0),
        (true, 2, 1.15, 1.0),
        (true, 3, 1.2, 2.0),
        (false, 1, 1.05, 0.0),
        (false, 2, 1.6, 4.0),
        (false, 3, 1.8, 6.0),
    ] {
        let world = World::new(gateways, tells, (HOP, HOP)).run();
        let ratio = world.p99().as_secs_f64() / best;
        let refusals = world.refusals as f64 / REQUESTS as f64;
        assert!(world.grants.iter().all(Option::is_none) && world.busy == [0; ENDPOINTS]);
        assert!(ratio <= at_most, "{gateways} gateways: {ratio:.3} of the ideal p99, {refusals}");
        assert!(refusals <= most_refusals, "{refusals} refusals a request are a flood");
    }
}

#[test]
fn what_two_gateways_lose_by_longer_ways_is_what_word_of_room_takes() {
    let p99 =
        |gateways, word| World::new(gateways, true, (REAL_HOP, word)).run().p99().as_secs_f64();
    let one = p99(1, REAL_HOP);
    let [quick, slow] = [1, 4].map(|hops| p99(2, REAL_HOP * hops) / one);
    assert!(quick <= 1.08, "{quick:.3} times what one gateway has");
    assert!(slow > quick + 0.05, "{slow:.3}, and {quick:.3} where word takes one hop");
}

#[test]
fn what_is_known_of_others_is_forgotten_and_the_limit_is_learned() {
    let mut now = Instant::now();
    let mut admission: Admission<u32> = Admission::new(RULES, 1, now);
    let slot = admission.slots_mut().add(0, 4, Usability::Usable);
    let Offer::Admitted(grant) = admission.offer(&Claim::default(), None, now) else { panic!() };
    admission.reported(slot, Load { held: 3, limit: 6 }, now);
    assert_eq!((admission.slots().limit_of(slot), admission.slots().free()), (6, 3));
    admission.refused(slot, false, now);
    assert_eq!(admission.slots().free(), 0);
    admission.finish(grant, false, now);
    assert_eq!(admission.slots().free(), 0, "its place is somebody's");
    assert_eq!(admission.next_forgotten(), None, "nobody waits for it");
    now += LONGEST;
    assert!(matches!(admission.offer(&Claim::default(), None, now), Offer::Admitted(_)));
    admission.reported(slot, Load { held: 9, limit: 6 }, now);
    assert_eq!(admission.slots().free(), 0);
    admission.reported(slot, Load { held: 1, limit: 6 }, now);
    assert_eq!(admission.slots().free(), 5);
}
