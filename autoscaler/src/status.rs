//! What the autoscaler sees and what it decided, as served at `/status`.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;

/// How many decisions an API's status remembers.
pub const DECISIONS: usize = 200;

/// Everything, by API in the order of their names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The APIs.
    pub apis: Vec<ApiStatus>,
    /// Versions that take over from others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rollouts: Vec<RolloutStatus>,
    /// The documents that they are made of.
    #[serde(default)]
    pub documents: DocumentsStatus,
}

/// How it stands with the documents that are followed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DocumentsStatus {
    /// How many times changed documents have been put in force.
    pub changes: u64,
    /// The files that were looked at last, and a word for the state in which each was.
    #[serde(default)]
    pub files: BTreeMap<PathBuf, String>,
    /// Why what the files say now is not in force, if it isn't; what was before goes on.
    pub refused: Option<String>,
}

/// One version of an API that takes over from the others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RolloutStatus {
    /// The API whose requests are split.
    pub api: String,
    /// The version.
    pub to: String,
    /// `step 1 of 2`, `promoted` or `taken back`.
    pub stage: String,
    /// How many of a hundred requests each version gets.
    pub weights: BTreeMap<String, u32>,
    /// Why it stands there: a word.
    pub reason: String,
    /// The same in a sentence with the numbers.
    pub detail: String,
    /// The changes since the process began, oldest first.
    pub changes: Vec<RolloutChange>,
}

/// One change of weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutChange {
    /// When, in seconds since the autoscaler began.
    pub at_seconds: f64,
    /// The version's weight before.
    pub from: u32,
    /// And after.
    pub to: u32,
    /// Why: a word.
    pub reason: String,
    /// The same in a sentence with the numbers.
    pub detail: String,
}

/// One API.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ApiStatus {
    /// `metadata.name`.
    pub name: String,
    /// Replicas asked for.
    pub wanted: u32,
    /// Replicas that are ready.
    pub ready: u32,
    /// Replicas that were started and are not ready yet, or whose model is being restarted.
    pub starting: u32,
    /// Replicas that finish what they have and then go.
    pub draining: u32,
    /// Requests running at models, by the last scrape.
    pub in_flight: u32,
    /// Requests waiting at sidecars and at the gateway, by the last scrape.
    pub queued: u32,
    /// How replicas are exchanged, while some are not made as the document says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacement: Option<ReplacementStatus>,
    /// Why the last start of a replica failed, if none has been ready since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Whether its document is gone, and the last replicas finish what they have.
    #[serde(default)]
    pub leaving: bool,
    /// The last changes, oldest first, at most [`DECISIONS`].
    pub decisions: Vec<DecisionStatus>,
    /// The replicas, oldest first.
    pub replicas: Vec<ReplicaStatus>,
}

/// How replicas are exchanged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplacementStatus {
    /// Replicas made as before, besides those that drain.
    pub outdated: u32,
    /// Why it has stopped, if it has: then those made as before go on serving.
    pub stopped: Option<String>,
}

/// One change of the number of replicas asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionStatus {
    /// When, in seconds since the autoscaler began.
    pub at_seconds: f64,
    /// Replicas before.
    pub from: u32,
    /// Replicas after.
    pub to: u32,
    /// The rule's code, as in the log and the metric.
    pub reason: String,
    /// A sentence with the numbers.
    pub detail: String,
}

impl DecisionStatus {
    /// Joins the last changes, of which no more than so many are kept.
    pub(crate) fn join(self, last: &mut VecDeque<Self>, most: usize) {
        if last.len() == most {
            last.pop_front();
        }
        last.push_back(self);
    }
}

/// One replica.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    /// Its name, also that of its log file.
    pub id: String,
    /// Where it is in its life.
    pub state: ReplicaState,
    /// Where requests go, once its sidecar listens.
    pub address: Option<SocketAddr>,
    /// The sidecar's admin port, once it listens.
    pub admin: Option<SocketAddr>,
    /// Requests running at the model, by the last scrape.
    pub in_flight: u32,
    /// Requests waiting at the sidecar, by the last scrape.
    pub queued: u32,
    /// The sidecar's process id, once it listens.
    pub sidecar_pid: Option<u32>,
    /// The model's process id, while it runs.
    pub model_pid: Option<u32>,
    /// The sidecar's resident memory in bytes, by the last scrape.
    pub sidecar_rss_bytes: Option<u64>,
    /// How often the model was started again.
    pub restarts: u32,
    /// Whether it is made of something else than its document says now.
    #[serde(default)]
    pub outdated: bool,
}

/// Where a replica is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaState {
    /// Not ready yet, or its model is being restarted.
    Starting,
    /// Its sidecar said it can serve.
    Ready,
    /// It finishes what it has and then goes.
    Draining,
}

impl ReplicaState {
    /// The state's name, as in the JSON.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
        }
    }
}
