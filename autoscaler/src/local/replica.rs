//! The life of one replica: starting, ready, draining, gone. One task, which owns both processes.
//!
//! It obeys [`Order`]s and reports [`News`]; it never decides that a replica should be.

use super::backoff;
use super::failure::StartFailure;
use super::launch;
use super::process::Process;
use super::target::LocalSettings;
use crate::clock::Clock;
use crate::scrape::Scraper;
use serde::Deserialize;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;
use tidegate_api::document::InferenceApi;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::ChildStdout;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Between two questions whether a starting replica is ready.
const READY_POLL: Duration = Duration::from_millis(25);

/// How long a sidecar may take to say where it listens.
const BIND_DEADLINE: Duration = Duration::from_secs(10);

/// The longest line in which it may say so.
const MOST_LINE: u64 = 4096;

/// How long a model has between SIGTERM and SIGKILL.
const MODEL_GRACE: Duration = Duration::from_secs(10);

/// What a sidecar may take beyond its own drain times before it is killed.
const DRAIN_SLACK: Duration = Duration::from_secs(5);

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

/// All that a replica is made from.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) id: String,
    pub(super) api: Arc<InferenceApi>,
    pub(super) program: PathBuf,
    pub(super) python_bin: Option<PathBuf>,
    pub(super) port: u16,
    pub(super) log: PathBuf,
    pub(super) settings: Arc<LocalSettings>,
    pub(super) clock: Clock,
    pub(super) scraper: Scraper,
}

/// Why a replica leaves.
#[derive(Debug)]
enum Leave {
    /// It was told to.
    Ordered(Order),
    /// Its sidecar is gone, or never was.
    Sidecar,
    /// It was not ready in time.
    NeverReady,
}

/// Lives one replica from start to end.
pub(super) async fn live(plan: Plan, mut orders: watch::Receiver<Order>, news: Sender) {
    let news = Reporter { api: plan.api.name.clone(), id: plan.id.clone(), news };
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
    let start_timeout = plan.api.readiness.start_timeout;
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
async fn killed(orders: &mut watch::Receiver<Order>) {
    orders.wait_for(|order| *order == Order::Kill).await.map(drop).ok();
}

/// Where news go.
pub(super) type Sender = mpsc::Sender<Event>;

struct Reporter {
    api: String,
    id: String,
    news: Sender,
}

impl Reporter {
    async fn tell(&self, news: News) {
        let event = Event { api: self.api.clone(), id: self.id.clone(), news };
        // Nobody listens any more when the autoscaler is being dropped, and this task with it.
        self.news.send(event).await.ok();
    }
}

/// What happens next to a model.
enum Turn {
    Ended(io::Result<ExitStatus>),
    StartDue,
}

/// The model's process, which may come and go.
struct Model {
    plan: Plan,
    process: Option<Process>,
    created: Duration,
    /// Ready since then; nothing while it starts.
    ready_since: Option<Duration>,
    was_ready: bool,
    restart_at: Option<Duration>,
    starts: u32,
    failures: u32,
}

impl Model {
    fn new(plan: Plan) -> Self {
        let created = plan.clock.now();
        Self {
            plan,
            process: None,
            created,
            ready_since: None,
            was_ready: false,
            restart_at: None,
            starts: 0,
            failures: 0,
        }
    }

    async fn start(&mut self, news: &Reporter) {
        self.restart_at = None;
        self.starts += 1;
        match self.spawn() {
            Ok(process) => {
                let pid = process.id();
                self.process = Some(process);
                news.tell(News::Model { pid, restarts: self.starts - 1 }).await;
            }
            Err(error) => {
                self.plan_restart();
                news.tell(News::Failed(StartFailure::ModelSpawn(error))).await;
            }
        }
    }

    fn spawn(&self) -> io::Result<Process> {
        let Plan { api, program, python_bin, port, settings, log, .. } = &self.plan;
        let mut command = launch::model(api, program, python_bin.as_deref(), *port, &settings.shim);
        launch::log_to(&mut command, log, true)?;
        Process::spawn(command)
    }

    /// Waits for the process's end, or, where there is none, until it is to be started again.
    async fn next_turn(&mut self) -> Turn {
        match (&mut self.process, self.restart_at) {
            (Some(process), _) => Turn::Ended(process.exited().await),
            (None, Some(moment)) => {
                self.plan.clock.sleep_until(moment).await;
                Turn::StartDue
            }
            (None, None) => std::future::pending().await,
        }
    }

    /// The process ended by itself: what it left behind is killed, and a restart is planned.
    async fn died(&mut self, status: io::Result<ExitStatus>, news: &Reporter) {
        tracing::warn!(replica = self.plan.id, status = %shown(&status), "model ended");
        if let Some(mut process) = self.process.take() {
            process.kill().await;
        }
        let now = self.plan.clock.now();
        let ready_for = self.ready_since.take().map(|since| now.saturating_sub(since));
        if ready_for.is_some_and(|ready_for| ready_for >= backoff::FORGIVEN_AFTER) {
            self.failures = 0;
        }
        self.plan_restart();
        news.tell(News::Died).await;
        if let (false, Ok(status)) = (self.was_ready, status) {
            news.tell(News::Failed(StartFailure::ModelExited(status))).await;
        }
    }

    fn plan_restart(&mut self) {
        self.failures += 1;
        self.restart_at = Some(self.plan.clock.now() + backoff::wait(self.failures));
    }

    fn is_starting(&self) -> bool {
        self.process.is_some() && self.ready_since.is_none()
    }

    fn ready(&mut self) {
        self.ready_since = Some(self.plan.clock.now());
        self.was_ready = true;
    }

    async fn stop(&mut self, orders: &mut watch::Receiver<Order>, order: Order) {
        let Some(mut process) = self.process.take() else { return };
        if order != Order::Kill {
            tokio::select! {
                () = process.stop(self.plan.clock, MODEL_GRACE) => return,
                () = killed(orders) => {}
            }
        }
        process.kill().await;
    }
}

/// The sidecar's process.
struct Sidecar {
    process: Process,
    bound: Bound,
    /// Copies what else it prints to the log; ends with it.
    _output: JoinSet<()>,
}

/// The line by which a sidecar says where it listens.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Bound {
    data: SocketAddr,
    admin: SocketAddr,
}

impl Sidecar {
    async fn start(plan: &Plan) -> Result<Self, StartFailure> {
        let mut command =
            launch::sidecar(&plan.api, plan.python_bin.as_deref(), plan.port, &plan.settings);
        launch::log_to(&mut command, &plan.log, false).map_err(StartFailure::SidecarSpawn)?;
        let mut process = Process::spawn(command).map_err(StartFailure::SidecarSpawn)?;
        let Some(stdout) = process.take_stdout() else {
            return Err(StartFailure::SidecarSilent("it has no standard output".to_owned()));
        };
        let mut stdout = BufReader::new(stdout);
        let bound = tokio::time::timeout(BIND_DEADLINE, bound(&mut process, &mut stdout))
            .await
            .unwrap_or_else(|_| {
                let why = format!("no line on its standard output within {BIND_DEADLINE:?}");
                Err(StartFailure::SidecarSilent(why))
            })?;
        let mut output = JoinSet::new();
        output.spawn(copy_to_log(stdout, plan.log.clone()));
        Ok(Self { process, bound, _output: output })
    }

    /// Lets the sidecar drain, as far as the reason to leave allows, and sees to it that it ends.
    async fn leave(&mut self, plan: &Plan, why: &Leave, orders: &mut watch::Receiver<Order>) {
        if let Leave::Ordered(order @ (Order::Drain | Order::AwaitDrain)) = why {
            if *order == Order::Drain {
                self.process.terminate();
            }
            let settings = &plan.settings;
            let longest = settings.drain_delay + settings.drain_timeout + DRAIN_SLACK;
            tokio::select! {
                status = self.process.exited() => {
                    tracing::debug!(replica = plan.id, status = %shown(&status), "sidecar drained");
                }
                () = killed(orders) => {}
                () = plan.clock.sleep_until(plan.clock.now() + longest) => {
                    tracing::warn!(replica = plan.id, ?longest, "sidecar did not drain in time");
                }
            }
        }
        self.process.kill().await;
    }
}

/// Reads the line in which a sidecar says where it listens.
async fn bound(
    process: &mut Process,
    stdout: &mut BufReader<ChildStdout>,
) -> Result<Bound, StartFailure> {
    let silent = |why: String| StartFailure::SidecarSilent(why);
    let mut line = String::new();
    let read = stdout.take(MOST_LINE).read_line(&mut line).await;
    if read.map_err(|error| silent(error.to_string()))? == 0 {
        let ended = process.exited().await;
        return Err(ended.map_or_else(StartFailure::SidecarSpawn, StartFailure::SidecarExited));
    }
    serde_json::from_str(&line)
        .map_err(|error| silent(format!("it printed {:?}: {error}", line.trim_end())))
}

/// Copies what a sidecar prints after its first line, so that it never waits for a reader.
async fn copy_to_log(mut stdout: BufReader<ChildStdout>, log: PathBuf) {
    let copy = async {
        let mut log = tokio::fs::OpenOptions::new().append(true).open(&log).await?;
        tokio::io::copy(&mut stdout, &mut log).await
    };
    if let Err(error) = copy.await {
        tracing::warn!(log = %log.display(), %error, "can't copy a sidecar's output to its log");
    }
}

fn shown(status: &io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}
