//! `spec.autoscaling` as it is written: the scaling rules and their settings.

use crate::defaults;
use crate::quantity::DurationText;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many replicas there should be.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawAutoscaling {
    /// The fewest replicas; 0 lets the API sleep.
    #[schemars(range(min = 0, max = 10_000))]
    pub(crate) min_replicas: u32,
    /// The most replicas.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) max_replicas: u32,
    /// The rule that decides between the two.
    pub(crate) policy: RawPolicy,
    /// Times at which there are more replicas than the load asks for.
    pub(crate) schedules: Vec<RawSchedule>,
    /// Settings of the policy `concurrency`.
    pub(crate) concurrency: RawConcurrencyPolicy,
    /// Settings of the policy `cortex`.
    pub(crate) cortex: RawCortexPolicy,
    /// Settings of the policy `ray`.
    pub(crate) ray: RawRayPolicy,
    /// Settings of the policy `slo`.
    pub(crate) slo: RawSloPolicy,
    /// Settings of the policy `metric`.
    pub(crate) metric: RawMetricPolicy,
}

/// A time at which there are more replicas than the load asks for. Of those that are on, the largest
/// counts, whatever the policy.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSchedule {
    /// When it begins: minute, hour, day of the month, month and day of the week. Where a clock is
    /// put forward over that time, it begins once the gap is over; where one is put back, once.
    #[schemars(required)]
    pub(crate) cron: Option<String>,
    /// The time zone that the pattern is read in.
    #[serde(default = "time_zone")]
    pub(crate) time_zone: String,
    /// The fewest replicas while it is on.
    #[schemars(required, range(min = 0, max = 10_000))]
    pub(crate) min_replicas: Option<u32>,
    /// How long it lasts, at most 30d. Without one it lasts until another schedule without one
    /// begins, so there must be two of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) duration: Option<DurationText>,
}

fn time_zone() -> String {
    defaults::TIME_ZONE.to_owned()
}

/// The scaling rules there are.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawPolicy {
    /// Requests in flight a replica, over a stable and a panic window.
    #[default]
    Concurrency,
    /// Cortex's rule: requests in flight a replica, slowly up and slower down.
    Cortex,
    /// Ray Serve's rule: ongoing requests a replica, after a delay each way.
    Ray,
    /// The fewest replicas whose predicted queue wait meets an objective.
    Slo,
    /// A number that Prometheus or the model itself gives, divided by what a replica takes of it.
    Metric,
}

/// Settings of the policy `concurrency`. They mean what they mean in Knative's autoscaler.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawConcurrencyPolicy {
    /// How many requests in flight one replica is meant for. By default `concurrency.limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000.0), extend("exclusiveMinimum" = 0))]
    pub(crate) target: Option<f64>,
    /// The share of `target` that is aimed at: the rest is room for a burst.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0))]
    pub(crate) utilization: f64,
    /// The window over which load is averaged in calm, from 1s to 1h.
    pub(crate) stable_window: DurationText,
    /// The window over which load is averaged in a burst, from 1s to the stable window.
    pub(crate) panic_window: DurationText,
    /// A burst is when the panic window asks for this many times the replicas that are ready.
    #[schemars(range(max = 1000.0), extend("exclusiveMinimum" = 1))]
    pub(crate) panic_threshold: f64,
    /// The most that one decision may multiply the ready replicas by.
    #[schemars(range(max = 1_000_000.0), extend("exclusiveMinimum" = 1))]
    pub(crate) max_scale_up_rate: f64,
    /// The most that one decision may divide the ready replicas by.
    #[schemars(range(max = 1_000_000.0), extend("exclusiveMinimum" = 1))]
    pub(crate) max_scale_down_rate: f64,
    /// How long fewer replicas must have been enough before some go, at most 1h.
    pub(crate) scale_down_delay: DurationText,
    /// How many replicas an API wakes with at the least; 0 and 1 are the same.
    #[schemars(range(min = 0, max = 10_000))]
    pub(crate) activation_replicas: u32,
    /// How long the last replica stays after the rule says zero.
    pub(crate) scale_to_zero_grace: DurationText,
    /// How long the last replica stays after its last request at the least.
    pub(crate) last_replica_retention: DurationText,
}

/// Settings of the policy `cortex`. They mean what they mean in Cortex.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawCortexPolicy {
    /// How many requests, running and waiting, one replica is meant for. By default
    /// `concurrency.limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000.0), extend("exclusiveMinimum" = 0))]
    pub(crate) target_in_flight: Option<f64>,
    /// The window over which load is averaged, from 1s to 1h.
    pub(crate) window: DurationText,
    /// How long more replicas must have been wanted before some come, at most 1h.
    pub(crate) upscale_stabilization_period: DurationText,
    /// How long fewer replicas must have been wanted before some go, at most 1h.
    pub(crate) downscale_stabilization_period: DurationText,
    /// The most that one decision may multiply the replicas by; one more is always allowed.
    #[schemars(range(max = 1_000_000.0), extend("exclusiveMinimum" = 1))]
    pub(crate) max_upscale_factor: f64,
    /// The least that one decision may multiply the replicas by; one fewer is always allowed.
    #[schemars(range(min = 0.0, max = 0.99))]
    pub(crate) max_downscale_factor: f64,
    /// Up to this share above what the replicas are meant for, none come.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub(crate) upscale_tolerance: f64,
    /// Up to this share below what the replicas are meant for, none go.
    #[schemars(range(min = 0.0, max = 0.99))]
    pub(crate) downscale_tolerance: f64,
}

/// Settings of the policy `ray`. They mean what they mean in Ray Serve.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawRayPolicy {
    /// How many requests, running and waiting, one replica is meant for.
    #[schemars(range(max = 1_000_000.0), extend("exclusiveMinimum" = 0))]
    pub(crate) target_ongoing_requests: f64,
    /// How long more replicas must be wanted, decision after decision, before they come.
    pub(crate) upscale_delay: DurationText,
    /// How long fewer replicas must be wanted, decision after decision, before some go.
    pub(crate) downscale_delay: DurationText,
    /// The same for the last replica. By default `downscaleDelay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) downscale_to_zero_delay: Option<DurationText>,
    /// What share of a wanted increase is made at once; above 1 overshoots.
    #[schemars(range(max = 1000.0), extend("exclusiveMinimum" = 0))]
    pub(crate) upscaling_factor: f64,
    /// What share of a wanted decrease is made at once; above 1 overshoots.
    #[schemars(range(max = 1000.0), extend("exclusiveMinimum" = 0))]
    pub(crate) downscaling_factor: f64,
    /// The window over which load is averaged, from 1s to 1h.
    pub(crate) look_back_period: DurationText,
}

/// Settings of the policy `slo`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawSloPolicy {
    /// The longest wait in a queue that is still in time, from 1ms to 1h.
    pub(crate) queue_wait: DurationText,
    /// The share of requests that must be in time.
    #[schemars(range(min = 0.5, max = 0.9999))]
    pub(crate) percentile: f64,
    /// How long a replica takes to start, until one has been seen to; at most 1h.
    pub(crate) cold_start: DurationText,
}

/// Settings of the policy `metric`: one of `query` and `podMetric`, and a `target`. What can't be
/// read, is no number from 0 up, or is older than `staleAfter` changes nothing: it is never taken
/// for zero.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawMetricPolicy {
    /// A Prometheus query that is answered with one number, the total over all replicas. No series
    /// and several are errors: write `or vector(0)` or `sum(...)` to say what is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) query: Option<String>,
    /// Where Prometheus is, as in `http://127.0.0.1:9090`. By default what the autoscaler's flag
    /// `--prometheus` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prometheus: Option<String>,
    /// A metric that each replica's model serves itself, averaged over the replicas that are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pod_metric: Option<RawPodMetric>,
    /// How much of it one replica takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000_000_000.0), extend("exclusiveMinimum" = 0))]
    pub(crate) target: Option<f64>,
    /// Up to this share above and below what the replicas are meant for, nothing changes.
    #[schemars(range(min = 0.0, max = 0.99))]
    pub(crate) tolerance: f64,
    /// How long fewer replicas must have been enough before some go, at most 1h.
    pub(crate) scale_down_delay: DurationText,
    /// The time between two readings, from 100ms to 1h.
    pub(crate) period: DurationText,
    /// How old a reading may be to count, from `period` to 1h.
    pub(crate) stale_after: DurationText,
}

/// One series of what a model serves in Prometheus' text format on its own port.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawPodMetric {
    /// The metric's name.
    #[schemars(required)]
    pub(crate) name: Option<String>,
    /// Labels that the series must have, so that they name a single one.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// Where the model serves its metrics.
    #[serde(default = "metrics_path")]
    pub(crate) path: String,
}

fn metrics_path() -> String {
    defaults::metric::PATH.to_owned()
}

// === impl Default ===

impl Default for RawAutoscaling {
    fn default() -> Self {
        Self {
            min_replicas: defaults::MIN_REPLICAS,
            max_replicas: defaults::MAX_REPLICAS,
            policy: RawPolicy::default(),
            schedules: Vec::new(),
            concurrency: RawConcurrencyPolicy::default(),
            cortex: RawCortexPolicy::default(),
            ray: RawRayPolicy::default(),
            slo: RawSloPolicy::default(),
            metric: RawMetricPolicy::default(),
        }
    }
}

impl Default for RawConcurrencyPolicy {
    fn default() -> Self {
        Self {
            target: None,
            utilization: defaults::UTILIZATION,
            stable_window: DurationText(defaults::STABLE_WINDOW),
            panic_window: DurationText(defaults::PANIC_WINDOW),
            panic_threshold: defaults::PANIC_THRESHOLD,
            max_scale_up_rate: defaults::MAX_SCALE_UP_RATE,
            max_scale_down_rate: defaults::MAX_SCALE_DOWN_RATE,
            scale_down_delay: DurationText(defaults::SCALE_DOWN_DELAY),
            activation_replicas: defaults::ACTIVATION_REPLICAS,
            scale_to_zero_grace: DurationText(defaults::SCALE_TO_ZERO_GRACE),
            last_replica_retention: DurationText(defaults::LAST_REPLICA_RETENTION),
        }
    }
}

impl Default for RawCortexPolicy {
    fn default() -> Self {
        use defaults::cortex as of;
        Self {
            target_in_flight: None,
            window: DurationText(of::WINDOW),
            upscale_stabilization_period: DurationText(of::UPSCALE_STABILIZATION_PERIOD),
            downscale_stabilization_period: DurationText(of::DOWNSCALE_STABILIZATION_PERIOD),
            max_upscale_factor: of::MAX_UPSCALE_FACTOR,
            max_downscale_factor: of::MAX_DOWNSCALE_FACTOR,
            upscale_tolerance: of::TOLERANCE,
            downscale_tolerance: of::TOLERANCE,
        }
    }
}

impl Default for RawRayPolicy {
    fn default() -> Self {
        use defaults::ray as of;
        Self {
            target_ongoing_requests: of::TARGET_ONGOING_REQUESTS,
            upscale_delay: DurationText(of::UPSCALE_DELAY),
            downscale_delay: DurationText(of::DOWNSCALE_DELAY),
            downscale_to_zero_delay: None,
            upscaling_factor: of::FACTOR,
            downscaling_factor: of::FACTOR,
            look_back_period: DurationText(of::LOOK_BACK_PERIOD),
        }
    }
}

impl Default for RawSloPolicy {
    fn default() -> Self {
        use defaults::slo as of;
        Self {
            queue_wait: DurationText(of::QUEUE_WAIT),
            percentile: of::PERCENTILE,
            cold_start: DurationText(of::COLD_START),
        }
    }
}

impl Default for RawMetricPolicy {
    fn default() -> Self {
        use defaults::metric as of;
        Self {
            query: None,
            prometheus: None,
            pod_metric: None,
            target: None,
            tolerance: of::TOLERANCE,
            scale_down_delay: DurationText(of::SCALE_DOWN_DELAY),
            period: DurationText(of::PERIOD),
            stale_after: DurationText(of::STALE_AFTER),
        }
    }
}
