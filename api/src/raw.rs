//! The document as it is written: one field a key, one type a mapping, defaults filled in.
//!
//! The JSON schema is made of these types, and the file is compared with that schema before serde
//! sees it. A key that must be given is an `Option` here: its absence has been reported by then,
//! and the rest of the document is still worth checking.

use crate::defaults;
use crate::names::{API_KIND, API_VERSION};
use crate::quantity::{DurationText, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod access;
mod autoscaling;
mod balancing;
mod cold_start;
mod endpoints;
mod rolling_update;
mod route;
mod sidecar;
mod target;
mod template;
mod traffic;

pub(crate) use access::*;
pub(crate) use autoscaling::*;
pub(crate) use balancing::*;
pub(crate) use cold_start::*;
pub(crate) use endpoints::*;
pub(crate) use rolling_update::*;
pub(crate) use route::*;
pub(crate) use sidecar::*;
pub(crate) use target::*;
pub(crate) use template::*;
pub(crate) use traffic::*;

/// One model behind Tidegate: how it is started, queued, limited, routed and scaled.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawInferenceApi {
    /// Which version of this format the document is written in.
    #[schemars(required, extend("enum" = [API_VERSION]))]
    pub(crate) api_version: Option<String>,
    /// What the document describes.
    #[schemars(required, extend("enum" = [API_KIND]))]
    pub(crate) kind: Option<String>,
    /// What the API is called.
    #[schemars(required)]
    pub(crate) metadata: Option<RawMetadata>,
    /// How the API is started, queued, limited, routed and scaled.
    #[schemars(required)]
    pub(crate) spec: Option<RawSpec>,
}

/// What an API is called.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawMetadata {
    /// The API's name in metrics, logs and file names: lower-case letters, digits and `-`, at most
    /// 63 characters.
    #[schemars(required)]
    pub(crate) name: Option<String>,
    /// On Kubernetes: its namespace. By default the one that it is deployed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    /// On Kubernetes: by which it can be found.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// On Kubernetes: notes for other programs.
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// How an API is started, queued, limited, routed and scaled.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSpec {
    /// How one replica's model is started on this machine. May be left out where `target`, `template`,
    /// `endpoints` or `traffic` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) container: Option<RawContainer>,
    /// On Kubernetes: what is scaled. It exists already, in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<RawTarget>,
    /// On Kubernetes, instead of `target`: the pods, of which Tidegate makes a Deployment, a Service and
    /// a PodDisruptionBudget with the API's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) template: Option<RawTemplate>,
    /// Where the API's endpoints are, for a gateway without an autoscaler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) endpoints: Option<RawEndpoints>,
    /// Leaves the number of replicas alone, on Kubernetes, and holds `rollout` at its step, everywhere.
    #[serde(default)]
    pub(crate) paused: bool,
    /// The model's port. Leave it out on one machine: each replica then gets a free port, which
    /// `{port}` in the command and in the environment stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub(crate) port: Option<u16>,
    /// How much one replica takes.
    #[serde(default)]
    pub(crate) concurrency: RawConcurrency,
    /// The clocks on one request.
    #[serde(default)]
    pub(crate) timeouts: RawTimeouts,
    /// When a replica can serve.
    #[serde(default)]
    pub(crate) readiness: RawReadiness,
    /// Which requests are this API's. Without this key every path of every host; with an empty list
    /// none, as for an API that only `traffic` of another leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) routes: Option<Vec<RawRoute>>,
    /// Splits the requests among other APIs. Only `routes`, `openai` and `rollout` may be beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) traffic: Option<RawTraffic>,
    /// Lets one version take over from the others, step by step. Only with `traffic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rollout: Option<RawRollout>,
    /// For what speaks OpenAI's API: requests are told apart by the `model` in their body. APIs with
    /// this key may have the same routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) openai: Option<RawOpenAi>,
    /// Who may use the API, and how much.
    #[serde(default)]
    pub(crate) access: RawAccess,
    /// Which of the replicas with a free slot a request is given.
    #[serde(default)]
    pub(crate) balancing: RawBalancing,
    /// What is done for requests while the API comes up from zero.
    #[serde(default)]
    pub(crate) cold_start: RawColdStart,
    /// What each replica's sidecar does beside its work.
    #[serde(default)]
    pub(crate) sidecar: RawSidecar,
    /// How replicas are exchanged when what they are made of changes.
    #[serde(default)]
    pub(crate) rolling_update: RawRollingUpdate,
    /// How many replicas there should be.
    #[serde(default)]
    pub(crate) autoscaling: RawAutoscaling,
}

/// How one replica's model is started.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawContainer {
    /// The program and its arguments. `{port}` stands for the port to listen on.
    #[schemars(required)]
    pub(crate) command: Option<Vec<String>>,
    /// Variables added to the environment. `{port}` is replaced here too.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// Where the command runs, seen from the document's folder.
    #[serde(default = "working_dir")]
    pub(crate) working_dir: String,
    /// A Python virtual environment to prepare and to put first on `PATH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) python: Option<RawPython>,
}

/// A Python virtual environment.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawPython {
    /// A pip requirements file with hashes, seen from the document's folder.
    #[schemars(required)]
    pub(crate) requirements: Option<String>,
}

/// How much one replica takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawConcurrency {
    /// How many requests run at the model at once. Choose what the model handles in parallel
    /// without each becoming slower: 1 for plain PyTorch or scikit-learn, the batch size for
    /// servers that batch.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) limit: u32,
    /// How many requests wait at once; 0 refuses what can't run at once.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) queue_capacity: u32,
    /// How many bytes of request bodies are held for those that wait.
    pub(crate) queue_bytes: Size,
    /// The longest wait, then the request is refused.
    pub(crate) queue_timeout: DurationText,
}

/// The clocks on one request; `0s` turns one off.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawTimeouts {
    /// From dispatch, or the last part of the request's body, to the response's head; `0s` is off.
    pub(crate) first_byte: DurationText,
    /// Between two parts of a stream; `0s` is off.
    pub(crate) idle: DurationText,
    /// From arrival to the response's end; `0s` is off.
    pub(crate) total: DurationText,
    /// The longest a request is held while its API comes up from zero. Can't be off.
    pub(crate) cold_start: DurationText,
}

/// When a replica can serve. At most one of `httpGet`, `tcpSocket`, `grpc` and `exec`; without any
/// it is `tcpSocket`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawReadiness {
    /// Ready when a `GET` answers with a status from 200 to 399.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http_get: Option<RawHttpGet>,
    /// Ready when the port takes connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tcp_socket: Option<RawTcpSocket>,
    /// Ready when the gRPC health service answers `SERVING`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grpc: Option<RawGrpc>,
    /// Ready when a command ends with code 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exec: Option<RawExec>,
    /// The time between two probes, once the replica was ready.
    pub(crate) period: DurationText,
    /// The longest one probe may take.
    pub(crate) timeout: DurationText,
    /// How many probes in a row must fail before a ready replica counts as unready.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) failure_threshold: u32,
    /// The longest a replica may take to be ready for the first time, then it is stopped.
    pub(crate) start_timeout: DurationText,
}

/// A `GET` of a path of the model.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawHttpGet {
    /// The path, such as `/healthz`.
    #[schemars(required)]
    pub(crate) path: Option<String>,
}

/// A connection to the model's port. Written `tcpSocket: {}`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTcpSocket {}

/// A call of `grpc.health.v1.Health/Check`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawGrpc {
    /// The service to ask for; empty is the server as a whole.
    pub(crate) service: String,
}

/// A command that is run in the model's working directory.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawExec {
    /// The program and its arguments.
    #[schemars(required)]
    pub(crate) command: Option<Vec<String>>,
}

fn working_dir() -> String {
    defaults::WORKING_DIR.to_owned()
}

// === impl Default ===

impl Default for RawConcurrency {
    fn default() -> Self {
        Self {
            limit: defaults::CONCURRENCY_LIMIT,
            queue_capacity: defaults::QUEUE_CAPACITY,
            queue_bytes: Size(defaults::QUEUE_BYTES),
            queue_timeout: DurationText(defaults::QUEUE_TIMEOUT),
        }
    }
}

impl Default for RawTimeouts {
    fn default() -> Self {
        Self {
            first_byte: DurationText(defaults::FIRST_BYTE_TIMEOUT),
            idle: DurationText(defaults::IDLE_TIMEOUT),
            total: DurationText(defaults::TOTAL_TIMEOUT),
            cold_start: DurationText(defaults::COLD_START_TIMEOUT),
        }
    }
}

impl Default for RawReadiness {
    fn default() -> Self {
        Self {
            http_get: None,
            tcp_socket: None,
            grpc: None,
            exec: None,
            period: DurationText(defaults::PROBE_PERIOD),
            timeout: DurationText(defaults::PROBE_TIMEOUT),
            failure_threshold: defaults::PROBE_FAILURE_THRESHOLD,
            start_timeout: DurationText(defaults::START_TIMEOUT),
        }
    }
}
