//! All replicas on this machine: starts, stops, listens to their news, writes the endpoints file.

use super::endpoints::EndpointsWriter;
use super::failure::GaveUp;
use super::fleet::{Fleet, Lesson, Phase, Replica};
use super::make::Make;
use super::replica::{Event, News, Order, Plan, live};
use super::watchdog::Watchdog;
use super::{StartFailure, log, port, preflight};
use crate::clock::Clock;
use crate::scrape::Scraper;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tidegate_api::endpoints::{EndpointsFile, TrafficWeights};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};

/// News that wait to be read; a replica with more to say waits.
const NEWS: usize = 256;

/// How replicas are run.
#[derive(Debug)]
pub(crate) struct LocalSettings {
    pub(crate) endpoints_file: PathBuf,
    pub(crate) log_dir: PathBuf,
    /// The sidecar's command, to which flags are added.
    pub(crate) sidecar: Vec<OsString>,
    /// The shim's command; without one, children outlive a killed autoscaler.
    pub(crate) shim: Vec<OsString>,
    pub(crate) drain_delay: Duration,
    pub(crate) drain_timeout: Duration,
    /// Failed starts in a row of an API that never was ready; 0 never gives up.
    pub(crate) give_up_after: u32,
}

/// The replicas of all APIs. Dropping it kills them.
#[derive(Debug)]
pub(crate) struct Local {
    pub(super) settings: Arc<LocalSettings>,
    clock: Clock,
    scraper: Scraper,
    pub(super) fleets: BTreeMap<String, Fleet>,
    /// Of APIs that are split, where the document's do not count.
    weights: BTreeMap<String, TrafficWeights>,
    /// Of each API that others lead to: those that do the same work.
    pub(super) versions: BTreeMap<String, Vec<String>>,
    endpoints: EndpointsWriter,
    events: mpsc::Receiver<Event>,
    news: mpsc::Sender<Event>,
    watchdog: Arc<Watchdog>,
    tasks: JoinSet<()>,
    /// The API and the replica of each task.
    owners: BTreeMap<tokio::task::Id, (String, String)>,
}

impl Local {
    /// A target without replicas, for these APIs.
    pub(crate) fn new(
        settings: LocalSettings,
        makes: Vec<Make>,
        clock: Clock,
        scraper: Scraper,
    ) -> Self {
        let fleets = makes.into_iter().map(|make| (make.api.name.clone(), Fleet::new(make)));
        let fleets = fleets.collect();
        let (news, events) = mpsc::channel(NEWS);
        Self {
            endpoints: EndpointsWriter::new(settings.endpoints_file.clone()),
            watchdog: Watchdog::new(settings.shim.clone()),
            settings: Arc::new(settings),
            clock,
            scraper,
            fleets,
            weights: BTreeMap::new(),
            versions: BTreeMap::new(),
            events,
            news,
            tasks: JoinSet::new(),
            owners: BTreeMap::new(),
        }
    }

    /// Makes an API's replicas of this from now on; those that are made of something else are
    /// exchanged as it is scaled. Says whether there is anything to exchange.
    pub(crate) fn install(&mut self, make: Make) -> bool {
        let Some(fleet) = self.fleets.get_mut(&make.api.name) else {
            let mut fleet = Fleet::new(make);
            fleet.is_founding = false;
            self.fleets.insert(fleet.make.api.name.clone(), fleet);
            return false;
        };
        fleet.is_retired = false;
        let make = make.following(&fleet.make);
        fleet.revise(make)
    }

    /// Exchanges an API's replicas for ones like them.
    pub(crate) fn refresh(&mut self, api: &str) {
        if let Some(fleet) = self.fleets.get_mut(api) {
            fleet.revise(fleet.make.refreshed());
        }
    }

    /// Lets all replicas of an API drain. With the last of them it is forgotten.
    pub(crate) fn retire(&mut self, api: &str) {
        let Some(fleet) = self.fleets.get_mut(api) else { return };
        fleet.is_retired = true;
        let all: Vec<String> = fleet.replicas.iter().map(|one| one.id.clone()).collect();
        self.order(api, &all, Order::Drain);
        self.forget_retired();
    }

    fn forget_retired(&mut self) {
        self.fleets.retain(|_, fleet| !fleet.is_retired || !fleet.replicas.is_empty());
        self.refresh_endpoints();
    }

    /// How long the requests of a draining sidecar may take to finish.
    pub(crate) fn drain_timeout(&self) -> Duration {
        self.settings.drain_timeout
    }

    /// The replicas of an API.
    pub(crate) fn fleet(&self, api: &str) -> Option<&Fleet> {
        self.fleets.get(api)
    }

    /// Starts or drains replicas of `api` until `wanted` are not draining, and exchanges those that
    /// are outdated, as far as that may go now.
    ///
    /// `busy` says how many requests a replica holds. Draining is written to the endpoints file
    /// before any sidecar is told. After a failed start the next one waits for its backoff.
    pub(crate) fn scale(&mut self, api: &str, wanted: u32, busy: &dyn Fn(&str) -> u32) {
        let now = self.clock.now();
        let Some(fleet) = self.fleets.get(api) else { return };
        let moves = fleet.moves(wanted);
        let leaving = fleet.leaving(moves, busy);
        let starts = if now >= fleet.next_start { moves.start } else { 0 };
        if !leaving.is_empty() {
            self.order(api, &leaving, Order::Drain);
        }
        for _ in 0..starts {
            if let Err(error) = self.start(api) {
                tracing::error!(api, %error, "can't start a replica");
                return;
            }
        }
    }

    /// Takes a replica out whose sidecar drains though nobody here told it to.
    pub(crate) fn left_by_itself(&mut self, api: &str, id: &str) {
        self.order(api, &[id.to_owned()], Order::AwaitDrain);
    }

    /// Tells every replica to drain.
    pub(crate) fn drain_all(&mut self) {
        self.order_all(|_| Order::Drain);
    }

    /// Tells the replicas of APIs that never were ready to go at once, and the others to drain.
    pub(crate) fn abandon_all(&mut self) {
        self.order_all(|fleet| if fleet.was_ready { Order::Drain } else { Order::Kill });
    }

    /// Tells every replica to go at once.
    pub(crate) fn kill_all(&mut self) {
        self.order_all(|_| Order::Kill);
    }

    /// Keeps the replicas' logs bounded.
    pub(crate) fn trim_logs(&self) {
        for replica in self.fleets.values().flat_map(|fleet| &fleet.replicas) {
            let log = replica.log.display();
            match log::trim(&replica.log) {
                Ok(false) => {}
                Ok(true) => tracing::info!(replica = replica.id, %log, "log begins anew"),
                // It is made by the first process to start.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(%log, %error, "can't keep a log bounded"),
            }
        }
    }

    /// Waits for the end of what is left beside the replicas. Nobody may be left of those.
    pub(crate) async fn end(&self) {
        self.watchdog.end().await;
    }

    /// Whether no replica is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.fleets.values().all(|fleet| fleet.replicas.is_empty())
    }

    /// The next news of any replica. May be cancelled.
    pub(crate) async fn next_event(&mut self) -> Event {
        loop {
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => return event,
                Some(ended) = self.tasks.join_next_with_id() => {
                    let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
                    let owner = self.owners.remove(&id);
                    if let (Err(error), Some((api, id))) = (ended, owner) {
                        // Its processes were killed as it was dropped; it can't say so any more.
                        tracing::error!(api, replica = id, %error, "a replica's task panicked");
                        return Event { api, id, news: News::Gone };
                    }
                }
                // Never reached: `self.news` keeps the channel open.
                else => std::future::pending::<()>().await,
            }
        }
    }

    /// Takes news into account, and writes the endpoints file where it changes.
    pub(crate) fn apply(&mut self, event: Event) -> Result<(), Box<GaveUp>> {
        let Event { api, id, news } = event;
        tracing::debug!(api, replica = id, ?news, "replica");
        if matches!(news, News::Ready) {
            tracing::info!(api, replica = id, "replica is ready");
        }
        let now = self.clock.now();
        let Some(fleet) = self.fleets.get_mut(&api) else { return Ok(()) };
        let lesson = fleet.learn(&id, news, now);
        self.forget_retired();
        match lesson {
            Lesson::Nothing => Ok(()),
            Lesson::Exchanged => {
                tracing::info!(api, "all replicas are made as the document says");
                Ok(())
            }
            Lesson::Failed { failure, log, stalls } => {
                tracing::warn!(api, replica = id, %failure, log = %log.display(), "start failed");
                if stalls {
                    self.stall(&api, &failure);
                }
                self.give_up(api, failure, log)
            }
        }
    }

    /// From its next writing on the endpoints file says these weights, and no others.
    pub(crate) fn set_weights(&mut self, weights: BTreeMap<String, TrafficWeights>) {
        self.weights = weights;
    }

    /// Does away with the replicas of a make that does not get ready.
    fn stall(&mut self, api: &str, failure: &StartFailure) {
        let hopeless = self.fleets.get(api).map(Fleet::hopeless).unwrap_or_default();
        tracing::error!(
            api,
            %failure,
            "the new replicas don't get ready: those made as before go on; change the document, or \
             refresh the api to try again"
        );
        self.order(api, &hopeless, Order::Kill);
    }

    /// Writes the endpoints file if it does not say what is.
    pub(crate) fn write_endpoints(&mut self) -> std::io::Result<()> {
        let apis = self.fleets.iter().map(|(api, fleet)| (api.clone(), fleet.endpoints()));
        let weights = self.weights.clone();
        self.endpoints.write(EndpointsFile { apis: apis.collect(), weights })
    }

    /// Likewise, while replicas run: a failure is logged, and tried again at the next tick.
    pub(crate) fn refresh_endpoints(&mut self) {
        if let Err(error) = self.write_endpoints() {
            let file = self.settings.endpoints_file.display();
            tracing::error!(%file, %error, "can't write the endpoints file");
        }
    }

    fn start(&mut self, api: &str) -> std::io::Result<()> {
        let taken: BTreeSet<u16> = self
            .fleets
            .values()
            .flat_map(|fleet| fleet.replicas.iter().map(|replica| replica.port))
            .collect();
        let Some(fleet) = self.fleets.get_mut(api) else { return Ok(()) };
        let make = Arc::clone(fleet.next_make());
        let port = match preflight::fixed_port(&make.api) {
            Some(port) => port,
            None => port::free(&taken)?,
        };
        fleet.started += 1;
        // With the process id, so that an autoscaler started anew gives no id a second time.
        let id = format!("{api}-{}-{}", std::process::id(), fleet.started);
        let log = self.settings.log_dir.join(format!("{id}.log"));
        let (orders, orders_seen) = watch::channel(Order::Live);
        tracing::info!(api, replica = id, port, log = %log.display(), "replica starts");
        let plan = Plan {
            id: id.clone(),
            make: Arc::clone(&make),
            port,
            log: log.clone(),
            settings: Arc::clone(&self.settings),
            watchdog: Arc::clone(&self.watchdog),
            clock: self.clock,
            scraper: self.scraper.clone(),
        };
        let task = self.tasks.spawn(live(plan, orders_seen, self.news.clone()));
        self.owners.insert(task.id(), (api.to_owned(), id.clone()));
        fleet.replicas.push(Replica {
            tries_before: fleet.tries,
            id,
            phase: Phase::Starting,
            address: None,
            admin: None,
            sidecar_pid: None,
            model_pid: None,
            restarts: 0,
            port,
            make,
            log,
            orders,
        });
        Ok(())
    }

    /// Marks replicas as draining, writes that down, and only then tells them.
    fn order(&mut self, api: &str, ids: &[String], order: Order) {
        let Some(fleet) = self.fleets.get_mut(api) else { return };
        let leaving = |replica: &&mut Replica| ids.contains(&replica.id);
        for replica in fleet.replicas.iter_mut().filter(leaving) {
            replica.phase = Phase::Draining;
        }
        self.refresh_endpoints();
        let Some(fleet) = self.fleets.get(api) else { return };
        for replica in fleet.replicas.iter().filter(|replica| ids.contains(&replica.id)) {
            tracing::info!(api, replica = replica.id, ?order, "replica leaves");
            replica.orders.send_if_modified(|given| {
                let stricter = order > *given;
                *given = order.max(*given);
                stricter
            });
        }
    }

    fn order_all(&mut self, order: fn(&Fleet) -> Order) {
        let all: Vec<(String, Vec<String>, Order)> = self
            .fleets
            .iter()
            .map(|(api, fleet)| {
                let ids = fleet.replicas.iter().map(|replica| replica.id.clone());
                (api.clone(), ids.collect(), order(fleet))
            })
            .collect();
        for (api, ids, order) in all {
            self.order(&api, &ids, order);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_a_replica_that_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let settings = LocalSettings {
            endpoints_file: folder.path().join("endpoints.json"),
            log_dir: folder.path().to_owned(),
            sidecar: Vec::new(),
            shim: Vec::new(),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::ZERO,
            give_up_after: 0,
        };
        let clock = Clock::start();
        let scraper = Scraper::new(clock, Duration::from_secs(1));
        let mut local = Local::new(settings, Vec::new(), clock, scraper);
        for (id, panics) in [("well", false), ("ill", true)] {
            let task = local.tasks.spawn(async move { assert!(!panics, "on purpose") });
            local.owners.insert(task.id(), ("api".to_owned(), id.to_owned()));
        }
        let event = local.next_event().await;
        assert_eq!((event.id.as_str(), matches!(event.news, News::Gone)), ("ill", true));
    }
}
