//! Where an API's endpoints are, if its document says so.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

/// Where an API's endpoints are, beside those that an autoscaler tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// Where requests go.
    pub at: EndpointsAt,
    /// The port that says, on the same address, whether an endpoint can serve. Without one it can as
    /// soon as its own port takes connections.
    pub admin_port: Option<NonZeroU16>,
}

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointsAt {
    /// To these addresses. Not empty.
    Addresses(Vec<SocketAddr>),
    /// To all addresses of a name.
    Dns(DnsName),
}

/// A name with addresses that may change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DnsName {
    /// The name.
    pub name: String,
    /// The port, on each address.
    pub port: NonZeroU16,
    /// How often it is looked up.
    pub period: Duration,
}
