//! The life of one replica: starting, ready, draining, gone. One task, which owns both processes.
//!
//! Its two processes are [`Model`] and [`Sidecar`]. It obeys [`Order`]s and reports [`News`]; it
//! never decides that a replica should be.

use super::failure::StartFailure;
use super::make::Make;
use super::model::{Model, Turn};
use super::sidecar::{Bound, Sidecar};
use super::target::LocalSettings;
use super::watchdog::Watchdog;
use crate::clock::Clock;
use crate::scrape::Scraper;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Between two questions whether a starting replica is ready.
const READY_POLL: Duration = Duration::from_millis(25);

/// What a replica is told, from mild to strict; a stricter order replaces a milder one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// Run.
    Live,
    /// The sidecar drains by itself: wait for it, then go.
    AwaitDrain,
    /// Drain, then go.
    Drain,
    /// Go at once.
    Kill,
}

/// What a replica reports.
#[derive(Debug)]
pub(super) enum News {
    /// The model's process runs; `restarts` times before it did not.
    Model { pid: u32, restarts: u32 },
    /// The sidecar runs and listens.
    Bound { address: SocketAddr, admin: SocketAddr, pid: u32 },
    /// The sidecar says that it can serve.
    Ready,
    /// The model died; it will be started again.
    Died,
    /// A start failed.
    Failed(StartFailure),
    /// No new requests: it goes.
    Leaving,
    /// Both processes are gone.
    Gone,
}

/// News of the replica `id` of `api`.
#[derive(Debug)]
pub(crate) struct Event {
    pub(super) api: String,
    pub(super) id: String,
    pub(super) news: News,
}

impl Event {
    /// The API whose replica has news.
    pub(crate) fn api(&self) -> &str {
        &self.api
    }
}

/// All that a replica is made from.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) id: String,
    pub(super) make: Arc<Make>,
    pub(super) port: u16,
    pub(super) log: PathBuf,
    pub(super) settings: Arc<LocalSettings>,
    pub(super) watchdog: Arc<Watchdog>,
    pub(super) clock: Clock,
    pub(super) scraper: Scraper,
}

/// Why a replica leaves.
#[derive(Debug)]
pub(super) enum Leave {
    /// It was told to.
    Ordered(Order),
    /// Its sidecar is gone, or never was.
    Sidecar,
    /// It was not ready in time.
    NeverReady,
}

/// Lives one replica from start to end.
pub(super) async fn live(plan: Plan, mut orders: watch::Receiver<Order>, news: Sender) {
    let news = Reporter { api: plan.make.api.name.clone(), id: plan.id.clone(), news };
    let mut model = Model::new(plan.clone());
    model.start(&news).await;
    let bound = tokio::select! {
        bound = Sidecar::start(&plan) => bound,
        order = changed(&mut orders) => {
            news.tell(News::Leaving).await;
            model.stop(&mut orders, order).await;
            return news.tell(News::Gone).await;
        }
    };
    match bound {
        Ok(mut sidecar) => {
            let Bound { data: address, admin } = sidecar.bound;
            let pid = sidecar.process.id();
            news.tell(News::Bound { address, admin, pid }).await;
            let why = serve(&plan, &mut model, &mut sidecar, &mut orders, &news).await;
            tracing::debug!(replica = plan.id, ?why, "replica leaves");
            news.tell(News::Leaving).await;
            sidecar.leave(&plan, &why, &mut orders).await;
        }
        Err(failure) => {
            news.tell(News::Failed(failure)).await;
            news.tell(News::Leaving).await;
        }
    }
    let order = *orders.borrow_and_update();
    model.stop(&mut orders, order).await;
    news.tell(News::Gone).await;
}

/// Keeps the replica running until there is a reason to leave.
async fn serve(
    plan: &Plan,
    model: &mut Model,
    sidecar: &mut Sidecar,
    orders: &mut watch::Receiver<Order>,
    news: &Reporter,
) -> Leave {
    let admin = sidecar.bound.admin;
    let start_timeout = plan.make.api.readiness.start_timeout;
    let start_deadline = model.created + start_timeout;
    loop {
        tokio::select! {
            order = changed(orders) => return Leave::Ordered(order),
            status = sidecar.process.exited() => {
                tracing::warn!(replica = plan.id, status = %shown(&status), "sidecar ended");
                if let (false, Ok(status)) = (model.was_ready, status) {
                    news.tell(News::Failed(StartFailure::SidecarExited(status))).await;
                }
                return Leave::Sidecar;
            }
            turn = model.next_turn() => match turn {
                Turn::Ended(status) => model.died(status, news).await,
                Turn::StartDue => model.start(news).await,
            },
            () = until_ready(&plan.scraper, admin), if model.is_starting() => {
                model.ready();
                news.tell(News::Ready).await;
            }
            () = plan.clock.sleep_until(start_deadline), if !model.was_ready => {
                news.tell(News::Failed(StartFailure::NotReady(start_timeout))).await;
                return Leave::NeverReady;
            }
        }
    }
}

/// Asks until the sidecar says that it can serve.
async fn until_ready(scraper: &Scraper, admin: SocketAddr) {
    while !scraper.is_ready(admin).await {
        tokio::time::sleep(READY_POLL).await;
    }
}

/// Waits for the next order. Where nobody is left to give one, it is to go at once.
async fn changed(orders: &mut watch::Receiver<Order>) -> Order {
    match orders.wait_for(|order| *order != Order::Live).await {
        Ok(order) => *order,
        Err(_) => Order::Kill,
    }
}

/// Waits until it is told to go at once.
pub(super) async fn killed(orders: &mut watch::Receiver<Order>) {
    orders.wait_for(|order| *order == Order::Kill).await.map(drop).ok();
}

/// Where news go.
pub(super) type Sender = mpsc::Sender<Event>;

pub(super) struct Reporter {
    api: String,
    id: String,
    news: Sender,
}

impl Reporter {
    pub(super) async fn tell(&self, news: News) {
        let event = Event { api: self.api.clone(), id: self.id.clone(), news };
        // Nobody listens any more when the autoscaler is being dropped, and this task with it.
        self.news.send(event).await.ok();
    }
}

pub(super) fn shown(status: &io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}
