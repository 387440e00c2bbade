//! Rules for `spec.traffic` and `spec.rollout`, as far as one document can say.

use super::{Check, INSTANT, MIN_PERIOD, word};
use crate::document::{
    LatencyCondition, Rollout, RolloutCondition, RolloutStep, Shadow, Sticky, Traffic, Version,
};
use crate::key_path::KeyPath;
use crate::quantity::MAX_DURATION;
use crate::quote;
use crate::raw::{
    RawLatencyCondition, RawRollout, RawRolloutCondition, RawRolloutStep, RawShadow, RawSpec,
    RawSticky, RawTraffic, RawVersion,
};
use serde::Serialize;

/// What the weights of all versions come to.
const WHOLE: u32 = 100;
/// Why a key may not stand beside `traffic`.
const VERSIONS_OWN: &str = "left out: it belongs into the documents of the versions";

/// Reports what an API whose requests go to others can't have itself. Called before the parts of
/// `spec` are taken apart.
pub(super) fn alone(spec: &RawSpec, check: &mut Check<'_>) {
    let Some(traffic) = &spec.traffic else {
        if spec.rollout.is_some() {
            let path = KeyPath::keys("spec.rollout");
            check.wrong(&path, "is given without `traffic`", "left out, or given with `traffic`");
        }
        return;
    };
    let has_versions = traffic.versions.as_ref().is_some_and(|versions| !versions.is_empty());
    if has_versions && spec.routes.as_ref().is_some_and(Vec::is_empty) {
        let must = "left out, or a list of routes: nothing else leads to the versions";
        check.wrong(&KeyPath::keys("spec.routes"), "is empty beside `traffic`", must);
    }
    // What is as by default may have been filled in by others, and does no harm.
    let own = RawSpec::default();
    for (key, differs) in [
        ("container", spec.container.is_some()),
        ("target", spec.target.is_some()),
        ("template", spec.template.is_some()),
        ("port", spec.port.is_some()),
        ("concurrency", differ(&spec.concurrency, &own.concurrency)),
        ("timeouts", differ(&spec.timeouts, &own.timeouts)),
        ("readiness", differ(&spec.readiness, &own.readiness)),
        ("access", differ(&spec.access, &own.access)),
        ("balancing", differ(&spec.balancing, &own.balancing)),
        ("sidecar", differ(&spec.sidecar, &own.sidecar)),
        ("autoscaling", differ(&spec.autoscaling, &own.autoscaling)),
    ] {
        if differs {
            let path = KeyPath::keys("spec").key(key);
            check.wrong(&path, "is given beside `traffic`", VERSIONS_OWN);
        }
    }
}

fn differ<T: Serialize>(one: &T, other: &T) -> bool {
    // Plain data, which always can be written down.
    serde_json::to_value(one).ok() != serde_json::to_value(other).ok()
}

/// Who shares the requests.
pub(super) fn check(raw: RawTraffic, name: &str, check: &mut Check<'_>) -> Traffic {
    let path = KeyPath::keys("spec.traffic");
    let versions = versions(raw.versions.unwrap_or_default(), name, check);
    let shadow = raw.shadow.map(|raw| shadow(raw, &versions, name, check));
    let override_header = raw.override_by.map(|raw| {
        let header = raw.header.unwrap_or_default();
        let path = path.key("override").key("header");
        check.text(&path, &header, word::is_token, word::TOKEN);
        header.to_ascii_lowercase()
    });
    Traffic { versions, shadow, sticky: sticky(raw.sticky, check), override_header }
}

fn versions(raw: Vec<RawVersion>, name: &str, check: &mut Check<'_>) -> Vec<Version> {
    let all = KeyPath::keys("spec.traffic.versions");
    if raw.is_empty() {
        check.wrong(&all, "is empty", "a list of APIs with their weights");
    }
    let mut versions: Vec<Version> = Vec::new();
    for (index, RawVersion { api, weight }) in raw.into_iter().enumerate() {
        let path = all.index(index).key("api");
        let api = other(api, name, &path, check);
        if versions.iter().any(|earlier| earlier.api == api) {
            check.wrong(&path, format!("is \"{api}\" again"), "another API: each is listed once");
        }
        let mark = check.node.locate(&path);
        versions.push(Version { api, weight: weight.unwrap_or_default(), mark });
    }
    let sum = versions.iter().fold(0, |sum: u32, version| sum.saturating_add(version.weight));
    if sum != WHOLE {
        let what = format!("has weights with the sum {sum}");
        check.wrong(&all, what, "a list whose weights have the sum 100");
    }
    versions
}

/// The name of an API other than this one.
fn other(api: Option<String>, name: &str, path: &KeyPath, check: &mut Check<'_>) -> String {
    let api = api.unwrap_or_default();
    check.text(path, &api, word::is_dns_label, word::DNS_LABEL);
    if api == name {
        let what = format!("is {}, this API itself", quote::quoted(&api));
        check.wrong(path, what, "another API: the document that has the container");
    }
    api
}

fn shadow(raw: RawShadow, versions: &[Version], name: &str, check: &mut Check<'_>) -> Shadow {
    let path = KeyPath::keys("spec.traffic.shadow");
    let at = path.key("api");
    let api = other(raw.api, name, &at, check);
    if versions.iter().any(|version| version.api == api) {
        let what = format!("is \"{api}\", one of the versions");
        check.wrong(&at, what, "an API that gets only copies");
    }
    if raw.share <= 0.0 {
        check.wrong(&path.key("share"), format!("is {}", raw.share), "above 0 and at most 1");
    }
    Shadow { api, share: raw.share, mark: check.node.locate(&at) }
}

fn sticky(raw: Option<RawSticky>, check: &mut Check<'_>) -> Option<Sticky> {
    let path = KeyPath::keys("spec.traffic.sticky");
    let RawSticky { header, cookie } = raw?;
    let mut given = Vec::new();
    if let Some(name) = header {
        check.text(&path.key("header"), &name, word::is_token, word::TOKEN);
        given.push(Sticky::Header(name.to_ascii_lowercase()));
    }
    if let Some(name) = cookie {
        check.text(&path.key("cookie"), &name, word::is_token, word::TOKEN);
        given.push(Sticky::Cookie(name));
    }
    if given.len() != 1 {
        let what = format!("has {} of the two keys", given.len());
        check.wrong(&path, what, "one of `header` and `cookie`");
    }
    given.into_iter().next()
}

/// How one version takes over.
pub(super) fn rollout(
    raw: RawRollout,
    traffic: Option<&Traffic>,
    check: &mut Check<'_>,
) -> Rollout {
    let path = KeyPath::keys("spec.rollout");
    let to = raw.to.unwrap_or_default();
    if let Some(traffic) = traffic {
        let names = traffic.versions.iter().map(|version| version.api.as_str());
        let names = names.collect::<Vec<_>>().join(", ");
        if traffic.version(&to).is_none() {
            let what = format!("is {}, none of the versions", quote::quoted(&to));
            check.wrong(&path.key("to"), what, format!("one of {names}"));
        } else if traffic.versions.len() < 2 {
            let must = "one of several versions: there is none to take over from";
            check.wrong(&path.key("to"), "is the only version", must);
        }
    }
    let steps = steps(raw.steps.unwrap_or_default(), check);
    Rollout { to, steps, condition: condition(&raw.condition, check) }
}

fn steps(raw: Vec<RawRolloutStep>, check: &mut Check<'_>) -> Vec<RolloutStep> {
    let all = KeyPath::keys("spec.rollout.steps");
    if raw.is_empty() {
        check.wrong(&all, "is empty", "a list of weights with their pauses");
    }
    let mut steps: Vec<RolloutStep> = Vec::new();
    for (index, RawRolloutStep { weight, pause }) in raw.into_iter().enumerate() {
        let path = all.index(index);
        let weight = weight.unwrap_or_default();
        if let Some(before) = steps.last().filter(|before| before.weight >= weight) {
            let what = format!("is {weight}, after {}", before.weight);
            check.wrong(&path.key("weight"), what, "more than that of the step before");
        }
        let pause = pause.map_or(MAX_DURATION, |pause| {
            let given = pause.0;
            if given < MIN_PERIOD || given > MAX_DURATION {
                let shown = crate::quantity::shown;
                let must = format!("from {} to {}", shown(MIN_PERIOD), shown(MAX_DURATION));
                check.wrong(&path.key("pause"), format!("is {}", shown(given)), must);
            }
            given
        });
        steps.push(RolloutStep { weight, pause });
    }
    steps
}

fn condition(raw: &RawRolloutCondition, check: &mut Check<'_>) -> RolloutCondition {
    let path = KeyPath::keys("spec.rollout.condition");
    if raw.success_rate <= 0.0 {
        let what = format!("is {}", raw.success_rate);
        check.wrong(&path.key("successRate"), what, "above 0 and at most 1");
    }
    let RawLatencyCondition { percentile, factor } = raw.latency;
    if factor > 0.0 && factor < 1.0 {
        let must = "0, which is off, or from 1 to 100";
        check.wrong(&path.key("latency").key("factor"), format!("is {factor}"), must);
    }
    let max_wait = "spec.rollout.condition.maxWait";
    RolloutCondition {
        success_rate: raw.success_rate,
        latency: LatencyCondition { percentile, factor },
        min_requests: raw.min_requests,
        max_wait: check.duration(max_wait, raw.max_wait, INSTANT, MAX_DURATION),
    }
}
