//! `tidegate`: everything in one binary. `up`, `demo` and `top` are its own; the other commands
//! are the proxy's and the autoscaler's.
//!
//! # Layout
//!
//! - `up`, `demo`, `top`: one file a command. `demo/` holds its schedule, load, counts and summary.
//! - `machine`: gateway, autoscaler and replicas on this machine, from start to clean stop.
//! - `documents`, `venv`, `run_dir`: what must be there before the start.
//! - `view`, `screen`: what is shown. `signals`, `exit`, `client`, `clock`: the edges.

mod client;
mod clock;
mod demo;
mod documents;
mod exit;
mod machine;
mod run_dir;
mod screen;
mod signals;
mod top;
mod up;
mod venv;
mod view;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tidegate_autoscaler::{ChildArgs, RunArgs};
use tidegate_proxy::{GatewayArgs, SidecarArgs};

/// Runs inference servers behind a queue and scales them with what is asked of them
#[derive(Debug, Parser)]
#[command(name = "tidegate", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run models on this machine: a gateway, an autoscaler, and replicas as requests come
    Up(up::UpArgs),
    /// Show it all in a minute: real images for a real model, from zero replicas and back to zero
    Demo(demo::DemoArgs),
    /// Show what a running `tidegate up` does, replica by replica
    Top(top::TopArgs),
    /// Stand before one model: queue, limit, measure
    Sidecar(Box<SidecarArgs>),
    /// Stand before many sidecars: route, balance, hold requests while an API starts
    Gateway(Box<GatewayArgs>),
    /// Resize what the proxies measure
    #[command(subcommand)]
    Autoscaler(Autoscaler),
    /// Become a command that ends with its parent
    #[command(hide = true)]
    Child(ChildArgs),
}

#[derive(Debug, Subcommand)]
enum Autoscaler {
    /// Scale APIs until told to stop
    Run(Box<RunArgs>),
    /// Become a command that ends with its parent
    #[command(hide = true)]
    Child(ChildArgs),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::bad_usage(&error),
    };
    match cli.command {
        Command::Up(args) => exit::code(up::run(&args)),
        Command::Demo(args) => exit::code(demo::run(&args)),
        Command::Top(args) => exit::code(top::run(&args)),
        Command::Sidecar(args) => tidegate_proxy::run_sidecar(*args),
        Command::Gateway(args) => tidegate_proxy::run_gateway(*args),
        Command::Autoscaler(Autoscaler::Run(args)) => tidegate_autoscaler::run(*args),
        Command::Autoscaler(Autoscaler::Child(args)) | Command::Child(args) => {
            tidegate_autoscaler::child(args)
        }
    }
}
