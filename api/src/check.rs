//! Raw → checked document: the rules that a schema can't say, and the join of paths and defaults.
//!
//! Types, choices and the ranges of numbers have been compared with the schema by now. Where that
//! found a mistake, the value here is a default, and no rule is applied to it.

use crate::document::{
    Concurrency, Container, InferenceApi, Probe, Python, Readiness, Target, Timeouts,
};
use crate::key_path::KeyPath;
use crate::quantity::{DurationText, MAX_DURATION, shown};
use crate::quote;
use crate::raw::{
    RawConcurrency, RawContainer, RawInferenceApi, RawReadiness, RawTarget, RawTimeouts,
};
use crate::report::{Mark, Mistakes};
use crate::tree::Node;
use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::{Path, PathBuf};
use std::time::Duration;

mod access;
mod autoscaling;
mod balancing;
mod cold_start;
mod conflict;
mod endpoints;
mod rolling_update;
mod route;
mod sidecar;
mod target;
mod template;
mod traffic;
mod word;

pub(crate) use conflict::conflicts;

/// The shortest duration where zero makes no sense.
const INSTANT: Duration = Duration::from_millis(1);
/// The shortest time between two probes: more often, and probing itself is load.
const MIN_PERIOD: Duration = Duration::from_millis(10);

/// A document, and where the parts are that other documents may contradict.
pub(crate) struct Checked {
    pub(crate) api: InferenceApi,
    /// Where the name is; `None` if the name is wrong anyway.
    pub(crate) name: Option<Mark>,
    /// Where each of `api.routes` is; `None` for one that is wrong anyway.
    pub(crate) routes: Vec<Option<(Mark, KeyPath)>>,
}

/// Checks one document. What is wrong goes to `mistakes`; the result counts only without any.
pub(crate) fn check(
    raw: RawInferenceApi,
    node: &Node,
    base_dir: &Path,
    mistakes: &mut Mistakes,
) -> Checked {
    let mut check = Check { node, base_dir, mistakes };
    let spec = raw.spec.unwrap_or_default();
    let metadata = raw.metadata.unwrap_or_default();
    check.namespace(metadata.namespace.as_deref());
    let name = check.name(metadata.name);
    traffic::alone(&spec, &mut check);
    let split = spec.traffic.map(|raw| traffic::check(raw, &name, &mut check));
    let rollout = spec.rollout.map(|raw| traffic::rollout(raw, split.as_ref(), &mut check));
    let template = spec.template.map(|template| template::check(template, &mut check));
    let target = check.target(spec.target, template.as_ref().map(|_| &*name));
    let endpoints = endpoints::check(spec.endpoints, &mut check);
    let may_lack = target.is_some() || split.is_some() || endpoints.is_some();
    let container = check.container(spec.container, may_lack);
    let concurrency = check.concurrency(spec.concurrency);
    let timeouts = check.timeouts(spec.timeouts);
    let readiness = check.readiness(spec.readiness);
    let (routes, route_marks) = route::check(spec.routes, &mut check);
    let openai = route::openai(spec.openai, &mut check);
    let access = access::check(spec.access, &mut check);
    let balancing = check.balancing(spec.balancing);
    let cold_start = cold_start::check(spec.cold_start, &name, &mut check);
    let sidecar = sidecar::check(spec.sidecar, &mut check);
    let rolling_update = rolling_update::check(spec.rolling_update, &mut check);
    let autoscaling = check.autoscaling(spec.autoscaling, concurrency.limit);
    let name_path = KeyPath::keys("metadata.name");
    let name_mark = (!check.mistakes.touch(&name_path)).then(|| node.locate(&name_path));
    let port = spec.port.and_then(NonZeroU16::new);
    let api = InferenceApi {
        name,
        container,
        target,
        template,
        endpoints,
        paused: spec.paused,
        port,
        concurrency,
        timeouts,
        readiness,
        routes,
        traffic: split,
        rollout,
        openai,
        access,
        balancing,
        cold_start,
        sidecar,
        rolling_update,
        autoscaling,
    };
    Checked { api, name: name_mark, routes: route_marks }
}

/// The address of an HTTP server, as `spec.autoscaling.metric.prometheus` takes it.
///
/// # Errors
/// What it must be, where it is none.
pub fn http_url(text: &str) -> Result<String, String> {
    let must = || format!("it must be {}", word::HTTP_URL.replace('`', ""));
    word::is_http_url(text).then(|| text.to_owned()).ok_or_else(must)
}

/// What every rule needs.
struct Check<'a> {
    node: &'a Node,
    base_dir: &'a Path,
    mistakes: &'a mut Mistakes,
}

impl Check<'_> {
    /// Reports a value that breaks a rule, unless something is known to be wrong with it already.
    fn wrong(&mut self, path: &KeyPath, what: impl Into<String>, must: impl Into<String>) {
        if self.mistakes.is_full() {
            // Only counted from here on: looking for its place would cost the square of the file.
            self.mistakes.add(self.node.mark, path, what, must);
        } else if !self.mistakes.touch(path) {
            self.mistakes.add(self.node.locate(path), path, what, must);
        }
    }

    /// Reports a text that a rule refuses.
    fn text(&mut self, path: &KeyPath, text: &str, rule: fn(&str) -> bool, must: &str) {
        if !rule(text) {
            self.wrong(path, format!("is {}", quote::quoted(text)), must);
        }
    }

    /// A duration within its range.
    fn duration(
        &mut self,
        path: &str,
        value: DurationText,
        min: Duration,
        max: Duration,
    ) -> Duration {
        let DurationText(value) = value;
        if value < min || value > max {
            let must = format!("from {} to {}", shown(min), shown(max));
            self.wrong(&KeyPath::keys(path), format!("is {}", shown(value)), must);
        }
        value
    }

    fn name(&mut self, name: Option<String>) -> String {
        let name = name.unwrap_or_default();
        self.text(&KeyPath::keys("metadata.name"), &name, word::is_dns_label, word::DNS_LABEL);
        name
    }

    fn namespace(&mut self, namespace: Option<&str>) {
        let path = KeyPath::keys("metadata.namespace");
        if let Some(namespace) = namespace {
            self.text(&path, namespace, word::is_dns_label, word::DNS_LABEL);
        }
    }

    /// What is scaled; `made` is the name of an API that has a template.
    fn target(&mut self, raw: Option<RawTarget>, made: Option<&str>) -> Option<Target> {
        if raw.is_some() && made.is_some() {
            let must =
                "left out, or `spec.template` be: one says what exists, the other what to make";
            self.wrong(&KeyPath::keys("spec.target"), "is given beside `spec.template`", must);
        }
        raw.map(|raw| target::check(raw, self)).or_else(|| made.map(template::target))
    }

    fn container(&mut self, raw: Option<RawContainer>, may_lack: bool) -> Container {
        let path = KeyPath::keys("spec.container");
        let Some(raw) = raw else {
            if !may_lack {
                let must = "how a replica is started; only with `spec.target`, `spec.template`, \
                            `spec.endpoints` or `spec.traffic` it may be left out";
                self.wrong(&path, "is missing", must);
            }
            let working_dir = self.base_dir.to_owned();
            return Container {
                command: Vec::new(),
                env: BTreeMap::new(),
                working_dir,
                python: None,
            };
        };
        let command = self.command(&path.key("command"), raw.command);
        for (name, value) in &raw.env {
            let path = path.key("env").key(name);
            self.text(&path, name, word::is_variable, word::VARIABLE);
            self.text(&path, value, word::has_no_nul, word::NO_NUL);
        }
        let working_dir = self.path(&path.key("workingDir"), &raw.working_dir);
        let python = raw.python.map(|python| {
            let path = path.key("python").key("requirements");
            Python { requirements: self.path(&path, &python.requirements.unwrap_or_default()) }
        });
        Container { command, env: raw.env, working_dir, python }
    }

    fn command(&mut self, path: &KeyPath, command: Option<Vec<String>>) -> Vec<String> {
        let command = command.unwrap_or_default();
        match command.first() {
            None => self.wrong(path, "is empty", "a list of the program and its arguments"),
            Some(program) => {
                let is_named = |program: &str| !program.trim().is_empty();
                self.text(&path.index(0), program, is_named, "a program's name or path");
            }
        }
        for (index, word) in command.iter().enumerate() {
            self.text(&path.index(index), word, word::has_no_nul, word::NO_NUL);
        }
        command
    }

    /// A file or folder as an absolute path.
    fn path(&mut self, path: &KeyPath, text: &str) -> PathBuf {
        let is_path = |text: &str| !text.is_empty() && word::has_no_nul(text);
        self.text(path, text, is_path, "the path of a file or folder, seen from this document");
        let base =
            if self.base_dir.as_os_str().is_empty() { Path::new(".") } else { self.base_dir };
        let joined = base.join(text);
        std::path::absolute(&joined).unwrap_or_else(|error| {
            let what = format!("is relative, and the current folder is unknown ({error})");
            self.wrong(path, what, "an absolute path here");
            joined
        })
    }

    fn concurrency(&mut self, raw: RawConcurrency) -> Concurrency {
        let timeout = "spec.concurrency.queueTimeout";
        Concurrency {
            limit: at_least_one(raw.limit),
            queue_capacity: raw.queue_capacity,
            queue_bytes: raw.queue_bytes.0,
            queue_timeout: self.duration(timeout, raw.queue_timeout, INSTANT, MAX_DURATION),
        }
    }

    fn timeouts(&mut self, raw: RawTimeouts) -> Timeouts {
        let unless_off = |DurationText(value)| Some(value).filter(|value| !value.is_zero());
        let cold_start = "spec.timeouts.coldStart";
        Timeouts {
            first_byte: unless_off(raw.first_byte),
            idle: unless_off(raw.idle),
            total: unless_off(raw.total),
            cold_start: self.duration(cold_start, raw.cold_start, INSTANT, MAX_DURATION),
        }
    }

    fn readiness(&mut self, raw: RawReadiness) -> Readiness {
        let path = KeyPath::keys("spec.readiness");
        let mut probes = Vec::new();
        if let Some(probe) = raw.http_get {
            let text = probe.path.unwrap_or_default();
            self.text(&path.key("httpGet").key("path"), &text, word::is_target, word::TARGET);
            probes.push(("httpGet", Probe::HttpGet { path: text }));
        }
        if raw.tcp_socket.is_some() {
            probes.push(("tcpSocket", Probe::TcpSocket));
        }
        if let Some(probe) = raw.grpc {
            let service = probe.service;
            self.text(&path.key("grpc").key("service"), &service, word::is_service, word::SERVICE);
            probes.push(("grpc", Probe::Grpc { service }));
        }
        if let Some(probe) = raw.exec {
            let command = self.command(&path.key("exec").key("command"), probe.command);
            probes.push(("exec", Probe::Exec { command }));
        }
        if let [_, (second, _), ..] = probes.as_slice() {
            let names: Vec<_> = probes.iter().map(|(name, _)| format!("`{name}`")).collect();
            let what = format!("is one of {} probes: {}", names.len(), names.join(", "));
            self.wrong(&path.key(second), what, "the only probe, or left out");
        }
        let probe = probes.into_iter().next().map_or(Probe::TcpSocket, |(_, probe)| probe);
        let start = "spec.readiness.startTimeout";
        Readiness {
            probe,
            period: self.duration("spec.readiness.period", raw.period, MIN_PERIOD, MAX_DURATION),
            timeout: self.duration("spec.readiness.timeout", raw.timeout, INSTANT, MAX_DURATION),
            failure_threshold: at_least_one(raw.failure_threshold),
            start_timeout: self.duration(start, raw.start_timeout, INSTANT, MAX_DURATION),
        }
    }
}

/// The schema asks for at least 1, so the fallback is never taken.
fn at_least_one(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN)
}
