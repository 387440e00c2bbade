//! One API whose target is known: what is remembered of it between ticks, and what it sees.

use super::tick::Seeing;
use crate::calendar::Calendar;
use crate::clock::Clock;
use crate::metric_source::{MetricReader, NoPrometheus};
use crate::metrics::Source;
use crate::policy::decide::{Scaler, ScalerSettings};
use crate::policy::observation::{MetricSeen, Observation};
use crate::policy::snapshot::Snapshot;
use crate::sample::ReplicaSample;
use crate::scaling::scaling;
use crate::scrape::Scraper;
use crate::sources::{Heard, Sources};
use crate::status::DecisionStatus;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use tidegate_api::InferenceApi;
use tidegate_kubernetes::facts::{Key, PodPhase, Workload};
use tidegate_kubernetes::view::{ApiView, PodView};

/// For how long what we wrote counts though no watch has told it yet.
const UNSEEN: Duration = Duration::from_secs(10);

/// How many changes an API's status remembers: there may be a thousand APIs.
const DECISIONS: usize = 10;

/// The reason of a number that was not decided here.
const BY_OTHERS: &str = "by-others";

/// An API whose target is known.
#[derive(Debug)]
pub(super) struct Scaled {
    pub(super) generation: i64,
    settings: ScalerSettings,
    pub(super) scaler: Scaler,
    pub(super) sources: Sources,
    metric: Option<MetricReader>,
    pub(super) calendar: Calendar,
    pub(super) wanted: u32,
    pub(super) pending: Option<Pending>,
    /// Whether the last tick knew the load.
    pub(super) is_measured: bool,
    /// Why the target could not be changed.
    pub(super) failure: Option<String>,
    pub(super) decisions: VecDeque<DecisionStatus>,
}

/// What was written and not seen yet.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) replicas: u32,
    pub(super) version: String,
    pub(super) since: Duration,
}

impl Scaled {
    /// An API whose target was just seen, or whose document has changed.
    ///
    /// Nobody knows its load yet, so nothing shrinks before a whole window was seen.
    pub(super) fn begin(
        document: &InferenceApi,
        generation: i64,
        prometheus: Option<&str>,
        before: Option<Self>,
        workload: &Workload,
        now: Duration,
    ) -> Result<Self, NoPrometheus> {
        let settings = scaling(document);
        let metric = MetricReader::of(document, prometheus)?;
        let calendar = Calendar::new(document.autoscaling.schedules.clone());
        let (wanted, memory) = match &before {
            Some(before) => (before.wanted, before.scaler.snapshot(now)),
            None => (workload.replicas, Snapshot::default()),
        };
        let scaler = Scaler::restore(&settings, &memory, wanted, Duration::ZERO, now);
        Ok(match before {
            Some(before) => Self { generation, settings, scaler, metric, calendar, ..before },
            None => Self {
                generation,
                settings,
                scaler,
                sources: Sources::begin(now),
                metric,
                calendar,
                wanted,
                pending: None,
                is_measured: false,
                failure: None,
                decisions: VecDeque::new(),
            },
        })
    }

    /// Forgets what the load was: somebody else has led since.
    pub(super) fn begin_anew(&mut self, current: u32, now: Duration) {
        let nothing = Snapshot::default();
        self.scaler = Scaler::restore(&self.settings, &nothing, current, Duration::ZERO, now);
        self.sources = Sources::begin(now);
        (self.wanted, self.pending) = (current, None);
    }

    /// Takes a number that somebody else has asked for as ours. It is not made smaller before a
    /// whole window was seen with it.
    pub(super) fn adopt(&mut self, current: u32, now: Duration) {
        let memory = self.scaler.snapshot(now);
        self.scaler = Scaler::restore(&self.settings, &memory, current, Duration::ZERO, now);
        let detail = format!("somebody else asked for {current} replicas");
        self.remember(now, (self.wanted, current), BY_OTHERS, &detail);
        (self.wanted, self.pending) = (current, None);
    }

    /// Keeps a change of the number, for those who ask why it is what it is.
    pub(super) fn remember(
        &mut self,
        now: Duration,
        (from, to): (u32, u32),
        reason: &str,
        detail: &str,
    ) {
        let (reason, detail) = (reason.to_owned(), detail.to_owned());
        let at_seconds = Clock::since_start(now).as_secs_f64();
        let change = DecisionStatus { at_seconds, from, to, reason, detail };
        change.join(&mut self.decisions, DECISIONS);
    }

    /// How many replicas are asked for, and of which version of the target that is known.
    pub(super) fn current(&mut self, workload: &Workload, now: Duration) -> (u32, String) {
        match &self.pending {
            Some(pending)
                if workload.replicas != pending.replicas
                    && now.saturating_sub(pending.since) < UNSEEN =>
            {
                (pending.replicas, pending.version.clone())
            }
            _ => {
                self.pending = None;
                (workload.replicas, workload.version.clone())
            }
        }
    }

    /// What was in flight since it was last known, and who should have said so and did not.
    pub(super) fn aggregate(
        &mut self,
        key: &Key,
        view: &ApiView,
        seeing: &Seeing,
        now: Duration,
    ) -> (Observation, Vec<Source>) {
        let name = key.to_string();
        let ids: Vec<String> =
            view.pods.iter().map(|pod| format!("{}/{}", key.namespace, pod.name)).collect();
        let mut lost = Vec::new();
        let mut replicas: Vec<(&str, Heard<ReplicaSample>)> = Vec::new();
        for (pod, id) in view.pods.iter().zip(&ids) {
            let heard = match seeing.replicas.get(id) {
                Some(Ok(reading)) => Heard::Said(reading.at, reading.sample),
                // Whose turn has not come once may hold anything: nothing shrinks before.
                _ if !seeing.asked.contains(id) => match self.sources.replica(id) {
                    None if pod.phase == PodPhase::Ready && pod.admin.is_some() => Heard::Lost,
                    _ => Heard::NotAsked,
                },
                // A pod that goes may be gone; one that begins may not listen yet.
                _ if pod.phase == PodPhase::Leaving => continue,
                _ if pod.phase == PodPhase::Starting && self.sources.replica(id).is_none() => {
                    Heard::NotAsked
                }
                _ => {
                    lost.push(Source::Sidecar);
                    Heard::Lost
                }
            };
            replicas.push((id, heard));
        }
        let mut gateways = Vec::new();
        for (id, reading) in &seeing.gateways {
            let heard = match reading {
                None => Heard::NotAsked,
                Some(Ok(reading)) => {
                    let queue = reading.sample.queues.get(&name).copied().unwrap_or_default();
                    Heard::Said(reading.at, queue)
                }
                Some(Err(_)) => {
                    lost.push(Source::Gateway);
                    Heard::Lost
                }
            };
            gateways.push((id.as_str(), heard));
        }
        let said = self.sources.read(&replicas, &gateways, now);
        self.is_measured = said.load.is_some() && !(replicas.is_empty() && gateways.is_empty());
        let ready = view.count(PodPhase::Ready);
        let observation = Observation {
            current: self.wanted,
            ready,
            starting: self.wanted.saturating_sub(ready),
            ..said
        };
        (observation, lost)
    }

    /// What is known of the API's metric, if its rule goes by one; and asks for the next reading.
    pub(super) fn metric(
        &mut self,
        document: &InferenceApi,
        view: &ApiView,
        scraper: &Scraper,
        now: Duration,
    ) -> (MetricSeen, bool) {
        let Some(metric) = &mut self.metric else { return (MetricSeen::default(), false) };
        let seen = metric.seen(now);
        let ready = view.pods.iter().filter(|pod| pod.phase == PodPhase::Ready);
        let port = document.port.map(std::num::NonZeroU16::get);
        let model = |pod: &PodView| Some(SocketAddr::new(pod.admin?.ip(), port?));
        metric.ask(scraper, ready.filter_map(model).collect(), now);
        seen
    }
}
