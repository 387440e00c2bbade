//! Keeps a replica's log bounded: what it grows beyond goes into one old file, `….log.1`.
//!
//! The model writes the file itself, with no pipe between, so that it never waits for a reader and a
//! crash loses nothing. So the file can't be swapped under it: it is copied and then emptied. What is
//! written between the two is lost; that is less than a millisecond's lines in many megabytes.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

/// The most bytes of a log, and of its old file.
const MOST_BYTES: u64 = 16 << 20;

/// Empties a log that is too long, and keeps what was in it as the old one. True if it was.
pub(super) fn trim(log: &Path) -> io::Result<bool> {
    if log.metadata()?.len() <= MOST_BYTES {
        return Ok(false);
    }
    let mut old = log.to_owned().into_os_string();
    old.push(".1");
    // What one look is late by stays out of the old file: its newest part is kept.
    let mut from = std::fs::File::open(log)?;
    let length = from.metadata()?.len();
    io::Seek::seek(&mut from, io::SeekFrom::Start(length.saturating_sub(MOST_BYTES)))?;
    // No more than that, however much is written meanwhile.
    let mut newest = io::Read::take(from, MOST_BYTES);
    let copied = std::fs::File::create(&old).and_then(|mut to| io::copy(&mut newest, &mut to));
    // Where there is no room for an old file the new one must not fill the disk even so.
    OpenOptions::new().write(true).open(log)?.set_len(0)?;
    copied.map(|_| true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_long_log_begins_anew_and_one_old_file_has_its_newest_part() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("a.log");
        // As the model has it open.
        let mut file = OpenOptions::new().create(true).append(true).open(&log).unwrap();
        file.write_all(b"first\n").unwrap();
        assert!(!trim(&log).unwrap());
        for round in 0..3_u8 {
            file.write_all(&vec![b'a' + round; MOST_BYTES as usize]).unwrap();
            file.write_all(b"last\n").unwrap();
            assert!(trim(&log).unwrap());
            assert_eq!(std::fs::read(&log).unwrap(), b"");
        }
        file.write_all(b"next\n").unwrap();
        assert_eq!(std::fs::read(&log).unwrap(), b"next\n");
        let old = std::fs::read(folder.path().join("a.log.1")).unwrap();
        assert_eq!(old.len() as u64, MOST_BYTES);
        assert!(old.starts_with(b"c") && old.ends_with(b"clast\n"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(trim(&folder.path().join("none.log")).is_err());
    }
}
