//! Reads files that others write, and no more of them than there can be to read.

use std::io::{self, ErrorKind};
use std::path::Path;

/// The bytes of a file.
///
/// # Errors
/// What the system says; `FileTooLarge` if it has more bytes than `most`.
pub fn bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    check_size(path, most)?;
    std::fs::read(path)
}

/// The text of a file.
///
/// # Errors
/// As [`bytes`]; also if it is no UTF-8.
pub fn text(path: &Path, most: u64) -> io::Result<String> {
    check_size(path, most)?;
    std::fs::read_to_string(path)
}

fn check_size(path: &Path, most: u64) -> io::Result<()> {
    match std::fs::metadata(path)?.len() {
        size if size > most => {
            let what = format!("it has {size} bytes, {most} at most");
            Err(io::Error::new(ErrorKind::FileTooLarge, what))
        }
        _ => Ok(()),
    }
}
