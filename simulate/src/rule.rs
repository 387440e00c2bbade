//! The seam to the scaling rules: what a simulated autoscaler sees goes in, a number comes out.
//!
//! The rules are the autoscaler's own. A new policy needs one line, in [`POLICIES`].

use std::time::Duration;
use tidegate_api::InferenceApi;
use tidegate_autoscaler::Calendar;
use tidegate_autoscaler::load::Total;
use tidegate_autoscaler::policy::decide::Scaler;
use tidegate_autoscaler::policy::observation::{Observation, Traffic};
use tidegate_autoscaler::scaling;

/// The policies that are compared if nobody says which, by their names in a document.
pub(crate) const POLICIES: &[&str] = &["slo", "concurrency", "cortex", "ray"];

/// What is seen at one tick.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// Replicas asked for now.
    pub(crate) current: u32,
    /// Replicas that are ready.
    pub(crate) ready: u32,
    /// Replicas that are not ready yet.
    pub(crate) starting: u32,
    /// Requests in flight since the last tick.
    pub(crate) total: Total,
    /// Requests that replicas hold now.
    pub(crate) running: u32,
    /// Requests that wait at the gateway now.
    pub(crate) held: u32,
    /// What came and went since the last tick, where that is known.
    pub(crate) traffic: Option<Traffic>,
}

/// How many replicas there should be, and the code of the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) replicas: u32,
    pub(crate) reason: &'static str,
}

/// A policy with what it remembers.
pub(crate) trait Rule {
    /// Decides. `now` never goes back.
    fn decide(&mut self, seen: &Seen, now: Duration) -> Wanted;
}

/// The rule that a document asks for, of an autoscaler that begins while `current` replicas run.
/// Its day begins at `start`, which is since the Unix epoch.
pub(crate) fn of_document(api: &InferenceApi, current: u32, start: Duration) -> Box<dyn Rule> {
    let scaler = Scaler::begin(&scaling(api), current, Duration::ZERO);
    let calendar = Calendar::new(api.autoscaling.schedules.clone());
    Box::new(Scheduled { scaler, calendar, start })
}

/// A document's policy with its schedules.
struct Scheduled {
    scaler: Scaler,
    calendar: Calendar,
    start: Duration,
}

/// Always the same number.
pub(crate) struct Fixed(pub(crate) u32);

impl Rule for Fixed {
    fn decide(&mut self, _: &Seen, _: Duration) -> Wanted {
        Wanted { replicas: self.0, reason: "fixed" }
    }
}

impl Rule for Scheduled {
    fn decide(&mut self, seen: &Seen, now: Duration) -> Wanted {
        let observation = Observation {
            current: seen.current,
            ready: seen.ready,
            starting: seen.starting,
            load: seen.total.load,
            windows: None,
            traffic: seen.traffic,
            complete: seen.total.complete,
            lost: seen.total.lost,
            running: seen.running,
            held: seen.held,
            floor: self.calendar.floor(self.start.saturating_add(now)),
            ..Observation::default()
        };
        let decision = self.scaler.decide(&observation, now);
        Wanted { replicas: decision.replicas, reason: decision.reason.code() }
    }
}
