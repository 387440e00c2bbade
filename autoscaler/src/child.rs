//! The shim in front of each child process: it ties the child's life to its parent's.
//!
//! It asks the kernel to signal this process when its parent ends, and then becomes the command.
//! The kernel means the parent's *thread* that spawned the child: the autoscaler spawns only from
//! the thread that runs its `current_thread` runtime, which lives as long as the autoscaler.
//!
//! As a watchdog it ends what models have started themselves, once the autoscaler is gone.

use rustix::process::{Pid, Signal, getppid, kill_process_group, set_parent_process_death_signal};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Flags of the hidden command `child`.
#[derive(Debug, clap::Args)]
pub struct ChildArgs {
    /// Process id of the parent; when it ends, or has ended already, so does this process.
    #[arg(long, required_unless_present = "watchdog")]
    parent: Option<i32>,
    /// What this process is sent when its parent ends: `kill`, or `term` if it can end by itself.
    #[arg(long, value_enum, default_value = "kill")]
    signal: DeathSignal,
    /// Become nothing: read process groups from standard input, `+ID` and `-ID` a line, and kill
    /// those that are left at its end.
    #[arg(long, conflicts_with_all = ["parent", "command"])]
    watchdog: bool,
    /// The command to become, with its arguments.
    #[arg(last = true, required_unless_present = "watchdog", num_args = 1..)]
    command: Vec<OsString>,
}

/// What a child is sent when its parent ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DeathSignal {
    /// It can't be caught: for programs we did not write.
    Kill,
    /// It may drain first: for sidecars.
    Term,
}

impl DeathSignal {
    /// The value of `--signal`.
    pub(crate) const fn flag(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Term => "term",
        }
    }

    const fn signal(self) -> Signal {
        match self {
            Self::Kill => Signal::KILL,
            Self::Term => Signal::TERM,
        }
    }
}

/// Becomes the command; returns only if that fails, with the shell's code 126 or 127.
pub fn child(args: ChildArgs) -> ExitCode {
    if args.watchdog {
        watch(std::io::stdin().lock());
        return ExitCode::SUCCESS;
    }
    let (message, code) = match become_command(args) {
        Failure::Signal(error) => {
            (format!("can't tie this process to its parent's life: {error}"), 126)
        }
        Failure::Orphan(parent) => (format!("the parent process {parent} has ended already"), 126),
        Failure::Empty => ("no command was given after `--`".to_owned(), 64),
        Failure::Exec(command, error) => {
            let code = if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
            (format!("can't run {}: {error}", command.display()), code)
        }
    };
    // Nobody is left to tell where standard error is closed.
    writeln!(std::io::stderr(), "error: {message}").ok();
    ExitCode::from(code)
}

/// Kills the groups that are named and not taken back, once there is nothing more to read.
fn watch(lines: impl BufRead) {
    let mut groups = BTreeSet::new();
    // A line that can't be read is as the end: whoever wrote it is ill.
    for line in lines.lines().map_while(Result::ok) {
        match line.split_at_checked(1) {
            Some(("+", group)) => groups.insert(group.to_owned()),
            Some(("-", group)) => groups.remove(group),
            _ => false,
        };
    }
    for group in
        groups.iter().filter_map(|group| Pid::from_raw(group.parse::<u32>().ok()?.cast_signed()))
    {
        // One that is empty is no fault.
        kill_process_group(group, Signal::KILL).ok();
    }
}

/// Why the shim did not become the command.
enum Failure {
    Signal(rustix::io::Errno),
    Orphan(i32),
    Empty,
    Exec(OsString, std::io::Error),
}

fn become_command(args: ChildArgs) -> Failure {
    let mut words = args.command.into_iter();
    let Some(program) = words.next() else { return Failure::Empty };
    if let Err(error) = set_parent_process_death_signal(Some(args.signal.signal())) {
        return Failure::Signal(error);
    }
    // A parent that ended before the line above sends no signal any more.
    if getppid().map(Pid::as_raw_nonzero).is_none_or(|parent| Some(parent.get()) != args.parent) {
        return Failure::Orphan(args.parent.unwrap_or_default());
    }
    let error = Command::new(&program).args(words).exec();
    Failure::Exec(program, error)
}
