//! The wiring of `run --kubernetes`: watches, the Lease, the admin port and the ticks.

use super::door::door;
use super::metrics::ClusterMetrics;
use super::recorded::Recorded;
use super::report;
use super::tick::Cluster;
use crate::admin::{self, Admin};
use crate::calls::Calls;
use crate::clock::Clock;
use crate::listener::listen;
use crate::metrics::Metrics;
use crate::scrape::Scraper;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tidegate_kubernetes::connect::{ConnectError, connect};
use tidegate_kubernetes::failure::Tell;
use tidegate_kubernetes::leader::{Keeper, Leader, LeaseSettings};
use tidegate_kubernetes::view::View;
use tidegate_kubernetes::watch::{Scope, watch};
use tidegate_kubernetes::write::{FIELD_MANAGER, Writer};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The longest that one sidecar is waited for.
const SCRAPE_DEADLINE: Duration = Duration::from_secs(1);

/// The longest that the API server is waited for.
const WRITE_DEADLINE: Duration = Duration::from_secs(5);

/// When the next tick comes after a wake-up: the request that wakes is often the first of a burst.
const SECOND_LOOK: Duration = Duration::from_millis(100);

/// Everything an autoscaler of a cluster needs to know.
#[derive(Debug, Clone)]
pub(crate) struct ClusterSettings {
    pub(crate) context: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) pods: String,
    pub(crate) gateways: String,
    pub(crate) own_namespace: Option<String>,
    pub(crate) lease: String,
    pub(crate) lease_duration: Duration,
    pub(crate) identity: String,
    pub(crate) most_scrapes: usize,
    pub(crate) admin: SocketAddr,
    pub(crate) tick: Duration,
    pub(crate) prometheus: Option<String>,
    /// How often that Prometheus says what pods do; nothing where they are asked.
    pub(crate) recorded: Option<Duration>,
    /// Whose gateways may wake, each as `namespace/name`.
    pub(crate) wake_accounts: Vec<String>,
    /// Whom their tokens are for.
    pub(crate) wake_audience: String,
}

/// Why an autoscaler of a cluster could not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    /// There is no cluster.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The admin port can't be had.
    #[error(
        "can't listen on {address} for the autoscaler's admin port: {source}; is it in use? choose \
         another with --admin"
    )]
    Admin {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The tick makes no sense.
    #[error("the tick must be longer than 0s; --tick 1s is usual")]
    Tick,
    /// The metrics could not be set up.
    #[error("can't set up the autoscaler's metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Scales until `shutdown` completes; `listening` is told where the admin port is. Gives the lease
/// back at the end; the replicas stay as they are.
pub(crate) async fn run(
    settings: ClusterSettings,
    listening: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ClusterError> {
    if settings.tick.is_zero() {
        return Err(ClusterError::Tick);
    }
    let connection = connect(FIELD_MANAGER, settings.context.as_deref()).await?;
    let (client, identity) = (connection.client, settings.identity.clone());
    let own_namespace = settings.own_namespace.clone().unwrap_or(connection.namespace);
    let address = settings.admin;
    let failed = |source| ClusterError::Admin { address, source };
    let listener = listen(address).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;

    let metrics = Metrics::new(std::iter::empty())?;
    let own = ClusterMetrics::new(metrics.registry())?;
    let counter = own.clone();
    let tell: Tell = Arc::new(move |call, code| counter.failed(call, code));
    let lease = LeaseSettings {
        namespace: own_namespace.clone(),
        name: settings.lease.clone(),
        identity: identity.clone(),
        duration: settings.lease_duration,
    };
    let keeper = Keeper::new(client.clone(), lease, Arc::clone(&tell));
    let (leader, told) = (keeper.leader(), Arc::clone(&tell));
    let writer = Writer::new(client.clone(), Arc::clone(&leader), &identity, WRITE_DEADLINE, told);
    let mut cluster = cluster(&settings, leader, writer, metrics.clone(), own);
    let status = Arc::clone(&cluster.status);
    let (accounts, audience) = (settings.wake_accounts, settings.wake_audience);
    let door = Some(door(client.clone(), accounts, audience, Arc::clone(&tell)));
    let calls = Calls::new(std::iter::empty());
    let admin = Arc::new(Admin { status, metrics, calls, door });
    let watched = Arc::clone(&cluster.watched);
    let scope = Scope {
        namespace: settings.namespace.clone(),
        pods: settings.pods.clone(),
        gateway_namespace: own_namespace,
        gateways: settings.gateways.clone(),
    };
    tracing::info!(server = connection.server, identity, "scales a cluster");
    listening(address);
    tokio::select! {
        () = shutdown => {}
        never = admin::serve(listener, Arc::clone(&admin)) => match never {},
        never = keeper.keep() => match never {},
        never = watch(client, scope, watched, tell) => match never {},
        never = ticks(&mut cluster, settings.tick, &admin.calls) => match never {},
    }
    keeper.release().await;
    Ok(())
}

/// Everything that a tick works on, before the first.
fn cluster(
    settings: &ClusterSettings,
    leader: Arc<Leader>,
    writer: Writer,
    metrics: Metrics,
    own: ClusterMetrics,
) -> Cluster {
    let clock = Clock::start();
    let recorded = settings.recorded.zip(settings.prometheus.as_deref());
    let recorded = recorded
        .map(|(period, base)| Recorded::new(base, settings.namespace.as_deref(), period, clock));
    Cluster {
        clock,
        recorded,
        scraper: Scraper::of_many(clock, SCRAPE_DEADLINE),
        watched: Arc::default(),
        leader,
        writer: Arc::new(writer),
        metrics,
        own,
        status: Arc::default(),
        prometheus: settings.prometheus.clone(),
        most_scrapes: settings.most_scrapes,
        view: View::default(),
        apis: BTreeMap::new(),
        leads: false,
        turn: 0,
        quiet_until: Duration::ZERO,
        reports: JoinSet::new(),
        report_turns: Arc::new(Semaphore::new(report::MOST_AT_ONCE)),
    }
}

/// Ticks each period, and wakes at once who is called for.
async fn ticks(cluster: &mut Cluster, period: Duration, calls: &Calls) -> Infallible {
    let clock = cluster.clock;
    let mut due = clock.now();
    let mut last_wake: Option<Duration> = None;
    let mut told = None;
    loop {
        let known = Some((cluster.view.revision, cluster.leads));
        if known != told {
            calls.set(cluster.wakeable().iter().map(String::as_str));
            told = known;
        }
        tokio::select! {
            biased;
            () = clock.sleep_until(due) => {
                let now = clock.now();
                cluster.tick(now.saturating_sub(due)).await;
                // After a long tick the next begins at once, and those that were missed never.
                due = (due + period).max(clock.now());
            }
            asked = calls.next(clock, last_wake) => {
                let now = clock.now();
                // Not after each of many wake-ups: they would put off the ticks for ever.
                if last_wake.is_none_or(|last| now.saturating_sub(last) >= period) {
                    due = due.min(now + SECOND_LOOK);
                }
                last_wake = Some(now);
                cluster.wake(&asked.wake).await;
            }
        }
    }
}
