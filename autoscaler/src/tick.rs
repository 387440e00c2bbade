//! One tick, top to bottom: observe, aggregate, decide, act, explain.

mod change;
mod publish;
mod rollouts;

pub use change::{Prepared, Unfit};

use crate::calendar::Calendar;
use crate::calls::Calls;
use crate::clock::Clock;
use crate::local::{Counts, Fleet, GaveUp, Local, Phase, Replica};
use crate::metric_source::MetricReader;
use crate::metrics::{Metrics, Source};
use crate::policy::decide::{Scaler, ScalerSettings};
use crate::policy::decision::Decision;
use crate::policy::observation::{MetricSeen, Observation};
use crate::rollouts::RolloutControl;
use crate::sample::QueueSample;
use crate::scaling::scaling;
use crate::scrape::{GatewayReading, ReplicaReadings, Scraper};
use crate::sources::{Heard, Sources, held};
use crate::state::{ApiState, Before, StateFile};
use crate::status::{DECISIONS, DecisionStatus, Status};
use std::collections::{BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidegate_api::InferenceApi;
use tidegate_api::document::Policy;

/// The one gateway's name among the sources.
const GATEWAY: &str = "gateway";

/// What the ticks work on.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) clock: Clock,
    pub(crate) local: Local,
    pub(crate) scraper: Scraper,
    pub(crate) gateway: Option<SocketAddr>,
    pub(crate) metrics: Metrics,
    pub(crate) status: Arc<Mutex<Status>>,
    pub(crate) state: Option<StateFile>,
    pub(crate) apis: Vec<ApiControl>,
    pub(crate) rollouts: Vec<RolloutControl>,
}

/// What is remembered of one API between ticks.
#[derive(Debug)]
pub(crate) struct ApiControl {
    name: String,
    stage: Stage,
    settings: ScalerSettings,
    policy: Policy,
    scaler: Scaler,
    wanted: u32,
    sources: Sources,
    metric: Option<MetricReader>,
    calendar: Calendar,
    decisions: VecDeque<DecisionStatus>,
}

/// Whether an API is still to be scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Yes.
    Scaled,
    /// Its document is gone, since then: what is held for it is still served.
    Leaving(Duration),
    /// Its replicas drain.
    Retired,
}

/// What the sources said at one tick.
struct Seeing {
    /// The replicas that were asked.
    asked: BTreeSet<String>,
    replicas: ReplicaReadings,
    gateway: Option<GatewayReading>,
}

impl ApiControl {
    /// An API that begins at `now`, without replicas, or as it was `before`.
    pub(crate) fn new(
        api: &InferenceApi,
        metric: Option<MetricReader>,
        before: &mut Before,
        now: Duration,
    ) -> Self {
        let (name, settings) = (api.name.clone(), scaling(api));
        let (scaler, wanted) = match before.take(&name) {
            Some(state) => {
                let wanted = state.wanted.min(settings.limits.max);
                tracing::info!(api = name, wanted, ago = ?before.ago, "goes on after a restart");
                let snapshot = state.into_snapshot();
                (Scaler::restore(&settings, &snapshot, wanted, before.ago, now), wanted)
            }
            None => (Scaler::begin(&settings, 0, now), 0),
        };
        Self {
            name,
            stage: Stage::Scaled,
            settings,
            policy: api.autoscaling.policy.clone(),
            scaler,
            wanted,
            sources: Sources::begin(now),
            metric,
            calendar: Calendar::new(api.autoscaling.schedules.clone()),
            decisions: VecDeque::new(),
        }
    }

    /// The API's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Control {
    /// One tick of every API.
    pub(crate) async fn tick(&mut self, calls: &Calls) -> Result<(), Box<GaveUp>> {
        let seeing = self.observe().await?;
        let (now, wall) = (self.clock.now(), self.clock.wall());
        if let Some(Err(error)) = &seeing.gateway {
            tracing::debug!(%error, "gateway scrape failed");
        }
        for index in 0..self.apis.len() {
            let mut observation = self.aggregate(index, &seeing, now);
            if self.apis[index].stage == Stage::Retired {
                continue;
            }
            observation.metric = self.metric(index, now);
            let api = &mut self.apis[index];
            observation.floor = api.calendar.floor(wall);
            let decision = api.scaler.decide(&observation, now);
            self.act(index, &decision);
            self.explain(index, &decision, now);
        }
        let is_moved = self.roll(&seeing, now);
        self.see_off(calls, now);
        self.local.refresh_endpoints();
        self.local.trim_logs();
        self.keep_state(is_moved);
        self.publish();
        Ok(())
    }

    /// A tick of some APIs out of turn, because a request is held for each of them.
    ///
    /// An API with nothing ready needs no window and no sidecar: how much is held says it all.
    pub(crate) async fn wake(
        &mut self,
        names: &[String],
        calls: &Calls,
    ) -> Result<(), Box<GaveUp>> {
        let asleep = |name: &String| self.counts(name).ready == 0;
        if !names.iter().all(asleep) {
            return self.tick(calls).await;
        }
        let (scraper, gateway) = (self.scraper.clone(), self.gateway);
        let scrape = async move { gateway_reading(&scraper, gateway).await };
        let reading = self.while_listening(scrape).await?;
        let (now, wall) = (self.clock.now(), self.clock.wall());
        for index in 0..self.apis.len() {
            let floor = self.apis[index].calendar.floor(wall);
            let api = &self.apis[index];
            let Counts { ready, starting, .. } = self.counts(&api.name);
            if !names.contains(&api.name) || ready > 0 || api.stage == Stage::Retired {
                continue;
            }
            let queue = match &reading {
                Some(Ok(reading)) => {
                    reading.sample.queues.get(&api.name).copied().unwrap_or_default()
                }
                _ => QueueSample::default(),
            };
            let observation = Observation {
                current: api.wanted,
                ready,
                starting,
                // Whoever wakes holds a request, whether or not it is counted yet.
                held: queue.queued.max(1),
                floor,
                ..Observation::default()
            };
            let api = &mut self.apis[index];
            let decision = api.scaler.decide(&observation, now);
            self.act(index, &decision);
            self.explain(index, &decision, now);
        }
        self.publish();
        Ok(())
    }

    /// Observe: asks every sidecar and the gateway, all at once.
    async fn observe(&mut self) -> Result<Seeing, Box<GaveUp>> {
        let targets: Vec<(String, SocketAddr)> = self
            .apis
            .iter()
            .filter_map(|api| self.local.fleet(&api.name))
            .flat_map(Fleet::replicas)
            .filter_map(|replica| Some((replica.id.clone(), replica.admin?)))
            .collect();
        let asked = targets.iter().map(|(id, _)| id.clone()).collect();
        let (scraper, gateway) = (self.scraper.clone(), self.gateway);
        let scrape = async move {
            tokio::join!(scraper.replicas(targets), gateway_reading(&scraper, gateway))
        };
        let (replicas, gateway) = self.while_listening(scrape).await?;
        Ok(Seeing { asked, replicas, gateway })
    }

    /// Aggregate: what was in flight since it was last known, each request counted once.
    ///
    /// Draining replicas count too: their requests are part of what is asked of this API.
    fn aggregate(&mut self, index: usize, seeing: &Seeing, now: Duration) -> Observation {
        let counts = self.counts(&self.apis[index].name);
        let api = &mut self.apis[index];
        let all = self.local.fleet(&api.name).map_or(&[][..], Fleet::replicas);
        let mut leaving = Vec::new();
        let mut replicas = Vec::new();
        for replica in all {
            let id = replica.id.as_str();
            if !seeing.asked.contains(id) {
                replicas.push((id, Heard::NotAsked));
                continue;
            }
            let heard = match seeing.replicas.get(id) {
                Some(Ok(reading)) => {
                    if reading.sample.draining && replica.phase != Phase::Draining {
                        leaving.push(replica.id.clone());
                    }
                    Heard::Said(reading.at, reading.sample)
                }
                lost => {
                    if let Some(Err(error)) = lost {
                        tracing::debug!(replica = id, %error, "sidecar scrape failed");
                    }
                    self.metrics.scrape_failed(&api.name, Source::Sidecar);
                    Heard::Lost
                }
            };
            replicas.push((id, heard));
        }
        let gateway = match &seeing.gateway {
            // A gateway that has not met this API yet has nothing waiting for it.
            Some(Ok(reading)) => {
                let queue = reading.sample.queues.get(&api.name).copied().unwrap_or_default();
                Some((GATEWAY, Heard::Said(reading.at, queue)))
            }
            Some(Err(_)) => {
                self.metrics.scrape_failed(&api.name, Source::Gateway);
                Some((GATEWAY, Heard::Lost))
            }
            None => None,
        };
        let observation = Observation {
            current: api.wanted,
            ready: counts.ready,
            starting: counts.starting,
            ..api.sources.read(&replicas, gateway.as_slice(), now)
        };
        let name = api.name.clone();
        for id in leaving {
            self.local.left_by_itself(&name, &id);
        }
        observation
    }

    /// What is known of the API's metric, if its rule goes by one; and asks for the next reading.
    fn metric(&mut self, index: usize, now: Duration) -> MetricSeen {
        let api = &mut self.apis[index];
        let Some(metric) = &mut api.metric else { return MetricSeen::default() };
        let (seen, failed) = metric.seen(now);
        if failed {
            self.metrics.scrape_failed(&api.name, Source::Metric);
        }
        let replicas = self.local.fleet(&api.name).map_or(&[][..], Fleet::replicas);
        let ready = replicas.iter().filter(|replica| replica.phase == Phase::Ready);
        let model = |replica: &Replica| SocketAddr::from((Ipv4Addr::LOCALHOST, replica.port));
        metric.ask(&self.scraper, ready.map(model).collect(), now);
        seen
    }

    /// Act: asks the target for as many replicas as were decided, and to replace lost ones.
    fn act(&mut self, index: usize, decision: &Decision) {
        let api = &self.apis[index];
        let busy = |id: &str| api.sources.replica(id).map_or(0, held);
        self.local.scale(&api.name, decision.replicas, &busy);
    }

    /// Act between ticks: the next step of an exchange of replicas, as one has just got ready.
    fn exchange_further(&mut self, name: &str) {
        let is_exchanging = |fleet: &Fleet| fleet.exchange().is_some();
        let api = self.apis.iter().find(|api| api.name == name && api.stage != Stage::Retired);
        if let Some(api) = api
            && self.local.fleet(name).is_some_and(is_exchanging)
        {
            let busy = |id: &str| api.sources.replica(id).map_or(0, held);
            self.local.scale(name, api.wanted, &busy);
        }
    }

    /// Explain: one log line, one entry in the status and one count for the rule that decided.
    fn explain(&mut self, index: usize, decision: &Decision, now: Duration) {
        let api = &mut self.apis[index];
        self.metrics.decided(&api.name, decision.reason);
        let (from, to) = (api.wanted, decision.replicas);
        if from == to {
            return;
        }
        let (reason, detail) = (decision.reason.code(), decision.sentence());
        tracing::info!(api = api.name, from, to, reason, detail, "scale");
        api.wanted = to;
        let (at_seconds, reason) = (Clock::since_start(now).as_secs_f64(), reason.to_owned());
        let change = DecisionStatus { at_seconds, from, to, reason, detail };
        change.join(&mut api.decisions, DECISIONS);
    }

    /// Writes down what the scalers remember, if it is time or has to be `at_once`.
    pub(crate) fn keep_state(&mut self, at_once: bool) {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let Some(file) = &mut self.state else { return };
        let wanted = self.apis.iter().map(|api| (api.name.as_str(), api.wanted));
        if at_once || file.is_due(wanted, now) {
            let state = |api: &ApiControl| ApiState::new(api.wanted, api.scaler.snapshot(now));
            let states = self.apis.iter().map(|api| (api.name.clone(), state(api)));
            let rollouts = self.rollouts.iter();
            let rollouts = rollouts.map(|rollout| (rollout.api.clone(), rollout.state(now)));
            file.write(states.collect(), rollouts.collect(), wall, now);
        }
    }

    fn counts(&self, api: &str) -> Counts {
        self.local.fleet(api).map(Fleet::counts).unwrap_or_default()
    }

    /// Waits for `work`, taking news of replicas into account meanwhile.
    pub(crate) async fn while_listening<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, Box<GaveUp>> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                event = self.local.next_event() => {
                    let api = event.api().to_owned();
                    let outcome = self.local.apply(event);
                    self.exchange_further(&api);
                    self.publish();
                    outcome?;
                }
            }
        }
    }
}

async fn gateway_reading(scraper: &Scraper, gateway: Option<SocketAddr>) -> Option<GatewayReading> {
    match gateway {
        Some(admin) => Some(scraper.gateway(admin).await),
        None => None,
    }
}
