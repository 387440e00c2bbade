//! One tick on a cluster, top to bottom: follow, own, observe, aggregate, decide, act, roll, report.

use super::act::Order;
use super::metrics::ClusterMetrics;
use super::own::Owning;
use super::recorded::Recorded;
use super::report::Sent;
use super::retire::marks;
use super::rolling::Rolling;
use super::scaled::Scaled;
use crate::clock::Clock;
use crate::metrics::{Metrics, Source};
use crate::policy::decision::Decision;
use crate::scrape::{GatewayReading, ReplicaReadings, Scraper};
use crate::sources::held;
use crate::status::Status;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidegate_api::InferenceApi;
use tidegate_kubernetes::facts::Key;
use tidegate_kubernetes::leader::Leader;
use tidegate_kubernetes::view::{ApiView, PodView, View};
use tidegate_kubernetes::watch::Watched;
use tidegate_kubernetes::write::Writer;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// What the ticks work on.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) clock: Clock,
    pub(super) scraper: Scraper,
    /// Where Prometheus says what pods do; else they are asked.
    pub(super) recorded: Option<Recorded>,
    pub(super) watched: Arc<Watched>,
    pub(super) leader: Arc<Leader>,
    pub(super) writer: Arc<Writer>,
    pub(super) metrics: Metrics,
    pub(super) own: ClusterMetrics,
    pub(super) status: Arc<Mutex<Status>>,
    pub(super) prometheus: Option<String>,
    pub(super) most_scrapes: usize,
    pub(super) view: View,
    pub(super) apis: BTreeMap<Key, ClusterApi>,
    /// Whether it led at the last tick.
    pub(super) leads: bool,
    /// Where the next round of scrapes begins.
    pub(super) turn: usize,
    /// Until when the API server wants to be left alone.
    pub(super) quiet_until: Duration,
    /// Statuses and events on their way.
    pub(super) reports: JoinSet<Sent>,
    /// How many of those are sent at once.
    pub(super) report_turns: Arc<Semaphore>,
}

/// What is remembered of one API between ticks.
#[derive(Debug, Default)]
pub(super) struct ClusterApi {
    pub(super) uid: String,
    /// Nothing until its target was seen.
    pub(super) scaled: Option<Scaled>,
    /// The status that was sent last, and when.
    pub(super) sent: Option<(serde_json::Value, Duration)>,
    /// Whether a status is on its way.
    pub(super) is_sending: bool,
    /// The versions that our statuses have made of the resource, oldest first, after the one that the
    /// first of them was written for.
    pub(super) versions: Vec<String>,
    /// What is made of its template.
    pub(super) owning: Owning,
    /// The version that takes over, if one does and we lead.
    pub(super) rolling: Option<Rolling>,
    /// The problem that an event was told of: its reason, and what makes it another.
    pub(super) told: Option<(&'static str, String)>,
    /// What is wrong with its pods' annotations, as an event has told.
    pub(super) amiss: Option<Arc<str>>,
}

/// What the sources said at one tick.
#[derive(Debug)]
pub(super) struct Seeing {
    /// The sidecars that were asked.
    pub(super) asked: BTreeSet<String>,
    pub(super) replicas: ReplicaReadings,
    /// Every gateway; nothing of one whose turn it was not.
    pub(super) gateways: Vec<(String, Option<GatewayReading>)>,
}

impl Cluster {
    /// One tick of every API.
    pub(super) async fn tick(&mut self, late: Duration) {
        let begun = self.clock.now();
        self.follow(begun);
        self.lead(begun);
        if self.leads && self.view.is_known {
            self.own(begun).await;
            let seeing = self.observe().await;
            let now = self.clock.now();
            let orders = self.decide(&seeing, now);
            self.act(orders).await;
            self.roll(&seeing, now);
            self.report();
        }
        self.publish();
        let pods = self.view.apis.values().map(|api| api.pods.len()).sum();
        self.own.ticked(self.clock.now().saturating_sub(begun), late, pods);
    }

    /// Follow: takes the cluster's news into account.
    pub(super) fn follow(&mut self, now: Duration) {
        self.watched.read(|stores| self.view.follow(stores));
        let gone = |key: &Key, api: &ClusterApi| {
            self.view.apis.get(key).is_none_or(|view| view.resource.uid != api.uid)
        };
        let gone: Vec<Key> = self
            .apis
            .iter()
            .filter(|(key, api)| gone(key, api))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            self.apis.remove(&key);
            self.metrics.end(&key.to_string());
            self.metrics.end_rollout(&key.to_string());
        }
        for (key, view) in &self.view.apis {
            let api = self.apis.entry(key.clone()).or_insert_with(|| {
                self.metrics.begin(&key.to_string());
                ClusterApi { uid: view.resource.uid.clone(), ..ClusterApi::default() }
            });
            let (Some(document), Some(workload)) = (view.document(), &view.workload) else {
                continue;
            };
            let generation = view.resource.generation;
            if api.scaled.as_ref().is_some_and(|scaled| scaled.generation == generation) {
                continue;
            }
            let before = api.scaled.take();
            match Scaled::begin(
                document,
                generation,
                self.prometheus.as_deref(),
                before,
                workload,
                now,
            ) {
                Ok(scaled) => api.scaled = Some(scaled),
                Err(error) => tracing::warn!(api = %key, %error, "can't be scaled"),
            }
        }
    }

    /// Whoever begins to lead knows nothing of the load: nothing shrinks for a whole window.
    pub(super) fn lead(&mut self, now: Duration) {
        let leads = self.leader.may_write();
        self.own.leads(leads);
        if leads != self.leads {
            self.forget_rollouts();
        }
        if leads && !self.leads {
            tracing::info!(apis = self.apis.len(), "leads");
            for (key, api) in &mut self.apis {
                let Some(view) = self.view.apis.get(key) else { continue };
                if let (Some(scaled), Some(workload)) = (&mut api.scaled, &view.workload) {
                    scaled.begin_anew(workload.replicas, now);
                }
            }
        }
        if self.leads && !leads {
            tracing::warn!("does not lead any more, writes nothing");
        }
        self.leads = leads;
    }

    /// Observe: asks sidecars and gateways, all at once; of too many sidecars, some in turn.
    async fn observe(&mut self) -> Seeing {
        if let Some(recorded) = &mut self.recorded {
            return recorded.observe(&self.view, &self.scraper);
        }
        let mut targets: Vec<(String, SocketAddr)> = Vec::new();
        for (key, view) in &self.view.apis {
            let admin =
                |pod: &PodView| Some((format!("{}/{}", key.namespace, pod.name), pod.admin?));
            targets.extend(view.pods.iter().filter_map(admin));
        }
        if targets.len() > self.most_scrapes {
            let begin = self.turn % targets.len();
            self.turn = begin + self.most_scrapes;
            targets.rotate_left(begin);
            targets.truncate(self.most_scrapes);
        }
        let asked = targets.iter().map(|(id, _)| id.clone()).collect();
        let (replicas, gateways) =
            tokio::join!(self.scraper.replicas(targets), self.gateways(None));
        Seeing { asked, replicas, gateways }
    }

    /// Aggregate and decide: what each API's target is to be asked for.
    fn decide(&mut self, seeing: &Seeing, now: Duration) -> Vec<Order> {
        let wall = self.clock.wall();
        let mut orders = Vec::new();
        for (key, api) in &mut self.apis {
            let Some(view) = self.view.apis.get(key) else { continue };
            let (Some(scaled), Some(workload)) = (&mut api.scaled, &view.workload) else {
                continue;
            };
            let Some(document) = view.document() else { continue };
            let name = key.to_string();
            let (current, version) = scaled.current(workload, now);
            if current != scaled.wanted {
                tracing::info!(
                    api = name,
                    from = scaled.wanted,
                    to = current,
                    "somebody else scaled"
                );
                scaled.adopt(current, now);
            }
            let (mut observation, lost) = scaled.aggregate(key, view, seeing, now);
            for source in lost {
                self.metrics.scrape_failed(&name, source);
            }
            if view.problem.is_some() || now < self.quiet_until {
                continue;
            }
            let (seen, failed) = scaled.metric(document, view, &self.scraper, now);
            if failed {
                self.metrics.scrape_failed(&name, Source::Metric);
            }
            (observation.metric, observation.floor) = (seen, scaled.calendar.floor(wall));
            let decision = scaled.scaler.decide(&observation, now);
            self.metrics.decided(&name, decision.reason);
            orders.extend(order(key, view, scaled, document, &decision, version));
        }
        orders
    }

    /// What gateways say, each within the time that is left for it.
    pub(super) async fn gateways(
        &self,
        within: Option<Duration>,
    ) -> Vec<(String, Option<GatewayReading>)> {
        let mut gateways = JoinSet::new();
        for (id, admin) in self.view.gateways.clone() {
            let scraper = self.scraper.clone();
            gateways.spawn(async move {
                let reading = scraper.gateway(admin);
                match within {
                    None => (id, Some(reading.await)),
                    Some(within) => (id, tokio::time::timeout(within, reading).await.ok()),
                }
            });
        }
        gateways.join_all().await
    }
}

/// What the target is to be asked for, if that is not what it has.
pub(super) fn order(
    key: &Key,
    view: &ApiView,
    scaled: &mut Scaled,
    document: &InferenceApi,
    decision: &Decision,
    version: String,
) -> Option<Order> {
    let current = scaled.wanted;
    if decision.replicas == current {
        scaled.failure = None;
        return None;
    }
    let target = document.target.clone()?;
    let id = |pod: &str| format!("{}/{pod}", key.namespace);
    let busy = |pod: &str| scaled.sources.replica(&id(pod)).map_or(0, held);
    // Only a ReplicaSet goes by the cost, whoever has it; a StatefulSet goes by the pods' numbers.
    let fewer = current.saturating_sub(decision.replicas);
    let marks = match target.kind.as_str() {
        "Deployment" | "ReplicaSet" | "Rollout" if fewer > 0 => marks(&view.pods, fewer, busy),
        _ => Vec::new(),
    };
    Some(Order {
        key: key.clone(),
        target,
        from: current,
        to: decision.replicas,
        version,
        marks: marks.into_iter().map(|(pod, cost)| (pod.to_owned(), cost)).collect(),
        reason: decision.reason.code(),
        detail: decision.sentence(),
    })
}
