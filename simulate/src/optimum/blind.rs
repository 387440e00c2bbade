//! What must be asked for before anybody can know how long a request takes: a bound for every rule that begins
//! with nothing, on a gateway that serves first come, first served.
//!
//! Take the requests of a load, and with them the same ones at the same moments, each so much shorter. Nobody can
//! tell the two loads apart before a request has run, and none runs before a first replica is ready.
//!
//! **Claim.** A rule whose decisions follow from what it has seen, that asks for nothing before the first
//! request, and of whose requests no more than the allowed number are late on either load, pays
//! [`Blind::paid`] replica-seconds or more on the one with the shorter requests.
//!
//! **Proof.** Count time from the first request, and let a start take `T`, at the least. Those requests
//! that come so early that no replica can be ready for them in time are late ([`early`]), whatever is done.
//! On the long load at most `rest` of the others may be. So one of the first `rest + 1` of these begins in
//! time: say, `w` after `T`. Then all have begun by then that came before it and had not given up, since
//! first come are first served. A replica asked for at `v` can be ready from `v + T` on. So, up to that moment,
//! each of its places has been free for at most `x = w - v`; what it has begun by then is done by then, but
//! for the last, and so, with each request counted for no more than some `most`, adds up to no more than
//! `x + most`. All that have begun, counted so, add up to `S`. So over all places the sum of `x + most` is `S`
//! at the least. Where `w + most` is at most `T`, all of these replicas were asked for before `T`, and each was
//! there until then, `T - v` long: on both loads, as nobody could tell them apart. For that time a place costs
//! `(T - w + x) / width`, and of all `x` up to `w` it is `w` for which that is least in proportion to `x + most`. So
//! by `T` the rule has paid no less than `S / width * T / (w + most)`: [`Load::before`], with the `most` for which
//! it is most, and with that one of the first `rest + 1` for which it is least. [`Load::after`] says what is
//! paid after that on the shorter load, which no one has begun by then.
//!
//! **Who draws lots** is bounded, too, if the allowed numbers are kept on average only: `before` is
//! taken from a straight line below all numbers of late ones ([`Load::before_on_average`]), and `after` is
//! such a line, or, for the work, falls the faster the more are late.
//!
//! The rule may know all else: the moments of all requests to come, and each one's length as soon as a
//! replica is ready. A gateway that serves the newest first is not bounded by this.

use super::unseen::{early, first_start};
use super::{clairvoyant, work};
use crate::engine::Progress;
use crate::gateway::Balancing;
use crate::scene::Scene;
use crate::span::{Nanos, seconds};
use crate::workload::{Request, Workload};
use tidegate_proxy::policy::overload::QueueOrder;

/// Lengths that are tried for the most that a request counts for.
const TRIED: usize = 32;
/// Blocks of time in one start, of which one is surely without answers after each moment without a replica.
const BLOCKS: Nanos = 8;

/// What is paid at the least where requests turn out to be shorter than they might have been.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Blind {
    /// The part of each request's length that it takes on the other load.
    pub(crate) share: f64,
    /// Replica-seconds there, before a first replica can be ready.
    pub(crate) before: f64,
    /// Replica-seconds there, after that.
    pub(crate) after: f64,
    /// What the clairvoyant plan costs there, where it was asked for.
    pub(crate) plan: Option<f64>,
}

impl Blind {
    /// Replica-seconds of every rule that is in time on both loads, at the least, on the shorter one.
    pub(crate) fn paid(&self) -> f64 {
        self.before + self.after
    }

    /// The same, over what the plan costs.
    pub(crate) fn ratio(&self) -> Option<f64> {
        self.plan.filter(|plan| *plan > 0.0).map(|plan| self.paid() / plan)
    }
}

/// The bound for a load and the same requests, each `share` as long. Nothing where something is there before the
/// first request, or where there are lines that are not served first come, first served.
pub(crate) fn blind(
    scene: &Scene,
    workload: &Workload,
    share: f64,
    with_plan: bool,
) -> Option<Blind> {
    let other = shorter(workload, share);
    let (long, short) = (Load::new(scene, workload)?, Load::new(scene, &other)?);
    let progress: Progress<'_> = &|_| ();
    Some(Blind {
        share,
        before: long.before_on_average(),
        after: short.after(short.rest()),
        plan: with_plan.then(|| clairvoyant(scene, &other, progress).replica_seconds),
    })
}

/// The same requests, each `share` as long.
fn shorter(workload: &Workload, share: f64) -> Workload {
    let each = |request: &Request| Request {
        service: (request.service as f64 * share).round() as Nanos,
        ..*request
    };
    Workload { requests: workload.requests.iter().map(each).collect(), ..workload.clone() }
}

/// A load as a rule meets it that begins with its first request.
struct Load<'a> {
    scene: &'a Scene,
    workload: &'a Workload,
    /// The shortest start.
    start: Nanos,
    /// When a first replica can be ready.
    ready: Nanos,
    /// Requests that come too early for it.
    early: usize,
}

impl<'a> Load<'a> {
    fn new(scene: &'a Scene, workload: &'a Workload) -> Option<Self> {
        let start = scene.cold_start.least();
        let lines_up = scene.balancing == Balancing::LateBinding
            && scene.order == QueueOrder::Fifo
            && workload.tenants.len() < 2;
        let begins = first_start(scene, workload).filter(|_| scene.initial == 0 && lines_up)?;
        let early = early(scene, workload);
        Some(Self { scene, workload, start, ready: begins.saturating_add(start), early })
    }

    /// How many of those may be late that are not early.
    fn rest(&self) -> usize {
        let allowed = self.scene.objective.allowance(self.workload.requests.len());
        allowed.saturating_sub(self.early)
    }

    /// What is paid before a first replica can be ready, at the least, by who keeps on average what may be late.
    fn before_on_average(&self) -> f64 {
        let requests = &self.workload.requests;
        if self.early > self.scene.objective.allowance(requests.len()) {
            return 0.0; // Late in any case.
        }
        let mut lengths: Vec<Nanos> =
            requests[..self.early].iter().map(|request| request.service).collect();
        lengths.sort_unstable();
        let tried = (1..=TRIED)
            .filter_map(|nth| lengths.get((lengths.len() * nth / TRIED).checked_sub(1)?));
        tried.map(|most| self.below_all(&self.before(*most))).fold(0.0, f64::max)
    }

    /// By how many of those may be late that are not early: what is paid before a first replica can be ready, at
    /// the least, if no request counts for longer than `most`. Ends where it says nothing.
    fn before(&self, most: Nanos) -> Vec<f64> {
        let Scene { limits, objective, .. } = self.scene;
        let requests = &self.workload.requests;
        let room = usize::try_from(u64::from(limits.queue) * u64::from(limits.replicas))
            .unwrap_or(usize::MAX);
        let count = |request: &Request| u128::from(request.service.min(most));
        // Who came before a replica could be ready has another patience than who came later.
        let later = requests.partition_point(|request| request.at < self.ready);
        let mut gone = [0, later];
        let mut sum: u128 = requests[..self.early].iter().map(count).sum();
        let mut least = f64::MAX;
        let mut found = Vec::new();
        for (number, request) in requests.iter().enumerate().skip(self.early) {
            let begins = request.at.saturating_add(objective.wait);
            let after = begins.saturating_sub(self.ready);
            if after.saturating_add(most) > self.start || number >= room {
                break;
            }
            sum += count(request);
            for (gone, end) in gone.iter_mut().zip([later, number]) {
                while *gone < end.min(number) && self.gives_up(&requests[*gone]) <= begins {
                    sum -= count(&requests[*gone]);
                    *gone += 1;
                }
            }
            let places = sum as f64 / (after + most).max(1) as f64;
            least = least.min(places / f64::from(limits.concurrency) * seconds(self.start));
            found.push(least);
        }
        found
    }

    /// When a request leaves the line, at the earliest. Those that come while none is ready have a patience of their own.
    fn gives_up(&self, request: &Request) -> Nanos {
        let limits = self.scene.limits;
        let any = limits.patience.min(limits.cold_patience);
        request.at.saturating_add(if request.at < self.ready { limits.cold_patience } else { any })
    }

    /// A straight line below all of `found`, and below nothing where that ends, at what may be late.
    fn below_all(&self, found: &[f64]) -> f64 {
        let rest = self.rest();
        let Some(paid) = found.get(rest).copied() else { return 0.0 };
        let next = found.get(rest + rest / 8 + 1).copied().unwrap_or(0.0);
        // Any slope is right; that of what comes next gives away little.
        let slope = (paid - next) / (rest / 8 + 1) as f64;
        let at = |(late, paid): (usize, f64)| paid + slope * (late as f64 - rest as f64);
        let ends = (found.len(), 0.0);
        let all = found.iter().copied().enumerate().chain([ends]);
        all.map(at).fold(f64::MAX, f64::min).max(0.0)
    }

    /// What is paid after a first replica can be ready, at the least, if so many are late beside the early ones.
    ///
    /// - Work: nothing has run before, and what is in time is run.
    /// - Presence: where no replica is there, starting or ready, at some moment of a block, none is ready within
    ///   a start, and all requests of the next block are late. So the blocks without are no more than so many
    ///   times the fewest requests of any block.
    fn after(&self, late: usize) -> f64 {
        let work = work(self.scene, self.workload, self.early + late);
        let block = self.start.saturating_sub(self.scene.objective.wait) / BLOCKS;
        // What comes just before the end is not late if it waits then.
        let answered = self.workload.end.saturating_sub(self.scene.objective.wait);
        let blocks = answered.saturating_sub(self.ready).checked_div(block).unwrap_or(0);
        let mut counts = vec![0_usize; usize::try_from(blocks).unwrap_or(0)];
        for request in &self.workload.requests {
            let number = request.at.checked_sub(self.ready).map(|after| after / block.max(1));
            if let Some(count) =
                number.and_then(|number| counts.get_mut(usize::try_from(number).ok()?))
            {
                *count += 1;
            }
        }
        // The last has none after it.
        let fewest = counts.iter().skip(1).min().copied().unwrap_or(0);
        let with = match fewest {
            0 => 0.0,
            fewest => (counts.len() - 1) as f64 - late as f64 / fewest as f64,
        };
        work.max(with * seconds(block))
    }
}

#[cfg(test)]
mod tests;
