//! What must stand ready before a rise that nobody can foresee: a bound for every rule, of whatever kind.
//!
//! Let a load be calm, rise at some moments, and let nothing tell how long a calm lasts: for each rise there
//! are loads that differ from this one in that the calm before it is longer, by any time up to `G`.
//!
//! **Claim.** A rule whose decisions follow from what it has seen, and that makes no more than the allowed
//! number of requests late on each of these loads, has on one of them [`Rises::standing`] replicas at every
//! moment of a calm that is longer by `G`: it pays that many times `G` for nothing, also on the load that ends there.
//!
//! **Proof.** Suppose not: however a load has been until then, in each calm there comes a moment at which fewer
//! than `standing` are there, whether ready or starting. Let the rise come just then. Up to that moment the load
//! was the same as one on which the calm goes on, so the rule has done the same on both. What it starts from
//! then on is not ready before the shortest cold start is over; within that time the requests of the rise have
//! those places only that were there, and so [`fewest_late`] of them are late. Do so at each rise. No request is
//! counted twice, as each belongs to one rise. Added up, that is more than may be late, by the choice of
//! `standing`: so the rule is late on a load on which it must not be.
//!
//! Where requests come in a calm, too, more may be late the longer it is: `standing` is for calms that are longer by
//! little, and for others [`Rises::late`] is to be held against what may be late then, as `benches/rules/rises.py` does.
//!
//! Nothing is taken for granted of the rule but that it can't see the future: it may know all rates, all laws, what
//! each request will take once it is there, and in which order to run them; it sees at once what comes. So the bound
//! is far below what a real one must have.

use super::demand::forced;
use super::unseen::{early, fewest_left_out};
use crate::scene::Scene;
use crate::span::Nanos;
use crate::workload::{Request, Workload};

/// Parts of a cold start, between any two of which work is compared with places.
const PARTS: usize = 8;

/// What rises cost, by how many replicas are there before each.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub(crate) struct Rises {
    /// Requests that are late at the least where so many stand ready: for 0, 1, 2 and so on, until none is.
    pub(crate) late: Vec<usize>,
    /// The fewest that must stand ready before each. None where even those who come before the first replica
    /// can be ready are more than may be late: then some must be there before the first request of all.
    pub(crate) standing: Option<u32>,
}

/// The bound for a load that rises when its [`Workload::rises`] say.
///
/// A rule that has nothing before the first request, as it would otherwise pay where none ever comes, is
/// late for the [`early`] ones in any case, and these count beside the rises that come later.
pub(crate) fn rises(scene: &Scene, workload: &Workload) -> Rises {
    let early = early(scene, workload);
    let allowed = scene.objective.allowance(workload.requests.len());
    let later = &workload.requests[early..];
    let windows: Vec<Window> = bounds(&workload.rises, scene.cold_start.least(), workload.end)
        .map(|(from, to)| Window::new(scene, later, from, to))
        .collect();
    let late_with =
        |replicas| -> usize { windows.iter().map(|window| window.fewest_late(replicas)).sum() };
    let mut late = Vec::new();
    for replicas in 0..=scene.limits.replicas {
        late.push(early + late_with(replicas));
        if late.last() == Some(&early) {
            break;
        }
    }
    let standing = late.iter().position(|late| *late <= allowed);
    Rises { late, standing: standing.and_then(|count| u32::try_from(count).ok()) }
}

/// From each rise until what is started at it can be ready, or the next one comes.
fn bounds(moments: &[Nanos], cold: Nanos, end: Nanos) -> impl Iterator<Item = (Nanos, Nanos)> {
    let mut moments = moments.to_vec();
    moments.sort_unstable();
    moments.dedup();
    let next: Vec<Nanos> = moments.iter().skip(1).copied().chain([end]).collect();
    moments
        .into_iter()
        .zip(next)
        .map(move |(from, next)| (from, from.saturating_add(cold).min(next)))
}

/// A time in which no more replicas can be ready than were there at its beginning.
struct Window {
    /// Requests that run at once in a replica.
    width: u32,
    /// When requests that came in it surely run, if in time.
    surely: Vec<(Nanos, Nanos)>,
    /// What is to be done from one part's beginning to another's end.
    spells: Vec<Spell>,
}

/// Some parts of a window.
struct Spell {
    from: usize,
    to: usize,
    length: Nanos,
    /// What the `n` longest of those requests that came in it surely run in it, added up, by `n`.
    longest: Vec<u128>,
}

impl Window {
    fn new(scene: &Scene, requests: &[Request], from: Nanos, to: Nanos) -> Self {
        let wait = scene.objective.wait;
        let within = |from: Nanos, to: Nanos| {
            let first = requests.partition_point(|request| request.at < from);
            &requests[first..requests.partition_point(|request| request.at < to).max(first)]
        };
        let edge = |part: usize| from + (to - from.min(to)) / PARTS as Nanos * part as Nanos;
        let pairs = (0..PARTS).flat_map(|one| (one + 1..=PARTS).map(move |other| (one, other)));
        let spell = |(one, other): (usize, usize)| {
            let (from, to) = (edge(one), edge(other));
            let work = |request: &Request| {
                request.service.min(to.saturating_sub(request.at.saturating_add(wait)))
            };
            let mut works: Vec<Nanos> = within(from, to).iter().map(work).collect();
            works.sort_unstable_by(|one, other| other.cmp(one));
            let sums = works.iter().scan(0, |sum, work| {
                *sum += u128::from(*work);
                Some(*sum)
            });
            let longest = [0].into_iter().chain(sums).collect();
            Spell { from: one, to: other, length: to - from, longest }
        };
        Self {
            width: scene.limits.concurrency,
            surely: forced(within(from, to), to, wait),
            spells: pairs.map(spell).collect(),
        }
    }

    /// The fewest requests that are late where no more than so many replicas are ready in it, by two arguments
    /// of which the stronger counts.
    ///
    /// - At each moment no more can run than there are places, as in [`super::unseen`].
    /// - What came since a moment and is in time begins at most `wait` after it came, so a known part of it is
    ///   done by a later moment; and no more can be done in between than the places take. To leave out the
    ///   longest leaves out the fewest. Spells that follow each other count together, as each request
    ///   came in one of them.
    fn fewest_late(&self, replicas: u32) -> usize {
        let at_once = fewest_left_out(&self.surely, &[(0, replicas)], self.width);
        let mut most = [0_usize; PARTS + 1];
        for to in 1..=PARTS {
            most[to] = most[to - 1];
            for spell in self.spells.iter().filter(|spell| spell.to == to) {
                let places = u128::from(replicas) * u128::from(self.width);
                let late = spell.fewest_late(places * u128::from(spell.length));
                most[to] = most[to].max(most[spell.from] + late);
            }
        }
        at_once.max(most[PARTS])
    }
}

impl Spell {
    /// How many of the longest have to be left out so that the others can be done.
    fn fewest_late(&self, can_be_done: u128) -> usize {
        let all = self.longest.last().copied().unwrap_or(0);
        self.longest.partition_point(|left_out| all - left_out > can_be_done)
    }
}

#[cfg(test)]
mod tests;
