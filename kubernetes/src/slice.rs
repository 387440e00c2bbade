//! EndpointSlices: the addresses behind a Service, as Kubernetes keeps them. Pure.

use k8s_openapi::api::discovery::v1::{Endpoint as EndpointObject, EndpointPort, EndpointSlice};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use tidegate_api::endpoints::{EndpointEntry, EndpointState};
use tidegate_api::names::port;

/// By it a slice says whose it is.
pub(crate) const SERVICE: &str = "kubernetes.io/service-name";

/// The name of a Service's port that leads to sidecars, where it has several and none is named so.
const HTTP: &str = "http";

/// Some of the addresses behind a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slice {
    /// The Service's name.
    pub(crate) service: String,
    endpoints: Vec<Endpoint>,
}

/// A pod behind a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Endpoint {
    id: String,
    traffic: SocketAddr,
    /// The sidecar's admin port, where the Service names it.
    admin: Option<SocketAddr>,
    /// Whether its readiness probes pass.
    is_ready: bool,
    is_leaving: bool,
}

impl Slice {
    /// Of a slice's object; nothing of one that belongs to no Service.
    pub(crate) fn of(object: EndpointSlice) -> Option<Self> {
        let service = object.metadata.labels?.remove(SERVICE)?;
        let ports = object.ports.unwrap_or_default();
        let (admin, traffic) = (admin(&ports), traffic(&ports));
        let endpoint = |endpoint| Endpoint::of(endpoint, traffic?, admin);
        Some(Self {
            service,
            endpoints: object.endpoints.into_iter().filter_map(endpoint).collect(),
        })
    }
}

impl Endpoint {
    fn of(object: EndpointObject, traffic: u16, admin: Option<u16>) -> Option<Self> {
        // Each has one address; those by name can't be parsed, and are none of ours.
        let address: IpAddr = object.addresses.first()?.parse().ok()?;
        let pod = object.target_ref.filter(|of| of.kind.as_deref() == Some("Pod"));
        let conditions = object.conditions.unwrap_or_default();
        Some(Self {
            id: pod.and_then(|pod| pod.name).unwrap_or_else(|| address.to_string()),
            traffic: SocketAddr::new(address, traffic),
            admin: admin.map(|admin| SocketAddr::new(address, admin)),
            // Where that is not known it is to be taken for true.
            is_ready: conditions.ready.unwrap_or(true),
            is_leaving: conditions.terminating.unwrap_or(false),
        })
    }
}

fn named(ports: &[EndpointPort], name: &str) -> Option<u16> {
    let named = ports.iter().find(|port| port.name.as_deref() == Some(name))?;
    u16::try_from(named.port?).ok()
}

fn admin(ports: &[EndpointPort]) -> Option<u16> {
    named(ports, port::ADMIN)
}

/// The port where sidecars take requests.
fn traffic(ports: &[EndpointPort]) -> Option<u16> {
    let mut others = ports.iter().filter(|given| given.name.as_deref() != Some(port::ADMIN));
    let only = match (others.next(), others.next()) {
        (Some(only), None) => only.port.and_then(|port| u16::try_from(port).ok()),
        _ => None,
    };
    named(ports, port::TRAFFIC).or_else(|| named(ports, HTTP)).or(only)
}

/// The endpoints of a Service's slices. One may be in several: of both families, or while it moves from
/// one to another.
pub(crate) fn entries(slices: &[&Slice], limit: u32) -> Vec<EndpointEntry> {
    let mut all: Vec<&Endpoint> = slices.iter().flat_map(|slice| &slice.endpoints).collect();
    all.sort_by_key(|endpoint| endpoint.traffic);
    let mut entries: BTreeMap<&str, EndpointEntry> = BTreeMap::new();
    for endpoint in all {
        // Without its sidecar's word on it, Kubernetes' own counts.
        if endpoint.admin.is_none() && !endpoint.is_ready && !endpoint.is_leaving {
            continue;
        }
        let entry = entries.entry(&endpoint.id).or_insert_with(|| EndpointEntry {
            id: endpoint.id.clone(),
            address: endpoint.traffic,
            admin: endpoint.admin,
            concurrency: limit,
            state: EndpointState::Active,
        });
        if endpoint.is_leaving {
            entry.state = EndpointState::Draining;
        }
    }
    entries.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn slice(ports: Value, endpoints: Value) -> Slice {
        let object = json!({
            "metadata": {"name": "a-1", "labels": {SERVICE: "a"}},
            "addressType": "IPv4",
            "ports": ports,
            "endpoints": endpoints,
        });
        Slice::of(serde_json::from_value(object).unwrap()).unwrap()
    }

    fn pod(name: &str, address: &str, conditions: Value) -> Value {
        json!({"addresses": [address], "conditions": conditions,
            "targetRef": {"kind": "Pod", "name": name}})
    }

    fn both() -> Value {
        json!([{"name": "http", "port": 8012}, {"name": "tidegate-admin", "port": 8022}])
    }

    fn told(slices: &[Slice]) -> Vec<String> {
        let slices: Vec<&Slice> = slices.iter().collect();
        let told = |entry: EndpointEntry| {
            let admin = entry.admin.map_or(0, |admin| admin.port());
            format!(
                "{} {} {admin} {:?} {}",
                entry.id, entry.address, entry.state, entry.concurrency
            )
        };
        entries(&slices, 4).into_iter().map(told).collect()
    }

    #[test]
    fn an_endpoint_is_known_by_its_pod_and_one_that_ends_gets_no_new_work() {
        let endpoints = json!([
            pod("p1", "10.0.0.1", json!({"ready": true})),
            pod("p2", "10.0.0.2", json!({"ready": false, "serving": true, "terminating": true})),
            pod("p3", "10.0.0.3", json!({"ready": false})),
            {"addresses": ["10.0.0.4"]},
            {"addresses": ["model.example.com"]},
        ]);
        assert_eq!(
            told(&[slice(both(), endpoints)]),
            [
                "10.0.0.4 10.0.0.4:8012 8022 Active 4",
                "p1 10.0.0.1:8012 8022 Active 4",
                "p2 10.0.0.2:8012 8022 Draining 4",
                // Its sidecar is asked, sooner than the kubelet tells.
                "p3 10.0.0.3:8012 8022 Active 4",
            ]
        );
    }

    #[test]
    fn a_pod_of_several_slices_is_one_endpoint() {
        let of = |address: &str, conditions: Value| {
            slice(both(), json!([pod("p", address, conditions)]))
        };
        let (four, six) = (of("10.0.0.1", json!({})), of("fd00::1", json!({})));
        assert_eq!(told(&[six.clone(), four.clone()]), ["p 10.0.0.1:8012 8022 Active 4"]);
        assert_eq!(told(&[six]), ["p [fd00::1]:8012 8022 Active 4"]);
        let moved = of("10.0.0.1", json!({"terminating": true}));
        for both in [[four.clone(), moved.clone()], [moved, four]] {
            assert_eq!(told(&both), ["p 10.0.0.1:8012 8022 Draining 4"]);
        }
    }

    #[test]
    fn a_services_port_is_the_sidecars_by_its_name_or_as_the_only_one() {
        let of = |ports: Value| {
            let endpoints = json!([
                pod("p", "10.0.0.1", json!({"ready": true})),
                pod("q", "10.0.0.2", json!({"ready": false})),
            ]);
            told(&[slice(ports, endpoints)])
        };
        let only = ["p 10.0.0.1:1 0 Active 4"];
        assert_eq!(of(json!([{"port": 1}])), only);
        assert_eq!(of(json!([{"name": "x", "port": 2}, {"name": "http", "port": 1}])), only);
        assert_eq!(of(json!([{"name": "http", "port": 2}, {"name": "tidegate", "port": 1}])), only);
        for none in [json!([{"name": "x", "port": 2}, {"name": "y", "port": 1}]), Value::Null] {
            assert_eq!(of(none.clone()), [""; 0], "{none}");
        }
        let named = json!([{"name": "tidegate-admin", "port": 2}, {"name": "x", "port": 1}]);
        assert_eq!(of(named), ["p 10.0.0.1:1 2 Active 4", "q 10.0.0.2:1 2 Active 4"]);
    }
}
