//! A replica's model: its process, which may come and go while the replica stays.

use super::backoff;
use super::failure::StartFailure;
use super::launch;
use super::process::Process;
use super::replica::{News, Order, Plan, Reporter, killed, shown};
use std::io;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::sync::watch;

/// How long a model has between SIGTERM and SIGKILL.
const MODEL_GRACE: Duration = Duration::from_secs(10);

/// What happens next to a model.
pub(super) enum Turn {
    Ended(io::Result<ExitStatus>),
    StartDue,
}

/// The model's process, which may come and go.
pub(super) struct Model {
    plan: Plan,
    process: Option<Process>,
    pub(super) created: Duration,
    /// Ready since then; nothing while it starts.
    ready_since: Option<Duration>,
    pub(super) was_ready: bool,
    restart_at: Option<Duration>,
    starts: u32,
    failures: u32,
}

impl Model {
    pub(super) fn new(plan: Plan) -> Self {
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

    pub(super) async fn start(&mut self, news: &Reporter) {
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
        let Plan { make, port, settings, log, .. } = &self.plan;
        let mut command =
            launch::model(&make.api, &make.program, make.python_bin(), *port, &settings.shim);
        launch::log_to(&mut command, log, true)?;
        Ok(Process::spawn(command)?.watched_by(&self.plan.watchdog))
    }

    /// Waits for the process's end, or, where there is none, until it is to be started again.
    pub(super) async fn next_turn(&mut self) -> Turn {
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
    pub(super) async fn died(&mut self, status: io::Result<ExitStatus>, news: &Reporter) {
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

    pub(super) fn is_starting(&self) -> bool {
        self.process.is_some() && self.ready_since.is_none()
    }

    pub(super) fn ready(&mut self) {
        self.ready_since = Some(self.plan.clock.now());
        self.was_ready = true;
    }

    pub(super) async fn stop(&mut self, orders: &mut watch::Receiver<Order>, order: Order) {
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
