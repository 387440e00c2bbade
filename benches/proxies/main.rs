//! Tidegate beside other proxies and a raw TCP copy: what a request costs each of them, and how long
//! requests wait behind each of them as a balancer.
//!
//! [`flags`] says what is run; [`harness`] runs it, one peer after the other in each repeat.
//! A [`peer`] is a [`child`] pinned to one core ([`pin`]); the [`origin`] and the [`load`] share
//! another. [`usage`] reads what the peer used from /proc, [`callgrind`] counts its instructions.
//! [`sample`] is what one run gave, [`summary`] the medians and ratios of all, [`report`] shows them
//! and [`machine`] says where that was.

mod callgrind;
mod child;
mod clock;
mod copy;
mod flags;
mod harness;
mod load;
mod machine;
mod origin;
mod peer;
mod pin;
mod report;
mod sample;
mod schedule;
mod summary;
mod tail;
mod ticker;
mod tie;
mod usage;
mod workload;

use clap::Parser;
use flags::{Cli, Role};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.role {
        None => harness::run(cli.flags),
        Some(Role::Origin { listen }) => origin::run(listen).map(|()| ExitCode::SUCCESS),
        Some(Role::Copy { listen, upstream }) => {
            copy::run(listen, upstream).map(|()| ExitCode::SUCCESS)
        }
        Some(Role::Tied { parent, command }) => Err(tie::become_command(parent, command)),
    };
    ended.unwrap_or_else(|error| {
        // Nobody is left to tell where standard error is closed.
        writeln!(std::io::stderr(), "error: {error:#}").ok();
        ExitCode::FAILURE
    })
}
