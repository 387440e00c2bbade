//! The `slo` rule: the fewest replicas whose predicted queue wait meets an objective.
//!
//! In order: what is expected ([`super::pace`], [`super::season`]) → servers for it ([`super::erlang`]), with what
//! was learned of the API ([`super::learned`]) → forecast → backlog → break-even ([`super::keep`]).

mod numbers;
mod wake;

pub use numbers::SloNumbers;

use super::arrivals::CONFIDENCE;
use super::decision::{Numbers, Stage, Step};
use super::erlang::Offered;
use super::keep::{Keep, Need, SHORTEST};
use super::learned::Learned;
use super::observation::{LATELY, Observation, Traffic, is_load};
use super::pace::{Expected, Pace};
use super::period::{Period, Task};
use super::reason::DecisionReason;
use super::rule::{Rule, Wish};
use super::season::Season;
use super::snapshot::Snapshot;
use std::time::Duration;

/// The known share of the last minute below which nothing shrinks: as in the `concurrency` rule.
const ENOUGH: f64 = super::concurrency::ENOUGH;

/// The most requests that are believed to have come between two looks, beyond any fleet: sums of them
/// stay exact enough for the few that come after.
const MOST_ARRIVALS: f64 = 1e9;

/// Forgives what floating point adds before rounding up.
const ROUNDING: f64 = 1e-9;

/// Settings of one API.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SloSettings {
    /// The longest wait that is in time, in seconds.
    pub wait: f64,
    /// The share of requests that may wait longer, in (0, 0.5].
    pub late: f64,
    /// How long a replica takes to start, until one has been seen to.
    pub cold_start: Duration,
    /// Requests that one replica runs at once, at least 1.
    pub per_replica: u32,
}

/// The rule and what it remembers.
#[derive(Debug, Clone)]
pub struct Slo {
    settings: SloSettings,
    pace: Pace,
    season: Season,
    period: Period,
    learned: Learned,
    keep: Keep,
    /// Whether a first replica has caught up with what came before it: nobody could help those.
    is_warm: bool,
    /// By how much the rate surely grew or fell each second when it was last looked at.
    slope: f64,
    /// Whether requests were ever seen to wait: where they do so unseen, nobody knows which share is late.
    sees_waits: bool,
    /// Requests that came in the last hour, or are still there.
    came: u32,
    /// When they were last counted.
    counted: Option<Duration>,
}

/// Demand in replicas, step by step.
#[derive(Default)]
struct Demand {
    /// For what comes now.
    now: u32,
    /// For what comes when a replica that is started now is ready.
    soon: u32,
    /// For the most that may come now.
    most: u32,
    /// For what comes now where it comes in bursts.
    bursts: u32,
}

impl Slo {
    /// The longest window of arrivals that the level is made of.
    pub(super) const WINDOW: Duration = Pace::WINDOW;

    /// The rule of an autoscaler that begins at `now` while `current` replicas run.
    pub fn begin(settings: SloSettings, current: u32, now: Duration) -> Self {
        Self {
            pace: Pace::new(),
            season: Season::new(),
            period: Period::new(),
            learned: Learned::new(settings.cold_start),
            keep: Keep::begin(current, now),
            is_warm: current > 0,
            slope: 0.0,
            sees_waits: false,
            came: 0,
            counted: None,
            settings,
        }
    }

    /// Learns from a tick.
    fn learn(&mut self, seen: &Observation, now: Duration) {
        self.learned.started(seen, now);
        self.sees_waits |= seen.held > 0;
        self.came = self.keep.came_lately().max(seen.running.saturating_add(seen.held));
        let traffic = seen.traffic.filter(|traffic| is_load(traffic.arrivals));
        if let Some(traffic) = traffic {
            self.learned.finished(&traffic, now);
            self.counted = Some(now);
        }
        let Some((from, arrivals)) = self.arrivals(seen, traffic, now) else { return };
        let arrivals = arrivals.min(MOST_ARRIVALS);
        let seconds = now.saturating_sub(from).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        let peakedness = self.peakedness();
        if let Some(before) = self.pace.expect(0.0, peakedness, false, now) {
            let before = self.period.refine(before, (0.0, 0.0), now);
            self.learned.arrived(arrivals, before.soon.max(before.season) * seconds, seconds);
        }
        self.pace.record(from, now, arrivals / seconds);
        self.season.record(arrivals, from, now);
        let task = Task { peakedness, ahead: self.return_time() };
        self.period.record(arrivals, from, now, task);
        self.is_warm |= seen.ready > 0 && seen.held == 0;
        let late = if self.is_warm && self.is_late(seen) { arrivals } else { 0.0 };
        self.keep.came(arrivals, late, seconds);
        self.came = self.came.max(self.keep.came_lately());
    }

    /// Arrivals of a tick: counted, or as many as keep so many in flight (Little's law). Nothing where they were
    /// counted a moment ago: then the next count has them, and a guess would only look like a change.
    fn arrivals(
        &self,
        seen: &Observation,
        traffic: Option<Traffic>,
        now: Duration,
    ) -> Option<(Duration, f64)> {
        let given = seen.windows.map(|windows| windows.stable).filter(|load| is_load(*load));
        let is_counted = self.counted.is_some_and(|at| now.saturating_sub(at) <= LATELY);
        match (traffic, seen.load, given) {
            (None, ..) if is_counted => None,
            (Some(traffic), ..) => Some((traffic.from, traffic.arrivals)),
            (None, Some(load), _) if is_load(load.average) => {
                let seconds = now.saturating_sub(load.from).as_secs_f64();
                Some((load.from, load.average * seconds / self.learned.service()))
            }
            (None, None, Some(load)) => {
                let second = Duration::from_secs(1);
                Some((now.saturating_sub(second), load / self.learned.service()))
            }
            _ => None,
        }
    }

    /// Whether a request that comes now waits longer than it may.
    fn is_late(&self, seen: &Observation) -> bool {
        let servers = f64::from(seen.ready) * f64::from(self.settings.per_replica);
        let wait = f64::from(seen.held) * self.learned.service() / servers.max(1.0);
        seen.held > 0 && (seen.ready == 0 || wait > self.settings.wait)
    }

    /// What comes, now and when a replica that is started now is ready, as far as windows say it.
    fn expect(&mut self, waits: bool, now: Duration) -> Option<Expected> {
        let (ahead, peakedness) = (self.learned.cold_start(), self.peakedness());
        let expected = self.pace.expect(ahead, peakedness, waits, now);
        self.slope = expected.map_or(0.0, |expected| expected.slope);
        expected
    }

    fn peakedness(&self) -> f64 {
        self.learned.peakedness(self.slope, self.period.length().is_some())
    }

    fn offered(&self, rate: f64) -> Offered {
        Offered {
            load: rate * self.learned.service(),
            service: self.learned.service(),
            service_variation: self.learned.service_variation(),
            peakedness: self.peakedness(),
        }
    }

    /// The share that may be late of those that come now.
    fn late_allowed(&self) -> f64 {
        let late = self.settings.late;
        if self.sees_waits && self.period.length().is_some() { self.keep.share(late) } else { late }
    }

    /// Replicas for a rate of requests.
    fn replicas(&self, rate: f64) -> u32 {
        let servers = self.offered(rate).servers(self.settings.wait, self.late_allowed());
        (servers / f64::from(self.settings.per_replica.max(1)) - ROUNDING).ceil() as u32
    }

    /// Replicas for a rate that was seen: no more than requests have come, so that the first of all, which may be
    /// one of many a second, does not start a fleet for itself.
    fn replicas_seen(&self, rate: f64) -> u32 {
        self.replicas(rate).min(self.came)
    }

    fn demand(&self, expected: &Expected) -> Demand {
        let season = self.replicas(expected.season);
        // What is over is no demand, though long windows remember it. The break-even rule follows.
        if expected.is_quiet {
            return Demand { soon: season, ..Demand::default() };
        }
        let now = self.replicas_seen(expected.now);
        let soon = self.replicas_seen(expected.soon).max(season).max(now);
        // The doubts of rate and service time are independent: their squares add up.
        let rate = expected.most / expected.now.max(f64::MIN_POSITIVE) - 1.0;
        let doubt = rate.hypot(CONFIDENCE * self.learned.service_doubt());
        let most = self.replicas_seen(expected.now * (1.0 + doubt)).max(now);
        // What bursts add to the doubt that Poisson's arrivals leave, too.
        let excess = 1.0 - self.peakedness().sqrt().recip();
        let bursts = expected.now + (expected.most - expected.now) * excess;
        let bursts = self.replicas_seen(bursts).clamp(now, most);
        Demand { now, soon, most, bursts }
    }

    /// What the queue needs beyond the demand.
    ///
    /// None goes while requests are late. More come unless those that are ready or starting clear it soon enough: as many
    /// as clear it in the time that they need to come, and sooner the more of the budget is spent.
    fn backlog(&self, demand: u32, seen: &Observation, expected: &Expected, now: Duration) -> u32 {
        let service = self.learned.service();
        // Where the load grows, those that come serve what will have come by then.
        let (rate, meanwhile) = (expected.soon, expected.now.midpoint(expected.soon));
        let horizon = self.learned.cold_start().max(self.settings.wait).max(service);
        let per_replica = f64::from(self.settings.per_replica.max(1));
        // What will wait when a replica that starts now is ready.
        let cold_start = self.learned.cold_start();
        let served = f64::from(seen.ready) * cold_start + self.learned.ahead(now);
        let grows = meanwhile * cold_start - served * per_replica / service;
        let waiting = (f64::from(seen.held) + grows).max(0.0);
        let coming = f64::from(seen.ready.saturating_add(seen.starting).max(demand));
        let spare = coming * per_replica - rate * service;
        if seen.held == 0 {
            return demand;
        }
        let demand = if self.is_late(seen) { demand.max(seen.current) } else { demand };
        // Half as long costs twice the extra replicas, and saves half of those that are late: the best
        // time falls with the root of their price. Never more than the load itself needs.
        let hurry = self.keep.price(waiting, self.settings.late).sqrt().max(1.0);
        if waiting * service * hurry <= spare * horizon {
            return demand;
        }
        let least = waiting * service / horizon;
        let servers = rate * service + (least * hurry).min(rate * service).max(least);
        demand.max((servers / per_replica - ROUNDING).ceil() as u32)
    }

    fn numbers(&self, expected: Option<Expected>, replicas: u32) -> SloNumbers {
        let servers = f64::from(replicas) * f64::from(self.settings.per_replica);
        let offered = self.offered(expected.map_or(0.0, |expected| expected.now));
        SloNumbers {
            expected: expected.unwrap_or_default(),
            service: self.learned.service(),
            service_variation: self.learned.service_variation(),
            peakedness: self.peakedness(),
            cold_start: self.learned.cold_start(),
            per_replica: self.settings.per_replica,
            late: offered.late(servers, self.settings.wait),
            late_allowed: self.late_allowed(),
            known: expected.is_some(),
            period: self.period.length().unwrap_or(0.0),
            ..SloNumbers::default()
        }
    }

    /// Seconds within which a need that returns makes it pay to stay: as long a time saves what a start takes,
    /// and the start takes as long.
    fn return_time(&self) -> f64 {
        2.0 * self.learned.cold_start().max(SHORTEST)
    }

    /// What is worth remembering of a demand: little, while the service time is a guess.
    fn certain(&self, demand: u32) -> u32 {
        if self.learned.knows_service() { demand } else { demand.min(1) }
    }

    /// The break-even rule.
    fn kept(
        &mut self,
        wanted: u32,
        reason: DecisionReason,
        demand: &Demand,
        expected: &Expected,
        (seen, now): (&Observation, Duration),
        numbers: &mut SloNumbers,
    ) -> (u32, DecisionReason) {
        let again = self.period.most(0.0, self.return_time(), now);
        let need = Need {
            now: self.certain(demand.bursts),
            soon: self.certain(demand.soon),
            most: self.certain(demand.most),
            again: again.map(|rate| self.certain(self.replicas(rate))),
            rate: expected.now,
            fall: (-expected.slope).max(0.0),
            cold_start: self.learned.cold_start(),
            allowed_late: self.settings.late,
        };
        let kept = self.keep.keep(&need, seen.current, now);
        (numbers.kept_seconds, numbers.late_seen) = (kept.seconds, self.keep.late());
        // What is kept is never a reason to grow; what is due is.
        let held = wanted.max(kept.replicas.min(seen.current));
        if kept.due > held && kept.due > seen.current {
            (kept.due, DecisionReason::Forecast)
        } else if held > wanted {
            (held, DecisionReason::BreakEven)
        } else {
            (wanted, reason)
        }
    }
}

impl Rule for Slo {
    fn wish(&mut self, seen: &Observation, now: Duration) -> Wish {
        self.learn(seen, now);
        let expected = self.expect(seen.held > 0, now);
        let cold_start = self.learned.cold_start();
        let season = self.season.expect(cold_start, now);
        let expected = expected.map(|expected| Expected { season, ..expected });
        let times = (cold_start, self.return_time());
        let expected = expected.map(|expected| self.period.refine(expected, times, now));
        let mut numbers = self.numbers(expected, seen.current);
        let Some(expected) = expected else {
            let (replicas, reason) = (seen.current, DecisionReason::NoSamples);
            return Wish { replicas, reason, numbers: Numbers::Slo(numbers), steps: Vec::new() };
        };
        let demand = self.demand(&expected);
        let with_backlog = self.backlog(demand.soon, seen, &expected, now);
        let reason = if with_backlog > demand.soon {
            DecisionReason::Backlog
        } else if demand.soon > demand.now {
            DecisionReason::Forecast
        } else {
            DecisionReason::Objective
        };
        let mut steps = vec![
            Step::new(Stage::Demand, demand.now, demand.now),
            Step::new(Stage::Forecast, demand.now, demand.soon),
            Step::new(Stage::Backlog, demand.soon, with_backlog),
        ];
        // What clears a backlog is gone with it; what serves the arrivals may be needed again.
        let at = (seen, now);
        let (wanted, reason) =
            self.kept(with_backlog, reason, &demand, &expected, at, &mut numbers);
        steps.push(Step::new(Stage::Hold, with_backlog, wanted));
        let (replicas, reason) = if wanted >= seen.current {
            (wanted, reason)
        } else if !seen.is_certain() {
            (seen.current, DecisionReason::IncompleteSamples)
        } else if expected.filled < ENOUGH {
            (seen.current, DecisionReason::ShortHistory)
        } else {
            (wanted, reason)
        };
        steps.push(Step::new(Stage::Certainty, wanted, replicas));
        let servers = f64::from(replicas) * f64::from(self.settings.per_replica);
        numbers.late = self.offered(expected.now).late(servers, self.settings.wait);
        Wish { replicas, reason, numbers: Numbers::Slo(numbers), steps }
    }

    fn wake(&mut self, seen: &Observation, now: Duration) -> Wish {
        self.woken(seen, now)
    }

    fn save(&self, to: &mut Snapshot, now: Duration) {
        self.pace.save(to, now);
        self.season.save(to, now);
        self.period.save(to, now);
        self.learned.save(to);
        self.keep.save(to, now);
        to.put("slo.sees_waits", [[f64::from(u8::from(self.sees_waits))]]);
    }

    fn load(&mut self, from: &Snapshot, taken: Duration) {
        self.pace.load(from, taken);
        self.season.load(from, taken);
        self.period.load(from, taken);
        self.learned.load(from);
        self.keep.load(from, taken);
        self.sees_waits = from.row("slo.sees_waits").is_some_and(|[seen]| seen > 0.0);
    }
}
