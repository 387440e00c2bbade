//! Flags that a sidecar and a gateway share.

use super::hops::HopArgs;
use super::tls::TlsArgs;
use super::value::{
    duration, from_one, head_size, header_name, log_level, positive_duration, selection, size,
    weight, workers,
};
use crate::access_log::Selection;
use crate::classify::{ClassifySettings, Cost};
use crate::drain::DrainSettings;
use crate::guard::HttpLimits;
use crate::listeners::ListenSettings;
use crate::policy::overload::QueueOrder;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use http::HeaderName;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// Flags that both have.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArgs {
    /// Let requests say how urgent they are: x-tidegate-priority: critical, standard or sheddable.
    /// Only where every client may be believed
    #[arg(long, env = "TIDEGATE_TRUST_PRIORITY")]
    pub(crate) trust_priority: bool,
    /// The header that names a request's tenant, such as x-tenant or authorization. Tenants share
    /// what there is fairly, by the time that their requests run; without it all are one
    #[arg(long, env = "TIDEGATE_TENANT_HEADER", value_parser = header_name, value_name = "HEADER")]
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
    /// How long a client may take nothing of its answer
    #[arg(long, env = "TIDEGATE_WRITE_TIMEOUT", default_value = "60s", value_parser = positive_duration, value_name = "TIME")]
    pub(crate) write_timeout: Duration,
    /// How long a client's connection may be quiet between two requests
    #[arg(long, env = "TIDEGATE_KEEP_ALIVE_TIMEOUT", default_value = "300s", value_parser = positive_duration, value_name = "TIME")]
    pub(crate) keep_alive_timeout: Duration,
    /// How many connections clients may hold, all workers together, and how many HTTP/2 streams on
    /// them; who comes then is told so
    #[arg(long, env = "TIDEGATE_MAX_CONNECTIONS", default_value = "10000", value_parser = from_one::<NonZeroUsize>, value_name = "N")]
    pub(crate) max_connections: NonZeroUsize,
    /// How much of a request's body is read before it is queued. What is wholly here can be sent
    /// to another replica, and its client's leaving is seen while it waits
    #[arg(long, env = "TIDEGATE_READ_AHEAD", default_value = "64KiB", value_parser = size, value_name = "SIZE")]
    pub(crate) read_ahead: u64,
    #[command(flatten)]
    pub(crate) hops: HopArgs,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// Worker threads; by default 1 in a sidecar and one for each core in a gateway
    #[arg(long, env = "TIDEGATE_WORKERS", value_parser = workers, value_name = "N")]
    pub(crate) workers: Option<NonZeroUsize>,
    /// A Unix socket at which a process that is started with the same path takes over from this one:
    /// it gets what this one listens on, and this one drains. No connection is refused or lost
    /// between them. The first process makes the socket
    #[arg(long, env = "TIDEGATE_TAKEOVER", value_name = "PATH")]
    pub(crate) takeover: Option<PathBuf>,
    /// After SIGTERM: how long to be unready but still serve, so that senders have time to leave
    #[arg(long, env = "TIDEGATE_DRAIN_DELAY", default_value = "5s", value_parser = duration, value_name = "TIME")]
    pub(crate) drain_delay: Duration,
    /// After the delay: how long queued and running requests have to finish
    #[arg(long, env = "TIDEGATE_DRAIN_TIMEOUT", default_value = "60s", value_parser = duration, value_name = "TIME")]
    pub(crate) drain_timeout: Duration,
    /// Opens /drain/TOKEN on the admin port: a GET of it drains as SIGTERM does, and is answered when
    /// no request is left. For a preStop hook of the model's container, whose end must wait for it
    #[arg(long, env = "TIDEGATE_DRAIN_TOKEN", hide_env_values = true, value_parser = NonEmptyStringValueParser::new(), value_name = "TOKEN")]
    pub(crate) drain_token: Option<String>,
    /// Which requests are logged, as lines of JSON on standard output: off, errors, sampled:SHARE
    /// such as sampled:0.01, or all
    #[arg(long, env = "TIDEGATE_ACCESS_LOG", default_value = "off", value_parser = selection, value_name = "WHICH")]
    pub(crate) access_log: Selection,
    /// Count the tokens of a language model's answers, streams and JSON: by what their `usage` says,
    /// else by the stream's chunks. openai: as OpenAI's API has them
    #[arg(long, env = "TIDEGATE_LLM", value_name = "API")]
    pub(crate) llm: Option<LlmArg>,
    /// What is logged to stderr: off, error, warn, info, debug, or trace with each HTTP/2 frame
    #[arg(long, env = "TIDEGATE_LOG", default_value = "info", value_parser = log_level, value_name = "LEVEL")]
    pub(crate) log: tracing::level_filters::LevelFilter,
}

/// `--llm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LlmArg {
    /// OpenAI's, and what is like it.
    Openai,
}

/// `--queue-order`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueueOrderArg {
    /// First come, first served.
    Fifo,
    /// Newest first while the queue is late.
    LifoOnOverload,
}

// === impl ServerArgs ===

impl ServerArgs {
    pub(super) fn listen(
        &self,
        data: SocketAddr,
        admin: SocketAddr,
        workers: usize,
    ) -> ListenSettings {
        let workers = self.workers.map_or(workers, NonZeroUsize::get);
        ListenSettings { data, admin, redirect: None, workers, takeover: self.takeover.clone() }
    }

    pub(super) fn drain(&self) -> DrainSettings {
        let (delay, timeout) = (self.drain_delay, self.drain_timeout);
        DrainSettings { delay, timeout, token: self.drain_token.clone() }
    }

    pub(super) fn order(&self) -> QueueOrder {
        match self.queue_order {
            QueueOrderArg::Fifo => QueueOrder::Fifo,
            QueueOrderArg::LifoOnOverload => {
                QueueOrder::LifoOnOverload { target: self.overload_after }
            }
        }
    }

    pub(super) fn classify(&self) -> ClassifySettings {
        ClassifySettings {
            trust_priority: self.trust_priority,
            tenant_header: self.tenant_header.clone(),
            tenant_weights: self.tenant_weights.clone(),
            cost: Cost::One,
        }
    }

    pub(super) fn limits(&self) -> HttpLimits {
        HttpLimits {
            // The parsers bound both to what a usize holds.
            max_head_bytes: usize::try_from(self.max_header).unwrap_or(usize::MAX),
            max_body_bytes: self.max_body,
            read_ahead_bytes: usize::try_from(self.read_ahead).unwrap_or(usize::MAX),
            header_timeout: self.header_timeout,
            body_timeout: self.body_timeout,
            write_timeout: self.write_timeout,
            keep_alive_timeout: self.keep_alive_timeout,
            max_connections: self.max_connections.get(),
            ..HttpLimits::default()
        }
    }
}
