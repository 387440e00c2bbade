//! `tidegate-proxy`: the data plane as one slim binary for containers.

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tidegate_proxy::{GatewayArgs, SidecarArgs, Sourced, run_gateway, run_sidecar};

/// What wrong flags end with (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;

/// Tidegate's proxy: queues, limits and measures requests to inference servers
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Stand before one model
    Sidecar(Box<Sourced<SidecarArgs>>),
    /// Stand before many sidecars
    Gateway(Box<Sourced<GatewayArgs>>),
}

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(Cli { command: Command::Sidecar(args) }) => run_sidecar(*args),
        Ok(Cli { command: Command::Gateway(args) }) => run_gateway(*args),
        Err(error) => {
            let usage = error.use_stderr();
            // Nothing is left to tell it to if stderr is closed.
            drop(error.print());
            if usage { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS }
        }
    }
}
