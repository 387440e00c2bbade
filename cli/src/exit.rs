//! How the process ends: exit codes, and the one place that prints an error.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

/// A command line that can't be used (`EX_USAGE`).
const USAGE: u8 = 64;
/// A document that can't be used (`EX_DATAERR`).
const BAD_DOCUMENT: u8 = 65;
/// Everything else.
const FAILURE: u8 = 1;

/// The command line names something that isn't there.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadUsage(pub(crate) String);

/// Documents with mistakes: the whole report.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadDocument(pub(crate) String);

/// Prints what clap says; `--help` and `--version` are no errors.
pub(crate) fn bad_usage(error: &clap::Error) -> ExitCode {
    // Nobody is left to tell where the output is closed.
    error.print().ok();
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

/// The exit code of a command; prints its error, if any.
pub(crate) fn code(result: anyhow::Result<ExitCode>) -> ExitCode {
    let error = match result {
        Ok(code) => return code,
        Err(error) => error,
    };
    writeln!(std::io::stderr(), "error: {}", chain(&error)).ok();
    ExitCode::from(number(&error))
}

fn number(error: &anyhow::Error) -> u8 {
    if error.is::<BadDocument>() {
        BAD_DOCUMENT
    } else if error.is::<BadUsage>() {
        USAGE
    } else {
        FAILURE
    }
}

/// An error and its causes, each once: some errors already tell their cause themselves.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            write!(text, ": {cause}").ok();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn a_cause_is_told_once() {
        let error = Err::<(), _>(anyhow!("no space")).context("can't write a: no space");
        assert_eq!(chain(&error.unwrap_err()), "can't write a: no space");
        let error = Err::<(), _>(anyhow!("no space")).context("can't write a");
        assert_eq!(chain(&error.unwrap_err()), "can't write a: no space");
    }

    #[test]
    fn each_kind_of_error_has_its_code() {
        assert_eq!(number(&BadUsage(String::new()).into()), 64);
        let nested = Err::<(), _>(BadDocument(String::new())).context("reading");
        assert_eq!(number(&nested.unwrap_err()), 65);
        assert_eq!(number(&anyhow!("any")), 1);
    }
}
