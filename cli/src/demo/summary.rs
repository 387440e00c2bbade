//! The demo's last words: counts that must add up, and what they mean.

use super::counted::{Counted, Sidecars};
use super::tally::{Tally, at};
use crate::screen::Screen;
use std::time::Duration;
use tidegate_autoscaler::Status;

/// All that is known once the demo is over.
#[derive(Debug)]
pub(crate) struct Summary<'a> {
    pub(crate) tally: &'a Tally,
    /// What the gateway counted; nothing if it could not be asked.
    pub(crate) gateway: Option<Counted>,
    pub(crate) sidecars: &'a Sidecars,
    /// The autoscaler's last status before everything was stopped.
    pub(crate) status: &'a Status,
    /// The most replicas that were ready at once.
    pub(crate) ready_max: u32,
    /// Whether the schedule was cut short.
    pub(crate) interrupted: bool,
}

impl Summary<'_> {
    /// What was lost or does not add up, each in a sentence. Empty is what is hoped for.
    pub(crate) fn losses(&self) -> Vec<String> {
        let tally = self.tally;
        if self.interrupted {
            // What was cut off says nothing about what was lost.
            return vec!["the demo was interrupted".to_owned()];
        }
        let mut losses = Vec::new();
        if tally.sent == 0 {
            losses.push("no request was sent".to_owned());
        }
        if tally.failed() > 0 {
            losses.push(format!("{} requests failed", tally.failed()));
        }
        if tally.outstanding() > 0 {
            losses.push(format!("{} requests had no answer", tally.outstanding()));
        }
        match self.gateway {
            None => losses.push("the gateway could not be asked what it counted".to_owned()),
            Some(counted) => losses.extend(differences(tally, counted)),
        }
        if self.sidecars.answered() > tally.answered {
            let (theirs, ours) = (self.sidecars.answered(), tally.answered);
            losses.push(format!("the sidecars answered {theirs} requests, of which {ours} came"));
        }
        let left: usize = self.status.apis.iter().map(|api| api.replicas.len()).sum();
        if left > 0 {
            losses.push(format!("{left} replicas had not gone yet"));
        }
        losses
    }

    /// Prints it all.
    pub(crate) fn print(&self, screen: &Screen) {
        let tally = self.tally;
        screen.line("");
        screen.line(&format!(
            "sent        {} = {} answered + {} refused + {} failed + {} without an answer",
            tally.sent,
            tally.answered,
            tally.refused(),
            tally.failed(),
            tally.outstanding()
        ));
        for (reason, count) in &tally.refused {
            screen.line(&format!("  refused   {count}: {reason}"));
        }
        for (what, count) in &tally.failed {
            screen.line(&format!("  failed    {count}: {what}"));
        }
        if let Some(gateway) = self.gateway {
            screen.line(&format!(
                "gateway     counted {} requests, {} answered by the model; now {} in flight, {} queued",
                gateway.ended, gateway.answered, gateway.in_flight, gateway.queued
            ));
        }
        screen.line(&format!(
            "sidecars    {} answered, by the last reading of each of {}",
            self.sidecars.answered(),
            self.sidecars.len()
        ));
        if let Some(percent) = percent(tally.right, tally.answered) {
            let (right, answered) = (tally.right, tally.answered);
            screen.line(&format!("accuracy    {percent} %: {right} of {answered} digits right, of images the model had never seen"));
        }
        self.print_times(screen);
        self.print_decisions(screen);
    }

    fn print_times(&self, screen: &Screen) {
        let tally = self.tally;
        if !tally.latency.is_empty() {
            let quantile = |quantile| millis(at(&tally.latency, quantile));
            screen.line(&format!(
                "latency     p50 {}, p90 {}, p99 {}, longest {}; from the moment a request was due",
                quantile(0.5),
                quantile(0.9),
                quantile(0.99),
                quantile(1.0)
            ));
        }
        if tally.held > 0 {
            screen.line(&format!(
                "cold start  {}: the longest that one of {} requests was held until a replica was up",
                millis(tally.cold_start), tally.held
            ));
        }
    }

    fn print_decisions(&self, screen: &Screen) {
        let left: u32 = self.status.apis.iter().map(|api| api.ready).sum();
        screen.line(&format!(
            "replicas    from 0 to {} ready at once, {left} at the end",
            self.ready_max
        ));
        screen.line("decisions");
        for decision in self.status.apis.iter().flat_map(|api| &api.decisions) {
            screen.line(&format!(
                "  {:5.1} s  {} -> {}  {}: {}",
                decision.at_seconds, decision.from, decision.to, decision.reason, decision.detail
            ));
        }
    }
}

/// Where the gateway's counts differ from the client's.
fn differences(tally: &Tally, counted: Counted) -> Vec<String> {
    let pairs = [
        ("requests that ended", tally.sent - tally.outstanding(), counted.ended),
        ("requests answered", tally.answered, counted.answered),
        ("requests in flight at the end", 0, counted.in_flight),
        ("requests queued at the end", 0, counted.queued),
    ];
    let differ = pairs.into_iter().filter(|(_, ours, theirs)| ours != theirs);
    differ
        .map(|(what, ours, theirs)| format!("{what}: the gateway says {theirs}, not {ours}"))
        .collect()
}

/// With one digit after the point; nothing where there is nothing to take a share of.
fn percent(part: u64, whole: u64) -> Option<String> {
    (whole > 0).then(|| format!("{:.1}", 100.0 * part as f64 / whole as f64))
}

/// Short for a person: `12 ms`, `3.2 s`.
pub(crate) fn millis(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.0} ms", time.as_secs_f64() * 1000.0)
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tally::{Ended, Outcome};
    use super::*;
    use tidegate_api::reason::Reason;
    use tidegate_autoscaler::status::{ApiStatus, ReplicaState, ReplicaStatus};

    fn tally(outcomes: &[Outcome]) -> Tally {
        let mut tally = Tally::new().unwrap();
        for outcome in outcomes {
            tally.sends();
            let latency = Duration::from_millis(5);
            tally.ends(Ended { outcome: outcome.clone(), latency, cold_start: None });
        }
        tally
    }

    fn losses(tally: &Tally, gateway: Option<Counted>, status: &Status) -> Vec<String> {
        let sidecars = Sidecars::default();
        let (ready_max, interrupted) = (1, false);
        Summary { tally, gateway, sidecars: &sidecars, status, ready_max, interrupted }.losses()
    }

    const RIGHT: Outcome = Outcome::Answered { right: true };

    #[test]
    fn answers_and_refusals_that_the_gateway_counted_too_are_no_loss() {
        let tally = tally(&[RIGHT, Outcome::Refused(Reason::QueueFull)]);
        let gateway = Some(Counted { ended: 2, answered: 1, ..Counted::default() });
        assert_eq!(losses(&tally, gateway, &Status::default()), Vec::<String>::new());
    }

    #[test]
    fn each_loss_is_told() {
        let good = Counted { ended: 1, answered: 1, ..Counted::default() };
        let told = |tally: &Tally, gateway, status: &Status, expected: &str| {
            let losses = losses(tally, gateway, status);
            assert!(losses.iter().any(|loss| loss.contains(expected)), "{expected}: {losses:?}");
        };
        let none = Status::default();
        told(&tally(&[]), Some(Counted::default()), &none, "no request");
        told(
            &tally(&[Outcome::Failed("reset".to_owned())]),
            Some(good),
            &none,
            "1 requests failed",
        );
        let mut unanswered = tally(&[RIGHT]);
        unanswered.sends();
        told(&unanswered, Some(good), &none, "1 requests had no answer");
        let one = tally(&[RIGHT]);
        told(&one, None, &none, "could not be asked");
        told(&one, Some(Counted { ended: 2, ..good }), &none, "says 2, not 1");
        told(&one, Some(Counted { answered: 0, ..good }), &none, "says 0, not 1");
        told(&one, Some(Counted { in_flight: 1, ..good }), &none, "in flight");
        told(&one, Some(Counted { queued: 1, ..good }), &none, "queued");
        let replica = ReplicaStatus {
            id: "a".to_owned(),
            state: ReplicaState::Draining,
            address: None,
            admin: None,
            in_flight: 0,
            queued: 0,
            sidecar_pid: None,
            model_pid: None,
            sidecar_rss_bytes: None,
            restarts: 0,
            outdated: false,
        };
        let api = ApiStatus { replicas: vec![replica], ..ApiStatus::default() };
        told(
            &one,
            Some(good),
            &Status { apis: vec![api], ..Status::default() },
            "1 replicas had not gone",
        );
    }

    #[test]
    fn shares_and_times_are_short() {
        assert_eq!(percent(2, 3), Some("66.7".to_owned()));
        assert_eq!(percent(0, 0), None);
        assert_eq!(millis(Duration::from_micros(12_400)), "12 ms");
        assert_eq!(millis(Duration::from_millis(3_210)), "3.2 s");
    }
}
