//! The endpoints file: the autoscaler writes where each API's replicas listen, a gateway reads it.
//!
//! Written whole and put in place by a rename, so that a reader sees the old one or the new one.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The whole file: the endpoints of each API, by the API's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointsFile {
    /// Endpoints by API name.
    pub apis: BTreeMap<String, Vec<EndpointEntry>>,
    /// The weights in force of APIs whose requests are split, where they are not the document's: by
    /// the API's name, while or after one of its versions takes over.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, TrafficWeights>,
}

/// How many of a hundred requests each version of an API gets, by the version's name. One that is not
/// named gets none. Weights that are all zero, or name no version, say nothing: the document counts.
pub type TrafficWeights = BTreeMap<String, u32>;

/// One replica's sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointEntry {
    /// Unique within its API for as long as the gateway runs: a restarted replica gets a new one.
    pub id: String,
    /// Where requests go.
    pub address: SocketAddr,
    /// Where `/readyz` and `/metrics` are. Without it the endpoint counts as ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<SocketAddr>,
    /// How many requests the endpoint runs at once.
    pub concurrency: u32,
    /// Whether new requests may be sent.
    #[serde(default)]
    pub state: EndpointState,
}

/// Whether new requests may be sent to an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointState {
    /// New requests may be sent once it is ready.
    #[default]
    Active,
    /// No new requests; those running go on.
    Draining,
}
