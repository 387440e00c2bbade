//! Other documents while it runs: APIs come, change and go, and the scalers keep what they know.

use super::{ApiControl, Control, Stage};
use crate::calendar::Calendar;
use crate::calls::Calls;
use crate::local::{Make, PreflightError};
use crate::metric_source::{MetricReader, NoPrometheus};
use crate::rollouts::RolloutControl;
use crate::scaling::scaling;
use crate::state::Before;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use tidegate_api::InferenceApi;

/// How long an API that goes is scaled on at the least: a gateway that follows the same documents may
/// lead requests to it a moment longer.
const LEAST_LEAVING: Duration = Duration::from_secs(2);

/// APIs that can be run here, and are not in force yet.
#[derive(Debug)]
pub struct Prepared {
    apis: Vec<PreparedApi>,
    /// Those whose requests are split among others: nothing of their own runs.
    splits: Vec<InferenceApi>,
}

/// One of them.
#[derive(Debug)]
struct PreparedApi {
    make: Make,
    metric: Option<MetricReader>,
}

/// Why APIs can't be run here: all that is wrong, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit(Vec<String>);

impl std::error::Error for Unfit {}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl Prepared {
    /// Checks that all of these can be run. `python_bins` holds the `bin` folder of each API's Python
    /// environment, by the API's name; `prometheus` is where queries go that name no other.
    pub(crate) fn new(
        apis: Vec<InferenceApi>,
        python_bins: &BTreeMap<String, PathBuf>,
        prometheus: Option<&str>,
    ) -> Result<Self, Unfit> {
        let (mut fit, mut unfit) = (Vec::new(), Vec::new());
        let (mut names, mut splits) = (BTreeSet::new(), Vec::new());
        for api in apis {
            if !names.insert(api.name.clone()) {
                unfit.push(format!("two APIs are named {}; rename one (metadata.name)", api.name));
                continue;
            }
            if api.traffic.is_some() {
                splits.push(api);
                continue;
            }
            let bin = python_bins.get(&api.name).map(std::path::absolute).transpose();
            let bin = bin.map_err(|error| {
                format!("api {}: can't find its Python environment: {error}", api.name)
            });
            let metric = MetricReader::of(&api, prometheus);
            let metric = metric.map_err(|error: NoPrometheus| error.to_string());
            let make = bin.and_then(|bin| {
                Make::new(api, bin).map_err(|error: PreflightError| error.to_string())
            });
            match (make, metric) {
                (Ok(make), Ok(metric)) => fit.push(PreparedApi { make, metric }),
                (make, metric) => unfit.extend(make.err().into_iter().chain(metric.err())),
            }
        }
        if unfit.is_empty() { Ok(Self { apis: fit, splits }) } else { Err(Unfit(unfit)) }
    }

    /// The names of the APIs that run.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.apis.iter().map(|api| api.make.api().name.as_str())
    }

    /// Those whose requests are split among others.
    pub(crate) fn splits(&self) -> &[InferenceApi] {
        &self.splits
    }

    /// The parts: what replicas are made of, and what is remembered of each API and of each rollout.
    pub(crate) fn begin(
        self,
        before: &mut Before,
        now: Duration,
    ) -> (Vec<Make>, Vec<ApiControl>, Vec<RolloutControl>) {
        let rollouts = self.splits.iter().filter_map(|api| RolloutControl::of(api, before, now));
        let rollouts = rollouts.collect();
        let begin = |PreparedApi { make, metric }| {
            let control = ApiControl::new(make.api(), metric, before, now);
            (make, control)
        };
        let (makes, mut controls): (Vec<Make>, Vec<ApiControl>) =
            self.apis.into_iter().map(begin).unzip();
        controls.sort_by(|one, other| one.name.cmp(&other.name));
        (makes, controls, rollouts)
    }
}

impl Control {
    /// Runs these APIs from now on, and no others.
    pub(crate) fn adopt(&mut self, prepared: Prepared, calls: &Calls) {
        let now = self.clock.now();
        let names: BTreeSet<String> = prepared.names().map(str::to_owned).collect();
        for api in &mut self.apis {
            if !names.contains(&api.name) && api.stage == Stage::Scaled {
                tracing::info!(api = api.name, "its document is gone: it finishes and then goes");
                api.stage = Stage::Leaving(now);
            }
        }
        for PreparedApi { make, metric } in prepared.apis {
            let name = make.api().name.clone();
            let known = self.apis.binary_search_by(|api| api.name.cmp(&name));
            match known {
                Ok(index) => self.apis[index].revise(make.api(), metric, now),
                Err(index) => {
                    let nothing = &mut Before::default();
                    let control = ApiControl::new(make.api(), metric, nothing, now);
                    self.apis.insert(index, control);
                    self.metrics.begin(&name);
                    tracing::info!(api = name, "a new api");
                }
            }
            if self.local.install(make) {
                tracing::info!(api = name, "replicas are exchanged, as the document says");
            }
        }
        self.local.set_splits(&prepared.splits);
        self.adopt_rollouts(&prepared.splits, now);
        calls.set(self.apis.iter().map(ApiControl::name));
    }

    /// A rollout that is asked for as before goes on; with other weights, from where it stands.
    fn adopt_rollouts(&mut self, splits: &[InferenceApi], now: Duration) {
        let mut before = std::mem::take(&mut self.rollouts);
        let names: Vec<String> = before.iter().map(|rollout| rollout.api.clone()).collect();
        for api in splits {
            let known = before.iter().position(|rollout| rollout.api == api.name);
            let known = known.map(|index| before.swap_remove(index));
            self.rollouts.extend(match known {
                Some(known) if known.is_as(api) => Some(known),
                known => {
                    let mut kept =
                        Before::of_rollout(known.map(|of| (of.api.clone(), of.state(now))));
                    let of = RolloutControl::of(api, &mut kept, now);
                    of.iter().for_each(|of| self.local.try_anew(&of.to));
                    of
                }
            });
        }
        let is_gone = |name: &&String| !self.rollouts.iter().any(|rollout| rollout.api == **name);
        names.iter().filter(is_gone).for_each(|name| self.metrics.end_rollout(name));
        self.tell_weights();
    }

    /// Exchanges the replicas of these APIs for ones like them.
    pub(crate) fn refresh(&mut self, names: &[String]) {
        for name in names {
            tracing::info!(api = name, "refresh: replicas are exchanged");
            self.local.refresh(name);
        }
    }

    /// Lets those go that hold nothing any more, and forgets those that are gone.
    pub(super) fn see_off(&mut self, calls: &Calls, now: Duration) {
        let longest = self.local.drain_timeout().max(LEAST_LEAVING);
        for api in &mut self.apis {
            let Stage::Leaving(since) = api.stage else { continue };
            let left = now.saturating_sub(since);
            let is_idle = api.sources.held() == 0 && api.sources.running() == 0;
            if (is_idle && left >= LEAST_LEAVING) || left >= longest {
                (api.stage, api.wanted) = (Stage::Retired, 0);
                self.local.retire(&api.name);
            }
        }
        let is_gone =
            |api: &ApiControl| api.stage == Stage::Retired && self.local.fleet(&api.name).is_none();
        let gone: Vec<String> =
            self.apis.iter().filter(|api| is_gone(api)).map(|api| api.name.clone()).collect();
        if gone.is_empty() {
            return;
        }
        self.apis.retain(|api| !gone.contains(&api.name));
        for api in &gone {
            self.metrics.end(api);
            tracing::info!(api, "gone");
        }
        calls.set(self.apis.iter().map(ApiControl::name));
    }
}

impl ApiControl {
    /// Goes on by another document. What the scaler has learned stays.
    fn revise(&mut self, api: &InferenceApi, metric: Option<MetricReader>, now: Duration) {
        let settings = scaling(api);
        if settings != self.settings {
            self.scaler.revise(&self.settings, &settings, self.wanted, now);
            self.settings = settings;
        }
        if api.autoscaling.policy != self.policy {
            (self.metric, self.policy) = (metric, api.autoscaling.policy.clone());
        }
        self.calendar = Calendar::new(api.autoscaling.schedules.clone());
        self.stage = Stage::Scaled;
    }
}
