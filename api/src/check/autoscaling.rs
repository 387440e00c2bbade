//! `spec.autoscaling`: the least and the most, and each rule's settings.

use super::{Check, INSTANT};
use crate::document::{Autoscaling, ConcurrencyPolicy, CortexPolicy, Policy, RayPolicy, SloPolicy};
use crate::key_path::KeyPath;
use crate::quantity::{MAX_DURATION, shown};
use crate::raw::{
    RawAutoscaling, RawConcurrencyPolicy, RawCortexPolicy, RawPolicy, RawRayPolicy, RawSloPolicy,
};
use std::num::NonZeroU32;
use std::time::Duration;

mod metric;
mod schedule;

/// The shortest window: load is kept in buckets of one second.
const MIN_WINDOW: Duration = Duration::from_secs(1);
/// The longest window: buckets are held in memory.
const MAX_WINDOW: Duration = Duration::from_secs(3600);

impl Check<'_> {
    pub(super) fn autoscaling(&mut self, raw: RawAutoscaling, limit: NonZeroU32) -> Autoscaling {
        let path = KeyPath::keys("spec.autoscaling");
        let most = raw.max_replicas;
        self.not_above(&path.key("minReplicas"), raw.min_replicas, &path.key("maxReplicas"), most);
        let activation = raw.concurrency.activation_replicas;
        let activation_path = path.key("concurrency").key("activationReplicas");
        self.not_above(&activation_path, activation, &path.key("maxReplicas"), most);
        // Every rule's settings are checked, so that a mistake shows before the rule is chosen.
        let concurrency = self.concurrency_policy(raw.concurrency, limit);
        let cortex = self.cortex_policy(&raw.cortex, limit);
        let ray = self.ray_policy(&raw.ray);
        let slo = self.slo_policy(&raw.slo);
        let metric = self.metric_policy(raw.metric, matches!(raw.policy, RawPolicy::Metric));
        let schedules = self.schedules(raw.schedules, most);
        Autoscaling {
            schedules,
            min_replicas: raw.min_replicas,
            max_replicas: raw.max_replicas,
            policy: match raw.policy {
                RawPolicy::Concurrency => Policy::Concurrency(concurrency),
                RawPolicy::Cortex => Policy::Cortex(cortex),
                RawPolicy::Ray => Policy::Ray(ray),
                RawPolicy::Slo => Policy::Slo(slo),
                RawPolicy::Metric => Policy::Metric(metric),
            },
        }
    }

    fn not_above(&mut self, path: &KeyPath, value: u32, most_path: &KeyPath, most: u32) {
        if value > most && !self.mistakes.touch(most_path) {
            self.wrong(
                path,
                format!("is {value}"),
                format!("at most `{most_path}`, which is {most}"),
            );
        }
    }

    fn concurrency_policy(
        &mut self,
        raw: RawConcurrencyPolicy,
        limit: NonZeroU32,
    ) -> ConcurrencyPolicy {
        let mut within = |key: &str, value, min, max| {
            self.duration(&format!("spec.autoscaling.concurrency.{key}"), value, min, max)
        };
        let stable_window = within("stableWindow", raw.stable_window, MIN_WINDOW, MAX_WINDOW);
        let panic_window = within("panicWindow", raw.panic_window, MIN_WINDOW, MAX_WINDOW);
        let scale_down_delay =
            within("scaleDownDelay", raw.scale_down_delay, Duration::ZERO, MAX_WINDOW);
        let stable_path = KeyPath::keys("spec.autoscaling.concurrency.stableWindow");
        if panic_window > stable_window && !self.mistakes.touch(&stable_path) {
            let must = format!("at most `{stable_path}`, which is {}", shown(stable_window));
            let path = KeyPath::keys("spec.autoscaling.concurrency.panicWindow");
            self.wrong(&path, format!("is {}", shown(panic_window)), must);
        }
        ConcurrencyPolicy {
            target: raw.target.unwrap_or_else(|| f64::from(limit.get())),
            utilization: raw.utilization,
            stable_window,
            panic_window,
            panic_threshold: raw.panic_threshold,
            max_scale_up_rate: raw.max_scale_up_rate,
            max_scale_down_rate: raw.max_scale_down_rate,
            scale_down_delay,
            activation_replicas: raw.activation_replicas,
            scale_to_zero_grace: raw.scale_to_zero_grace.0,
            last_replica_retention: raw.last_replica_retention.0,
        }
    }

    fn cortex_policy(&mut self, raw: &RawCortexPolicy, limit: NonZeroU32) -> CortexPolicy {
        let mut within = |key: &str, value, min| {
            self.duration(&format!("spec.autoscaling.cortex.{key}"), value, min, MAX_WINDOW)
        };
        let (up, down) = (raw.upscale_stabilization_period, raw.downscale_stabilization_period);
        CortexPolicy {
            target_in_flight: raw.target_in_flight.unwrap_or_else(|| f64::from(limit.get())),
            window: within("window", raw.window, MIN_WINDOW),
            upscale_stabilization_period: within("upscaleStabilizationPeriod", up, Duration::ZERO),
            downscale_stabilization_period: within(
                "downscaleStabilizationPeriod",
                down,
                Duration::ZERO,
            ),
            max_upscale_factor: raw.max_upscale_factor,
            max_downscale_factor: raw.max_downscale_factor,
            upscale_tolerance: raw.upscale_tolerance,
            downscale_tolerance: raw.downscale_tolerance,
        }
    }

    fn ray_policy(&mut self, raw: &RawRayPolicy) -> RayPolicy {
        let mut within = |key: &str, value, min, max| {
            self.duration(&format!("spec.autoscaling.ray.{key}"), value, min, max)
        };
        let zero = Duration::ZERO;
        let downscale_delay = within("downscaleDelay", raw.downscale_delay, zero, MAX_DURATION);
        let to_zero = raw.downscale_to_zero_delay;
        RayPolicy {
            target_ongoing_requests: raw.target_ongoing_requests,
            upscale_delay: within("upscaleDelay", raw.upscale_delay, zero, MAX_DURATION),
            downscale_delay,
            downscale_to_zero_delay: to_zero.map_or(downscale_delay, |delay| {
                within("downscaleToZeroDelay", delay, zero, MAX_DURATION)
            }),
            upscaling_factor: raw.upscaling_factor,
            downscaling_factor: raw.downscaling_factor,
            look_back_period: within(
                "lookBackPeriod",
                raw.look_back_period,
                MIN_WINDOW,
                MAX_WINDOW,
            ),
        }
    }

    fn slo_policy(&mut self, raw: &RawSloPolicy) -> SloPolicy {
        let mut within = |key: &str, value| {
            self.duration(&format!("spec.autoscaling.slo.{key}"), value, INSTANT, MAX_WINDOW)
        };
        SloPolicy {
            queue_wait: within("queueWait", raw.queue_wait),
            percentile: raw.percentile,
            cold_start: within("coldStart", raw.cold_start),
        }
    }
}
