//! How the process ends: exit codes, and the one place that prints an error.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

/// A command line that can't be used (`EX_USAGE`).
const USAGE: u8 = 64;
/// A document that can't be used (`EX_DATAERR`).
const BAD_DOCUMENT: u8 = 65;
/// There is no API of that name (`EX_NOINPUT`).
const MISSING: u8 = 66;
/// The place that is asked can't be reached (`EX_UNAVAILABLE`).
const UNREACHABLE: u8 = 69;
/// It was not ready in time (`EX_TEMPFAIL`).
const LATE: u8 = 75;
/// Whoever asks may not (`EX_NOPERM`).
const FORBIDDEN: u8 = 77;
/// Ended by Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;
/// Everything else.
const FAILURE: u8 = 1;

/// What the codes mean, for help texts.
pub(crate) const CODES: &str = "Exit codes: 0 done, 1 refused or failed, 64 wrong usage, 65 a \
    document with mistakes, 66 no API of that name, 69 nobody answers, 75 not ready in time, 77 \
    forbidden, 130 Ctrl-C";

/// The command line names something that isn't there.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadUsage(pub(crate) String);

/// Documents with mistakes: the whole report.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadDocument(pub(crate) String);

/// What was asked for was not done: a sentence, and the exit code.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct NotDone {
    what: String,
    code: u8,
}

impl NotDone {
    /// Whoever was asked refused it, or could not.
    pub(crate) fn refused(what: String) -> Self {
        Self { what, code: FAILURE }
    }

    /// There is no API of that name.
    pub(crate) fn missing(what: String) -> Self {
        Self { what, code: MISSING }
    }

    /// Nobody answers, or nothing says whom to ask.
    pub(crate) fn unreachable(what: String) -> Self {
        Self { what, code: UNREACHABLE }
    }

    /// It did not come to be in time.
    pub(crate) fn late(what: String) -> Self {
        Self { what, code: LATE }
    }

    /// Whoever asks may not.
    pub(crate) fn forbidden(what: String) -> Self {
        Self { what, code: FORBIDDEN }
    }
}

/// A line beside what was asked for: to standard error, so that it is in nobody's data.
pub(crate) fn note(text: &str) {
    writeln!(std::io::stderr(), "{text}").ok();
}

/// The exit code of what was ended by Ctrl-C.
pub(crate) fn interrupted() -> ExitCode {
    ExitCode::from(INTERRUPTED)
}

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
    } else if let Some(error) = error.downcast_ref::<NotDone>() {
        error.code
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
