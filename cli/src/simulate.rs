//! `tidegate simulate`: its errors, as this binary's exit codes.

use crate::exit::{BadDocument, BadUsage};
use anyhow::Result;
use std::process::ExitCode;
use tidegate_simulate::{SimulateArgs, SimulateError};

/// Simulates, and prints what came of it.
pub(crate) fn run(args: &SimulateArgs) -> Result<ExitCode> {
    match tidegate_simulate::run(args) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(SimulateError::Usage(what)) => Err(BadUsage(what).into()),
        Err(SimulateError::Document(report)) => Err(BadDocument(report).into()),
        Err(error @ (SimulateError::Output(_) | SimulateError::Plot { .. })) => Err(error.into()),
    }
}
