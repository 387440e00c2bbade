//! What holds where a document says nothing, and why.

use crate::document::Replicas;
use std::time::Duration;

/// `concurrency.limit`: a model that handles one request at a time is safe with it.
pub(crate) const CONCURRENCY_LIMIT: u32 = 1;
/// `concurrency.queueCapacity`: a burst of a hundred fits; more would wait longer than anyone does.
pub(crate) const QUEUE_CAPACITY: u32 = 100;
/// `concurrency.queueBytes`, in bytes: a hundred small images, and little beside a model's memory.
pub(crate) const QUEUE_BYTES: u64 = 64 * 1024 * 1024;
/// `concurrency.queueTimeout`: about as long as a person waits.
pub(crate) const QUEUE_TIMEOUT: Duration = Duration::from_secs(30);

/// `timeouts.firstByte`: a large model may think for minutes before its first word.
pub(crate) const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(300);
/// `timeouts.idle`: a stream with a longer gap has most likely lost its model.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// `timeouts.total`: off (zero), since a long stream is no fault.
pub(crate) const TOTAL_TIMEOUT: Duration = Duration::ZERO;
/// `timeouts.coldStart`: weights of some gigabytes are read in less.
pub(crate) const COLD_START_TIMEOUT: Duration = Duration::from_secs(120);

/// `readiness.period`: a replica that has failed is noticed within seconds.
pub(crate) const PROBE_PERIOD: Duration = Duration::from_secs(1);
/// `readiness.timeout`: a server that takes longer to say "ready" is not.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// `readiness.failureThreshold`: one lost probe of a busy model is no failure, three are.
pub(crate) const PROBE_FAILURE_THRESHOLD: u32 = 3;
/// `readiness.startTimeout`: the same as `timeouts.coldStart`, nobody is held for longer.
pub(crate) const START_TIMEOUT: Duration = COLD_START_TIMEOUT;

/// `routes[].path`: every path.
pub(crate) const ROUTE_PATH: &str = "/";
/// `traffic.shadow.share`: every request.
pub(crate) const SHADOW_SHARE: f64 = 1.0;
/// `rollout.condition.successRate`: one failure in a hundred may be the old version's too.
pub(crate) const ROLLOUT_SUCCESS_RATE: f64 = 0.99;
/// `rollout.condition.latency.percentile`: the tail, where it is still seen with few requests.
pub(crate) const ROLLOUT_PERCENTILE: f64 = 0.95;
/// `rollout.condition.latency.factor`: a fifth slower is noticed; less is mostly chance.
pub(crate) const ROLLOUT_LATENCY_FACTOR: f64 = 1.2;
/// `rollout.condition.minRequests`: with fewer, one failure would decide.
pub(crate) const ROLLOUT_MIN_REQUESTS: u32 = 50;
/// `rollout.condition.maxWait`: a version that nobody asks for an hour has not shown anything.
pub(crate) const ROLLOUT_MAX_WAIT: Duration = Duration::from_secs(3600);
/// `openai.scanLimit`: a long prompt may stand before the model's name.
pub(crate) const SCAN_LIMIT: u64 = 1024 * 1024;
/// `access.rateLimit.by`: the name of the API key, or what `--tenant-header` says.
pub(crate) const RATE_LIMIT_BY: &str = "tenant";
/// `access.rateLimit.burst`: what a second allows may come at once.
pub(crate) const RATE_LIMIT_BURST: Duration = Duration::from_secs(1);
/// `sidecar.accessLog`: none, as a busy replica would write much.
pub(crate) const ACCESS_LOG: &str = "off";
/// `container.workingDir`: the folder of the document.
pub(crate) const WORKING_DIR: &str = ".";

/// `balancing.loadFactor`: a quarter above the mean, as in the paper on bounded loads.
pub(crate) const LOAD_FACTOR: f64 = 1.25;
/// The bytes of a prompt that count where nothing says how many.
pub(crate) const PROMPT_PREFIX: u32 = 256;

/// `balancing.ejection.consecutiveErrors`: one or two may be chance.
pub(crate) const EJECT_CONSECUTIVE_ERRORS: u32 = 5;
/// `balancing.ejection.errorRate`: half of the answers.
pub(crate) const EJECT_ERROR_RATE: f64 = 0.5;
/// `balancing.ejection.baseTime`: a server that restarts is often back by then.
pub(crate) const EJECT_BASE_TIME: Duration = Duration::from_secs(5);
/// `balancing.ejection.maxTime`: one that was mended is tried again within a minute.
pub(crate) const EJECT_MAX_TIME: Duration = Duration::from_secs(60);
/// `balancing.ejection.maxShare`: if more than half seem bad, it is something else that is.
pub(crate) const EJECT_MAX_SHARE: f64 = 0.5;
/// `balancing.ejection.slowFactor`: off, since requests may differ in what they ask for.
pub(crate) const EJECT_SLOW_FACTOR: f64 = 0.0;

/// `balancing.hedging.percentile`: one request in twenty is slow enough for a second try.
pub(crate) const HEDGE_PERCENTILE: f64 = 0.95;
/// `balancing.hedging.floor`: where all answers are quick, a second try gains nothing.
pub(crate) const HEDGE_FLOOR: Duration = Duration::from_millis(10);
/// `balancing.hedging.methods`: those that only read. What a second `PUT` or `DELETE` does may come after
/// the answer, and after what its client did next.
pub(crate) const HEDGE_METHODS: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// `balancing.retries.attempts`: a third endpoint in a row that is gone means something else.
pub(crate) const RETRY_ATTEMPTS: u32 = 2;
/// `balancing.retries.budget`: retries make a fault a fifth larger at the most.
pub(crate) const RETRY_BUDGET: f64 = 0.2;
/// `balancing.retries.floorPerSecond`: what a quiet API needs while a replica is replaced.
pub(crate) const RETRY_FLOOR_PER_SECOND: f64 = 3.0;

/// `rollingUpdate.maxSurge`: one new replica beside the old ones costs least.
pub(crate) const MAX_SURGE: Replicas = Replicas::Count(1);
/// `rollingUpdate.maxUnavailable`: what is ready stays so while others start.
pub(crate) const MAX_UNAVAILABLE: Replicas = Replicas::Count(0);

/// `endpoints.dns.period`: what most name servers answer may be kept for longer.
pub(crate) const DNS_PERIOD: Duration = Duration::from_secs(5);

/// `balancing.slowStart`: off (zero), as it keeps slots empty while requests may wait.
pub(crate) const SLOW_START: Duration = Duration::ZERO;

/// `coldStart.keepAlive`: off (zero), since a status that was sent can't be taken back.
pub(crate) const COLD_START_KEEP_ALIVE: Duration = Duration::ZERO;
/// `coldStart.fallback.after`: at once, since another API can answer.
pub(crate) const FALLBACK_AFTER: Duration = Duration::ZERO;

/// `autoscaling.minReplicas`: a model nobody asks costs nothing.
pub(crate) const MIN_REPLICAS: u32 = 0;
/// `autoscaling.maxReplicas`: a bound on cost that a first try does not reach by mistake.
pub(crate) const MAX_REPLICAS: u32 = 10;

/// `autoscaling.schedules[].timeZone`: the one that is the same everywhere.
pub(crate) const TIME_ZONE: &str = "UTC";

/// `autoscaling.concurrency.utilization`: room for the burst that comes while a replica starts.
/// This and the settings below are those of Knative's autoscaler.
pub(crate) const UTILIZATION: f64 = 0.7;
/// `autoscaling.concurrency.stableWindow`: smooths what comes and goes within a minute.
pub(crate) const STABLE_WINDOW: Duration = Duration::from_secs(60);
/// `autoscaling.concurrency.panicWindow`: a tenth of the stable window.
pub(crate) const PANIC_WINDOW: Duration = Duration::from_secs(6);
/// `autoscaling.concurrency.panicThreshold`: twice the load that the ready replicas can take.
pub(crate) const PANIC_THRESHOLD: f64 = 2.0;
/// `autoscaling.concurrency.maxScaleUpRate`: in effect no bound but `maxReplicas`.
pub(crate) const MAX_SCALE_UP_RATE: f64 = 1000.0;
/// `autoscaling.concurrency.maxScaleDownRate`: a tick takes away at most half.
pub(crate) const MAX_SCALE_DOWN_RATE: f64 = 2.0;
/// `autoscaling.concurrency.scaleDownDelay`: none, the stable window is slow enough.
pub(crate) const SCALE_DOWN_DELAY: Duration = Duration::ZERO;
/// `autoscaling.concurrency.activationReplicas`: none beyond what the demand is; one answers.
pub(crate) const ACTIVATION_REPLICAS: u32 = 0;
/// `autoscaling.concurrency.scaleToZeroGrace`: the next request often comes soon.
pub(crate) const SCALE_TO_ZERO_GRACE: Duration = Duration::from_secs(30);
/// `autoscaling.concurrency.lastReplicaRetention`: none beyond the grace.
pub(crate) const LAST_REPLICA_RETENTION: Duration = Duration::ZERO;

/// `autoscaling.cortex`: Cortex's own defaults.
pub(crate) mod cortex {
    use std::time::Duration;

    /// `window`.
    pub(crate) const WINDOW: Duration = Duration::from_secs(60);
    /// `upscaleStabilizationPeriod`.
    pub(crate) const UPSCALE_STABILIZATION_PERIOD: Duration = Duration::from_secs(60);
    /// `downscaleStabilizationPeriod`.
    pub(crate) const DOWNSCALE_STABILIZATION_PERIOD: Duration = Duration::from_secs(300);
    /// `maxUpscaleFactor`.
    pub(crate) const MAX_UPSCALE_FACTOR: f64 = 1.5;
    /// `maxDownscaleFactor`.
    pub(crate) const MAX_DOWNSCALE_FACTOR: f64 = 0.75;
    /// `upscaleTolerance` and `downscaleTolerance`.
    pub(crate) const TOLERANCE: f64 = 0.05;
}

/// `autoscaling.ray`: Ray Serve's own defaults.
pub(crate) mod ray {
    use std::time::Duration;

    /// `targetOngoingRequests`.
    pub(crate) const TARGET_ONGOING_REQUESTS: f64 = 2.0;
    /// `upscaleDelay`.
    pub(crate) const UPSCALE_DELAY: Duration = Duration::from_secs(30);
    /// `downscaleDelay`.
    pub(crate) const DOWNSCALE_DELAY: Duration = Duration::from_secs(600);
    /// `upscalingFactor` and `downscalingFactor`.
    pub(crate) const FACTOR: f64 = 1.0;
    /// `lookBackPeriod`.
    pub(crate) const LOOK_BACK_PERIOD: Duration = Duration::from_secs(30);
}

/// `autoscaling.slo`.
pub(crate) mod slo {
    use std::time::Duration;

    /// `queueWait`: short beside what a model takes, so that a queue is hardly felt.
    pub(crate) const QUEUE_WAIT: Duration = Duration::from_millis(200);
    /// `percentile`: one request in a hundred may wait longer.
    pub(crate) const PERCENTILE: f64 = 0.99;
    /// `coldStart`: a Python process with a model of some hundred megabytes.
    pub(crate) const COLD_START: Duration = Duration::from_secs(10);
}

/// `autoscaling.metric`: the tolerance and the delay are those of Kubernetes' own autoscaler.
pub(crate) mod metric {
    use std::time::Duration;

    /// `tolerance`.
    pub(crate) const TOLERANCE: f64 = 0.1;
    /// `scaleDownDelay`.
    pub(crate) const SCALE_DOWN_DELAY: Duration = Duration::from_secs(300);
    /// `period`: no later than the next sample of a Prometheus that scrapes every 15 s.
    pub(crate) const PERIOD: Duration = Duration::from_secs(5);
    /// `staleAfter`: a restart of Prometheus is bridged.
    pub(crate) const STALE_AFTER: Duration = Duration::from_secs(60);
    /// `podMetric.path`: where most servers have it.
    pub(crate) const PATH: &str = "/metrics";
}

/// `spec.target.apiVersion`.
pub(crate) const TARGET_API_VERSION: &str = "apps/v1";
/// `spec.target.kind`.
pub(crate) const TARGET_KIND: &str = "Deployment";
