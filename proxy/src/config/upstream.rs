//! Flags that say where the model is, how it is spoken to, and how long that may take.

use super::value::{duration, from_one, unless_zero};
use crate::forward::Timeouts;
use crate::health::Schedule;
use crate::probe::Probe;
use crate::rewrite::UpstreamProtocol;
use crate::socket::Address;
use clap::Args;
use std::num::NonZeroU32;
use std::time::Duration;

/// The model's flags.
#[derive(Debug, Clone, Args)]
pub(crate) struct UpstreamArgs {
    /// Where the model listens: IP:PORT, localhost:PORT (by IPv4 or IPv6), or unix:/PATH
    #[arg(long, env = "TIDEGATE_UPSTREAM", default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub(crate) upstream: Address,
    /// What the model is spoken to in. auto: gRPC in HTTP/2 (h2c, with prior knowledge), other
    /// requests as they came, and in HTTP/1.1 if the model speaks no HTTP/2
    #[arg(
        long,
        env = "TIDEGATE_UPSTREAM_PROTOCOL",
        default_value = "auto",
        value_name = "PROTOCOL"
    )]
    pub(crate) upstream_protocol: UpstreamProtocol,
    /// The longest from dispatch, or from the last part of a body that is passed on as it comes, to the
    /// response head; 0s is off
    #[arg(long, env = "TIDEGATE_FIRST_BYTE_TIMEOUT", default_value = "300s", value_parser = duration, value_name = "TIME")]
    pub(crate) first_byte_timeout: Duration,
    /// The longest between two parts of a stream; 0s is off
    #[arg(long, env = "TIDEGATE_IDLE_TIMEOUT", default_value = "300s", value_parser = duration, value_name = "TIME")]
    pub(crate) idle_timeout: Duration,
    /// The longest from arrival to the end; 0s is off
    #[arg(long, env = "TIDEGATE_REQUEST_TIMEOUT", default_value = "0s", value_parser = duration, value_name = "TIME")]
    pub(crate) request_timeout: Duration,
    /// When the model counts as ready: tcp, none, http:/PATH, grpc:SERVICE or exec:["COMMAND","ARG"]
    #[arg(long, env = "TIDEGATE_READINESS", default_value = "tcp", value_name = "PROBE")]
    pub(crate) readiness: Probe,
    /// Between two probes of a ready model; one that is not ready is asked every 25 ms
    #[arg(long, env = "TIDEGATE_READINESS_PERIOD", default_value = "1s", value_parser = duration, value_name = "TIME")]
    pub(crate) readiness_period: Duration,
    /// The longest one probe may take
    #[arg(long, env = "TIDEGATE_READINESS_TIMEOUT", default_value = "1s", value_parser = duration, value_name = "TIME")]
    pub(crate) readiness_timeout: Duration,
    /// Probes that fail in a row before a ready model counts as unready
    #[arg(long, env = "TIDEGATE_READINESS_FAILURES", default_value = "3", value_parser = from_one::<NonZeroU32>, value_name = "N")]
    pub(crate) readiness_failures: NonZeroU32,
}

// === impl UpstreamArgs ===

impl UpstreamArgs {
    /// `start` is how long a request waits for a model that has not started yet.
    pub(super) fn timeouts(&self, start: Duration) -> Timeouts {
        Timeouts {
            first_byte: unless_zero(self.first_byte_timeout),
            idle: unless_zero(self.idle_timeout),
            total: unless_zero(self.request_timeout),
            start,
        }
    }

    pub(super) fn readiness(&self) -> Schedule {
        Schedule {
            probe: self.readiness.clone(),
            period: self.readiness_period,
            timeout: self.readiness_timeout,
            failure_threshold: self.readiness_failures.get(),
        }
    }
}
