//! The simulation itself: one event after the other, in virtual time.
//!
//! The same requests, the same scene and the same rule give the same outcome, bit for bit: time is
//! counted in whole nanoseconds, events of one moment have an order, and each purpose has a random
//! stream of its own.

mod control;
mod replicas;

use crate::autoscaler::{Autoscaler, Counters};
use crate::events::{Event, Events};
use crate::fleet::Fleet;
use crate::gateway::{Gateway, Key, Placed};
use crate::ledger::{Ledger, State};
use crate::outcome::{Outcome, Record};
use crate::rule::Rule;
use crate::scene::Scene;
use crate::span::Nanos;
use crate::workload::Workload;

/// Who says how many replicas there are.
pub(crate) enum Driver<'a> {
    /// A rule, by what it sees.
    Rule(&'a mut dyn Rule),
    /// A plan, made by someone who knows what will come.
    Plan(&'a Plan),
}

/// When replicas are started and let go.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Plan {
    /// How long before the first request it begins.
    pub(crate) lead: Nanos,
    /// When, counted from that beginning, and what.
    pub(crate) orders: Vec<(Nanos, Event)>,
}

/// Told how many requests have come since it was last told.
pub(crate) type Progress<'a> = &'a dyn Fn(u64);

/// Requests between two reports of progress.
const REPORT_EVERY: usize = 1 << 16;

struct World<'a> {
    scene: &'a Scene,
    workload: &'a Workload,
    /// When the workload begins.
    lead: Nanos,
    now: Nanos,
    events: Events,
    gateway: Gateway,
    fleet: Fleet,
    ledger: Ledger,
    autoscaler: Option<Autoscaler<'a>>,
    counters: Counters,
    wanted: u32,
    /// The turn whose scrape counts; a wake-up brings another.
    turn: u64,
    last_wake: Option<Nanos>,
    wake_planned: bool,
    record: Record,
}

/// Plays a workload to its end.
pub(crate) fn run<'a>(
    scene: &'a Scene,
    workload: &'a Workload,
    driver: Driver<'a>,
    progress: Progress<'_>,
) -> Outcome {
    let mut world = World::new(scene, workload, driver);
    let end = world.lead + workload.end;
    let mut next = 0;
    loop {
        let arrival = workload.requests.get(next).map(|request| request.at + world.lead);
        let event = world.events.next_at();
        // What was planned for this very moment comes before a request that comes at it.
        let is_event = event.is_some_and(|event| arrival.is_none_or(|arrival| event <= arrival));
        let at = if is_event { event } else { arrival };
        let Some(at) = at.filter(|at| *at < end) else { break };
        world.now = at;
        if is_event {
            world.happen();
        } else {
            world.arrive(next);
            next += 1;
            if next % REPORT_EVERY == 0 {
                progress(REPORT_EVERY as u64);
            }
        }
    }
    progress((next % REPORT_EVERY) as u64);
    world.now = end;
    world.close()
}

impl<'a> World<'a> {
    fn new(scene: &'a Scene, workload: &'a Workload, driver: Driver<'a>) -> Self {
        let mut world = Self {
            scene,
            workload,
            lead: 0,
            now: 0,
            events: Events::default(),
            gateway: Gateway::new(scene.balancing, scene.order, scene.limits, scene.seed),
            fleet: Fleet::default(),
            ledger: Ledger::new(workload.requests.len()),
            autoscaler: None,
            counters: Counters::default(),
            wanted: scene.initial,
            turn: 0,
            last_wake: None,
            wake_planned: false,
            record: Record::default(),
        };
        match driver {
            Driver::Rule(rule) => {
                world.autoscaler = Some(Autoscaler::new(rule, scene.scrape_loss, scene.seed));
                world.events.plan(0, Event::Scrape(0));
            }
            Driver::Plan(plan) => {
                world.lead = plan.lead;
                plan.orders.iter().for_each(|(at, order)| world.events.plan(*at, *order));
            }
        }
        world.begin();
        world
    }

    /// The replicas that are there from the start, ready at once.
    fn begin(&mut self) {
        self.record.wanted(self.now, self.wanted);
        for _ in 0..self.scene.initial {
            let key = self.fleet.start(self.lead);
            self.events.plan(self.lead, Event::Ready(key));
        }
    }

    fn happen(&mut self) {
        let Some((_, event)) = self.events.pop() else { return };
        match event {
            Event::Finish(request, key) => self.finish(request, key),
            Event::GiveUp(request) => self.give_up(request),
            Event::Ready(key) => self.ready(key),
            Event::Fail(key) => self.fail(key),
            Event::Drained(key) => self.end_if_drained(key),
            Event::Scrape(turn) => self.scrape(turn),
            Event::Decide => self.decide(),
            Event::Wake => self.wake(),
            Event::PlannedStart(cold) => self.start_planned(cold),
            Event::PlannedDrain => self.drain_planned(),
        }
    }

    /// A request comes.
    fn arrive(&mut self, request: usize) {
        self.counters.arrivals += 1;
        self.offer(request);
    }

    fn offer(&mut self, request: usize) {
        let tenant = self.workload.requests[request].tenant;
        let placed = self.gateway.offer(request, tenant, self.now);
        self.place(request, placed);
        if let Placed::Waits { until, at } = placed {
            self.events.plan(until, Event::GiveUp(request));
            self.wake_if_closed();
            // Room may have been made for it at the expense of another.
            self.dispatch(at);
        }
    }

    fn place(&mut self, request: usize, placed: Placed) {
        match placed {
            Placed::Runs(key) => self.run(request, key),
            Placed::Refused => {
                let waited = self.waited(request);
                self.ledger.set(request, State::Refused, waited);
            }
            Placed::Waits { .. } => self.ledger.set(request, State::Waiting, 0),
        }
    }

    fn run(&mut self, request: usize, key: Key) {
        let waited = self.waited(request);
        self.ledger.set(request, State::Running, waited);
        if let Some(replica) = self.fleet.get_mut(key) {
            replica.running.push(request);
        }
        let service = self.workload.requests[request].service;
        self.events.plan(self.now.saturating_add(service), Event::Finish(request, key));
    }

    /// A request ends, and those that waited for its slot begin.
    fn finish(&mut self, request: usize, key: Key) {
        if self.ledger.state(request) != State::Running {
            return; // Lost with its replica.
        }
        self.ledger.end(request, State::Served);
        self.counters.completions += 1;
        self.counters.service += u128::from(self.workload.requests[request].service);
        if let Some(replica) = self.fleet.get_mut(key) {
            replica.running.retain(|running| *running != request);
        }
        self.gateway.finish(request, key, true, self.now);
        self.dispatch(Some(key));
        self.end_if_drained(key);
    }

    /// Lets happen what can happen to those who wait.
    fn dispatch(&mut self, place: Option<Key>) {
        while let Some((request, placed)) = self.gateway.next(place, self.now) {
            self.place(request, placed);
        }
    }

    /// A request has waited for as long as it may.
    fn give_up(&mut self, request: usize) {
        if self.gateway.cancel(request, self.now) {
            let waited = self.waited(request);
            self.ledger.set(request, State::Refused, waited);
        }
    }

    fn waited(&self, request: usize) -> Nanos {
        self.now - self.lead - self.workload.requests[request].at
    }

    /// Sums up. What still waits has waited until now.
    fn close(mut self) -> Outcome {
        for request in 0..self.workload.requests.len() {
            if self.ledger.state(request) == State::Waiting {
                let waited = self.waited(request);
                self.ledger.set(request, State::Waiting, waited);
            }
        }
        if self.autoscaler.is_none() {
            // What is planned is ready when it is wanted.
            self.record.wanted.clone_from(&self.record.ready);
        }
        Outcome {
            replica_seconds: self.fleet.seconds(self.now),
            most: self.fleet.most(),
            started: self.fleet.started(),
            record: self.record.since(self.lead),
            ledger: self.ledger,
        }
    }
}

#[cfg(test)]
mod tests;
