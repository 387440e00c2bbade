//! `cargo bench -p tidegate-benches --bench proxies`: becomes the harness, which is a binary so that
//! it can start itself as origin and as raw copy.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut args: Vec<_> = std::env::args_os().skip(1).collect();
    let by_cargo_bench = args.iter().any(|arg| arg == "--bench");
    if !by_cargo_bench {
        // `cargo test --all-targets` runs benches, too. This one takes many minutes.
        writeln!(std::io::stdout(), "not run: `cargo bench -p tidegate-benches --bench proxies`")
            .ok();
        return ExitCode::SUCCESS;
    }
    args.retain(|arg| arg != "--bench");
    let error = Command::new(env!("CARGO_BIN_EXE_tidegate-benches")).args(args).exec();
    writeln!(std::io::stderr(), "error: can't run the harness: {error}").ok();
    ExitCode::FAILURE
}
