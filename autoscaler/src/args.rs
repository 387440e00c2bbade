//! `run --local FILE…`: flags to [`Settings`], signals, exit codes.

use crate::app::{App, Settings, StartError};
#[cfg(feature = "kubernetes")]
use crate::cluster::{self, ClusterError, ClusterSettings, KubernetesArgs};
use crate::documents::{self, ReadError};
use crate::follow::{self, Follow};
use crate::local::GaveUp;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code of a document that can't be used (`EX_DATAERR`).
pub(crate) const BAD_DOCUMENT: u8 = 65;

/// Flags of `run`: scale local processes as documents say, or a cluster.
#[derive(Debug, clap::Args)]
#[cfg_attr(feature = "kubernetes", group(id = "where", required = true, args = ["local", "kubernetes"]))]
#[cfg_attr(not(feature = "kubernetes"), group(id = "where", required = true, args = ["local"]))]
pub struct RunArgs {
    /// Run replicas as processes on this machine, for the APIs in these YAML files, which are followed
    /// as they change and on SIGHUP.
    #[arg(
        long,
        value_name = "FILE",
        num_args = 1..,
        value_delimiter = ',',
        env = "TIDEGATE_AUTOSCALER_LOCAL"
    )]
    local: Vec<PathBuf>,
    /// The gateway's admin address: what it holds counts as demand. Without it an API at zero is
    /// started only by a call to /wake.
    #[arg(long, value_name = "ADDRESS", env = "TIDEGATE_AUTOSCALER_GATEWAY")]
    gateway: Option<SocketAddr>,
    /// Where /healthz, /metrics, /status and /wake are served; port 0 takes a free one.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8082",
        env = "TIDEGATE_AUTOSCALER_ADMIN"
    )]
    admin: SocketAddr,
    /// The file that tells the gateway where replicas listen.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "target/tidegate/endpoints.json",
        env = "TIDEGATE_AUTOSCALER_ENDPOINTS_FILE"
    )]
    endpoints_file: PathBuf,
    /// Where it keeps what it has learned, so that a restart forgets nothing.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "target/tidegate/state.json",
        env = "TIDEGATE_AUTOSCALER_STATE_FILE"
    )]
    state_file: PathBuf,
    /// The folder of the replicas' logs, one file for each.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "target/tidegate/logs",
        env = "TIDEGATE_AUTOSCALER_LOG_DIR"
    )]
    log_dir: PathBuf,
    /// The command of a sidecar, split at spaces. By default `tidegate sidecar` if this is
    /// tidegate, else tidegate-proxy from this program's folder or from PATH.
    #[arg(long, value_name = "COMMAND", env = "TIDEGATE_AUTOSCALER_SIDECAR_COMMAND")]
    sidecar_command: Option<String>,
    /// The bin folder of an API's Python virtual environment, to be put first on its PATH.
    #[arg(
        long,
        value_name = "API=DIR",
        value_parser = python_bin,
        value_delimiter = ',',
        env = "TIDEGATE_AUTOSCALER_PYTHON_BIN"
    )]
    python_bin: Vec<(String, PathBuf)>,
    /// Where Prometheus is, for APIs whose policy is a query, and on Kubernetes for --source: as in
    /// http://host:port, perhaps with a path. spec.autoscaling.metric.prometheus comes first.
    #[arg(
        long,
        value_name = "URL",
        value_parser = tidegate_api::http_url,
        env = "TIDEGATE_AUTOSCALER_PROMETHEUS"
    )]
    prometheus: Option<String>,
    /// The time between two decisions.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "1s",
        value_parser = humantime::parse_duration,
        env = "TIDEGATE_AUTOSCALER_TICK"
    )]
    tick: Duration,
    /// End after this many failed starts in a row of an API that never was ready; 0 never ends. A
    /// version of another API ends nothing while one of the others may do.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 3,
        env = "TIDEGATE_AUTOSCALER_GIVE_UP_AFTER"
    )]
    give_up_after: u32,
    /// How long a draining sidecar still takes new connections, so that gateways have time to see
    /// that it drains.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "1s",
        value_parser = humantime::parse_duration,
        env = "TIDEGATE_AUTOSCALER_DRAIN_DELAY"
    )]
    drain_delay: Duration,
    /// How long the requests of a draining sidecar may take to finish.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "60s",
        value_parser = humantime::parse_duration,
        env = "TIDEGATE_AUTOSCALER_DRAIN_TIMEOUT"
    )]
    drain_timeout: Duration,
    #[cfg(feature = "kubernetes")]
    #[command(flatten)]
    kubernetes: KubernetesArgs,
}

/// Runs until SIGINT or SIGTERM, then drains; a second signal kills at once. On a cluster it gives
/// its lease back, and replicas stay as they are.
///
/// Exit codes: 0 after a signal, 65 for a document that can't be used, 1 for all else.
pub fn run(args: RunArgs) -> ExitCode {
    crate::log::start();
    match try_run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to tell where standard error is closed.
            writeln!(std::io::stderr(), "error: {failure}").ok();
            match failure {
                Failure::Documents(ReadError::Mistakes(_)) => ExitCode::from(BAD_DOCUMENT),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// Why `run` ends with an error.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Documents(#[from] ReadError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Run(#[from] Box<GaveUp>),
    #[cfg(feature = "kubernetes")]
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("can't set up the process: {0}")]
    Process(#[from] std::io::Error),
}

fn try_run(args: RunArgs) -> Result<(), Failure> {
    #[cfg(feature = "kubernetes")]
    if args.kubernetes.kubernetes {
        return run_on_cluster(args);
    }
    // On this thread and no other: children end with the thread that spawned them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before they are read: what changes from here on is seen.
    let follow = {
        let _within = runtime.enter();
        Follow::new(args.local.iter().cloned()).and_on_hangup()?
    };
    let apis = documents::read(&args.local, "--local")?;
    let program = std::env::current_exe()?;
    let python_bins: BTreeMap<_, _> = args.python_bin.into_iter().collect();
    let settings = Settings {
        apis,
        admin: args.admin,
        endpoints_file: args.endpoints_file,
        state_file: Some(args.state_file),
        log_dir: args.log_dir,
        sidecar: args.sidecar_command.map_or_else(
            || default_sidecar(&program),
            |command| command.split_whitespace().map(OsString::from).collect(),
        ),
        shim: vec![program.into(), "child".into()],
        python_bins: python_bins.clone(),
        prometheus: args.prometheus,
        tick: args.tick,
        give_up_after: args.give_up_after,
        drain_delay: args.drain_delay,
        drain_timeout: args.drain_timeout,
    };
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let (interrupt, terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let app = App::bind(settings).await?;
        let handle = app.handle();
        let admin = app.admin_addr();
        listening(admin);
        let signals = signals(interrupt, terminate, &stop, || handle.kill_now());
        tokio::select! {
            ended = app.run(args.gateway, stop.cancelled()) => Ok(ended?),
            never = signals => match never {},
            never = follow::documents(follow, &args.local, &python_bins, &handle) => match never {},
        }
    })
}

/// On a cluster the first signal ends it: there is nothing here to drain.
#[cfg(feature = "kubernetes")]
fn run_on_cluster(args: RunArgs) -> Result<(), Failure> {
    let recorded = args.kubernetes.recorded();
    let KubernetesArgs { identity, most_scrapes, .. } = args.kubernetes;
    let settings = ClusterSettings {
        context: args.kubernetes.context,
        namespace: args.kubernetes.namespace,
        pods: args.kubernetes.pods,
        gateways: args.kubernetes.gateways,
        own_namespace: args.kubernetes.own_namespace,
        lease: args.kubernetes.lease,
        lease_duration: args.kubernetes.lease_duration,
        identity: identity.unwrap_or_else(identity_of_this_process),
        most_scrapes: most_scrapes as usize,
        wake_accounts: args.kubernetes.wake_service_accounts,
        wake_audience: args.kubernetes.wake_audience,
        admin: args.admin,
        tick: args.tick,
        prometheus: args.prometheus,
        recorded,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let shutdown = async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            tracing::info!("stops, replicas stay as they are");
        };
        Ok(cluster::run(settings, listening, shutdown).await?)
    })
}

/// The host's name, which in a pod is the pod's, and something that no other process has.
#[cfg(feature = "kubernetes")]
fn identity_of_this_process() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}_{:08x}", fastrand::u32(..))
}

fn listening(admin: SocketAddr) {
    tracing::info!(%admin, "listening");
    let line = serde_json::json!({ "event": "listening", "admin": admin });
    // For programs that start this one with port 0; a closed standard output is no fault.
    writeln!(std::io::stdout(), "{line}").ok();
}

/// Turns the first signal into a stop, and each one after it into a kill.
async fn signals(
    mut interrupt: Signal,
    mut terminate: Signal,
    stop: &CancellationToken,
    kill: impl Fn(),
) -> std::convert::Infallible {
    loop {
        let received = tokio::select! {
            received = interrupt.recv() => received,
            received = terminate.recv() => received,
        };
        match received {
            None => std::future::pending().await,
            Some(()) if stop.is_cancelled() => {
                tracing::warn!("second signal, kills every replica");
                kill();
            }
            Some(()) => {
                tracing::info!("stops, replicas drain; a second signal kills them");
                stop.cancel();
            }
        }
    }
}

/// `tidegate sidecar` where this is tidegate; else its sibling, or what PATH has.
fn default_sidecar(program: &Path) -> Vec<OsString> {
    if program.file_name() == Some(OsStr::new("tidegate")) {
        return vec![program.into(), "sidecar".into()];
    }
    let name = OsString::from("tidegate-proxy");
    let sibling = program.with_file_name(&name);
    vec![if sibling.is_file() { sibling.into() } else { name }, "sidecar".into()]
}

fn python_bin(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((api, dir)) if !api.is_empty() && !dir.is_empty() => {
            Ok((api.to_owned(), PathBuf::from(dir)))
        }
        _ => Err("it must be an API's name, `=` and a folder, as in digits=/venv/bin".to_owned()),
    }
}
