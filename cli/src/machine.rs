//! Tidegate on one machine: gateway and autoscaler in this process, replicas as processes, from
//! the start to the clean stop.

use crate::run_dir::{Announcement, RunDir};
use crate::signals::Signals;
use crate::venv::Venvs;
use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;
use tidegate_api::document::InferenceApi;
use tidegate_autoscaler::{App, Handle, Settings, StartError};
use tidegate_proxy::{
    AccessLogSelection, ClassifySettings, DrainSettings, Gateway, GatewayApi, GatewaySettings,
    Given, HopSettings, HttpLimits, ListenSettings, QueueOrder, Teller, TlsSettings,
};

/// Failed starts in a row after which an API that never was ready ends the run.
const GIVE_UP_AFTER: u32 = 3;

/// How long a sidecar that leaves still takes requests: the gateway hears of it by a file on the
/// same machine, within milliseconds.
const SIDECAR_DRAIN_DELAY: Duration = Duration::from_secs(1);

/// What to run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) apis: Vec<InferenceApi>,
    /// The gateway's port for requests.
    pub(crate) listen: SocketAddr,
    /// The gateway's admin port.
    pub(crate) admin: SocketAddr,
    /// The autoscaler's port.
    pub(crate) status: SocketAddr,
    /// By API name.
    pub(crate) python_bins: BTreeMap<String, PathBuf>,
    /// Keeps what scaling has learned.
    pub(crate) state_file: Option<PathBuf>,
    /// The Prometheus of APIs that name none.
    pub(crate) prometheus: Option<String>,
    pub(crate) tick: Duration,
    pub(crate) drain_timeout: Duration,
}

/// Gateway and autoscaler, listening; no replica has been started yet.
pub(crate) struct Machine {
    autoscaler: App,
    gateway: Gateway,
    /// Where the gateway takes requests.
    pub(crate) data: SocketAddr,
    /// The gateway's admin port.
    pub(crate) admin: SocketAddr,
    /// The autoscaler's port.
    pub(crate) status: SocketAddr,
    run_dir: RunDir,
}

/// What tells the gateway and the autoscaler what to serve and to run.
#[derive(Debug)]
pub(crate) struct Changes {
    autoscaler: Handle,
    gateway: Option<Teller>,
}

impl Changes {
    /// Serves and runs these APIs from now on and no others; or nothing has changed, and it says why.
    /// `files` are those that say so, for the status.
    pub(crate) async fn adopt(
        &self,
        apis: Vec<InferenceApi>,
        python_bins: &BTreeMap<String, PathBuf>,
        files: BTreeMap<PathBuf, String>,
    ) -> Result<(), String> {
        let served = apis.iter().map(GatewayApi::from_document).collect();
        let prepared = self.autoscaler.prepare(apis, python_bins).map_err(|why| why.to_string())?;
        // First the gateway: it may refuse, and who goes must get no request any more.
        if let Some(gateway) = &self.gateway {
            gateway.serve(served).await?;
        }
        self.autoscaler.adopt(prepared, files).await;
        Ok(())
    }

    /// Tells why what the documents say is not in force.
    pub(crate) fn refuse(&self, why: &str, files: BTreeMap<PathBuf, String>) {
        self.autoscaler.refuse(why, files);
    }
}

impl Machine {
    /// Binds everything. Must be called on a `current_thread` runtime of the main thread: replicas
    /// are tied to the life of the thread that starts them.
    pub(crate) async fn start(plan: Plan, run_dir: RunDir) -> Result<Self> {
        let program = std::env::current_exe().context("can't find this program's own file")?;
        let command = |name: &str| vec![program.clone().into(), name.into()];
        let gateway_apis = plan.apis.iter().map(GatewayApi::from_document).collect();
        let autoscaler = App::bind(Settings {
            apis: plan.apis,
            admin: plan.status,
            endpoints_file: run_dir.endpoints(),
            state_file: plan.state_file,
            log_dir: run_dir.replica_logs(),
            sidecar: command("sidecar"),
            shim: command("child"),
            python_bins: plan.python_bins,
            prometheus: plan.prometheus,
            tick: plan.tick,
            give_up_after: GIVE_UP_AFTER,
            drain_delay: SIDECAR_DRAIN_DELAY,
            drain_timeout: plan.drain_timeout,
        });
        let autoscaler = match autoscaler.await {
            Ok(autoscaler) => autoscaler,
            // The autoscaler's own words name its own flag, which is another one here.
            Err(StartError::Admin { address, source }) => {
                bail!(
                    "can't listen on {address} (--status): {source}; where another `tidegate up` runs, \
                     use `tidegate deploy --local`, or give this one ports of its own"
                )
            }
            Err(error) => return Err(error.into()),
        };
        let gateway = Gateway::start(GatewaySettings {
            given: Given::default(),
            listen: ListenSettings {
                data: plan.listen,
                admin: plan.admin,
                workers: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
                redirect: None,
                takeover: None,
            },
            tls: TlsSettings::default(),
            wake: Some(autoscaler.admin_addr().into()),
            endpoints_file: Some(run_dir.endpoints()),
            apis: gateway_apis,
            documents: None,
            cluster: None,
            order: QueueOrder::Fifo,
            classify: ClassifySettings::default(),
            drain: DrainSettings { timeout: plan.drain_timeout, ..DrainSettings::default() },
            limits: HttpLimits::default(),
            hops: HopSettings::default(),
            access_log: AccessLogSelection::Off,
            llm: false,
        })?;
        let (data, admin, status) =
            (gateway.data_addr(), gateway.admin_addr(), autoscaler.admin_addr());
        Ok(Self { autoscaler, gateway, data, admin, status, run_dir })
    }

    /// What the autoscaler sees.
    pub(crate) fn handle(&self) -> Handle {
        self.autoscaler.handle()
    }

    /// What tells it what to run.
    pub(crate) fn changes(&self) -> Changes {
        Changes { autoscaler: self.autoscaler.handle(), gateway: self.gateway.teller() }
    }

    /// Tells other processes where it is, and which files it was started with.
    pub(crate) fn announce(&self, files: &[PathBuf]) -> Result<()> {
        let files = files.iter().map(std::path::absolute).collect::<std::io::Result<_>>();
        self.run_dir.announce(&Announcement {
            requests: self.data,
            gateway: self.admin,
            autoscaler: self.status,
            files: files.context("can't find the current folder")?,
        })
    }

    /// Where the logs are.
    pub(crate) fn logs(&self) -> &Path {
        self.run_dir.path()
    }

    /// Runs until `until` completes or a signal comes; then the gateway finishes what it holds,
    /// and the replicas after it. A second signal ends all of it at once.
    pub(crate) async fn run(
        self,
        signals: &Signals,
        until: impl Future<Output = ()>,
        stopping: impl FnOnce(),
    ) -> Result<()> {
        let Self { autoscaler, gateway, .. } = self;
        let handle = autoscaler.handle();
        let stop = async {
            tokio::select! {
                () = until => {}
                () = signals.first() => {}
            }
            stopping();
            tokio::select! {
                () = gateway.drain() => {}
                () = signals.second() => {}
            }
        };
        let kill = async {
            signals.second().await;
            handle.kill_now();
            std::future::pending::<()>().await
        };
        tokio::select! {
            ended = autoscaler.run(Some(self.admin), stop) => Ok(ended?),
            () = kill => Ok(()),
        }
    }
}

/// Makes the Python environments that the APIs ask for; their `bin` folders, by API name.
pub(crate) async fn python_bins(
    apis: &[InferenceApi],
    venvs: &Venvs,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<BTreeMap<String, PathBuf>> {
    let mut bins = BTreeMap::new();
    for api in apis {
        if let Some(python) = &api.container.python {
            let bin = venvs
                .prepare(&python.requirements, progress)
                .await
                .with_context(|| format!("can't prepare Python for api {}", api.name))?;
            bins.insert(api.name.clone(), bin);
        }
    }
    Ok(bins)
}

/// Sends this process's log to its file: standard output is for what happens, in short.
pub(crate) fn start_log(run_dir: &RunDir) -> Result<()> {
    let path = run_dir.log();
    let file = File::create(&path).with_context(|| format!("can't write {}", path.display()))?;
    tracing_subscriber::fmt()
        .with_writer(Mutex::new(file))
        .with_ansi(false)
        .with_target(false)
        .try_init()
        .map_err(|error| anyhow::anyhow!("can't start the log: {error}"))
}

/// Lets this process open as many files as the system permits: a request that waits in the gateway
/// costs one, in the demo two.
pub(crate) fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Refused or not, what there is will do for most; the gateway says so if it doesn't.
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).ok();
}
