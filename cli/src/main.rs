//! `tidegate`: everything in one binary. `up`, `demo` and `top` are its own; the other commands
//! are the proxy's and the autoscaler's.
//!
//! # Layout
//!
//! - `command`: the command line.
//! - `up`, `demo`, `top`, `crd`: one file a command. `demo/` holds its schedule, load, counts and summary.
//! - `machine`: gateway, autoscaler and replicas on this machine, from start to clean stop.
//! - `documents`, `venv`, `run_dir`: what must be there before the start. `follow`: what changes after it.
//! - `view`, `screen`: what is shown. `signals`, `exit`, `client`, `clock`: the edges.

mod client;
mod clock;
mod command;
#[cfg(feature = "kubernetes")]
mod crd;
mod demo;
mod documents;
mod exit;
mod follow;
mod machine;
mod run_dir;
mod screen;
mod signals;
mod simulate;
mod top;
mod up;
mod venv;
mod view;

use clap::Parser;
use command::{Autoscaler, Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::bad_usage(&error),
    };
    match cli.command {
        Command::Up(args) => exit::code(up::run(&args)),
        Command::Demo(args) => exit::code(demo::run(&args)),
        Command::Top(args) => exit::code(top::run(&args)),
        Command::Simulate(args) => exit::code(simulate::run(&args)),
        Command::Sidecar(args) => tidegate_proxy::run_sidecar(*args),
        Command::Gateway(args) => tidegate_proxy::run_gateway(*args),
        Command::Decide(args) | Command::Autoscaler(Autoscaler::Decide(args)) => {
            tidegate_autoscaler::decide(&args)
        }
        #[cfg(feature = "kubernetes")]
        Command::Crd => exit::code(crd::run()),
        #[cfg(feature = "kubernetes")]
        Command::Autoscaler(Autoscaler::Inject(args)) => tidegate_autoscaler::inject(*args),
        Command::Autoscaler(Autoscaler::Run(args)) => tidegate_autoscaler::run(*args),
        Command::Autoscaler(Autoscaler::Child(args)) | Command::Child(args) => {
            tidegate_autoscaler::child(args)
        }
    }
}
