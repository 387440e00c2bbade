//! What a gateway follows: what it serves and where the replicas are, in files or in a cluster.

use crate::admin::IsReady;
use crate::catalog::{Catalog, Teller, Told};
#[cfg(feature = "kubernetes")]
use crate::cluster::Cluster;
use crate::config::ClusterSettings;
use crate::control::Task;
use crate::discover::Discovery;
use crate::documents::Documents;
use crate::endpoints_file::FollowedEndpoints;
use crate::error::StartError;
use crate::in_force::InForce;
use crate::names::Names;
use crate::split::WeightsInForce;
use crate::threads::Threads;
use prometheus::{IntCounter, Registry};
use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;

/// Where it is said what is served, and where the replicas are.
pub struct Sources {
    /// The file of documents, with what was read of it.
    pub documents: Option<(PathBuf, String)>,
    /// The file of endpoints.
    pub endpoints: Option<PathBuf>,
    /// The cluster that says both.
    pub cluster: Option<ClusterSettings>,
}

/// Where it is told how that goes.
pub struct Reports<'a> {
    /// Where metrics are registered.
    pub registry: &'a Registry,
    /// Counts what could not be used.
    pub failures: &'a IntCounter,
    /// Counts names that can't be looked up.
    pub lookups: &'a IntCounter,
    /// Shows what is served.
    pub in_force: &'a Arc<InForce>,
}

/// What follows.
pub struct Following {
    /// The tasks that do.
    pub tasks: Vec<Task>,
    /// Whether what is to be served is known.
    pub is_known: IsReady,
    /// Tells what to serve, where neither a file nor a cluster does.
    pub teller: Option<Teller>,
}

/// Begins to follow.
///
/// # Errors
/// If a file can't be watched, or a metric is registered twice.
pub fn follow(
    catalog: Catalog,
    sources: Sources,
    (weights, workers): (WeightsInForce, (usize, Threads)),
    told: &Reports<'_>,
) -> Result<Following, StartError> {
    let names = Names::new(told.lookups.clone());
    let discovery = Discovery::new(catalog.gates(), weights, workers, names);
    match sources.cluster {
        Some(cluster) => follow_cluster(catalog, discovery, cluster, told),
        None => follow_files(catalog, discovery, sources, told),
    }
}

fn follow_files(
    catalog: Catalog,
    mut discovery: Discovery,
    sources: Sources,
    told: &Reports<'_>,
) -> Result<Following, StartError> {
    let mut tasks: Vec<Task> = Vec::new();
    tasks.push(match sources.endpoints {
        Some(file) => {
            let mut endpoints = FollowedEndpoints::new(file)?;
            discovery.begin(endpoints.now());
            Box::pin(discovery.run(async move || endpoints.next().await))
        }
        // Documents may say where endpoints are.
        None => Box::pin(discovery.run(async || pending().await)),
    });
    let (task, teller): (Task, _) = match sources.documents {
        Some((file, text)) => {
            let (failures, in_force) = (told.failures.clone(), Arc::clone(told.in_force));
            let mut documents = Documents::new(file, text, failures, in_force)?;
            let changed = async move || Told::unasked(documents.changed().await);
            (Box::pin(catalog.run(changed)), None)
        }
        None => {
            let (teller, mut words) = Teller::new();
            (Box::pin(catalog.run(async move || words.next().await)), Some(teller))
        }
    };
    tasks.push(task);
    Ok(Following { tasks, is_known: Arc::new(|| true), teller })
}

#[cfg(feature = "kubernetes")]
fn follow_cluster(
    catalog: Catalog,
    discovery: Discovery,
    settings: ClusterSettings,
    told: &Reports<'_>,
) -> Result<Following, StartError> {
    let cluster = Cluster::new(settings, catalog.gates(), told.registry, told.failures.clone())?;
    let (mut plans, ready) = cluster.plans(Arc::clone(told.in_force));
    let mut endpoints = cluster.endpoints();
    let tasks: Vec<Task> = vec![
        Box::pin(cluster.run()),
        Box::pin(discovery.run(async move || endpoints.next().await)),
        Box::pin(catalog.run(async move || Told::unasked(plans.next().await))),
    ];
    Ok(Following { tasks, is_known: ready, teller: None })
}

#[cfg(not(feature = "kubernetes"))]
fn follow_cluster(
    _: Catalog,
    _: Discovery,
    never: ClusterSettings,
    _: &Reports<'_>,
) -> Result<Following, StartError> {
    match never {}
}
