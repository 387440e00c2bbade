//! `tidegate completion`: what a shell needs to complete commands and flags.

use crate::command::Cli;
use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use std::io::Write;
use std::process::ExitCode;

/// Flags of `completion`.
#[derive(Debug, clap::Args)]
#[command(after_help = "For this shell only: source <(tidegate completion bash)\n\
    For good: tidegate completion bash > ~/.local/share/bash-completion/completions/tidegate\n\
    zsh, in a folder of $fpath: tidegate completion zsh > ~/.zfunc/_tidegate\n\
    fish: tidegate completion fish > ~/.config/fish/completions/tidegate.fish")]
pub(crate) struct CompletionArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &CompletionArgs) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tidegate", &mut script);
    std::io::stdout().write_all(&script).context("can't write to standard output; is it open?")?;
    Ok(ExitCode::SUCCESS)
}
