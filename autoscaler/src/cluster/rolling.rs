//! Versions that take over. A step is in force once it stands in the resource's status: the gateways
//! go by that, and so does whoever leads next. What somebody else has written there counts.

use super::tick::{Cluster, Seeing};
use crate::policy::rollout::verdict::RolloutReason;
use crate::policy::rollout::{Look, Stage};
use crate::rollouts::{RolloutControl, Standing};
use std::time::{Duration, SystemTime};
use tidegate_api::InferenceApi;
use tidegate_kubernetes::facts::Key;
use tidegate_kubernetes::rollout::{RolloutRecord, RolloutStage, plain};
use tidegate_kubernetes::serving::named;
use tidegate_kubernetes::view::ApiView;

/// One API of which a version takes over, as its leader sees it.
#[derive(Debug)]
pub(super) struct Rolling {
    pub(super) control: RolloutControl,
    /// Since when it stands where it does, as the status says it.
    since: String,
    /// The generation of the spec that it goes by.
    generation: i64,
    /// What stands in the status, as far as is known.
    known: Option<RolloutRecord>,
    /// What was sent there last.
    sent: Option<RolloutRecord>,
    /// What is to be told once that is there.
    news: Vec<News>,
}

/// An event of a rollout.
#[derive(Debug)]
pub(super) struct News {
    pub(super) is_warning: bool,
    pub(super) reason: &'static str,
    pub(super) note: String,
}

impl Cluster {
    /// Roll: looks at every version that takes over.
    pub(super) fn roll(&mut self, seeing: &Seeing, now: Duration) {
        let wall = self.clock.wall();
        let said = seeing.gateways.iter().filter_map(|(id, reading)| {
            let reading = reading.as_ref()?.as_ref().ok()?;
            Some((id.as_str(), &reading.sample.versions))
        });
        let said: Vec<_> = said.collect();
        for (key, api) in &mut self.apis {
            let Some(view) = self.view.apis.get(key) else { continue };
            // One that is wrong is served as it was before: where it stands, it stays.
            let Some(document) = view.document() else { continue };
            let is_ours = api.versions.contains(&view.resource.version);
            let had = api.rolling.is_some();
            api.rolling =
                Rolling::follow(api.rolling.take(), (key, view, document), is_ours, (wall, now));
            let name = key.to_string();
            let Some(rolling) = &mut api.rolling else {
                if had {
                    self.metrics.end_rollout(&name);
                }
                continue;
            };
            let from = rolling.control.weight();
            if let Some(look) = rolling.control.look(&said, now) {
                self.metrics.rolled(&name, look.reason);
                rolling.moved(from, &look, wall);
            }
            self.metrics.rollout(&name, rolling.control.weight());
        }
    }

    /// Who begins or ceases to lead remembers nothing of rollouts: the statuses do.
    pub(super) fn forget_rollouts(&mut self) {
        for (key, api) in &mut self.apis {
            if api.rolling.take().is_some() {
                self.metrics.end_rollout(&key.to_string());
            }
        }
    }
}

impl Rolling {
    /// The rollout that the spec asks for now: as it was, or as its status says, or from its beginning.
    fn follow(
        rolling: Option<Self>,
        (key, view, document): (&Key, &ApiView, &InferenceApi),
        is_ours: bool,
        (wall, now): (Duration, Duration),
    ) -> Option<Self> {
        document.rollout.as_ref()?;
        let generation = view.resource.generation;
        let there = RolloutRecord::of(&view.resource.status);
        let stood = match rolling {
            Some(own) if !is_ours && own.is_moved(there.as_ref()) => {
                tracing::info!(api = %key, "somebody else has moved the rollout");
                there.clone()
            }
            Some(own) if own.generation == generation => return Some(own),
            Some(mut own) if own.control.is_as(&named(key, document)) => {
                own.control.pause(document.paused);
                return Some(Self { generation, ..own });
            }
            Some(own) => Some(own.record()),
            None => there.clone(),
        };
        let document = named(key, document);
        let began = stood.as_ref().map(|stood| stood.since.clone());
        let stood = stood.map(|stood| {
            let stood_for = age(&stood.since, wall);
            (standing(stood), stood_for)
        });
        let control = RolloutControl::resume(&document, stood, now)?;
        let is_new = control.standing().reason == RolloutReason::Began.code()
            && there.as_ref().is_none_or(|there| there.plan != control.standing().plan);
        let since = began.filter(|_| !is_new).unwrap_or_else(|| text(wall));
        let mut own =
            Self { control, since, generation, known: there, sent: None, news: Vec::new() };
        if is_new {
            let note = format!("{}: its first step has begun", own.place());
            own.news.push(News { is_warning: false, reason: "RolloutStarted", note });
        }
        Some(own)
    }

    /// Whether the status says something that neither stood there nor was sent.
    fn is_moved(&self, there: Option<&RolloutRecord>) -> bool {
        let Some(there) = there else { return self.known.is_some() };
        let ours = self.known.iter().chain(&self.sent);
        !ours.into_iter().any(|ours| ours.is_at(there))
    }

    /// Takes note of a change of the weight.
    fn moved(&mut self, from: u32, look: &Look, wall: Duration) {
        self.since = text(wall);
        let (is_warning, reason) = match self.control.standing().stage {
            Stage::Step(_) => (false, "RolloutStep"),
            Stage::Promoted => (false, "RolloutPromoted"),
            Stage::TakenBack => (true, "RolloutTakenBack"),
        };
        let (place, why, detail) = (self.place(), look.reason.code(), &look.detail);
        let note = format!("{place}, before it was {from}; {why}: {detail}");
        self.news.push(News { is_warning, reason, note });
    }

    /// "step 2 of 3: new gets 50 of 100 requests".
    fn place(&self) -> String {
        let (stage, to) = (self.control.status().stage, plain(&self.control.to));
        format!("{stage}: {to} gets {} of 100 requests", self.control.weight())
    }

    /// What the status is to say.
    pub(super) fn record(&self) -> RolloutRecord {
        let (standing, steps) = (self.control.standing(), self.control.steps());
        let known = self.known.as_ref().map_or(1, |known| known.step);
        let (stage, step) = match standing.stage {
            Stage::Step(index) => (RolloutStage::Step, index as u32 + 1),
            Stage::Promoted => (RolloutStage::Promoted, steps as u32),
            Stage::TakenBack => (RolloutStage::TakenBack, known.clamp(1, steps as u32)),
        };
        let weights = self.control.weights();
        RolloutRecord {
            to: plain(&self.control.to).to_owned(),
            stage,
            step,
            steps: steps as u32,
            since: self.since.clone(),
            weights: weights.iter().map(|(api, of)| (plain(api).to_owned(), *of)).collect(),
            reason: standing.reason,
            message: standing.detail,
            plan: standing.plan,
        }
    }

    /// A status with this record is on its way; what is to be told once it is there.
    pub(super) fn sends(&mut self, record: RolloutRecord) -> Vec<News> {
        self.sent = Some(record);
        std::mem::take(&mut self.news)
    }

    /// The status is there.
    pub(super) fn is_there(&mut self) {
        if self.sent.is_some() {
            self.known.clone_from(&self.sent);
        }
    }

    /// The status is not there: it is told another time.
    pub(super) fn keep(&mut self, news: Vec<News>) {
        self.news.splice(0..0, news);
    }
}

fn standing(record: RolloutRecord) -> Standing {
    let step = (record.step as usize).saturating_sub(1);
    let stage = match record.stage {
        RolloutStage::Step => Stage::Step(step),
        RolloutStage::Promoted => Stage::Promoted,
        RolloutStage::TakenBack => Stage::TakenBack,
    };
    Standing { plan: record.plan, stage, reason: record.reason, detail: record.message }
}

/// A time of day as the status has it.
fn text(wall: Duration) -> String {
    humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + wall).to_string()
}

/// How long ago that was: not at all for what is no time, or by a clock that is ahead of ours.
fn age(since: &str, wall: Duration) -> Duration {
    let since = humantime::parse_rfc3339(since).ok();
    let since = since.and_then(|since| since.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.map_or(Duration::ZERO, |since| wall.saturating_sub(since))
}

#[cfg(test)]
mod tests;
