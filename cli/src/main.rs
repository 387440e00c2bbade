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

mod backend;
mod beside;
mod check;
mod client;
mod clock;
mod cluster;
mod columns;
mod command;
mod completion;
mod crd;
mod delete;
mod demo;
mod deploy;
mod describe;
mod description;
mod documents;
mod exit;
mod follow;
mod get;
mod listing;
mod local;
mod logs;
mod machine;
mod refresh;
mod resource;
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
        Command::Deploy(args) => exit::code(deploy::run(&args)),
        Command::Get(args) => exit::code(get::run(&args)),
        Command::Describe(args) => exit::code(describe::run(&args)),
        Command::Logs(args) => exit::code(logs::run(&args)),
        Command::Delete(args) => exit::code(delete::run(&args)),
        Command::Refresh(args) => exit::code(refresh::run(&args)),
        Command::Check(args) => exit::code(check::run(&args)),
        Command::Completion(args) => exit::code(completion::run(&args)),
        Command::Crd => exit::code(crd::run()),
        Command::Autoscaler(Autoscaler::Inject(args)) => tidegate_autoscaler::inject(*args),
        Command::Autoscaler(Autoscaler::Run(args)) => tidegate_autoscaler::run(*args),
        Command::Autoscaler(Autoscaler::Child(args)) | Command::Child(args) => {
            tidegate_autoscaler::child(args)
        }
    }
}
