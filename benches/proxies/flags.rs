//! What is run: flags and their environment variables.

use crate::peer::Peer;
use crate::workload::Workload;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

/// The most connections at once: ports and files are bounded.
const MAX_CONNECTIONS: i64 = 4096;
/// The most endpoints: each is a port of the origin.
const MAX_ENDPOINTS: i64 = 64;

/// Measures Tidegate beside nginx, HAProxy, routers of language models and a raw TCP copy
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    /// What this process is, if not the harness itself.
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// What the harness starts itself as.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// The server behind all peers
    #[command(hide = true)]
    Origin {
        #[arg(required = true)]
        listen: Vec<SocketAddr>,
    },
    /// The raw TCP copy
    #[command(hide = true)]
    Copy { listen: SocketAddr, upstream: SocketAddr },
    /// Becomes a command that ends with its parent
    #[command(hide = true)]
    Tied {
        parent: i32,
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

/// Flags of the harness.
#[derive(Debug, Clone, Args)]
pub(crate) struct Flags {
    /// What is measured
    #[arg(
        long,
        env = "TIDEGATE_BENCH_ONLY",
        value_enum,
        value_delimiter = ',',
        default_value = "small,rate,json,sse,instructions"
    )]
    only: Vec<Workload>,
    /// What is compared; those that are not installed, or can't spread requests over several
    /// endpoints where that is asked, are skipped with a word
    #[arg(
        long,
        env = "TIDEGATE_BENCH_PEERS",
        value_enum,
        value_delimiter = ',',
        default_value = "direct,raw,nginx,nginx-alike,haproxy,tidegate"
    )]
    peers: Vec<Peer>,
    /// How often each is measured, in turn; results are medians [default: 5, with --quick 2]
    #[arg(long, env = "TIDEGATE_BENCH_REPEAT", value_parser = clap::value_parser!(u32).range(1..=100), value_name = "N")]
    repeat: Option<u32>,
    /// How long each measurement takes [default: 2, with --quick 0.5]
    #[arg(long, env = "TIDEGATE_BENCH_SECONDS", value_parser = seconds, value_name = "SECONDS")]
    seconds: Option<Duration>,
    /// Over how many endpoints requests are spread
    #[arg(long, env = "TIDEGATE_BENCH_ENDPOINTS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=MAX_ENDPOINTS), value_name = "N")]
    pub(crate) endpoints: u16,
    /// How long each way of balancing is measured by `tail` [default: 30, with --quick 2]
    #[arg(long, env = "TIDEGATE_BENCH_TAIL_SECONDS", value_parser = seconds, value_name = "SECONDS")]
    tail_seconds: Option<Duration>,
    /// A measurement of `small`, `post` or `json` ends after so many requests, and not after --seconds
    #[arg(long, env = "TIDEGATE_BENCH_REQUESTS", value_name = "N")]
    pub(crate) requests: Option<NonZeroU64>,
    /// How many connections `small` has [default: 1,16,64,256, with --quick 1,64]
    #[arg(long, env = "TIDEGATE_BENCH_CONNECTIONS", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=MAX_CONNECTIONS), value_name = "N")]
    connections: Vec<u16>,
    /// Few and short measurements: to see that all works, not to compare
    #[arg(long, env = "TIDEGATE_BENCH_QUICK")]
    quick: bool,
    /// A tidegate-proxy to measure; without it, one is built with `cargo build --profile dist`
    #[arg(long, env = "TIDEGATE_BENCH_TIDEGATE", value_name = "PATH")]
    pub(crate) tidegate: Option<PathBuf>,
    /// Further flags for the sidecar, such as "--forwarded-headers off"; without them it has its
    /// defaults
    #[arg(
        long,
        env = "TIDEGATE_BENCH_TIDEGATE_ARGS",
        default_value = "",
        allow_hyphen_values = true,
        value_name = "FLAGS"
    )]
    pub(crate) tidegate_args: String,
    /// Where the results are written
    #[arg(long, env = "TIDEGATE_BENCH_OUTPUT", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/results"), value_name = "FOLDER")]
    pub(crate) output: PathBuf,
}

// === impl Flags ===

impl Flags {
    /// What is measured, each once.
    pub(crate) fn only(&self) -> Vec<Workload> {
        unique(&self.only)
    }

    /// What is compared, each once.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        unique(&self.peers)
    }

    /// How often each is measured.
    pub(crate) fn repeat(&self) -> u32 {
        self.repeat.unwrap_or(if self.quick { 2 } else { 5 })
    }

    /// How long each measurement takes.
    pub(crate) fn seconds(&self) -> Duration {
        let default = if self.quick { Duration::from_millis(500) } else { Duration::from_secs(2) };
        self.seconds.unwrap_or(default)
    }

    /// How long each measurement of `tail` takes.
    pub(crate) fn tail_seconds(&self) -> Duration {
        let default = if self.quick { Duration::from_secs(2) } else { Duration::from_secs(30) };
        self.tail_seconds.unwrap_or(default)
    }

    /// The connections of each measurement of `small`.
    pub(crate) fn connections(&self) -> Vec<u16> {
        match self.connections.as_slice() {
            [] if self.quick => vec![1, 64],
            [] => vec![1, 16, 64, 256],
            given => unique(given),
        }
    }
}

fn unique<T: Copy + PartialEq>(given: &[T]) -> Vec<T> {
    let mut seen = Vec::new();
    for value in given {
        if !seen.contains(value) {
            seen.push(*value);
        }
    }
    seen
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| (Duration::from_millis(100)..=Duration::from_secs(600)).contains(time))
        .ok_or_else(|| "must be seconds from 0.1 to 600".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(args: &[&str]) -> Flags {
        Cli::try_parse_from([&["x"], args].concat()).expect("good flags").flags
    }

    #[test]
    fn quick_changes_defaults_and_nothing_that_was_said() {
        let full = flags(&[]);
        assert_eq!((full.repeat(), full.connections()), (5, vec![1, 16, 64, 256]));
        let quick = flags(&["--quick", "--seconds", "3"]);
        assert_eq!((quick.repeat(), quick.seconds()), (2, Duration::from_secs(3)));
    }

    #[test]
    fn what_is_named_twice_is_measured_once() {
        let twice = flags(&["--peers", "raw,nginx,raw", "--connections", "4,4"]);
        assert_eq!((twice.peers(), twice.connections()), (vec![Peer::Raw, Peer::Nginx], vec![4]));
    }

    #[test]
    fn flags_of_the_sidecar_are_not_ours() {
        let given = flags(&["--tidegate-args", "--forwarded-headers off", "--repeat", "3"]);
        assert_eq!((given.tidegate_args.as_str(), given.repeat()), ("--forwarded-headers off", 3));
    }

    #[test]
    fn what_can_not_be_run_is_refused() {
        for wrong in [["--seconds", "0"], ["--connections", "0"], ["--peers", "apache"]] {
            assert!(Cli::try_parse_from([&["x"], &wrong[..]].concat()).is_err(), "{wrong:?}");
        }
    }
}
