//! Runs a sidecar or a gateway as a process: starts it, says where it listens, drains on a signal.

use crate::app::Server;
use crate::config::{GatewayApi, GatewayArgs, GatewaySettings, ServerArgs, SidecarArgs, Sourced};
use crate::file_limit;
use anyhow::Context;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use tidegate_api::InferenceApi;
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// What a wrong document ends with (`EX_DATAERR` of sysexits.h).
const EXIT_BAD_DOCUMENT: u8 = 65;

/// Runs a sidecar until a signal ends it.
pub fn run_sidecar(flags: Sourced<SidecarArgs>) -> ExitCode {
    start(&flags.args.server);
    exit(run(|| Ok(Server::sidecar(flags.into())?)))
}

/// Runs a gateway until a signal ends it.
pub fn run_gateway(flags: Sourced<GatewayArgs>) -> ExitCode {
    start(&flags.args.server);
    #[cfg(feature = "kubernetes")]
    if flags.args.cluster.kubernetes {
        return exit(run_on_cluster(flags));
    }
    let Some(file) = flags.args.config.clone() else {
        return exit(Err(anyhow::anyhow!(
            "nothing says what is to be served: --config is missing"
        )));
    };
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) => {
            let error = anyhow::Error::new(error)
                .context(format!("can't read {} (--config)", file.display()));
            return exit(Err(error));
        }
    };
    let folder = file.parent().unwrap_or_else(|| Path::new("."));
    match tidegate_api::parse_all(&text, &file.display().to_string(), folder) {
        Ok(apis) => exit(run(|| {
            if flags.args.endpoints.is_none() {
                warn_of_nowhere(&apis);
            }
            let apis = apis.iter().map(GatewayApi::from_document).collect();
            let documents = Some((file, text));
            let settings = GatewaySettings { apis, documents, ..GatewaySettings::new(flags) };
            Ok(Server::start(settings)?)
        })),
        Err(report) => {
            complain(&format!("{report}"));
            ExitCode::from(EXIT_BAD_DOCUMENT)
        }
    }
}

/// Requests for an API without endpoints would wait in vain, and nothing would say why.
fn warn_of_nowhere(apis: &[InferenceApi]) {
    for api in apis.iter().filter(|api| api.endpoints.is_none() && api.traffic.is_none()) {
        tracing::warn!(
            api.name,
            "nothing says where replicas are: see --endpoints and spec.endpoints"
        );
    }
}

#[cfg(feature = "kubernetes")]
fn run_on_cluster(flags: Sourced<GatewayArgs>) -> anyhow::Result<()> {
    // It names its causes itself.
    let cluster = runtime()?.block_on(flags.args.cluster.settings());
    let cluster = cluster.map_err(|error| anyhow::anyhow!("{error}"))?;
    let settings = GatewaySettings { cluster: Some(cluster), ..GatewaySettings::new(flags) };
    run(|| Ok(Server::start(settings)?))
}

fn run(start: impl FnOnce() -> anyhow::Result<Server>) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("can't wait for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("can't wait for SIGINT")?;
        // By itself it would end the process. A sidecar reads its settings again (`reload`).
        let mut hangup = signal(SignalKind::hangup()).context("can't wait for SIGHUP")?;
        let mut server = start()?;
        announce(&server);
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                () = server.taken_over() => {
                    tracing::info!("another process has taken over");
                    break;
                }
                Some(()) = hangup.recv() => tracing::debug!("SIGHUP ends nothing here"),
            }
        }
        tracing::info!("draining; a second signal ends at once");
        tokio::select! {
            () = server.drain() => tracing::info!("drained"),
            _ = terminate.recv() => tracing::warn!("second signal: ending at once"),
            _ = interrupt.recv() => tracing::warn!("second signal: ending at once"),
        }
        Ok(())
    })
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("the system refused an event queue")
}

/// One line of JSON, for whoever started the process with port 0.
fn announce(server: &Server) {
    let (data, admin) = (server.data_addr(), server.admin_addr());
    tracing::info!(%data, %admin, "listening");
    let mut line = serde_json::json!({ "event": "listening", "data": data, "admin": admin });
    if let Some(redirect) = server.redirect_addr() {
        line["redirect"] = serde_json::json!(redirect);
    }
    let mut out = std::io::stdout().lock();
    // Nobody may be reading; that is no reason to end.
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}

fn start(server: &ServerArgs) {
    start_log(server.log);
    file_limit::raise(server.max_connections.get() as u64);
}

fn start_log(level: LevelFilter) {
    // What the protocol's crate says of each frame is for those who ask for everything.
    let frames = if level == LevelFilter::TRACE { level } else { level.min(LevelFilter::INFO) };
    // Of each failed call to a cluster we tell which it was; the client's crate tells only that it failed.
    let client = if level == LevelFilter::TRACE { level } else { LevelFilter::OFF };
    let targets = Targets::new().with_default(level);
    let targets = targets.with_target("h2", frames).with_target("kube_client", client);
    // In tests and in `up` a log is there already: keep it.
    drop(
        tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(std::io::stderr)
            .with_ansi(false)
            .with_target(false)
            .finish()
            .with(targets)
            .try_init(),
    );
}

fn exit(ended: anyhow::Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the last word of a process goes to its user")]
fn complain(text: &str) {
    eprintln!("error: {}", text.trim_end());
}
