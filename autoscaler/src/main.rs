//! `tidegate-autoscaler`: the control plane by itself.

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tidegate_autoscaler::{ChildArgs, DecideArgs, RunArgs, child, decide, run};

/// Exit code of a command line that can't be used (`EX_USAGE`).
const USAGE: u8 = 64;

/// Tidegate's autoscaler: reads what the proxies measure and resizes what is behind them.
#[derive(Debug, Parser)]
#[command(name = "tidegate-autoscaler", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Scale APIs until told to stop, on this machine or on a cluster.
    Run(Box<RunArgs>),
    /// Answer observations on standard input with decisions, a line of JSON each.
    Decide(DecideArgs),
    /// Give pods their sidecars: Kubernetes' admission webhook.
    #[cfg(feature = "kubernetes")]
    Inject(Box<tidegate_autoscaler::InjectArgs>),
    /// Become a command that ends with its parent.
    #[command(hide = true)]
    Child(ChildArgs),
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Nobody is left to tell where the output is closed.
            error.print().ok();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match args.command {
        Command::Run(args) => run(*args),
        Command::Decide(args) => decide(&args),
        #[cfg(feature = "kubernetes")]
        Command::Inject(args) => tidegate_autoscaler::inject(*args),
        Command::Child(args) => child(args),
    }
}
