//! `tidegate refresh`: replaces an API's replicas by new ones, a few at a time.

use crate::backend::{Backend, Where};
use crate::exit;
use crate::screen::{Format, Screen};
use crate::signals::Signals;
use anyhow::Result;
use std::process::ExitCode;

/// Flags of `refresh`.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::CODES)]
pub(crate) struct RefreshArgs {
    /// The API
    #[arg(value_name = "NAME", env = "TIDEGATE_REFRESH_NAME")]
    name: String,
    #[command(flatten)]
    place: Where,
}

/// Begins it, and says what is restarted.
pub(crate) fn run(args: &RefreshArgs) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let signals = Signals::listen()?;
        let refresh = async {
            let backend = Backend::open(&args.place).await?;
            let what = backend.refresh(&args.name).await?;
            Screen::new(Format::Plain).line(&format!("{}: {what}", args.name));
            Ok(ExitCode::SUCCESS)
        };
        tokio::select! {
            done = refresh => done,
            () = signals.first() => Ok(exit::interrupted()),
        }
    })
}
