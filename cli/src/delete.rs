//! `tidegate delete`: takes APIs away.

use crate::backend::{Backend, Change, Where};
use crate::exit::{self, NotDone};
use crate::resource;
use crate::screen::{Format, Screen};
use crate::signals::until_interrupted;
use anyhow::Result;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Duration;

/// Flags of `delete`.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::CODES)]
pub(crate) struct DeleteArgs {
    /// The APIs
    #[arg(
        required = true,
        value_name = "NAME",
        env = "TIDEGATE_DELETE_NAMES",
        value_delimiter = ','
    )]
    names: Vec<String>,
    /// Wait until they are gone
    #[arg(long, env = "TIDEGATE_DELETE_WAIT")]
    wait: bool,
    /// How long to wait until all are gone
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration, value_name = "TIME", env = "TIDEGATE_DELETE_TIMEOUT")]
    timeout: Duration,
    #[command(flatten)]
    place: Where,
}

/// Deletes each that is there.
pub(crate) fn run(args: &DeleteArgs) -> Result<ExitCode> {
    until_interrupted(async { delete(args).await.map(|()| ExitCode::SUCCESS) })
}

async fn delete(args: &DeleteArgs) -> Result<()> {
    let backend = Backend::open(&args.place).await?;
    let screen = Screen::new(Format::Plain);
    let mut missing = Vec::new();
    for name in &args.names {
        match backend.delete(name).await? {
            Some(what) => screen.line(&format!("{name} deleted; {what}")),
            None => missing.push(&**name),
        }
    }
    if args.wait {
        let gone = async {
            for name in &args.names {
                until_gone(&backend, name).await?;
            }
            Ok::<_, anyhow::Error>(())
        };
        let late = || NotDone::late("some are still there; see --timeout".to_owned());
        tokio::time::timeout(args.timeout, gone).await.map_err(|_| late())??;
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(NotDone::missing(format!("there is no InferenceApi {}", missing.join(", "))).into())
}

async fn until_gone(backend: &Backend, name: &str) -> Result<()> {
    let follow = backend.follow(Some(name), false, |change| {
        let is_there = match change {
            Change::All(all) => all.iter().any(|object| resource::name(object) == name),
            Change::Set(_) => true,
            Change::Gone(_) => false,
        };
        if is_there { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    follow.await
}
