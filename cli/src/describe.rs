//! `tidegate describe`: one API with its conditions, decisions, replicas and events.

use crate::backend::{Backend, Where};
use crate::description;
use crate::screen::{Format, Screen};
use crate::signals::until_interrupted;
use crate::{clock, exit};
use anyhow::Result;
use std::process::ExitCode;

/// Flags of `describe`.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::CODES)]
pub(crate) struct DescribeArgs {
    /// The API
    #[arg(value_name = "NAME", env = "TIDEGATE_DESCRIBE_NAME")]
    name: String,
    #[command(flatten)]
    place: Where,
}

/// Prints it.
pub(crate) fn run(args: &DescribeArgs) -> Result<ExitCode> {
    until_interrupted(async {
        let backend = Backend::open(&args.place).await?;
        let details = backend.details(&args.name).await?;
        let screen = Screen::new(Format::Plain);
        let lines = description::lines(&details, clock::wall());
        lines.iter().for_each(|line| screen.line(line));
        Ok(ExitCode::SUCCESS)
    })
}
