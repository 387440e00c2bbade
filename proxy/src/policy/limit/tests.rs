//! The limiter before a simulated endpoint: M/G/n, so many served at once, the rest in its own line.

use super::*;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// An endpoint that serves `servers` at once, and the queue before it that the limiter bounds.
struct World {
    limiter: GradientLimit,
    start: Instant,
    now_ns: u64,
    servers: usize,
    service_ns: u64,
    /// Requests a second, or as many as the limit lets through.
    arrivals: Option<f64>,
    next_arrival_ns: u64,
    waiting: u64,
    /// Inside the endpoint's own line: when each was let through.
    inside: VecDeque<u64>,
    /// Being served: when each ends, and when it was let through.
    served: BinaryHeap<Reverse<(u64, u64)>>,
    random: u64,
    done: u64,
}

impl World {
    fn new(range: (u32, u32), servers: usize, service_ms: u64) -> Self {
        let bound = |n| NonZeroU32::new(n).unwrap();
        let range = LimitRange { min: bound(range.0), max: bound(range.1) };
        Self {
            limiter: GradientLimit::new(range),
            start: Instant::now(),
            now_ns: 0,
            servers,
            service_ns: service_ms * 1_000_000,
            arrivals: None,
            next_arrival_ns: 0,
            waiting: 0,
            inside: VecDeque::new(),
            served: BinaryHeap::new(),
            random: 7,
            done: 0,
        }
    }

    /// Of mean 1: a constant half and an exponential half, a coefficient of variation of 0.5.
    fn factor(&mut self) -> f64 {
        0.5 + 0.5 * self.exponential()
    }

    fn exponential(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let unit = (self.random >> 11) as f64 / (1u64 << 53) as f64;
        -(1.0 - unit).ln()
    }

    fn let_through(&mut self) {
        let limit = self.limiter.limit() as usize;
        while self.inside.len() + self.served.len() < limit
            && (self.arrivals.is_none() || self.waiting > 0)
        {
            self.waiting = self.waiting.saturating_sub(1);
            self.inside.push_back(self.now_ns);
        }
        while self.served.len() < self.servers {
            let Some(began) = self.inside.pop_front() else { break };
            let service = (self.service_ns as f64 * self.factor()) as u64;
            self.served.push(Reverse((self.now_ns + service, began)));
        }
    }

    /// Runs for so long; the lowest, mean and highest limit in that time.
    fn run(&mut self, seconds: u64) -> (u32, f64, u32) {
        let end = self.now_ns + seconds * 1_000_000_000;
        let (mut lowest, mut highest, mut area) = (u32::MAX, 0, 0.0);
        let begin = self.now_ns;
        loop {
            self.let_through();
            let limit = self.limiter.limit();
            (lowest, highest) = (lowest.min(limit), highest.max(limit));
            let end_of_service = self.served.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
            let arrival = if self.arrivals.is_some() { self.next_arrival_ns } else { u64::MAX };
            let next = end_of_service.min(arrival);
            area += f64::from(limit) * (next.min(end) - self.now_ns) as f64;
            if next >= end {
                self.now_ns = end;
                return (lowest, area / (end - begin) as f64, highest);
            }
            self.now_ns = next;
            if let Some(rate) = self.arrivals.filter(|_| arrival <= end_of_service) {
                self.waiting += 1;
                self.next_arrival_ns += (self.exponential() * 1e9 / rate) as u64;
                continue;
            }
            let in_flight = (self.inside.len() + self.served.len()) as u32;
            let Some(Reverse((_, began))) = self.served.pop() else { continue };
            let at = |ns| self.start + Duration::from_nanos(ns);
            self.limiter.completed(at(began), in_flight, at(self.now_ns));
            self.done += 1;
        }
    }
}

/// Whether a limit is at the knee: enough for all servers, and at most as much again in line.
fn is_near(servers: usize, mean: f64) -> bool {
    let servers = servers as f64;
    (servers..=2.0 * servers + 1.0).contains(&mean)
}

#[test]
fn finds_the_knee_and_stays_there() {
    for (servers, service_ms) in [(1, 20), (4, 100), (8, 50), (32, 100), (100, 30)] {
        let mut world = World::new((1, 1000), servers, service_ms);
        world.run(300);
        let before = world.done;
        let (lowest, mean, highest) = world.run(600);
        let seen = format!("{servers} servers: limit {lowest} to {highest}, mean {mean}");
        assert!(is_near(servers, mean), "{seen}");
        // The lowest is that of a probe.
        assert!(lowest as usize >= servers / 2 && highest as usize <= 3 * servers, "{seen}");
        let most = (600_000 * servers as u64) / service_ms;
        let share = (world.done - before) as f64 / most as f64;
        assert!(share > 0.95, "{seen}: {share} of what the servers can do");
    }
}

#[test]
fn a_load_below_the_knee_is_let_through() {
    let mut world = World::new((1, 1000), 16, 100);
    world.arrivals = Some(0.8 * 160.0);
    world.run(300);
    let (before, waiting_before) = (world.done, world.waiting);
    let (lowest, mean, highest) = world.run(600);
    let seen = format!("limit {lowest} to {highest}, mean {mean}, {} wait", world.waiting);
    let rate = (world.done - before) as f64 / 600.0;
    assert!((120.0..=136.0).contains(&rate), "{rate} a second: {seen}");
    assert!(world.waiting.saturating_sub(waiting_before) < 100, "{seen}");
    assert!(lowest >= 8, "{seen}");
}

#[test]
fn follows_an_endpoint_that_loses_and_regains_servers() {
    let mut world = World::new((1, 1000), 32, 50);
    for servers in [32, 8, 32, 2, 32] {
        world.servers = servers;
        world.run(300);
        let (lowest, mean, highest) = world.run(200);
        assert!(
            is_near(servers, mean),
            "{servers} servers: limit {lowest} to {highest}, mean {mean}"
        );
    }
}

#[test]
fn requests_that_take_longer_by_themselves_do_not_drag_it_down() {
    let mut world = World::new((1, 1000), 16, 20);
    for service_ms in [20, 200, 20, 1_000] {
        world.service_ns = service_ms * 1_000_000;
        world.run(500);
        let (lowest, mean, highest) = world.run(500);
        assert!(is_near(16, mean), "{service_ms} ms: limit {lowest} to {highest}, mean {mean}");
        assert!(lowest >= 6, "{service_ms} ms: limit {lowest} to {highest}, mean {mean}");
    }
}

#[test]
fn stays_within_its_range() {
    for range in [(3, 3), (2, 5), (20, 40)] {
        let mut world = World::new(range, 8, 10);
        let (lowest, _, highest) = world.run(100);
        assert!(lowest >= range.0 && highest <= range.1, "{lowest} to {highest} in {range:?}");
    }
}
