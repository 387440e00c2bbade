//! Instructions of a request, counted by valgrind's callgrind.
//!
//! A peer runs twice with different numbers of requests. The difference of instructions, divided by
//! that of requests, is what one takes: start and end cancel out.

use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Requests of the two runs. Valgrind makes a peer some fifty times slower.
pub(crate) const REQUESTS: [u64; 2] = [1000, 5000];

/// The command under callgrind.
pub(crate) fn wrapped(valgrind: &Path, out: &Path, command: &[OsString]) -> Vec<OsString> {
    let mut file = OsString::from("--callgrind-out-file=");
    file.push(out);
    let mut words = vec![
        PathBuf::from(valgrind).into_os_string(),
        "--tool=callgrind".into(),
        "--quiet".into(),
        file,
    ];
    words.extend_from_slice(command);
    words
}

/// All instructions of a run.
///
/// # Errors
/// If callgrind has not written its file to the end.
pub(crate) fn total(out: &Path) -> Result<u64> {
    let text = std::fs::read_to_string(out).context("callgrind has written nothing")?;
    parse_total(&text).context("callgrind's file has no totals: was the peer killed?")
}

/// Instructions of one request, of two runs' requests and totals.
///
/// # Errors
/// If more requests took no more instructions.
pub(crate) fn difference(requests: [u64; 2], totals: [u64; 2]) -> Result<f64> {
    let more = totals[1].checked_sub(totals[0]).filter(|more| *more > 0);
    match (more, requests[1].checked_sub(requests[0])) {
        (Some(instructions), Some(requests)) if requests > 0 => {
            Ok(instructions as f64 / requests as f64)
        }
        _ => {
            bail!("{requests:?} requests took {totals:?} instructions: something else was counted")
        }
    }
}

/// `totals:` is the last line that counts, `summary:` stands there if a file has one part.
fn parse_total(text: &str) -> Option<u64> {
    let line = |name| text.lines().rev().find_map(|line| line.strip_prefix(name));
    line("totals:").or_else(|| line("summary:"))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read() {
        assert_eq!(
            parse_total("events: Ir\nsummary: 7\nfn=(1)\n1 7\ntotals: 123456\n"),
            Some(123_456)
        );
        assert_eq!(parse_total("summary: 42 9\n"), Some(42));
        assert_eq!(parse_total("events: Ir\n"), None);
    }

    #[test]
    fn start_and_end_cancel_out() {
        let difference = difference([100, 300], [1_000_000 + 100 * 50, 1_000_000 + 300 * 50]);
        assert_eq!(difference.expect("more"), 50.0);
        assert!(super::difference([100, 300], [9, 9]).is_err());
        assert!(super::difference([300, 100], [1, 9]).is_err());
    }
}
