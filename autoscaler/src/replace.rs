//! Writes a file whole, beside the old one, and then puts it in its place by a rename: whoever reads
//! it sees the old or the new one, and never a part.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Puts what `write` writes in the place of the file at `path`.
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut beside = path.to_owned().into_os_string();
    // The process id keeps two autoscalers from writing one temporary file.
    beside.push(format!(".{}.tmp", std::process::id()));
    let written = File::create(&beside).and_then(|file| {
        let mut file = BufWriter::new(file);
        write(&mut file)?;
        file.flush()
    });
    let replaced = written.and_then(|()| std::fs::rename(&beside, path));
    if replaced.is_err() {
        // Half a file is of no use, and a full disk of less.
        std::fs::remove_file(&beside).ok();
    }
    replaced
}
