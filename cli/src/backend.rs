//! Where `deploy`, `get` and the like act, and what all such places have in common.
//!
//! The commands know nothing of what is behind it: they see `InferenceApi` objects with metadata,
//! spec and status, as Kubernetes shows them, and the few types here. A new place is a variant of
//! [`Backend`] and an arm in each method.

use crate::cluster::Cluster;
use crate::local::Local;
use anyhow::Result;
use serde_json::Value;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;
use tidegate_api::Written;
use tokio::sync::mpsc::Sender;

/// Which place is meant: flags that all commands share.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Where")]
pub(crate) struct Where {
    /// The context of KUBECONFIG; by default the current one
    #[arg(long, value_name = "NAME", env = "TIDEGATE_CONTEXT")]
    pub(crate) context: Option<String>,
    /// The namespace; by default the context's
    #[arg(long, short, value_name = "NAME", env = "TIDEGATE_NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// A running `tidegate up` on this machine, instead of a cluster
    #[arg(long, env = "TIDEGATE_LOCAL")]
    pub(crate) local: bool,
    /// With --local, where several run: which one, by its process id
    #[arg(long, value_name = "PID", env = "TIDEGATE_RUN")]
    pub(crate) run: Option<String>,
    /// With --local: the folder that it keeps its data in
    #[arg(
        long,
        value_name = "DIR",
        default_value = "target/tidegate",
        env = "TIDEGATE_UP_DATA_DIR"
    )]
    pub(crate) data_dir: PathBuf,
}

/// A place where APIs are deployed.
pub(crate) enum Backend {
    /// A Kubernetes cluster.
    Cluster(Cluster),
    /// A `tidegate up` on this machine.
    Local(Local),
}

/// What `apply` has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    Created,
    Updated,
    Unchanged,
}

/// What has become of the APIs that are followed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// These are all.
    All(Vec<Value>),
    /// One as it is now.
    Set(Value),
    /// One is gone: as it was last.
    Gone(Value),
}

/// Everything that is known of one API.
#[derive(Debug, Default)]
pub(crate) struct Details {
    /// The `InferenceApi`.
    pub(crate) object: Value,
    /// Its replicas, by name.
    pub(crate) replicas: Vec<Replica>,
    /// Changes of scale, the latest last.
    pub(crate) decisions: Vec<Event>,
    /// What else has happened, the latest last.
    pub(crate) events: Vec<Event>,
    /// What could not be found out, and why.
    pub(crate) unknown: Vec<String>,
}

/// A replica.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Replica {
    pub(crate) name: String,
    /// As in `Ready`, `Starting`, `Leaving`.
    pub(crate) state: &'static str,
    pub(crate) address: String,
    /// Whether a sidecar stands before its model.
    pub(crate) has_sidecar: bool,
    pub(crate) restarts: u32,
    /// When it was made, in seconds since the Unix epoch.
    pub(crate) created: Option<i64>,
    /// Why it is not ready, if that is known.
    pub(crate) trouble: Option<String>,
}

/// Something that has happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// In seconds since the Unix epoch.
    pub(crate) at: Option<i64>,
    pub(crate) is_warning: bool,
    pub(crate) reason: String,
    /// The object, as in `Pod/digits-1`.
    pub(crate) about: String,
    pub(crate) note: String,
    pub(crate) count: u32,
}

/// Which lines of logs are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogsWanted {
    /// Go on with what comes.
    pub(crate) follow: bool,
    /// Only so many of each log's last lines.
    pub(crate) tail: Option<u32>,
    /// Only lines of the last so much time.
    pub(crate) since: Option<Duration>,
    pub(crate) only: Option<Part>,
}

/// A part of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// The model
    Model,
    /// The sidecar before it
    Sidecar,
}

/// What is told of logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// A line, and who wrote it, as in `digits-1/model`.
    Line { source: String, text: String },
    /// Why there are no lines.
    Note(String),
}

impl Backend {
    /// The place that the flags name.
    pub(crate) async fn open(place: &Where) -> Result<Self> {
        if place.local {
            return Ok(Self::Local(Local::open(place)?));
        }
        Ok(Self::Cluster(Cluster::open(place).await?))
    }

    /// Every API; of all namespaces, where `all` says so.
    pub(crate) async fn list(&self, all: bool) -> Result<Vec<Value>> {
        match self {
            Self::Cluster(cluster) => cluster.list(all).await,
            Self::Local(local) => local.list().await,
        }
    }

    /// One API. A name that is not there is an error.
    pub(crate) async fn get(&self, name: &str) -> Result<Value> {
        match self {
            Self::Cluster(cluster) => cluster.get(name).await,
            Self::Local(local) => local.get(name).await,
        }
    }

    /// Tells what there is and then each change, until it is told to stop.
    pub(crate) async fn follow(
        &self,
        name: Option<&str>,
        all: bool,
        tell: impl FnMut(Change) -> ControlFlow<()>,
    ) -> Result<()> {
        match self {
            Self::Cluster(cluster) => cluster.follow(name, all, tell).await,
            Self::Local(local) => local.follow(name, tell).await,
        }
    }

    /// Makes APIs be as documents say, and tells of each what was done and how it is now. A cluster takes
    /// one after the other, an `up` all or none.
    pub(crate) async fn apply(
        &self,
        documents: &[&Written],
        force: bool,
        mut tell: impl FnMut(Applied, &Value),
    ) -> Result<()> {
        match self {
            Self::Cluster(cluster) => {
                for document in documents {
                    let (applied, object) = cluster.apply(&document.object, force).await?;
                    tell(applied, &object);
                }
                Ok(())
            }
            Self::Local(local) => local.apply(documents, tell).await,
        }
    }

    /// Everything that is known of an API.
    pub(crate) async fn details(&self, name: &str) -> Result<Details> {
        match self {
            Self::Cluster(cluster) => cluster.details(name).await,
            Self::Local(local) => local.details(name).await,
        }
    }

    /// Sends the lines that an API's replicas have written, or write.
    pub(crate) async fn logs(
        &self,
        name: &str,
        wanted: &LogsWanted,
        told: Sender<Told>,
    ) -> Result<()> {
        match self {
            Self::Cluster(cluster) => cluster.logs(name, wanted, told).await,
            Self::Local(local) => local.logs(name, wanted, told).await,
        }
    }

    /// The last lines of an API's replicas that are not ready.
    pub(crate) async fn last_lines(&self, name: &str) -> Result<Vec<Told>> {
        match self {
            Self::Cluster(cluster) => cluster.last_lines(name).await,
            Self::Local(local) => local.last_lines(name).await,
        }
    }

    /// Takes an API away, and says what becomes of its replicas; nothing where there is none.
    pub(crate) async fn delete(&self, name: &str) -> Result<Option<String>> {
        match self {
            Self::Cluster(cluster) => cluster.delete(name).await,
            Self::Local(local) => local.delete(name).await,
        }
    }

    /// Begins to replace an API's replicas by new ones, and says so.
    pub(crate) async fn refresh(&self, name: &str) -> Result<String> {
        match self {
            Self::Cluster(cluster) => cluster.refresh(name).await,
            Self::Local(local) => local.refresh(name).await,
        }
    }
}
