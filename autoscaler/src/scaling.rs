//! An API's document as the scaling rules' plain numbers.

use crate::policy::bounds::{Limits, Rates};
use crate::policy::concurrency::ConcurrencySettings;
use crate::policy::cortex::CortexSettings;
use crate::policy::decide::{RuleSettings, ScalerSettings};
use crate::policy::demand::Target;
use crate::policy::idle::IdleSettings;
use crate::policy::metric::{MetricSettings, Scope};
use crate::policy::ray::RaySettings;
use crate::policy::replacement::{Allowance, Part};
use crate::policy::slo::SloSettings;
use std::time::Duration;
use tidegate_api::document::{
    ConcurrencyPolicy, CortexPolicy, InferenceApi, MetricPolicy, MetricSource, Policy, RayPolicy,
    Replicas, RollingUpdate, SloPolicy,
};

/// For rules that wait before the last replica goes by themselves.
const NO_WAIT: IdleSettings = IdleSettings { grace: Duration::ZERO, retention: Duration::ZERO };

/// How an API is to be scaled.
pub fn scaling(api: &InferenceApi) -> ScalerSettings {
    let limit = api.concurrency.limit.get();
    let (rule, idle) = match &api.autoscaling.policy {
        Policy::Concurrency(policy) => {
            let (grace, retention) = (policy.scale_to_zero_grace, policy.last_replica_retention);
            let rule = RuleSettings::Concurrency(concurrency(policy, limit));
            (rule, IdleSettings { grace, retention })
        }
        Policy::Cortex(policy) => (RuleSettings::Cortex(cortex(policy)), NO_WAIT),
        Policy::Ray(policy) => (RuleSettings::Ray(ray(policy)), NO_WAIT),
        Policy::Slo(policy) => (RuleSettings::Slo(slo(policy, limit)), NO_WAIT),
        Policy::Metric(policy) => (RuleSettings::Metric(metric(policy, limit)), NO_WAIT),
    };
    let limits = Limits { min: api.autoscaling.min_replicas, max: api.autoscaling.max_replicas };
    ScalerSettings { rule, limits, idle }
}

/// What an exchange of replicas may take.
pub(crate) fn allowance(update: &RollingUpdate) -> Allowance {
    let part = |replicas| match replicas {
        Replicas::Count(count) => Part::Count(count),
        Replicas::Percent(percent) => Part::Percent(percent),
    };
    Allowance { surge: part(update.max_surge), unavailable: part(update.max_unavailable) }
}

fn concurrency(policy: &ConcurrencyPolicy, limit: u32) -> ConcurrencySettings {
    ConcurrencySettings {
        target: Target::new(policy.target, policy.utilization, Some(limit)),
        stable_window: policy.stable_window,
        panic_window: policy.panic_window,
        panic_threshold: policy.panic_threshold,
        rates: Rates { up: policy.max_scale_up_rate, down: policy.max_scale_down_rate },
        scale_down_delay: policy.scale_down_delay,
        activation_replicas: policy.activation_replicas,
    }
}

/// Both count requests that wait at a replica as its own, so the limit does not cap the target.
fn cortex(policy: &CortexPolicy) -> CortexSettings {
    CortexSettings {
        target: Target::new(policy.target_in_flight, 1.0, None),
        window: policy.window,
        upscale_stabilization: policy.upscale_stabilization_period,
        downscale_stabilization: policy.downscale_stabilization_period,
        max_upscale_factor: policy.max_upscale_factor,
        max_downscale_factor: policy.max_downscale_factor,
        upscale_tolerance: policy.upscale_tolerance,
        downscale_tolerance: policy.downscale_tolerance,
    }
}

fn ray(policy: &RayPolicy) -> RaySettings {
    RaySettings {
        target: Target::new(policy.target_ongoing_requests, 1.0, None),
        upscale_delay: policy.upscale_delay,
        downscale_delay: policy.downscale_delay,
        downscale_to_zero_delay: policy.downscale_to_zero_delay,
        upscaling_factor: policy.upscaling_factor,
        downscaling_factor: policy.downscaling_factor,
        look_back: policy.look_back_period,
    }
}

fn slo(policy: &SloPolicy, limit: u32) -> SloSettings {
    SloSettings {
        wait: policy.queue_wait.as_secs_f64(),
        late: 1.0 - policy.percentile,
        cold_start: policy.cold_start,
        per_replica: limit,
    }
}

fn metric(policy: &MetricPolicy, limit: u32) -> MetricSettings {
    MetricSettings {
        scope: match policy.source {
            MetricSource::Query { .. } => Scope::Total,
            MetricSource::Pod { .. } => Scope::Replica,
        },
        target: policy.target,
        tolerance: policy.tolerance,
        scale_down_delay: policy.scale_down_delay,
        stale_after: policy.stale_after,
        per_replica: limit,
    }
}
