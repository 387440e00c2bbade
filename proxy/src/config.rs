//! Flags and their environment variables, and the checked settings made of them.

mod api;
mod balancing;
#[cfg(feature = "kubernetes")]
mod cluster;
pub mod file;
mod given;
mod hops;
mod server;
pub(crate) mod shown;
mod split;
mod tls;
mod upstream;
mod value;
mod wake;

pub use api::GatewayApi;
#[cfg(feature = "kubernetes")]
pub use cluster::{ClusterArgs, ClusterSettings};
pub use given::{Given, Sourced};
pub(crate) use server::ServerArgs;
pub(crate) use upstream::UpstreamArgs;

use crate::access_log::Selection;
use crate::classify::{ClassifySettings, Cost};
use crate::drain::DrainSettings;
use crate::forward::Timeouts;
use crate::gate::{GateSettings, LiveSettings};
use crate::guard::HttpLimits;
use crate::health::Schedule;
use crate::hop::HopSettings;
use crate::listeners::{HTTPS_PORT, ListenSettings, RedirectSettings};
use crate::policy::admission::Rules;
use crate::policy::choice::Choice;
use crate::policy::ejection::EjectionRules;
use crate::policy::limit::Limit;
use crate::policy::overload::QueueOrder;
use crate::policy::queue::QueueLimits;
use crate::policy::retry_budget::RetryRules;
use crate::rewrite::UpstreamProtocol;
use crate::socket::Address;
use crate::tls::TlsSettings;
use crate::wake::WakeSettings;
use clap::Args;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;
use tls::EndpointTlsArgs;
use value::{address, cost, duration, from_one, from_zero, limit, port, size};
use wake::WakeArgs;

/// Without the feature `kubernetes` there is no cluster to follow.
#[cfg(not(feature = "kubernetes"))]
pub type ClusterSettings = std::convert::Infallible;

/// Flags of `sidecar`.
#[derive(Debug, Clone, Args)]
pub struct SidecarArgs {
    /// Where requests are taken. [::] is IPv4 and IPv6, as far as the machine has them
    #[arg(long, env = "TIDEGATE_LISTEN", default_value = "[::]:8012", value_parser = address, value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Where /healthz, /readyz, /metrics and /config are
    #[arg(long, env = "TIDEGATE_ADMIN", default_value = "[::]:8022", value_parser = address, value_name = "ADDR")]
    pub admin: SocketAddr,
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
    #[arg(long, env = "TIDEGATE_COST_BUDGET", requires = "cost", value_parser = from_one::<NonZeroU64>, value_name = "N")]
    pub cost_budget: Option<NonZeroU64>,
    /// A YAML or JSON file of settings that are followed as it changes, and read again on SIGHUP:
    /// concurrency, cost-budget, queue-capacity, queue-bytes, queue-timeout. What is in it counts
    /// instead of the flag
    #[arg(long, env = "TIDEGATE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How many requests may wait; 0 refuses what can't run at once
    #[arg(long, env = "TIDEGATE_QUEUE_CAPACITY", default_value = "100", value_parser = from_zero, value_name = "N")]
    pub queue_capacity: u32,
    /// How many bytes of request bodies may be held for waiting requests
    #[arg(long, env = "TIDEGATE_QUEUE_BYTES", default_value = "64MiB", value_parser = size, value_name = "SIZE")]
    pub queue_bytes: u64,
    /// The longest a request waits
    #[arg(long, env = "TIDEGATE_QUEUE_TIMEOUT", default_value = "30s", value_parser = duration, value_name = "TIME")]
    pub queue_timeout: Duration,
    #[command(flatten)]
    pub(crate) upstream: UpstreamArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// Flags of `gateway`.
#[derive(Debug, Clone, Args)]
pub struct GatewayArgs {
    /// The InferenceApi documents to serve: names, routes, queues, timeouts. Followed as the file
    /// changes, and read again on SIGHUP
    #[arg(long, env = "TIDEGATE_CONFIG", value_name = "FILE")]
    #[cfg_attr(feature = "kubernetes", arg(required_unless_present = "kubernetes"))]
    #[cfg_attr(not(feature = "kubernetes"), arg(required = true))]
    pub config: Option<PathBuf>,
    /// Where requests are taken. [::] is IPv4 and IPv6, as far as the machine has them
    #[arg(long, env = "TIDEGATE_LISTEN", default_value = "[::]:8080", value_parser = address, value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Where /healthz, /readyz, /metrics and /config are
    #[arg(long, env = "TIDEGATE_ADMIN", default_value = "[::]:8081", value_parser = address, value_name = "ADDR")]
    pub admin: SocketAddr,
    /// Where requests without TLS are sent on to https:// with their host and path (308), such as
    /// 0.0.0.0:80
    #[arg(long, env = "TIDEGATE_REDIRECT_LISTEN", value_parser = address, value_name = "ADDR")]
    pub redirect_listen: Option<SocketAddr>,
    /// The port that they are sent to
    #[arg(long, env = "TIDEGATE_REDIRECT_PORT", default_value_t = HTTPS_PORT, value_parser = port, value_name = "PORT")]
    pub redirect_port: NonZeroU16,
    /// The file, kept by the autoscaler, that says where each API's replicas listen; followed as it
    /// changes. Not needed where the documents say it themselves (spec.endpoints)
    #[arg(long, env = "TIDEGATE_ENDPOINTS", value_name = "FILE")]
    pub endpoints: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) wake: WakeArgs,
    #[command(flatten)]
    pub(crate) endpoint_tls: EndpointTlsArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    // Last, as its heading goes on to the end.
    #[cfg(feature = "kubernetes")]
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// A sidecar's settings.
#[derive(Debug, Clone)]
pub struct SidecarSettings {
    /// The flags, as its admin page shows them.
    pub given: Given,
    /// Where it listens.
    pub listen: ListenSettings,
    /// With whom it speaks TLS.
    pub tls: TlsSettings,
    /// The model.
    pub upstream: Address,
    /// How many run and wait, unless the file says otherwise.
    pub live: LiveSettings,
    /// The file of live settings.
    pub config: Option<PathBuf>,
    /// In which order one tenant's requests are served.
    pub order: QueueOrder,
    /// What is read from heads.
    pub classify: ClassifySettings,
    /// What the model is spoken to in.
    pub protocol: UpstreamProtocol,
    /// A request's clocks.
    pub timeouts: Timeouts,
    /// How the model is asked whether it is ready.
    pub readiness: Schedule,
    /// Sizes and times of HTTP.
    pub limits: HttpLimits,
    /// How the hops around are dealt with.
    pub hops: HopSettings,
    /// Which requests are logged.
    pub access_log: Selection,
    /// Whether answers are a language model's, whose tokens are counted.
    pub llm: bool,
    /// How it drains.
    pub drain: DrainSettings,
}

/// A gateway's settings.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// The flags, as its admin page shows them.
    pub given: Given,
    /// Where it listens.
    pub listen: ListenSettings,
    /// With whom it speaks TLS.
    pub tls: TlsSettings,
    /// The autoscaler.
    pub wake: Option<WakeSettings>,
    /// Where the endpoints are read from.
    pub endpoints_file: Option<PathBuf>,
    /// What is served.
    pub apis: Vec<GatewayApi>,
    /// The file that says so, with what was read of it; followed as it changes.
    pub documents: Option<(PathBuf, String)>,
    /// The cluster that says both, in place of files.
    pub cluster: Option<ClusterSettings>,
    /// In which order one tenant's requests are served.
    pub order: QueueOrder,
    /// What is read from heads.
    pub classify: ClassifySettings,
    /// How it drains.
    pub drain: DrainSettings,
    /// Sizes and times of HTTP.
    pub limits: HttpLimits,
    /// How the hops around are dealt with.
    pub hops: HopSettings,
    /// Which requests are logged.
    pub access_log: Selection,
    /// Whether answers are a language model's, whose tokens are counted.
    pub llm: bool,
}

// === impl SidecarSettings ===

impl From<Sourced<SidecarArgs>> for SidecarSettings {
    fn from(Sourced { args, given }: Sourced<SidecarArgs>) -> Self {
        Self {
            given,
            listen: args.server.listen(args.listen, args.admin, 1),
            tls: TlsSettings { clients: args.server.tls.settings(), endpoints: None },
            upstream: args.upstream.upstream.clone(),
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
            protocol: args.upstream.upstream_protocol,
            timeouts: args.upstream.timeouts(args.queue_timeout),
            readiness: args.upstream.readiness(),
            limits: args.server.limits(),
            hops: args.server.hops.settings(),
            access_log: args.server.access_log,
            llm: args.server.llm.is_some(),
            drain: args.server.drain(),
        }
    }
}

impl SidecarSettings {
    /// How its gate works.
    pub fn gate(&self) -> GateSettings {
        GateSettings {
            rules: Rules {
                limits: self.live.queue,
                order: self.order,
                budget: self.live.budget,
                choice: Choice::default(),
            },
            queue_timeout: self.live.queue_timeout,
            cold_start_timeout: self.live.queue_timeout,
            // Its one endpoint is never taken out, and there is no other.
            ejection: EjectionRules::default(),
            retries: RetryRules::default(),
            slow_start: Duration::ZERO,
            hedging: None,
        }
    }
}

// === impl GatewaySettings ===

impl GatewaySettings {
    /// The settings of these flags, to serve nothing yet.
    pub fn new(flags: Sourced<GatewayArgs>) -> Self {
        let Sourced { args, given } = flags;
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let port = args.redirect_port;
        let redirect = args.redirect_listen.map(|listen| RedirectSettings { listen, port });
        Self {
            given,
            listen: ListenSettings {
                redirect,
                ..args.server.listen(args.listen, args.admin, cores)
            },
            tls: TlsSettings {
                clients: args.server.tls.settings(),
                endpoints: args.endpoint_tls.settings(),
            },
            wake: args.wake.settings(),
            order: args.server.order(),
            classify: args.server.classify(),
            endpoints_file: args.endpoints,
            apis: Vec::new(),
            documents: None,
            cluster: None,
            limits: args.server.limits(),
            hops: args.server.hops.settings(),
            access_log: args.server.access_log,
            llm: args.server.llm.is_some(),
            drain: args.server.drain(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    /// In words that say what would be right.
    #[test]
    fn each_flag_says_what_it_must_be() {
        #[derive(clap::Parser)]
        enum Cli {
            Sidecar(SidecarArgs),
            Gateway(GatewayArgs),
        }
        for role in Cli::command().get_subcommands() {
            for argument in role.get_arguments().filter(|argument| !argument.is_hide_set()) {
                let Some(flag) =
                    argument.get_long().filter(|_| argument.get_action().takes_values())
                else {
                    continue;
                };
                let flag = format!("--{flag}=wr ong!");
                let parsed = Cli::command().try_get_matches_from(["cli", role.get_name(), &flag]);
                // Names, paths and texts may be anything.
                let Err(error) = parsed else { continue };
                if matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) {
                    let text = error.to_string();
                    assert!(text.contains("must be") || text.contains("possible values"), "{text}");
                }
            }
        }
    }
}
