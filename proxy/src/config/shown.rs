//! Settings that can change while a process runs, as its admin page shows them: in the words of
//! the documents and the flags.

use super::GatewayApi;
use super::given::{HIDDEN, is_secret};
use crate::access::{By, LimiterSettings};
use crate::affinity::Affinity;
use crate::forward::Timeouts;
use crate::gate::LiveSettings;
use crate::policy::choice::Choice;
use crate::policy::ejection::EjectionRules;
use crate::policy::hedging::HedgeRules;
use crate::policy::limit::{Limit, LimitRange};
use crate::policy::models::ModelNames;
use crate::policy::queue::QueueLimits;
use crate::policy::retry_budget::RetryRules;
use crate::policy::route::Rule;
use crate::split::{ShadowSettings, SplitSettings, Version};
use http::Method;
use serde_json::{Map, Value, json};
use tidegate_api::document::{ColdStart, DnsName, Endpoints, EndpointsAt, Fallback};
use tidegate_api::duration_text as time;

// Each takes its settings apart by name: one that is added can't be forgotten here.

/// What a gateway serves.
pub(crate) fn apis(apis: &[GatewayApi]) -> Value {
    json!({ "apis": apis.iter().map(api).collect::<Vec<_>>() })
}

fn traffic(split: &SplitSettings<()>) -> Value {
    let SplitSettings { versions, sticky, override_header, shadow, compares } = split;
    let version =
        |Version { name, weight, api: () }: &Version<()>| json!({ "api": name, "weight": weight });
    json!({
        "versions": versions.iter().map(version).collect::<Vec<_>>(),
        "sticky": sticky.as_ref().map(hash),
        "shadow": shadow.as_ref().map(|ShadowSettings { name, share }| {
            json!({ "api": name, "share": share })
        }),
        "compares": compares,
        "override": override_header.as_ref().map(|name| json!({ "header": name.as_str() })),
    })
}

/// How many run and wait in a sidecar.
pub(crate) fn live(live: &LiveSettings) -> Value {
    let LiveSettings { limit, queue: QueueLimits { capacity, bytes }, queue_timeout, budget } =
        *live;
    let limit = match limit {
        Limit::Fixed(limit) => limit.to_string(),
        Limit::Auto(LimitRange { min, max }) => format!("auto:{min}-{max}"),
    };
    json!({
        "concurrency": limit,
        "cost-budget": budget,
        "queue-capacity": capacity,
        "queue-bytes": bytes,
        "queue-timeout": time(queue_timeout),
    })
}

fn api(api: &GatewayApi) -> Value {
    let GatewayApi {
        name,
        rules,
        split,
        models,
        keys,
        rate_limit,
        endpoints,
        concurrency,
        queue: QueueLimits { capacity, bytes },
        queue_timeout,
        cold_start_timeout,
        timeouts: Timeouts { first_byte, idle, total, start: _ },
        cold_start: ColdStart { keep_alive, fallback },
        choice,
        affinity,
        ejection,
        retries: RetryRules { attempts, share, floor_per_second },
        slow_start,
        hedging,
        hedged,
        llm,
    } = api;
    json!({
        "name": name,
        "routes": rules.iter().map(route).collect::<Vec<_>>(),
        "traffic": split.as_ref().map(traffic),
        "openai": models.as_ref().map(openai),
        "access": {
            "apiKeys": keys.as_ref().map(|file| json!({ "file": file.display().to_string() })),
            "rateLimit": rate_limit.as_ref().map(limiter),
        },
        "llm": llm,
        "concurrency": concurrency,
        "endpoints": endpoints.as_ref().map(self::endpoints),
        "queue": { "capacity": capacity, "bytes": bytes, "timeout": time(*queue_timeout) },
        "timeouts": {
            "coldStart": time(*cold_start_timeout),
            "firstByte": first_byte.map(time),
            "idle": idle.map(time),
            "total": total.map(time),
        },
        "coldStart": {
            "keepAlive": keep_alive.map(time),
            "fallback": fallback.as_ref().map(self::fallback),
        },
        "balancing": {
            "policy": policy(*choice),
            "hash": affinity.as_ref().map(hash),
            "ejection": self::ejection(ejection),
            "retries": { "attempts": attempts, "budget": share, "floorPerSecond": floor_per_second },
            "slowStart": time(*slow_start),
            "hedging": hedging.as_ref().map(|rules| self::hedging(rules, hedged)),
        },
    })
}

fn endpoints(endpoints: &Endpoints) -> Value {
    let Endpoints { at, admin_port } = endpoints;
    let (addresses, dns) = match at {
        EndpointsAt::Addresses(addresses) => (Some(addresses), None),
        EndpointsAt::Dns(DnsName { name, port, period }) => {
            (None, Some(json!({ "name": name, "port": port, "period": time(*period) })))
        }
    };
    json!({ "addresses": addresses, "dns": dns, "adminPort": admin_port })
}

fn fallback(fallback: &Fallback) -> Value {
    let Fallback { api, after, .. } = fallback;
    json!({ "api": api, "after": time(*after) })
}

fn route(rule: &Rule) -> Value {
    let Rule { host, path, exact, headers, strip_prefix } = rule;
    let shown = |value: &String, name: &str| match is_secret(name) {
        true => HIDDEN.to_owned(),
        false => value.clone(),
    };
    let headers = headers.iter().map(|(name, value)| (name.clone(), shown(value, name).into()));
    let headers: Map<_, Value> = headers.collect();
    let key = if *exact { "exactPath" } else { "path" };
    json!({ "host": host, key: path, "headers": headers, "stripPrefix": strip_prefix })
}

fn openai(models: &ModelNames) -> Value {
    let ModelNames { names, takes_unknown, scan_limit } = models;
    let otherwise = if *takes_unknown { "serve" } else { "refuse" };
    json!({ "models": names, "whenNotFound": otherwise, "scanLimit": scan_limit })
}

fn limiter(limit: &LimiterSettings) -> Value {
    let LimiterSettings { by, requests_per_second, tokens_per_second, burst } = limit;
    let by = match by {
        By::Tenant(_) => "tenant",
        By::Header(name) => name.as_str(),
    };
    json!({
        "by": by,
        "requestsPerSecond": requests_per_second,
        "tokensPerSecond": tokens_per_second,
        "burst": time(*burst),
    })
}

fn policy(choice: Choice) -> Value {
    match choice {
        Choice::PowerOfTwo => json!("powerOfTwo"),
        Choice::LeastLoaded => json!("leastLoaded"),
        Choice::ConsistentHash { factor_percent } => {
            json!({ "consistentHash": { "loadFactor": f64::from(factor_percent) / 100.0 } })
        }
    }
}

fn hash(affinity: &Affinity) -> Value {
    match affinity {
        Affinity::Header(name) => json!({ "header": name.as_str() }),
        Affinity::Cookie(name) => json!({ "cookie": name }),
        Affinity::PromptPrefix(bytes) => json!({ "promptPrefix": bytes }),
    }
}

fn hedging(HedgeRules { percentile, floor }: &HedgeRules, methods: &[Method]) -> Value {
    let methods: Vec<_> = methods.iter().map(Method::as_str).collect();
    json!({ "percentile": percentile, "floor": time(*floor), "methods": methods })
}

fn ejection(rules: &EjectionRules) -> Value {
    let EjectionRules {
        consecutive_errors,
        error_rate,
        base_time,
        max_time,
        max_share,
        slow_factor,
    } = *rules;
    json!({
        "consecutiveErrors": consecutive_errors,
        "errorRate": error_rate,
        "baseTime": time(base_time),
        "maxTime": time(max_time),
        "maxShare": max_share,
        "slowFactor": slow_factor,
    })
}
