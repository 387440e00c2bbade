//! The wiring: the only file that sees the whole configuration and all parts.

use crate::admin::{self, Admin};
use crate::calls::{Asked, Calls};
use crate::clock::Clock;
use crate::handle::{Change, Handle};
use crate::listener::listen;
use crate::local::{GaveUp, Local, LocalSettings, Make};
use crate::metrics::Metrics;
use crate::scrape::Scraper;
use crate::state::{Before, StateFile};
use crate::status::Status;
use crate::tick::{Control, Prepared, Unfit};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidegate_api::document::InferenceApi;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// A scrape waits as long as a tick, but neither shorter nor longer than this.
const SCRAPE_DEADLINE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));

/// When the next tick comes after a wake-up. The request that wakes is often the first of a burst,
/// whose size can be seen a moment later.
const SECOND_LOOK: Duration = Duration::from_millis(100);

/// Everything an autoscaler of local processes needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The APIs to scale; their names differ. What only splits requests among others has no replicas.
    pub apis: Vec<InferenceApi>,
    /// Where the autoscaler's own port listens; port 0 takes a free one.
    pub admin: SocketAddr,
    /// The file that tells a gateway where replicas listen.
    pub endpoints_file: PathBuf,
    /// Where what the scalers remember is kept for the next process; nothing for nowhere.
    pub state_file: Option<PathBuf>,
    /// Where each replica's output goes, in a file of its own.
    pub log_dir: PathBuf,
    /// The sidecar's command, to which flags are added: `["/usr/bin/tidegate", "sidecar"]`.
    pub sidecar: Vec<OsString>,
    /// The command of [`crate::child`], which ties children to this process. Empty for none: then
    /// replicas outlive an autoscaler that is killed.
    pub shim: Vec<OsString>,
    /// The `bin` folder of each API's Python virtual environment, by the API's name.
    pub python_bins: BTreeMap<String, PathBuf>,
    /// The Prometheus that queries go to where a document names none: `http://127.0.0.1:9090`.
    pub prometheus: Option<String>,
    /// Between two decisions.
    pub tick: Duration,
    /// Failed starts in a row after which an API that never was ready ends the run; 0 for never.
    pub give_up_after: u32,
    /// How long a draining sidecar still takes new connections.
    pub drain_delay: Duration,
    /// How long a draining sidecar's requests may take to finish.
    pub drain_timeout: Duration,
}

/// Why an autoscaler could not begin. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The admin port can't be had.
    #[error(
        "can't listen on {address} for the autoscaler's admin port: {source}; is it in use? choose another with --admin"
    )]
    Admin {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// An API can't be run on this machine.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// A folder or file can't be written.
    #[error("can't write {}: {source}; choose another place with {flag}", path.display())]
    Write {
        /// The folder or file.
        path: PathBuf,
        /// The flag that names it.
        flag: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A setting makes no sense.
    #[error("{0}")]
    Setting(&'static str),
    /// The metrics could not be set up.
    #[error("can't set up the autoscaler's metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// An autoscaler that listens on its admin port and has started nothing yet.
#[derive(Debug)]
pub struct App {
    control: Control,
    listener: TcpListener,
    address: SocketAddr,
    calls: Calls,
    changes: mpsc::Receiver<Change>,
    tick: Duration,
    handle: Handle,
}

impl App {
    /// Checks the settings, binds the admin port and writes an empty endpoints file.
    ///
    /// Must be called, and [`App::run`] be awaited, on a `current_thread` runtime whose thread lives
    /// on: the kernel ends the children when the *thread* that spawned them ends.
    pub async fn bind(settings: Settings) -> Result<Self, StartError> {
        check(&settings)?;
        let clock = Clock::start();
        let (shortest, longest) = SCRAPE_DEADLINE;
        let scraper = Scraper::new(clock, settings.tick.clamp(shortest, longest));
        let now = clock.now();
        let (apis, prometheus) = (settings.apis.clone(), settings.prometheus.clone());
        let prepared = Prepared::new(apis, &settings.python_bins, prometheus.as_deref())?;
        let metrics = Metrics::new(prepared.names())?;
        let calls = Calls::new(prepared.names().map(str::to_owned));
        let (state, mut before) = match settings.state_file.clone() {
            Some(path) => {
                let (file, before) = StateFile::open(path, clock.wall());
                (Some(file), before)
            }
            None => (None, Before::default()),
        };
        let splits = prepared.splits().to_vec();
        let (makes, apis, rollouts) = prepared.begin(&mut before, now);
        let (endpoints_file, log_dir) = (settings.endpoints_file.clone(), settings.log_dir.clone());
        let mut local = local(&settings, makes, clock, scraper.clone())?;
        local.set_splits(&splits);

        let address = settings.admin;
        let failed = |source| StartError::Admin { address, source };
        let listener = listen(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        prepare_folder(&log_dir, "--log-dir")?;
        let folder = settings.state_file.as_deref().and_then(Path::parent);
        let folder = folder.filter(|folder| *folder != Path::new(""));
        folder.map_or(Ok(()), |folder| prepare_folder(folder, "--state-file"))?;
        let beside = endpoints_file.parent().filter(|folder| *folder != Path::new(""));
        beside.map_or(Ok(()), |folder| prepare_folder(folder, "--endpoints-file"))?;
        let weights = rollouts.iter().map(|of| (of.api.clone(), of.weights()));
        local.set_weights(weights.collect());
        local.write_endpoints().map_err(|source| StartError::Write {
            path: endpoints_file,
            flag: "--endpoints-file",
            source,
        })?;

        let status = Arc::new(Mutex::new(Status::default()));
        let (changes, to_come) = mpsc::channel(1);
        let handle = Handle::new(Arc::clone(&status), metrics.clone(), prometheus, changes);
        let gateway = None;
        let control =
            Control { clock, local, scraper, gateway, metrics, status, state, apis, rollouts };
        control.publish();
        let (changes, tick) = (to_come, settings.tick);
        Ok(Self { control, listener, address, calls, changes, tick, handle })
    }

    /// Where the admin port listens.
    pub fn admin_addr(&self) -> SocketAddr {
        self.address
    }

    /// A handle that outlives [`App::run`].
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Scales until `shutdown` completes, then drains every replica, and returns when all are gone.
    ///
    /// [`Handle::kill_now`] does away with the draining. Dropping the future kills all replicas.
    /// Where an API fails to start again and again, everything is stopped and its error returned.
    pub async fn run(
        self,
        gateway_admin: Option<SocketAddr>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Box<GaveUp>> {
        let Self { mut control, listener, calls, mut changes, tick, handle, .. } = self;
        control.gateway = gateway_admin;
        let admin = Arc::new(Admin {
            door: None,
            status: Arc::clone(&control.status),
            metrics: control.metrics.clone(),
            calls,
        });
        let mut server = JoinSet::new();
        server.spawn(admin::serve(listener, Arc::clone(&admin)));

        let called = (&admin.calls, &mut changes);
        let ended = scale(&mut control, called, tick, shutdown, handle.killed()).await;
        control.keep_state(true);
        match &ended {
            Ok(()) => control.local.drain_all(),
            Err(_) => control.local.abandon_all(),
        }
        empty(&mut control, handle.killed()).await;
        control.local.end().await;
        server.shutdown().await;
        ended
    }
}

/// Ticks, each period and for each call, until told to stop.
async fn scale(
    control: &mut Control,
    (calls, changes): (&Calls, &mut mpsc::Receiver<Change>),
    period: Duration,
    shutdown: impl Future<Output = ()>,
    kill: &CancellationToken,
) -> Result<(), Box<GaveUp>> {
    tokio::pin!(shutdown);
    let mut ticks = tokio::time::interval(period);
    // After a pause of the machine one tick is enough.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_call = None;
    let clock = control.clock;
    loop {
        let next = async {
            tokio::select! {
                biased;
                () = &mut shutdown => Next::Stop,
                () = kill.cancelled() => Next::Stop,
                asked = calls.next(clock, last_call) => Next::Call(asked),
                Some(change) = changes.recv() => Next::Change(change),
                _ = ticks.tick() => Next::Tick,
            }
        };
        match control.while_listening(next).await? {
            Next::Stop => return Ok(()),
            Next::Tick => control.tick(calls).await?,
            Next::Change(Change { prepared, done }) => {
                control.adopt(prepared, calls);
                // Before it is answered: who asks then sees what follows from it.
                control.tick(calls).await?;
                // Who waits for it may have left.
                done.send(()).ok();
            }
            Next::Call(Asked { wake, refresh }) => {
                let now = clock.now();
                // Not after each of many calls: they would put off the ticks for ever.
                if last_call.is_none_or(|last| now.saturating_sub(last) >= period) {
                    ticks.reset_after(SECOND_LOOK.min(period));
                }
                last_call = Some(now);
                if refresh.is_empty() {
                    control.wake(&wake, calls).await?;
                } else {
                    control.refresh(&refresh);
                    control.tick(calls).await?;
                }
            }
        }
    }
}

/// What the loop does next.
enum Next {
    Stop,
    Tick,
    Change(Change),
    Call(Asked),
}

/// Waits until every replica is gone.
async fn empty(control: &mut Control, kill: &CancellationToken) {
    let mut killed = false;
    control.publish();
    while !control.local.is_empty() {
        tokio::select! {
            event = control.local.next_event() => {
                // A start that fails now is no news: everything ends anyway.
                control.local.apply(event).ok();
                control.publish();
            }
            () = kill.cancelled(), if !killed => {
                killed = true;
                control.local.kill_all();
            }
        }
    }
}

fn check(settings: &Settings) -> Result<(), StartError> {
    if settings.tick.is_zero() {
        return Err(StartError::Setting("the tick must be longer than 0s; --tick 1s is usual"));
    }
    if settings.sidecar.is_empty() {
        let what =
            "no sidecar command is given; --sidecar-command 'tidegate-proxy sidecar' is usual";
        return Err(StartError::Setting(what));
    }
    Ok(())
}

/// The local target, with every path absolute: children run in folders of their own.
fn local(
    settings: &Settings,
    makes: Vec<Make>,
    clock: Clock,
    scraper: Scraper,
) -> Result<Local, StartError> {
    let absolute = |path: &Path, flag| {
        std::path::absolute(path).map_err(|source| StartError::Write {
            path: path.to_owned(),
            flag,
            source,
        })
    };
    let settings = LocalSettings {
        endpoints_file: absolute(&settings.endpoints_file, "--endpoints-file")?,
        log_dir: absolute(&settings.log_dir, "--log-dir")?,
        sidecar: absolute_program(&settings.sidecar),
        shim: absolute_program(&settings.shim),
        drain_delay: settings.drain_delay,
        drain_timeout: settings.drain_timeout,
        give_up_after: settings.give_up_after,
    };
    Ok(Local::new(settings, makes, clock, scraper))
}

/// A command whose program, where it is a path, does not depend on the folder it is run in.
fn absolute_program(command: &[OsString]) -> Vec<OsString> {
    let mut words = command.to_vec();
    if let Some(program) = words.first_mut()
        && program.as_encoded_bytes().contains(&b'/')
        && let Ok(path) = std::path::absolute(&*program)
    {
        *program = path.into();
    }
    words
}

fn prepare_folder(folder: &Path, flag: &'static str) -> Result<(), StartError> {
    std::fs::create_dir_all(folder).map_err(|source| StartError::Write {
        path: folder.to_owned(),
        flag,
        source,
    })
}
