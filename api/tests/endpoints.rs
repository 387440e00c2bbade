//! `spec.endpoints`: its values arrive, and its mistakes are named.

use crate::MINIMAL;
use std::path::Path;
use std::time::Duration;
use tidegate_api::document::{DnsName, Endpoints, EndpointsAt};
use tidegate_api::{Report, parse};

/// Without a container: somebody else starts them.
fn read(endpoints: &str) -> Result<Option<Endpoints>, Report> {
    let container = "container: {command: [python, app.py, --port, '{port}']}";
    let text = MINIMAL.replace(container, &format!("endpoints: {endpoints}"));
    parse(&text, "app.yaml", Path::new("/apps")).map(|mut apis| apis.remove(0).endpoints)
}

#[test]
fn addresses_and_names_arrive() {
    let addresses = |text: &[&str]| {
        EndpointsAt::Addresses(text.iter().map(|address| address.parse().unwrap()).collect())
    };
    let dns = |seconds| {
        let (name, port) = ("models.test".to_owned(), 8012.try_into().unwrap());
        EndpointsAt::Dns(DnsName { name, port, period: Duration::from_secs(seconds) })
    };
    for (text, at, admin_port) in [
        (
            "{addresses: ['127.0.0.1:80', '[::1]:80']}",
            addresses(&["127.0.0.1:80", "[::1]:80"]),
            None,
        ),
        ("{dns: {name: Models.test, port: 8012}, adminPort: 8022}", dns(5), Some(8022)),
        ("{dns: {name: models.test, port: 8012, period: 1m}}", dns(60), None),
    ] {
        let admin_port = admin_port.map(|port: u16| port.try_into().unwrap());
        assert_eq!(read(text).expect(text), Some(Endpoints { at, admin_port }), "{text}");
    }
}

#[test]
fn mistakes_are_named() {
    for (text, path, must) in [
        ("{}", "spec.endpoints", "has none of `addresses` and `dns`"),
        (
            "{addresses: ['127.0.0.1:80'], dns: {name: a.b, port: 80}}",
            "spec.endpoints",
            "has both of `addresses` and `dns`",
        ),
        ("{addresses: []}", "spec.endpoints.addresses", "from 1 to 1000 addresses"),
        ("{addresses: ['a.b:80']}", "spec.endpoints.addresses[0]", "names go to `dns`"),
        ("{addresses: ['127.0.0.1']}", "spec.endpoints.addresses[0]", "with a port"),
        ("{addresses: ['127.0.0.1:0']}", "spec.endpoints.addresses[0]", "a port from 1 on"),
        ("{addresses: ['[::1]:1', '[::1]:1']}", "spec.endpoints.addresses[1]", "another address"),
        ("{dns: {name: '*.a', port: 80}}", "spec.endpoints.dns.name", "a host name"),
        ("{dns: {name: a.b}}", "spec.endpoints.dns.port", "is missing"),
        ("{dns: {name: a.b, port: 80, period: 1ms}}", "spec.endpoints.dns.period", "from 100ms"),
    ] {
        let report = read(text).expect_err(text).to_string();
        assert!(report.contains(path) && report.contains(must), "{text}: {report}");
    }
}
