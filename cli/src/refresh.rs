//! `tidegate refresh`: replaces an API's replicas by new ones, a few at a time.

use crate::backend::{Backend, Where};
use crate::exit;
use crate::screen::{Format, Screen};
use crate::signals::until_interrupted;
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
    until_interrupted(async {
        let backend = Backend::open(&args.place).await?;
        let what = backend.refresh(&args.name).await?;
        Screen::new(Format::Plain).line(&format!("{}: {what}", args.name));
        Ok(ExitCode::SUCCESS)
    })
}
