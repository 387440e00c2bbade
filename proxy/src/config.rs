//! Flags and their environment variables, and the checked settings made of them.

pub mod file;
mod value;

use crate::classify::{ClassifySettings, Cost};
use crate::forward::Timeouts;
use crate::gate::{GateSettings, LiveSettings};
use crate::guard::HttpLimits;
use crate::health::Schedule;
use crate::policy::admission::Rules;
use crate::policy::limit::Limit;
use crate::policy::overload::QueueOrder;
use crate::policy::queue::QueueLimits;
use crate::policy::route::Rule;
use crate::probe::Probe;
use clap::{Args, ValueEnum};
use http::HeaderName;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;
use tidegate_api::document::InferenceApi;
use value::{cost, duration, head_size, limit, positive_duration, size, unless_zero, weight};

/// Flags of `sidecar`.
#[derive(Debug, Clone, Args)]
pub struct SidecarArgs {
    /// Where requests are taken
    #[arg(long, env = "TIDEGATE_LISTEN", default_value = "0.0.0.0:8012", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Where /healthz, /readyz and /metrics are
    #[arg(long, env = "TIDEGATE_ADMIN", default_value = "0.0.0.0:8022", value_name = "ADDR")]
    pub admin: SocketAddr,
    /// Where the model listens
    #[arg(long, env = "TIDEGATE_UPSTREAM", default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub upstream: SocketAddr,
    /// How many requests the model is given at once. 1 is safe for a model that handles one at a
    /// time; a server that batches, or has several workers, wants as many as it can use. `auto`
    /// finds the number by measuring, from 1 to 200 or within auto:MIN-MAX
    #[arg(long, env = "TIDEGATE_CONCURRENCY", default_value = "1", value_parser = limit, value_name = "N|auto[:MIN-MAX]")]
    pub concurrency: Limit,
    /// What a request costs: what a header that a trusted hop sets says (header:NAME), or
    /// openai-tokens: its prompt's bytes / 4 plus its max_tokens
    #[arg(long, env = "TIDEGATE_COST", requires = "cost_budget", value_parser = cost, value_name = "header:NAME|openai-tokens")]
    pub cost: Option<Cost>,
    /// How much the requests that run may cost together; one that is dearer runs alone. Counts
    /// beside --concurrency, which should then be high
    #[arg(long, env = "TIDEGATE_COST_BUDGET", requires = "cost", value_name = "N")]
    pub cost_budget: Option<NonZeroU64>,
    /// A YAML or JSON file of settings that are followed as it changes, and read again on SIGHUP:
    /// concurrency, cost-budget, queue-capacity, queue-bytes, queue-timeout. What is in it counts
    /// instead of the flag
    #[arg(long, env = "TIDEGATE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How many requests may wait; 0 refuses what can't run at once
    #[arg(long, env = "TIDEGATE_QUEUE_CAPACITY", default_value = "100", value_name = "N")]
    pub queue_capacity: u32,
    /// How many bytes of request bodies may be held for waiting requests
    #[arg(long, env = "TIDEGATE_QUEUE_BYTES", default_value = "64MiB", value_parser = size, value_name = "SIZE")]
    pub queue_bytes: u64,
    /// The longest a request waits
    #[arg(long, env = "TIDEGATE_QUEUE_TIMEOUT", default_value = "30s", value_parser = duration, value_name = "TIME")]
    pub queue_timeout: Duration,
    /// The longest from dispatch to the response head; 0s is off
    #[arg(long, env = "TIDEGATE_FIRST_BYTE_TIMEOUT", default_value = "300s", value_parser = duration, value_name = "TIME")]
    pub first_byte_timeout: Duration,
    /// The longest between two parts of a stream; 0s is off
    #[arg(long, env = "TIDEGATE_IDLE_TIMEOUT", default_value = "300s", value_parser = duration, value_name = "TIME")]
    pub idle_timeout: Duration,
    /// The longest from arrival to the end; 0s is off
    #[arg(long, env = "TIDEGATE_REQUEST_TIMEOUT", default_value = "0s", value_parser = duration, value_name = "TIME")]
    pub request_timeout: Duration,
    /// When the model counts as ready: tcp, none, http:/PATH, grpc:SERVICE or exec:["COMMAND","ARG"]
    #[arg(long, env = "TIDEGATE_READINESS", default_value = "tcp", value_name = "PROBE")]
    pub readiness: Probe,
    /// Between two probes of a ready model; one that is not ready is asked every 25 ms
    #[arg(long, env = "TIDEGATE_READINESS_PERIOD", default_value = "1s", value_parser = duration, value_name = "TIME")]
    pub readiness_period: Duration,
    /// The longest one probe may take
    #[arg(long, env = "TIDEGATE_READINESS_TIMEOUT", default_value = "1s", value_parser = duration, value_name = "TIME")]
    pub readiness_timeout: Duration,
    /// Probes that fail in a row before a ready model counts as unready
    #[arg(long, env = "TIDEGATE_READINESS_FAILURES", default_value = "3", value_name = "N")]
    pub readiness_failures: NonZeroU32,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// Flags of `gateway`.
#[derive(Debug, Clone, Args)]
pub struct GatewayArgs {
    /// The InferenceApi documents to serve: names, routes, queues, timeouts
    #[arg(long, env = "TIDEGATE_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
    /// Where requests are taken
    #[arg(long, env = "TIDEGATE_LISTEN", default_value = "0.0.0.0:8080", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Where /healthz, /readyz and /metrics are
    #[arg(long, env = "TIDEGATE_ADMIN", default_value = "0.0.0.0:8081", value_name = "ADDR")]
    pub admin: SocketAddr,
    /// The file, kept by the autoscaler, that says where each API's replicas listen; followed as it
    /// changes
    #[arg(long, env = "TIDEGATE_ENDPOINTS", value_name = "FILE")]
    pub endpoints: PathBuf,
    /// The autoscaler's admin address, to wake an API at zero at once
    #[arg(long, env = "TIDEGATE_WAKE", value_name = "ADDR")]
    pub wake: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// Flags that both have.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArgs {
    /// Let requests say how urgent they are: x-tidegate-priority: critical, standard or sheddable.
    /// Only where every client may be believed
    #[arg(long, env = "TIDEGATE_TRUST_PRIORITY")]
    pub(crate) trust_priority: bool,
    /// The header that names a request's tenant, such as x-tenant or authorization. Tenants share
    /// what there is fairly, by the time that their requests run; without it all are one
    #[arg(long, env = "TIDEGATE_TENANT_HEADER", value_name = "HEADER")]
    pub(crate) tenant_header: Option<HeaderName>,
    /// Shares of tenants, such as gold=4,silver=2; every other has 1
    #[arg(long, env = "TIDEGATE_TENANT_WEIGHTS", value_delimiter = ',', value_parser = weight, requires = "tenant_header", value_name = "TENANT=N")]
    pub(crate) tenant_weights: Vec<(String, u32)>,
    /// In which order one tenant's requests are served. lifo-on-overload: the newest first while
    /// the oldest has waited for longer than --overload-after, for as long again
    #[arg(long, env = "TIDEGATE_QUEUE_ORDER", default_value = "fifo", value_name = "ORDER")]
    pub(crate) queue_order: QueueOrderArg,
    /// The wait that is no overload yet
    #[arg(long, env = "TIDEGATE_OVERLOAD_AFTER", default_value = "1s", value_parser = positive_duration, value_name = "TIME")]
    pub(crate) overload_after: Duration,
    /// The largest request body
    #[arg(long, env = "TIDEGATE_MAX_BODY", default_value = "1GiB", value_parser = size, value_name = "SIZE")]
    pub(crate) max_body: u64,
    /// The largest request head
    #[arg(long, env = "TIDEGATE_MAX_HEADER", default_value = "64KiB", value_parser = head_size, value_name = "SIZE")]
    pub(crate) max_header: u64,
    /// How long a request head may take
    #[arg(long, env = "TIDEGATE_HEADER_TIMEOUT", default_value = "10s", value_parser = positive_duration, value_name = "TIME")]
    pub(crate) header_timeout: Duration,
    /// How long a request's body may stall
    #[arg(long, env = "TIDEGATE_BODY_TIMEOUT", default_value = "60s", value_parser = positive_duration, value_name = "TIME")]
    pub(crate) body_timeout: Duration,
    /// How long a client's connection may be quiet between two requests
    #[arg(long, env = "TIDEGATE_KEEP_ALIVE_TIMEOUT", default_value = "300s", value_parser = positive_duration, value_name = "TIME")]
    pub(crate) keep_alive_timeout: Duration,
    /// How much of a request's body is read before it is queued. What is wholly here can be sent
    /// to another replica, and its client's leaving is seen while it waits
    #[arg(long, env = "TIDEGATE_READ_AHEAD", default_value = "64KiB", value_parser = size, value_name = "SIZE")]
    pub(crate) read_ahead: u64,
    /// Worker threads; by default 1 in a sidecar and one for each core in a gateway
    #[arg(long, env = "TIDEGATE_WORKERS", value_name = "N")]
    pub(crate) workers: Option<NonZeroUsize>,
    /// After SIGTERM: how long to be unready but still serve, so that senders have time to leave
    #[arg(long, env = "TIDEGATE_DRAIN_DELAY", default_value = "5s", value_parser = duration, value_name = "TIME")]
    pub(crate) drain_delay: Duration,
    /// After the delay: how long queued and running requests have to finish
    #[arg(long, env = "TIDEGATE_DRAIN_TIMEOUT", default_value = "60s", value_parser = duration, value_name = "TIME")]
    pub(crate) drain_timeout: Duration,
    /// What is logged to stderr: off, error, warn, info, debug or trace
    #[arg(long, env = "TIDEGATE_LOG", default_value = "info", value_name = "LEVEL")]
    pub(crate) log: tracing::level_filters::LevelFilter,
}

/// `--queue-order`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueueOrderArg {
    /// First come, first served.
    Fifo,
    /// Newest first while the queue is late.
    LifoOnOverload,
}

/// A sidecar's settings.
#[derive(Debug, Clone)]
pub struct SidecarSettings {
    /// Where requests are taken.
    pub listen: SocketAddr,
    /// The admin port.
    pub admin: SocketAddr,
    /// Worker threads.
    pub workers: usize,
    /// The model.
    pub upstream: SocketAddr,
    /// How many run and wait, unless the file says otherwise.
    pub live: LiveSettings,
    /// The file of live settings.
    pub config: Option<PathBuf>,
    /// In which order one tenant's requests are served.
    pub order: QueueOrder,
    /// What is read from heads.
    pub classify: ClassifySettings,
    /// A request's clocks.
    pub timeouts: Timeouts,
    /// How the model is asked whether it is ready.
    pub readiness: Schedule,
    /// Sizes and times of HTTP.
    pub limits: HttpLimits,
    /// From SIGTERM to closing the listener.
    pub drain_delay: Duration,
    /// From there to cutting off.
    pub drain_timeout: Duration,
}

/// A gateway's settings.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// Where requests are taken.
    pub listen: SocketAddr,
    /// The admin port.
    pub admin: SocketAddr,
    /// Worker threads.
    pub workers: usize,
    /// The autoscaler's admin address.
    pub wake: Option<SocketAddr>,
    /// Where the endpoints are read from.
    pub endpoints_file: Option<PathBuf>,
    /// What is served.
    pub apis: Vec<GatewayApi>,
    /// In which order one tenant's requests are served.
    pub order: QueueOrder,
    /// What is read from heads.
    pub classify: ClassifySettings,
    /// From SIGTERM to closing the listener.
    pub drain_delay: Duration,
    /// From there to cutting off.
    pub drain_timeout: Duration,
    /// Sizes and times of HTTP.
    pub limits: HttpLimits,
}

/// One API as a gateway serves it.
#[derive(Debug, Clone)]
pub struct GatewayApi {
    /// Its name.
    pub name: String,
    /// Which requests are its own.
    pub rules: Vec<Rule>,
    /// How many may wait.
    pub queue: QueueLimits,
    /// For how long, while there are replicas.
    pub queue_timeout: Duration,
    /// For how long, while there are none.
    pub cold_start_timeout: Duration,
    /// A request's clocks.
    pub timeouts: Timeouts,
}

// === impl SidecarSettings ===

impl From<SidecarArgs> for SidecarSettings {
    fn from(args: SidecarArgs) -> Self {
        Self {
            listen: args.listen,
            admin: args.admin,
            workers: args.server.workers.map_or(1, NonZeroUsize::get),
            upstream: args.upstream,
            live: LiveSettings {
                limit: args.concurrency,
                queue: QueueLimits { capacity: args.queue_capacity, bytes: args.queue_bytes },
                queue_timeout: args.queue_timeout,
                budget: args.cost_budget.map(NonZeroU64::get),
            },
            config: args.config,
            order: args.server.order(),
            classify: ClassifySettings {
                cost: args.cost.unwrap_or_default(),
                ..args.server.classify()
            },
            timeouts: Timeouts {
                first_byte: unless_zero(args.first_byte_timeout),
                idle: unless_zero(args.idle_timeout),
                total: unless_zero(args.request_timeout),
            },
            readiness: Schedule {
                probe: args.readiness,
                period: args.readiness_period,
                timeout: args.readiness_timeout,
                failure_threshold: args.readiness_failures.get(),
            },
            limits: args.server.limits(),
            drain_delay: args.server.drain_delay,
            drain_timeout: args.server.drain_timeout,
        }
    }
}

impl SidecarSettings {
    /// How its gate works.
    pub fn gate(&self) -> GateSettings {
        GateSettings {
            rules: Rules { limits: self.live.queue, order: self.order, budget: self.live.budget },
            queue_timeout: self.live.queue_timeout,
            cold_start_timeout: self.live.queue_timeout,
        }
    }
}

// === impl GatewaySettings ===

impl GatewaySettings {
    /// The settings of these flags, to serve these APIs.
    pub fn new(args: GatewayArgs, apis: &[InferenceApi]) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            listen: args.listen,
            admin: args.admin,
            workers: args.server.workers.map_or(cores, NonZeroUsize::get),
            wake: args.wake,
            order: args.server.order(),
            classify: args.server.classify(),
            endpoints_file: Some(args.endpoints),
            apis: apis.iter().map(GatewayApi::from_document).collect(),
            limits: args.server.limits(),
            drain_delay: args.server.drain_delay,
            drain_timeout: args.server.drain_timeout,
        }
    }
}

// === impl GatewayApi ===

impl GatewayApi {
    /// One API of a document. The document bounds one replica's queue; the gateway holds what all
    /// replicas together might.
    pub fn from_document(api: &InferenceApi) -> Self {
        let replicas = api.autoscaling.max_replicas.max(1);
        let rule = |route: &tidegate_api::document::Route| Rule {
            host: route.host.clone(),
            path: route.path.clone(),
            strip_prefix: route.strip_prefix,
        };
        Self {
            name: api.name.clone(),
            rules: api.routes.iter().map(rule).collect(),
            queue: QueueLimits {
                capacity: api.concurrency.queue_capacity.saturating_mul(replicas),
                bytes: api.concurrency.queue_bytes.saturating_mul(u64::from(replicas)),
            },
            queue_timeout: api.concurrency.queue_timeout,
            cold_start_timeout: api.timeouts.cold_start,
            timeouts: Timeouts {
                first_byte: api.timeouts.first_byte,
                idle: api.timeouts.idle,
                total: api.timeouts.total,
            },
        }
    }
}

impl GatewayApi {
    /// How its gate works.
    pub fn gate(&self, order: QueueOrder) -> GateSettings {
        GateSettings {
            rules: Rules { limits: self.queue, order, budget: None },
            queue_timeout: self.queue_timeout,
            cold_start_timeout: self.cold_start_timeout,
        }
    }
}

// === impl ServerArgs ===

impl ServerArgs {
    fn order(&self) -> QueueOrder {
        match self.queue_order {
            QueueOrderArg::Fifo => QueueOrder::Fifo,
            QueueOrderArg::LifoOnOverload => {
                QueueOrder::LifoOnOverload { target: self.overload_after }
            }
        }
    }

    fn classify(&self) -> ClassifySettings {
        ClassifySettings {
            trust_priority: self.trust_priority,
            tenant_header: self.tenant_header.clone(),
            tenant_weights: self.tenant_weights.clone(),
            cost: Cost::One,
        }
    }

    fn limits(&self) -> HttpLimits {
        HttpLimits {
            // The parsers bound both to what a usize holds.
            max_head_bytes: usize::try_from(self.max_header).unwrap_or(usize::MAX),
            max_body_bytes: self.max_body,
            read_ahead_bytes: usize::try_from(self.read_ahead).unwrap_or(usize::MAX),
            header_timeout: self.header_timeout,
            body_timeout: self.body_timeout,
            keep_alive_timeout: self.keep_alive_timeout,
            ..HttpLimits::default()
        }
    }
}
