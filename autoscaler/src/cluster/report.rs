//! Report: statuses and events of the resources, beside the ticks, and the status of this process.

use super::conditions::{Known, is_same_but_for_load, status};
use super::rolling::{News, Rolling};
use super::tick::{Cluster, ClusterApi};
use crate::status::{ApiStatus, ReplicaState, ReplicaStatus};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};
use tidegate_kubernetes::facts::{Key, Origin, PodPhase};
use tidegate_kubernetes::failure::Failure;
use tidegate_kubernetes::rollout::RolloutRecord;
use tidegate_kubernetes::view::{ApiView, PodView};
use tidegate_kubernetes::write::Told;

/// Reports that are sent at once: fewer than writes of scales, which they must not hold up.
pub(super) const MOST_AT_ONCE: usize = 8;

/// Reports that are sent or wait to be. Statuses beyond it wait for a later tick, events are lost.
const MOST_WAITING: usize = 250;

/// How many of our own versions the watch may be behind.
const MOST_VERSIONS: usize = 16;

/// Between two statuses that differ only in the number of requests.
const LOAD_PERIOD: Duration = Duration::from_secs(15);

/// The event's reason where sidecars don't start with what their pods' annotations say.
const INVALID_ANNOTATIONS: &str = "InvalidAnnotations";

/// What came of a report.
#[derive(Debug)]
pub(super) enum Sent {
    /// A status.
    Status(SentStatus),
    /// An event.
    Event(Result<(), Failure>),
}

/// A status that was sent.
#[derive(Debug)]
pub(super) struct SentStatus {
    key: Key,
    /// The version that it was written for.
    of: String,
    /// The one that it became.
    done: Result<String, Failure>,
    /// What is to be told, now that it is there.
    news: Vec<News>,
}

impl Cluster {
    /// Sends what has changed in the resources' statuses, and events of new problems.
    pub(super) fn report(&mut self) {
        let now = self.clock.now();
        while let Some(sent) = self.reports.try_join_next() {
            match sent {
                Ok(Sent::Event(Ok(()))) => {}
                Ok(Sent::Status(sent)) => self.status_sent(sent, now),
                Ok(Sent::Event(Err(failure))) => self.not_sent(&failure, now),
                Err(error) => tracing::error!(%error, "a report has broken"),
            }
        }
        if now < self.quiet_until {
            return;
        }
        let wall = humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + self.clock.wall());
        let wall = wall.to_string();
        let mut news = Vec::new();
        for (key, api) in &mut self.apis {
            let Some(view) = self.view.apis.get(key) else { continue };
            news.extend(problems(key, api, view));
            // A Deployment's status is not ours: what there is to say are its events.
            let is_ours = view.resource.origin == Origin::Resource;
            if !is_ours || api.is_sending || self.reports.len() >= MOST_WAITING {
                continue;
            }
            let value = status(view, &known(api, view, &wall));
            let is_due = match &api.sent {
                None => value != *view.resource.status,
                Some((sent, _)) if *sent == value => false,
                Some((sent, at)) if is_same_but_for_load(sent, &value) => {
                    now.saturating_sub(*at) >= LOAD_PERIOD
                }
                Some(_) => true,
            };
            if is_due {
                let (key, writer) = (key.clone(), Arc::clone(&self.writer));
                let turns = Arc::clone(&self.report_turns);
                api.sent = Some((value.clone(), now));
                api.is_sending = true;
                let of = api.version(&view.resource.version);
                let news = match &mut api.rolling {
                    Some(rolling) => rolling.sends(rolling.record()),
                    None => Vec::new(),
                };
                self.reports.spawn(async move {
                    // Never closed; were it, there would just be no bound.
                    let _turn = turns.acquire_owned().await.ok();
                    let done = writer.status(&key, &of, &value).await;
                    Sent::Status(SentStatus { key, of, done, news })
                });
            }
        }
        for told in news {
            self.send(told);
        }
    }

    fn status_sent(&mut self, sent: SentStatus, now: Duration) {
        let SentStatus { key, of, done, news } = sent;
        let Some(api) = self.apis.get_mut(&key) else { return };
        match done {
            Ok(version) => {
                api.wrote(of, version);
                api.rolling.iter_mut().for_each(Rolling::is_there);
                for News { is_warning, reason, note } in news {
                    let key_of = key.clone();
                    self.tell(&key, |uid| Told { key: key_of, uid, is_warning, reason, note });
                }
            }
            Err(failure) => {
                // What stands there is what the watch says, until the next try.
                (api.sent, api.is_sending) = (None, false);
                if let Some(rolling) = &mut api.rolling {
                    rolling.keep(news);
                }
                self.not_sent(&failure, now);
            }
        }
    }

    fn not_sent(&mut self, failure: &Failure, now: Duration) {
        if let Some(hold_back) = failure.hold_back {
            self.quiet_until = self.quiet_until.max(now + hold_back);
        }
        tracing::debug!(%failure, "a status or event was not taken");
    }

    /// Tells an event about a resource that is known.
    pub(super) fn tell(&mut self, key: &Key, event: impl FnOnce(String) -> Told) {
        if let Some(api) = self.apis.get(key) {
            self.send(event(api.uid.clone()));
        }
    }

    fn send(&mut self, told: Told) {
        if self.reports.len() >= MOST_WAITING * 2 {
            tracing::debug!(api = %told.key, reason = told.reason, "an event too many, not told");
            return;
        }
        let origin =
            self.view.apis.get(&told.key).map_or(Origin::Resource, |view| view.resource.origin);
        let (writer, turns) = (Arc::clone(&self.writer), Arc::clone(&self.report_turns));
        self.reports.spawn(async move {
            let _turn = turns.acquire_owned().await.ok();
            Sent::Event(writer.tell(&told, origin).await)
        });
    }

    /// Makes the status and the gauges of this process say what is.
    pub(super) fn publish(&self) {
        let apis: Vec<ApiStatus> = self
            .apis
            .iter()
            .filter_map(|(key, api)| Some(api_status(key, api, self.view.apis.get(key)?)))
            .collect();
        for api in &apis {
            self.metrics.replicas(&api.name, api.wanted, api.ready);
        }
        let rollouts = self.apis.values().filter_map(|api| api.rolling.as_ref());
        let rollouts = rollouts.map(|rolling| rolling.control.status()).collect();
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        (status.apis, status.rollouts) = (apis, rollouts);
    }
}

impl ClusterApi {
    /// Our status has made this version of that one.
    fn wrote(&mut self, of: String, version: String) {
        if self.versions.last() != Some(&of) {
            self.versions = vec![of];
        }
        self.versions.push(version);
        let old = self.versions.len().saturating_sub(MOST_VERSIONS);
        self.versions.drain(..old);
        self.is_sending = false;
    }

    /// The resource's version, where the watch tells of `seen`: it may be behind what we wrote.
    fn version(&self, seen: &String) -> String {
        let is_behind = self.versions.contains(seen);
        self.versions.last().filter(|_| is_behind).unwrap_or(seen).clone()
    }
}

/// Events of problems that are new.
fn problems(key: &Key, api: &mut ClusterApi, view: &ApiView) -> Vec<Told> {
    let told = |is_warning, reason, note| Told {
        key: key.clone(),
        uid: view.resource.uid.clone(),
        is_warning,
        reason,
        note,
    };
    let mut news = Vec::new();
    let problem = view.problem.as_ref();
    let one = problem.map(|problem| (problem.reason(), problem.about()));
    if one != api.told {
        api.told = one;
        news.extend(problem.map(|of| told(of.is_warning(), of.reason(), of.to_string())));
    }
    let amiss = view.workload.as_ref().and_then(|workload| workload.amiss.clone());
    if amiss != api.amiss {
        let note = amiss.as_ref().map(|what| {
            format!("the pods' template: {what}; with that their sidecars don't start")
        });
        news.extend(note.map(|note| told(true, INVALID_ANNOTATIONS, note)));
        api.amiss = amiss;
    }
    news
}

fn known<'a>(api: &'a ClusterApi, view: &ApiView, now: &'a str) -> Known<'a> {
    let asked = view.workload.as_ref().map_or(0, |workload| workload.replicas);
    let has_template = view.document().is_some_and(|document| document.template.is_some());
    let applied = api.owning.is_applied().filter(|_| has_template);
    let rollout = rollout(api, view);
    let Some(scaled) = &api.scaled else {
        return Known {
            wanted: asked,
            in_flight: 0,
            queued: 0,
            last: None,
            is_measured: false,
            failure: None,
            applied,
            rollout,
            now,
        };
    };
    let last = scaled.decisions.back();
    Known {
        wanted: scaled.wanted,
        in_flight: scaled.sources.running().saturating_add(scaled.sources.held()),
        queued: scaled.sources.queued(),
        last: last.map(|last| (last.reason.as_str(), last.detail.as_str())),
        is_measured: scaled.is_measured,
        failure: scaled.failure.as_deref(),
        applied,
        rollout,
        now,
    }
}

/// Where the API's rollout stands. Before that was looked at, and where the spec is wrong, it is what
/// the status says: nothing else remembers it.
fn rollout(api: &ClusterApi, view: &ApiView) -> Option<RolloutRecord> {
    let kept = || RolloutRecord::of(&view.resource.status);
    match (&api.rolling, view.document()) {
        (Some(rolling), _) => Some(rolling.record()),
        (None, Some(document)) if document.rollout.is_none() => None,
        (None, _) => kept(),
    }
}

fn api_status(key: &Key, api: &ClusterApi, view: &ApiView) -> ApiStatus {
    let replicas: Vec<ReplicaStatus> =
        view.pods.iter().map(|pod| replica_status(key, api, pod)).collect();
    let (ready, draining) = (view.count(PodPhase::Ready), view.count(PodPhase::Leaving));
    let known = known(api, view, "");
    ApiStatus {
        name: key.to_string(),
        wanted: known.wanted,
        ready,
        starting: view.count(PodPhase::Starting),
        draining,
        in_flight: replicas.iter().map(|replica| replica.in_flight).sum(),
        queued: known.queued,
        decisions: api.scaled.iter().flat_map(|scaled| scaled.decisions.iter().cloned()).collect(),
        replicas,
        ..ApiStatus::default()
    }
}

fn replica_status(key: &Key, api: &ClusterApi, pod: &PodView) -> ReplicaStatus {
    let id = format!("{}/{}", key.namespace, pod.name);
    let last = api.scaled.as_ref().and_then(|scaled| scaled.sources.replica(&id));
    ReplicaStatus {
        state: match pod.phase {
            PodPhase::Starting => ReplicaState::Starting,
            PodPhase::Ready => ReplicaState::Ready,
            PodPhase::Leaving => ReplicaState::Draining,
        },
        address: None,
        admin: pod.admin,
        in_flight: last.map_or(0, |sample| sample.in_flight),
        queued: last.map_or(0, |sample| sample.queued),
        sidecar_pid: None,
        model_pid: None,
        sidecar_rss_bytes: last.and_then(|sample| sample.resident_bytes),
        restarts: 0,
        outdated: false,
        id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_that_is_behind_our_own_writes_is_not_believed() {
        let text = |version: &str| version.to_owned();
        let mut api = ClusterApi::default();
        assert_eq!(api.version(&text("1")), "1");
        api.wrote(text("1"), text("2"));
        api.wrote(text("2"), text("3"));
        for (seen, version) in [("1", "3"), ("2", "3"), ("3", "3"), ("4", "4")] {
            assert_eq!(api.version(&text(seen)), version, "{seen}");
        }
        // Somebody else has written, and then we.
        api.wrote(text("7"), text("8"));
        assert_eq!((api.version(&text("7")), api.version(&text("2"))), (text("8"), text("2")));
        (10..40).for_each(|version| api.wrote((version - 1).to_string(), version.to_string()));
        assert!(api.versions.len() <= MOST_VERSIONS);
    }
}
