//! Where an API's endpoints are, if its document says so.

use super::{Check, word};
use crate::document::{DnsName, Endpoints, EndpointsAt};
use crate::key_path::KeyPath;
use crate::quantity::MAX_DURATION;
use crate::quote;
use crate::raw::{RawDns, RawEndpoints};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

/// The most addresses in one document: more are better told by a name.
const MAX_ADDRESSES: usize = 1000;
/// The shortest time between two look-ups: more often, and they are load for a name server.
const MIN_PERIOD: Duration = Duration::from_millis(100);

pub(super) fn check(raw: Option<RawEndpoints>, check: &mut Check<'_>) -> Option<Endpoints> {
    let RawEndpoints { addresses: listed, dns: named, admin_port } = raw?;
    let path = KeyPath::keys("spec.endpoints");
    if listed.is_some() == named.is_some() {
        let count = if listed.is_some() { "both of" } else { "none of" };
        check.wrong(&path, format!("has {count} `addresses` and `dns`"), "with one of them");
    }
    let at = match (listed, named) {
        (Some(listed), _) => EndpointsAt::Addresses(addresses(&listed, &path, check)),
        (None, named) => EndpointsAt::Dns(dns(named.unwrap_or_default(), &path, check)),
    };
    Some(Endpoints { at, admin_port: admin_port.and_then(NonZeroU16::new) })
}

fn addresses(listed: &[String], path: &KeyPath, check: &mut Check<'_>) -> Vec<SocketAddr> {
    let path = path.key("addresses");
    if listed.is_empty() || listed.len() > MAX_ADDRESSES {
        let must = format!("from 1 to {MAX_ADDRESSES} addresses");
        check.wrong(&path, format!("has {}", listed.len()), must);
    }
    let mut known: Vec<SocketAddr> = Vec::new();
    for (index, text) in listed.iter().enumerate().take(MAX_ADDRESSES) {
        let path = path.index(index);
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() == 0 => {
                check.wrong(&path, format!("is {}", quote::quoted(text)), "with a port from 1 on");
            }
            Ok(address) if known.contains(&address) => {
                check.wrong(&path, format!("is {address} again"), "another address");
            }
            Ok(address) => known.push(address),
            Err(_) => {
                let must = "an IP address with a port, such as `10.0.0.1:8012` or `[::1]:8012`; \
                            names go to `dns`";
                check.wrong(&path, format!("is {}", quote::quoted(text)), must);
            }
        }
    }
    known
}

fn dns(raw: RawDns, path: &KeyPath, check: &mut Check<'_>) -> DnsName {
    let name = raw.name.unwrap_or_default().to_ascii_lowercase();
    let is_name = |text: &str| word::is_host(text) && !text.starts_with('*');
    let must = "a host name without scheme, port or path, such as `models.example.com`";
    check.text(&path.key("dns").key("name"), &name, is_name, must);
    let period = "spec.endpoints.dns.period";
    DnsName {
        name,
        port: raw.port.and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN),
        period: check.duration(period, raw.period, MIN_PERIOD, MAX_DURATION),
    }
}
