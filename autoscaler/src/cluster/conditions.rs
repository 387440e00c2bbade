//! What the autoscaler says in an `InferenceApi`'s status. Pure.

use super::own::unapplied;
use crate::policy::rollout::verdict::RolloutReason;
use serde_json::{Value, json};
use tidegate_kubernetes::facts::PodPhase;
use tidegate_kubernetes::failure::Failure;
use tidegate_kubernetes::rollout::{RolloutRecord, RolloutStage};
use tidegate_kubernetes::view::{ApiView, Problem};

/// The condition that says whether a version is on its way.
const PROGRESSING: &str = "RolloutProgressing";

/// The condition that says whether the target follows the load.
const SCALING: &str = "Scaling";

/// What the ticks know beside the view.
#[derive(Debug, Clone)]
pub(super) struct Known<'a> {
    /// Replicas asked for.
    pub(super) wanted: u32,
    /// Requests that run or wait.
    pub(super) in_flight: u32,
    /// Those of them that wait.
    pub(super) queued: u32,
    /// The last change's reason and its sentence; nothing before the first.
    pub(super) last: Option<(&'a str, &'a str)>,
    /// Whether it is known what the load is.
    pub(super) is_measured: bool,
    /// Why the target could not be changed, if it could not.
    pub(super) failure: Option<&'a str>,
    /// Whether what is made of its template is as that says; nothing where there is no template.
    pub(super) applied: Applied<'a>,
    /// Where the version stands that takes over, if one does.
    pub(super) rollout: Option<RolloutRecord>,
    /// The time of day.
    pub(super) now: &'a str,
}

/// The status to write. Conditions keep their time where they have not changed.
pub(super) fn status(view: &ApiView, known: &Known<'_>) -> Value {
    let before = &view.resource.status;
    let ready = view.count(PodPhase::Ready);
    let selector = view.workload.as_ref().and_then(|workload| workload.selector.as_ref());
    let present = view.workload.as_ref().map_or(0, |workload| workload.present);
    let scaling = is_scaling(view, known);
    let why = why(before, &scaling, known.last);
    let mut status = json!({
        "observedGeneration": view.resource.generation,
        "replicas": present,
        "ready": ready,
        "wanted": known.wanted,
        "inFlight": known.in_flight,
        "queued": known.queued,
        "conditions": [
            condition(before, view, "Ready", is_ready(view, ready, known.wanted, known.applied), known.now),
            condition(before, view, SCALING, scaling, known.now),
        ],
    });
    if let (Some(applied), Some(all)) = (known.applied, status["conditions"].as_array_mut()) {
        all.push(condition(before, view, "Applied", is_applied(applied), known.now));
    }
    if let (Some(rollout), Some(all)) = (&known.rollout, status["conditions"].as_array_mut()) {
        all.push(condition(before, view, PROGRESSING, is_progressing(rollout), known.now));
        status["rollout"] = json!(rollout);
    }
    if let Some((reason, message)) = why {
        status["reason"] = json!(reason);
        status["message"] = json!(message);
    }
    if let Some(selector) = selector {
        status["selector"] = json!(selector.to_string());
    }
    status
}

/// A condition's status, reason and message.
type Verdict = (&'static str, &'static str, String);

/// Why it is not scaled, else why there are so many replicas: a table has room for one of them.
fn why(before: &Value, scaling: &Verdict, last: Option<(&str, &str)>) -> Option<(String, String)> {
    let (status, reason, message) = scaling;
    if *status == "False" {
        return Some(((*reason).to_owned(), message.clone()));
    }
    if let Some((reason, message)) = last {
        return Some((reason.to_owned(), message.to_owned()));
    }
    // Who has just come to lead has decided nothing yet: what was decided last still stands.
    let mut conditions = before["conditions"].as_array().into_iter().flatten();
    if conditions.any(|old| old["type"] == SCALING && old["status"] == "False") {
        return None;
    }
    let text = |field: &str| before[field].as_str().map(str::to_owned);
    Some((text("reason")?, text("message")?))
}

/// What is known of the objects that are made of a template.
type Applied<'a> = Option<Result<(), &'a Failure>>;

/// A problem; that the Deployment is still to be made says little where it can't be.
fn not_there(problem: &Problem, applied: Applied<'_>) -> Verdict {
    match (problem, applied) {
        (Problem::Making, Some(Err(failure))) => is_applied(Err(failure)),
        _ => ("False", problem.reason(), problem.to_string()),
    }
}

fn is_ready(view: &ApiView, ready: u32, wanted: u32, applied: Applied<'_>) -> Verdict {
    match &view.problem {
        // It has no replicas that could be missing.
        Some(problem @ Problem::Split) => ("True", problem.reason(), problem.to_string()),
        Some(problem) if view.workload.is_none() => not_there(problem, applied),
        _ if ready > 0 && ready < wanted => {
            ("True", "SomeReplicas", format!("{ready} of {wanted} replicas can serve"))
        }
        _ if ready > 0 => ("True", "Replicas", "every replica can serve".to_owned()),
        _ if wanted == 0 => {
            ("True", "Asleep", "no replica runs; the next request starts one".to_owned())
        }
        _ => match view.workload.as_ref().map_or(0, |workload| workload.present) {
            // Nobody replaces them: they were made while the injector was away, or not for it.
            present if present > 0 && view.pods.is_empty() => {
                let what = format!("the target has {present} pods, and none has a sidecar");
                ("False", "NoSidecar", format!("{what}; `tidegate check` says why"))
            }
            _ => {
                let amiss = view.workload.as_ref().and_then(|workload| workload.amiss.as_deref());
                let because = amiss.map(|what| format!(": {what}")).unwrap_or_default();
                ("False", "NoReplica", format!("none of {wanted} replicas can serve yet{because}"))
            }
        },
    }
}

fn is_scaling(view: &ApiView, known: &Known<'_>) -> Verdict {
    match (&view.problem, known.failure) {
        (Some(problem), _) => not_there(problem, known.applied),
        (None, Some(failure)) => ("False", "CanNotScale", failure.to_owned()),
        (None, None) if !known.is_measured => {
            ("Unknown", "NoSamples", "no sidecar or gateway says what the load is".to_owned())
        }
        (None, None) => ("True", "Measured", "the target follows the load".to_owned()),
    }
}

fn is_applied(applied: Result<(), &Failure>) -> Verdict {
    match applied {
        Ok(()) => ("True", "Applied", "what is made of the template is as it says".to_owned()),
        Err(failure) => ("False", unapplied(failure), failure.message.clone()),
    }
}

fn is_progressing(rollout: &RolloutRecord) -> Verdict {
    let RolloutRecord { to, step, steps, reason, message, .. } = rollout;
    let weight = rollout.weights.get(to).copied().unwrap_or_default();
    match rollout.stage {
        RolloutStage::Step if *reason == RolloutReason::Paused.code() => (
            "False",
            "Paused",
            format!("step {step} of {steps}, {to} gets {weight} of 100 requests: {message}"),
        ),
        RolloutStage::Step => {
            let place = format!("step {step} of {steps}, {to} gets {weight} of 100 requests");
            ("True", "Step", format!("{place}; {reason}: {message}"))
        }
        RolloutStage::Promoted => {
            ("False", "Promoted", format!("{to} gets all requests; {message}"))
        }
        RolloutStage::TakenBack => {
            ("False", "TakenBack", format!("{to} gets no requests; {reason}: {message}"))
        }
    }
}

fn condition(before: &Value, view: &ApiView, kind: &str, verdict: Verdict, now: &str) -> Value {
    let (status, reason, message) = verdict;
    let old = before["conditions"].as_array().into_iter().flatten();
    let old = old.into_iter().find(|old| old["type"] == kind && old["status"] == status);
    let since = old.and_then(|old| old["lastTransitionTime"].as_str()).unwrap_or(now);
    json!({
        "type": kind,
        "status": status,
        "observedGeneration": view.resource.generation,
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    })
}

/// Whether two statuses differ in nothing but the number of requests.
pub(super) fn is_same_but_for_load(one: &Value, other: &Value) -> bool {
    let without = |status: &Value| {
        let mut status = status.clone();
        if let Some(fields) = status.as_object_mut() {
            fields.remove("inFlight");
            fields.remove("queued");
        }
        // Why a step waits is said in numbers of requests, or of seconds.
        if status["rollout"]["stage"] == json!(RolloutStage::Step) {
            status["rollout"]["message"] = Value::Null;
            let all = status["conditions"].as_array_mut().into_iter().flatten();
            let progressing = all.filter(|condition| condition["type"] == PROGRESSING);
            progressing.for_each(|condition| condition["message"] = Value::Null);
        }
        status
    };
    without(one) == without(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tidegate_kubernetes::facts::{Resource, Workload};
    use tidegate_kubernetes::view::PodView;

    fn view(ready: usize, problem: Option<Problem>, before: Value) -> ApiView {
        let pod = PodView {
            name: "p".into(),
            phase: PodPhase::Ready,
            admin: None,
            traffic: None,
            limit: None,
            cost: None,
        };
        let workload = Workload {
            version: "1".into(),
            owner: None,
            replicas: 2,
            present: 3,
            selector: None,
            asked: None,
            amiss: None,
        };
        ApiView {
            resource: Resource {
                origin: tidegate_kubernetes::facts::Origin::Resource,
                uid: "u".into(),
                version: "1".into(),
                generation: 4,
                created: 0,
                document: Err(Arc::from("not needed")),
                status: Arc::new(before),
            },
            workload: (!matches!(
                problem,
                Some(Problem::NoTarget | Problem::Split | Problem::Making)
            ))
            .then_some(workload),
            pods: vec![pod; ready],
            problem,
        }
    }

    const KNOWN: Known<'_> = Known {
        wanted: 2,
        in_flight: 5,
        queued: 1,
        last: Some(("stable-window", "because")),
        is_measured: true,
        failure: None,
        applied: None,
        rollout: None,
        now: "2026-01-01T00:00:00Z",
    };

    fn verdict(status: &Value, kind: &str) -> (String, String) {
        let all = status["conditions"].as_array().unwrap();
        let one = all.iter().find(|condition| condition["type"] == kind).unwrap();
        let text = |key: &str| one[key].as_str().unwrap().to_owned();
        (text("status"), text("reason"))
    }

    #[test]
    fn conditions_say_what_is() {
        let paused = || Some(Problem::Paused);
        for (ready, problem, known, is_ready, is_scaling) in [
            (2, None, KNOWN, "True Replicas", "True Measured"),
            (1, None, KNOWN, "True SomeReplicas", "True Measured"),
            (0, None, KNOWN, "False NoSidecar", "True Measured"),
            (0, None, Known { wanted: 0, ..KNOWN }, "True Asleep", "True Measured"),
            (2, None, Known { is_measured: false, ..KNOWN }, "True Replicas", "Unknown NoSamples"),
            (2, None, Known { failure: Some("no"), ..KNOWN }, "True Replicas", "False CanNotScale"),
            (2, paused(), KNOWN, "True Replicas", "False Paused"),
            (0, Some(Problem::NoTarget), KNOWN, "False NoTarget", "False NoTarget"),
            (0, Some(Problem::Split), KNOWN, "True Split", "False Split"),
        ] {
            let status = status(&view(ready, problem, Value::Null), &known);
            let (one, why) = verdict(&status, "Ready");
            assert_eq!(format!("{one} {why}"), is_ready);
            let (one, why) = verdict(&status, "Scaling");
            assert_eq!(format!("{one} {why}"), is_scaling);
        }
    }

    #[test]
    fn pods_that_are_on_their_way_are_no_pods_without_a_sidecar() {
        let mut starting = view(1, None, Value::Null);
        starting.pods.iter_mut().for_each(|pod| pod.phase = PodPhase::Starting);
        let (one, why) = verdict(&status(&starting, &KNOWN), "Ready");
        assert_eq!((one.as_str(), why.as_str()), ("False", "NoReplica"));
    }

    #[test]
    fn who_has_a_template_is_told_whether_it_is_applied() {
        let of = |applied| {
            let status = status(&view(2, None, Value::Null), &Known { applied, ..KNOWN });
            let (one, why) = verdict(&status, "Applied");
            format!("{one} {why}")
        };
        assert_eq!(of(Some(Ok(()))), "True Applied");
        let because = |code| Failure { code, message: "no".to_owned(), hold_back: None };
        let (no, invalid) = (because("server"), because("invalid"));
        assert_eq!(of(Some(Err(&no))), "False CanNotApply");
        assert_eq!(of(Some(Err(&invalid))), "False InvalidTemplate");
        // That it is not there yet says little where it can't be made.
        let making = || view(0, Some(Problem::Making), Value::Null);
        let known = |applied| Known { applied, ..KNOWN };
        for (applied, why) in [(None, "Making"), (Some(Err(&no)), "CanNotApply")] {
            let status = status(&making(), &known(applied));
            for kind in ["Ready", "Scaling"] {
                assert_eq!(verdict(&status, kind), ("False".to_owned(), why.to_owned()), "{kind}");
            }
        }
        let without = status(&view(2, None, Value::Null), &KNOWN);
        assert_eq!(without["conditions"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn the_last_decision_stays_until_there_is_another() {
        let decided = Known { last: Some(("panic", "a burst")), ..KNOWN };
        let first = status(&view(2, None, Value::Null), &decided);
        let after_failover = status(&view(2, None, first), &Known { last: None, ..KNOWN });
        assert_eq!(after_failover["reason"], "panic");
        assert_eq!(after_failover["message"], "a burst");
        let known = Known { last: Some(("idle", "nothing")), ..KNOWN };
        let next = status(&view(2, None, after_failover), &known);
        assert_eq!((&next["reason"], &next["message"]), (&json!("idle"), &json!("nothing")));
    }

    #[test]
    fn where_it_is_not_scaled_the_reason_says_why() {
        let rival = || Problem::Rival { what: "HorizontalPodAutoscaler", name: "h".into() };
        for (problem, known, reason) in [
            (Some(Problem::Paused), KNOWN, "Paused"),
            (Some(rival()), KNOWN, "ConflictingAutoscaler"),
            (Some(Problem::NoTarget), KNOWN, "NoTarget"),
            (None, Known { failure: Some("no"), ..KNOWN }, "CanNotScale"),
            (None, Known { is_measured: false, ..KNOWN }, "stable-window"),
        ] {
            let status = status(&view(2, problem, Value::Null), &known);
            assert_eq!(status["reason"], reason);
            let scaling = &status["conditions"][1];
            assert!(scaling["status"] != "False" || status["message"] == scaling["message"]);
        }
        // What stood in the way is no decision, and goes with it.
        let paused = status(&view(2, Some(Problem::Paused), Value::Null), &KNOWN);
        let goes_on = status(&view(2, None, paused), &Known { last: None, ..KNOWN });
        assert_eq!((&goes_on["reason"], &goes_on["message"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn a_condition_keeps_its_time_until_it_changes() {
        let first = status(&view(2, None, Value::Null), &KNOWN);
        let later = Known { now: "2026-01-02T00:00:00Z", in_flight: 9, ..KNOWN };
        let second = status(&view(2, None, first.clone()), &later);
        assert!(is_same_but_for_load(&first, &second));
        assert_ne!(first, second);
        let third = status(&view(2, Some(Problem::Paused), first), &later);
        let times: Vec<&str> = third["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|condition| condition["lastTransitionTime"].as_str().unwrap())
            .collect();
        assert_eq!(times, [KNOWN.now, later.now]);
    }
}
