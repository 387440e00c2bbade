//! How far an API has come since it was deployed, by its conditions. Pure.

use crate::resource::condition;
use serde_json::Value;
use std::time::Duration;

/// What no waiting mends must have stood for so long: whoever says it may be a moment behind.
const SETTLED: Duration = Duration::from_secs(5);

/// Reasons that somebody has to do something about.
const LASTING: [&str; 7] = [
    "InvalidTemplate",
    "InvalidSpec",
    "NoTarget",
    "UnknownKind",
    "TargetNotFound",
    "NotOurs",
    "InvalidSelector",
];

/// The reason where replicas are not exchanged any further.
const STOPPED: &str = "Stopped";

/// How far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It is on its way: what it waits for.
    Waiting(String),
    /// Waiting will not help: why.
    Stuck(String),
    /// It serves, or would.
    Ready(String),
}

/// One API that is waited for.
#[derive(Debug)]
pub(crate) struct Rollout {
    pub(crate) name: String,
    generation: i64,
    pub(crate) progress: Progress,
    /// Since when the progress is this.
    since: Duration,
}

impl Rollout {
    /// Of the object as it was applied.
    pub(crate) fn new(object: &Value, now: Duration) -> Self {
        let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
        let name = crate::resource::name(object).to_owned();
        Self { name, generation, progress: progress(object, generation), since: now }
    }

    /// Sees the object as it is now. True where something has changed.
    pub(crate) fn see(&mut self, object: &Value, now: Duration) -> bool {
        self.set(progress(object, self.generation), now)
    }

    /// Sees that the object is no longer there.
    pub(crate) fn gone(&mut self, now: Duration) -> bool {
        self.set(Progress::Stuck("somebody has deleted it".to_owned()), now)
    }

    fn set(&mut self, progress: Progress, now: Duration) -> bool {
        if progress == self.progress {
            return false;
        }
        (self.progress, self.since) = (progress, now);
        true
    }

    /// Whether there is nothing to wait for any more.
    pub(crate) fn is_over(&self, now: Duration) -> bool {
        match self.progress {
            Progress::Waiting(_) => false,
            Progress::Ready(_) => true,
            Progress::Stuck(_) => now.saturating_sub(self.since) >= SETTLED,
        }
    }

    /// Whether it serves, or would.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.progress, Progress::Ready(_))
    }

    /// As a line.
    pub(crate) fn line(&self) -> String {
        let (Progress::Waiting(what) | Progress::Stuck(what) | Progress::Ready(what)) =
            &self.progress;
        let word = if self.is_ready() { "ready" } else { "not ready" };
        format!("{}: {word}: {what}", self.name)
    }
}

/// What the conditions say of this generation of the spec.
fn progress(object: &Value, generation: i64) -> Progress {
    let Some(ready) = condition(object, "Ready") else {
        return Progress::Waiting("no autoscaler has looked at it yet".to_owned());
    };
    if ready.generation < generation {
        let what = "the autoscaler has not looked at this version yet";
        return Progress::Waiting(what.to_owned());
    }
    match condition(object, "ReplicasProgressing") {
        Some(exchange) if exchange.status == "True" => {
            return Progress::Waiting(exchange.message.to_owned());
        }
        Some(exchange) if exchange.reason == STOPPED => {
            return Progress::Stuck(exchange.message.to_owned());
        }
        _ => {}
    }
    let said = ready.message.to_owned();
    match ready.status {
        "True" => match condition(object, "Scaling") {
            Some(scaling) if scaling.status == "False" => {
                Progress::Ready(format!("{said}, but it is not scaled: {}", scaling.message))
            }
            _ => Progress::Ready(said),
        },
        _ if LASTING.contains(&ready.reason) => Progress::Stuck(said),
        _ => Progress::Waiting(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(generation: i64, conditions: &Value) -> Value {
        json!({"metadata": {"name": "digits", "generation": generation},
            "status": {"observedGeneration": generation, "conditions": conditions}})
    }

    fn conditions(ready: [&str; 3]) -> Value {
        let [status, reason, message] = ready;
        json!([{"type": "Ready", "status": status, "reason": reason, "message": message}])
    }

    #[test]
    fn conditions_of_this_version_count() {
        let waiting = |what: &str| Progress::Waiting(what.to_owned());
        let ready = |what: &str| Progress::Ready(what.to_owned());
        let young = json!({"metadata": {"generation": 1}});
        assert_eq!(progress(&young, 1), waiting("no autoscaler has looked at it yet"));
        let fine = object(2, &conditions(["True", "Replicas", "all serve"]));
        assert_eq!(progress(&fine, 2), ready("all serve"));
        let what = "the autoscaler has not looked at this version yet";
        assert_eq!(progress(&fine, 3), waiting(what));
        let none = object(2, &conditions(["False", "NoReplica", "none of 2"]));
        assert_eq!(progress(&none, 2), waiting("none of 2"));
        let lost = object(2, &conditions(["False", "TargetNotFound", "there is none"]));
        assert_eq!(progress(&lost, 2), Progress::Stuck("there is none".to_owned()));
        for (status, reason, want) in [
            ("True", "Exchanging", waiting("two are left")),
            ("False", "Stopped", Progress::Stuck("two are left".to_owned())),
            ("False", "Complete", ready("all serve")),
        ] {
            let mut rolling = conditions(["True", "Replicas", "all serve"]);
            let more = json!({"type": "ReplicasProgressing", "status": status, "reason": reason,
                "message": "two are left"});
            rolling.as_array_mut().unwrap().push(more);
            assert_eq!(progress(&object(2, &rolling), 2), want);
        }
        let mut rival = conditions(["True", "Replicas", "all serve"]);
        let more = json!({"type": "Scaling", "status": "False", "message": "an HPA"});
        rival.as_array_mut().unwrap().push(more);
        let what = "all serve, but it is not scaled: an HPA";
        assert_eq!(progress(&object(2, &rival), 2), ready(what));
    }

    #[test]
    fn what_seems_stuck_is_given_a_moment() {
        let at = Duration::from_secs;
        let lost = object(1, &conditions(["False", "TargetNotFound", "there is none"]));
        let mut rollout = Rollout::new(&lost, at(0));
        assert!(!rollout.see(&lost, at(4)) && !rollout.is_over(at(4)));
        assert!(rollout.is_over(at(5)) && !rollout.is_ready());
        let fine = object(1, &conditions(["True", "Replicas", "all serve"]));
        assert!(rollout.see(&fine, at(6)) && rollout.is_over(at(6)) && rollout.is_ready());
        assert_eq!(rollout.line(), "digits: ready: all serve");
        assert!(rollout.gone(at(7)) && !rollout.is_ready());
    }
}
