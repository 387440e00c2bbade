//! Flags about the hops around: who is believed, and what the next one is told.

use super::value::share;
use crate::hop::{ForwardedHeaders, HopSettings, ProxyProtocol, TrustedHops};
use crate::identity::Sampling;
use clap::{Args, ValueEnum};
use ipnet::IpNet;
use std::net::IpAddr;

/// What `--trusted-hops` says for nobody.
const NOBODY: &str = "none";

/// Flags about the hops around.
#[derive(Debug, Clone, Args)]
pub(crate) struct HopArgs {
    /// Networks of proxies whose word about earlier hops is kept and added to (X-Forwarded-*,
    /// Forwarded), and that may ask for the load (endpoint-load-metrics); `none` for nobody.
    /// By default this machine. A sidecar behind a gateway elsewhere wants the gateway's network
    #[arg(long, env = "TIDEGATE_TRUSTED_HOPS", default_value = "127.0.0.0/8,::1", value_parser = trusted_hops, value_name = "CIDR,...")]
    trusted_hops: TrustedHops,
    /// What the next hop is told of the ones before. all: X-Forwarded-For, -Proto and -Host,
    /// Forwarded and Via; x-forwarded: the first three; off: nothing
    #[arg(long, env = "TIDEGATE_FORWARDED_HEADERS", default_value = "all", value_name = "WHICH")]
    forwarded_headers: ForwardedArg,
    /// The share of traces that is marked as sampled, of those that begin here because a request
    /// has no traceparent
    #[arg(long, env = "TIDEGATE_TRACE_SAMPLING", default_value = "1", value_parser = share, value_name = "0..1")]
    trace_sampling: f64,
    /// Whether connections begin with a header of the PROXY protocol (version 1 or 2), in which a
    /// balancer says whose they are. Read of --trusted-hops only. optional: those of trusted hops
    /// may; required: others are closed
    #[arg(long, env = "TIDEGATE_PROXY_PROTOCOL", default_value = "off", value_name = "WHICH")]
    proxy_protocol: ProxyProtocolArg,
}

/// `--proxy-protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProxyProtocolArg {
    Off,
    Optional,
    Required,
}

/// `--forwarded-headers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ForwardedArg {
    All,
    XForwarded,
    Off,
}

// === impl HopArgs ===

impl HopArgs {
    pub(super) fn settings(&self) -> HopSettings {
        HopSettings {
            trusted: self.trusted_hops.clone(),
            forwarded: match self.forwarded_headers {
                ForwardedArg::All => ForwardedHeaders::All,
                ForwardedArg::XForwarded => ForwardedHeaders::XForwarded,
                ForwardedArg::Off => ForwardedHeaders::Off,
            },
            sampling: Sampling::share(self.trace_sampling),
            proxy_protocol: match self.proxy_protocol {
                ProxyProtocolArg::Off => ProxyProtocol::Off,
                ProxyProtocolArg::Optional => ProxyProtocol::Optional,
                ProxyProtocolArg::Required => ProxyProtocol::Required,
            },
        }
    }
}

fn trusted_hops(text: &str) -> Result<TrustedHops, String> {
    if text == NOBODY {
        return Ok(TrustedHops::NONE);
    }
    let network = |text: &str| {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| {
            format!("`{text}` is no network: must be such as 10.0.0.0/8, 192.0.2.1 or fd00::/8")
        })
    };
    text.split(',').map(str::trim).map(network).collect::<Result<_, _>>().map(TrustedHops)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        assert_eq!(trusted_hops("127.0.0.0/8,::1"), Ok(TrustedHops::default()));
        assert_eq!(trusted_hops("none"), Ok(TrustedHops::NONE));
        let two = trusted_hops("10.0.0.0/8, fd00::/8").unwrap();
        assert_eq!(two.0.len(), 2);
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "localhost", "10.0.0.1,", "none,10.0.0.1"] {
            assert!(trusted_hops(wrong).is_err(), "{wrong}");
        }
    }
}
