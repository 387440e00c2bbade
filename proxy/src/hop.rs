//! Who is at the other end of a client's connection, and whether its word about others counts.

use crate::identity::Sampling;
use bytes::Bytes;
use http::Version;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;

/// The networks of hops that are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedHops(pub Vec<IpNet>);

/// Which headers tell the next hop of the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedHeaders {
    /// `X-Forwarded-For`, `-Proto`, `-Host`, `Forwarded` and `Via`.
    #[default]
    All,
    /// `X-Forwarded-For`, `-Proto` and `-Host`.
    XForwarded,
    /// None.
    Off,
}

/// Whether connections begin with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProxyProtocol {
    /// None does.
    #[default]
    Off,
    /// Those of trusted hops may.
    Optional,
    /// All do, and they come from trusted hops.
    Required,
}

/// How the hops around are dealt with.
#[derive(Debug, Clone, Default)]
pub struct HopSettings {
    /// Who is believed.
    pub trusted: TrustedHops,
    /// What the next one is told.
    pub forwarded: ForwardedHeaders,
    /// Which traces that begin here are to be recorded.
    pub sampling: Sampling,
    /// Whether balancers say whose connections they pass on.
    pub proxy_protocol: ProxyProtocol,
}

/// The other end of a client's connection. What each request needs of it is written once.
#[derive(Debug)]
pub struct Peer {
    /// Whether it is believed.
    pub trusted: bool,
    /// Its address as `X-Forwarded-For` has it.
    pub address: String,
    /// Its address as `Forwarded` has it.
    pub node: String,
    /// The version of TLS that it speaks, if it does.
    pub tls: Option<&'static str>,
    /// What tells the next hop of this one, written once.
    pub own_lines: OnceLock<OwnLines>,
}

/// The lines of a head that tell the next hop of this one, where no hop before says anything: the
/// same for all requests of a connection to one host.
#[derive(Debug)]
pub struct OwnLines {
    /// The protocol's version that the requests came in.
    pub version: Version,
    /// The host they asked.
    pub host: Box<[u8]>,
    /// The lines.
    pub lines: Bytes,
}

// === impl TrustedHops ===

impl TrustedHops {
    /// Nobody.
    pub const NONE: Self = Self(Vec::new());

    /// The other end of a connection from this address.
    pub fn peer(&self, address: IpAddr) -> Peer {
        // On a socket for both families an IPv4 address is wrapped in an IPv6 one.
        let address = address.to_canonical();
        Peer {
            trusted: self.0.iter().any(|network| network.contains(&address)),
            address: address.to_string(),
            node: node(address),
            tls: None,
            own_lines: OnceLock::new(),
        }
    }
}

// === impl Peer ===

impl Peer {
    /// What it speaks to this hop.
    pub fn proto(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

impl Default for TrustedHops {
    /// This machine: in a pod, what shares it.
    fn default() -> Self {
        let all_of_127 = ipnet::Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
        Self(vec![all_of_127.into(), IpAddr::from(Ipv6Addr::LOCALHOST).into()])
    }
}

/// RFC 7239 section 6: an IPv6 address stands in brackets, and so in quotes.
pub fn node(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_believed() {
        let cluster = TrustedHops(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        for (address, local, in_cluster) in [
            ("127.0.0.1", true, false),
            ("127.3.2.1", true, false),
            ("::1", true, false),
            ("::ffff:127.0.0.1", true, false),
            ("10.1.2.3", false, true),
            ("::ffff:10.1.2.3", false, true),
            ("fd00::1", false, true),
            ("11.0.0.1", false, false),
            ("::2", false, false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(TrustedHops::default().peer(address).trusted, local, "{address}");
            assert_eq!(cluster.peer(address).trusted, in_cluster, "{address}");
            assert!(!TrustedHops::NONE.peer(address).trusted);
        }
    }

    #[test]
    fn addresses_as_headers_have_them() {
        for (address, plain, node) in [
            ("10.1.2.3", "10.1.2.3", "10.1.2.3"),
            ("::ffff:10.1.2.3", "10.1.2.3", "10.1.2.3"),
            ("fd00::1", "fd00::1", "\"[fd00::1]\""),
        ] {
            let peer = TrustedHops::NONE.peer(address.parse().unwrap());
            assert_eq!((peer.address.as_str(), peer.node.as_str()), (plain, node));
        }
    }
}
