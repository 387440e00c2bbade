//! The checked `InferenceApi`: every value in range, every default filled in, every path absolute.

mod access;
mod balancing;
mod cold_start;
mod endpoints;
mod rolling_update;
mod route;
mod sidecar;
mod target;
mod template;
mod traffic;

pub use access::{Access, RateLimit, RateLimitBy};
pub use balancing::{Balancing, BalancingPolicy, Ejection, HashBy, Hedging, Retries};
pub use cold_start::{ColdStart, Fallback};
pub use endpoints::{DnsName, Endpoints, EndpointsAt};
pub use rolling_update::{Replicas, RollingUpdate};
pub use route::{Clash, OpenAi, Route, RouteKey, WhenNotFound};
pub use sidecar::{AccessLog, Llm, Sidecar};
pub use target::Target;
pub use template::Template;
pub use traffic::{
    LatencyCondition, Rollout, RolloutCondition, RolloutStep, Shadow, Sticky, Traffic, Version,
};

use crate::schedule::Schedule;
use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

/// One model behind Tidegate: how it is started, queued, limited, routed and scaled.
#[derive(Debug, Clone, PartialEq)]
pub struct InferenceApi {
    /// `metadata.name`: a DNS label, used in metrics, logs and file names.
    pub name: String,
    /// `spec.container`: how one replica's model is started on this machine. Its command is empty
    /// where the document has none, which only one with a `target`, a `template`, `endpoints` or `traffic`
    /// may.
    pub container: Container,
    /// `spec.target`: what is scaled on Kubernetes. With a `template`, what is made of it.
    pub target: Option<Target>,
    /// `spec.template`: the pods that Tidegate makes on Kubernetes.
    pub template: Option<Template>,
    /// `spec.endpoints`: where replicas are that somebody else starts.
    pub endpoints: Option<Endpoints>,
    /// `spec.paused`: whether the number of replicas is left alone, on Kubernetes, and a rollout at its step.
    pub paused: bool,
    /// `spec.port`: the model's port. Without it each local replica gets a free one.
    pub port: Option<NonZeroU16>,
    /// `spec.concurrency`: how much one replica takes.
    pub concurrency: Concurrency,
    /// `spec.timeouts`.
    pub timeouts: Timeouts,
    /// `spec.readiness`: when the model can serve.
    pub readiness: Readiness,
    /// `spec.routes`: which requests are this API's; empty for one that only a split leads to.
    pub routes: Vec<Route>,
    /// `spec.traffic`: the APIs that its requests are split among. Such an API has no replicas.
    pub traffic: Option<Traffic>,
    /// `spec.rollout`: how one of them takes over. Only with `traffic`.
    pub rollout: Option<Rollout>,
    /// `spec.openai`: which models of OpenAI's API it serves, if it is one.
    pub openai: Option<OpenAi>,
    /// `spec.access`: who may use it, and how much.
    pub access: Access,
    /// `spec.balancing`.
    pub balancing: Balancing,
    /// `spec.coldStart`: what is done for requests while the API comes up from zero.
    pub cold_start: ColdStart,
    /// `spec.sidecar`: what each replica's sidecar does beside its work.
    pub sidecar: Sidecar,
    /// `spec.rollingUpdate`: how replicas are exchanged.
    pub rolling_update: RollingUpdate,
    /// `spec.autoscaling`.
    pub autoscaling: Autoscaling,
}

/// How one replica's model process is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The program and its arguments; `{port}` stands for the port to listen on.
    pub command: Vec<String>,
    /// Variables added to the environment; `{port}` is replaced here too.
    pub env: BTreeMap<String, String>,
    /// Where the command runs: absolute; by default the document's own folder.
    pub working_dir: PathBuf,
    /// A Python virtual environment to prepare and to put first on `PATH`.
    pub python: Option<Python>,
}

/// A Python virtual environment for the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    /// A requirements file with hashes, absolute.
    pub requirements: PathBuf,
}

/// How much one replica takes at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concurrency {
    /// Requests running at the model at once.
    pub limit: NonZeroU32,
    /// Requests waiting at once; 0 refuses what can't run at once.
    pub queue_capacity: u32,
    /// Bytes of request bodies held for waiting requests.
    pub queue_bytes: u64,
    /// The longest wait.
    pub queue_timeout: Duration,
}

/// The clocks on one request. `None` is off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// From dispatch to the response head.
    pub first_byte: Option<Duration>,
    /// Between two parts of a stream.
    pub idle: Option<Duration>,
    /// From arrival to the end.
    pub total: Option<Duration>,
    /// The longest a request is held while its API comes up from zero.
    pub cold_start: Duration,
}

/// How a replica is known to be able to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// What is asked.
    pub probe: Probe,
    /// Between two probes, once it was ready.
    pub period: Duration,
    /// The longest one probe may take.
    pub timeout: Duration,
    /// Probes that must fail in a row before a ready replica counts as unready.
    pub failure_threshold: NonZeroU32,
    /// The longest a replica may take to be ready for the first time.
    pub start_timeout: Duration,
}

/// What a readiness probe asks of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// `GET path`; ready is a status from 200 to 399.
    HttpGet {
        /// Begins with `/`.
        path: String,
    },
    /// A connection can be made.
    TcpSocket,
    /// `grpc.health.v1.Health/Check` answers `SERVING`.
    Grpc {
        /// The service asked for; empty is the server as a whole.
        service: String,
    },
    /// The command ends with code 0.
    Exec {
        /// Program and arguments. Not empty.
        command: Vec<String>,
    },
}

/// How many replicas there should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Autoscaling {
    /// 0 lets the API sleep.
    pub min_replicas: u32,
    /// At least 1 and at least `min_replicas`.
    pub max_replicas: u32,
    /// The rule that decides between the two.
    pub policy: Policy,
    /// Times at which `min_replicas` is larger. None asks for more than `max_replicas`.
    pub schedules: Vec<Schedule>,
}

/// A scaling rule with its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum Policy {
    /// In-flight requests a replica, over a stable and a panic window.
    Concurrency(ConcurrencyPolicy),
    /// Cortex's rule.
    Cortex(CortexPolicy),
    /// Ray Serve's rule.
    Ray(RayPolicy),
    /// The fewest replicas whose predicted queue wait meets an objective.
    Slo(SloPolicy),
    /// A number from elsewhere, divided by what a replica takes of it.
    Metric(MetricPolicy),
}

/// Settings of the `concurrency` policy, with the meaning they have in Knative's autoscaler.
#[derive(Debug, Clone, PartialEq)]
pub struct ConcurrencyPolicy {
    /// In-flight requests a replica is meant for; by default the concurrency limit.
    pub target: f64,
    /// The share of `target` that is aimed at, in (0, 1].
    pub utilization: f64,
    /// The window that decides in calm.
    pub stable_window: Duration,
    /// The window that decides in a burst.
    pub panic_window: Duration,
    /// A burst is when the panic window wants this many times what is ready.
    pub panic_threshold: f64,
    /// The most a tick may multiply the replicas by.
    pub max_scale_up_rate: f64,
    /// The most a tick may divide the replicas by.
    pub max_scale_down_rate: f64,
    /// How long fewer replicas must have been enough before some go.
    pub scale_down_delay: Duration,
    /// The least number of replicas an API wakes with.
    pub activation_replicas: u32,
    /// How long the last replica stays after the rule says zero.
    pub scale_to_zero_grace: Duration,
    /// How long the last replica stays after its last request at the least.
    pub last_replica_retention: Duration,
}

/// Settings of the `cortex` policy, with the meaning they have in Cortex.
#[derive(Debug, Clone, PartialEq)]
pub struct CortexPolicy {
    /// In-flight requests a replica is meant for; by default the concurrency limit.
    pub target_in_flight: f64,
    /// The window that is averaged over.
    pub window: Duration,
    /// How long more must have been wanted before some come.
    pub upscale_stabilization_period: Duration,
    /// How long fewer must have been wanted before some go.
    pub downscale_stabilization_period: Duration,
    /// The most a tick may multiply the replicas by, above 1.
    pub max_upscale_factor: f64,
    /// The least a tick may multiply the replicas by, in [0, 1).
    pub max_downscale_factor: f64,
    /// The dead band above what the replicas are meant for.
    pub upscale_tolerance: f64,
    /// The dead band below what the replicas are meant for, in [0, 1).
    pub downscale_tolerance: f64,
}

/// Settings of the `ray` policy, with the meaning they have in Ray Serve.
#[derive(Debug, Clone, PartialEq)]
pub struct RayPolicy {
    /// Ongoing requests a replica is meant for.
    pub target_ongoing_requests: f64,
    /// How long more must be wanted without a break.
    pub upscale_delay: Duration,
    /// How long fewer must be wanted without a break.
    pub downscale_delay: Duration,
    /// The same for the last replica; by default `downscale_delay`.
    pub downscale_to_zero_delay: Duration,
    /// The share of an increase that is made.
    pub upscaling_factor: f64,
    /// The share of a decrease that is made.
    pub downscaling_factor: f64,
    /// The window that is averaged over.
    pub look_back_period: Duration,
}

/// Settings of the `slo` policy: `percentile` of the requests wait at most `queue_wait`.
#[derive(Debug, Clone, PartialEq)]
pub struct SloPolicy {
    /// The longest wait that is in time.
    pub queue_wait: Duration,
    /// The share of requests that must be in time, in [0.5, 1).
    pub percentile: f64,
    /// How long a replica takes to start, until one has been seen to.
    pub cold_start: Duration,
}

/// Settings of the `metric` policy.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricPolicy {
    /// Where the number comes from.
    pub source: MetricSource,
    /// How much of it one replica takes, above 0.
    pub target: f64,
    /// The dead band around what the replicas are meant for, in [0, 1).
    pub tolerance: f64,
    /// How long fewer replicas must have been enough before some go.
    pub scale_down_delay: Duration,
    /// Between two readings.
    pub period: Duration,
    /// How old a reading may be to count; at least `period`.
    pub stale_after: Duration,
}

/// Where the `metric` policy's number comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricSource {
    /// A Prometheus query, answered with the total over all replicas.
    Query {
        /// In PromQL.
        query: String,
        /// `http://host:port`, perhaps with a path; nothing where the autoscaler's flag says it.
        prometheus: Option<String>,
    },
    /// A series that each replica's model serves itself.
    Pod {
        /// The metric's name.
        name: String,
        /// Labels that the series has.
        labels: BTreeMap<String, String>,
        /// Begins with `/`.
        path: String,
    },
}
