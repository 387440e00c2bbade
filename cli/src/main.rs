//! `tidegate`: everything in one binary. `up`, `demo` and `top` are its own; the other commands
//! are the proxy's and the autoscaler's.
//!
//! # Layout
//!
//! - `command`: the command line.
//! - `up`, `demo`, `top`, `crd`, `deploy`, `get`, `describe`, `logs`, `delete`, `refresh`,
//!   `check`, `completion`: one file a command. `demo/` holds its schedule, load, counts and summary.
//! - `backend`: where `deploy`, `get` and the like act; `cluster`: a Kubernetes cluster as such a place,
//!   `local`: a running `tidegate up`.
//! - `resource`, `columns`, `listing`, `description`, `rollout`: what they show of it. Pure.
//! - `machine`: gateway, autoscaler and replicas on this machine, from start to clean stop.
//! - `documents`, `venv`, `run_dir`: what must be there before the start. `follow`: what changes after it.
//! - `view`, `screen`: what is shown. `signals`, `exit`, `client`, `clock`: the edges.

#[cfg(feature = "kubernetes")]
mod backend;
mod beside;
#[cfg(feature = "kubernetes")]
mod check;
mod client;
mod clock;
#[cfg(feature = "kubernetes")]
mod cluster;
#[cfg(feature = "kubernetes")]
mod columns;
mod command;
mod completion;
#[cfg(feature = "kubernetes")]
mod crd;
#[cfg(feature = "kubernetes")]
mod delete;
mod demo;
#[cfg(feature = "kubernetes")]
mod deploy;
#[cfg(feature = "kubernetes")]
mod describe;
#[cfg(feature = "kubernetes")]
mod description;
mod documents;
mod exit;
mod follow;
#[cfg(feature = "kubernetes")]
mod get;
#[cfg(feature = "kubernetes")]
mod listing;
#[cfg(feature = "kubernetes")]
mod local;
#[cfg(feature = "kubernetes")]
mod logs;
mod machine;
#[cfg(feature = "kubernetes")]
mod refresh;
#[cfg(feature = "kubernetes")]
mod resource;
#[cfg(feature = "kubernetes")]
mod rollout;
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
        Command::Deploy(args) => exit::code(deploy::run(&args)),
        #[cfg(feature = "kubernetes")]
        Command::Get(args) => exit::code(get::run(&args)),
        #[cfg(feature = "kubernetes")]
        Command::Describe(args) => exit::code(describe::run(&args)),
        #[cfg(feature = "kubernetes")]
        Command::Logs(args) => exit::code(logs::run(&args)),
        #[cfg(feature = "kubernetes")]
        Command::Delete(args) => exit::code(delete::run(&args)),
        #[cfg(feature = "kubernetes")]
        Command::Refresh(args) => exit::code(refresh::run(&args)),
        #[cfg(feature = "kubernetes")]
        Command::Check(args) => exit::code(check::run(&args)),
        Command::Completion(args) => exit::code(completion::run(&args)),
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
