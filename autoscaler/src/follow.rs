//! Follows files of documents: what they say is put in force as they change; a service also on SIGHUP.
//!
//! The files are looked at twice a second. That sees changes on every file system, whether a file is
//! written anew, replaced, gone or back; one that is being written is read once it keeps still.

use crate::documents;
use crate::handle::Handle;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(300);

/// Some files, and what they were like when they were looked at.
#[derive(Debug)]
pub struct Follow {
    known: Stamps,
    hangup: Option<Signal>,
}

/// What tells one state of a file from another; nothing for a file that is not there.
type Stamps = BTreeMap<PathBuf, Option<Stamp>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Follow {
    /// Follows these files from now on: what is read of them later is known.
    pub fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { known: stamps(files), hangup: None }
    }

    /// Reads them again on SIGHUP too. Must be called within a runtime.
    ///
    /// # Errors
    /// If it can't be listened for.
    pub(crate) fn and_on_hangup(self) -> std::io::Result<Self> {
        Ok(Self { hangup: Some(signal(SignalKind::hangup())?), ..self })
    }

    /// Follows these from now on and no others. Those that were followed before are known as they were
    /// looked at last.
    pub fn set(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        let known = std::mem::take(&mut self.known);
        let state = |file: &PathBuf| known.get(file).copied().unwrap_or_else(|| stamp(file));
        self.known = files.into_iter().map(|file| (file.clone(), state(&file))).collect();
    }

    /// The files as they were when this said last that they have changed, each with a word that another
    /// state of it does not have. Those that are not there are left out.
    pub fn seen(&self) -> BTreeMap<PathBuf, String> {
        let there = self.known.iter().filter_map(|(file, stamp)| Some((file, (*stamp)?)));
        there.map(|(file, stamp)| (file.clone(), stamp.word())).collect()
    }

    /// The word for a file as it is now, if it is there.
    pub fn word(file: &Path) -> Option<String> {
        stamp(file).map(Stamp::word)
    }

    /// Waits until one of the files is another than when this returned last, and all keep still; or
    /// until SIGHUP comes, if it is listened for. `files` says which they are by now.
    pub async fn changed(&mut self, files: impl Fn() -> Vec<PathBuf>) {
        let mut last = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = hung_up(&mut self.hangup) => {
                    self.known = stamps(files());
                    return;
                }
            }
            let seen = stamps(files());
            if seen != self.known && last.as_ref() == Some(&seen) {
                self.known = seen;
                return;
            }
            last = Some(seen);
        }
    }
}

impl Stamp {
    fn word(self) -> String {
        let Self { inode, bytes, seconds, nanoseconds } = self;
        format!("{inode}-{bytes}-{seconds}.{nanoseconds:09}")
    }
}

async fn hung_up(hangup: &mut Option<Signal>) {
    let came = match hangup {
        Some(hangup) => hangup.recv().await,
        None => None,
    };
    if came.is_none() {
        std::future::pending().await
    }
}

fn stamps(files: impl IntoIterator<Item = PathBuf>) -> Stamps {
    files.into_iter().map(|file| (file.clone(), stamp(&file))).collect()
}

fn stamp(file: &Path) -> Option<Stamp> {
    let file = std::fs::metadata(file).ok()?;
    let (seconds, nanoseconds) = (file.mtime(), file.mtime_nsec());
    Some(Stamp { inode: file.ino(), bytes: file.len(), seconds, nanoseconds })
}

/// Puts in force what the documents in these files say, whenever that changes, until dropped. A
/// change is taken as a whole or not at all.
pub(crate) async fn documents(
    mut follow: Follow,
    files: &[PathBuf],
    python_bins: &BTreeMap<String, PathBuf>,
    handle: &Handle,
) -> Infallible {
    loop {
        follow.changed(|| files.to_vec()).await;
        let apis = documents::read(files, "--local").map_err(|error| error.to_string());
        let prepared = apis
            .and_then(|apis| handle.prepare(apis, python_bins).map_err(|unfit| unfit.to_string()));
        match prepared {
            Ok(prepared) => {
                handle.adopt(prepared, follow.seen()).await;
                tracing::info!("runs what the documents say now");
            }
            Err(why) => handle.refuse(&why, follow.seen()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::write;

    #[tokio::test]
    async fn a_change_is_told_once_the_files_keep_still() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let files = || vec![file("a"), file("b")];
        write(file("a"), "1").unwrap();
        let mut follow = Follow::new(files());
        let quiet = tokio::time::timeout(3 * LOOK, follow.changed(files));
        assert!(quiet.await.is_err(), "nothing has changed");
        // As long as it is written to it is not read.
        {
            let mut changed = std::pin::pin!(follow.changed(files));
            for text in ["12", "123", "1234"] {
                write(file("a"), text).unwrap();
                assert!(tokio::time::timeout(LOOK, &mut changed).await.is_err(), "{text}");
            }
            changed.await;
        }
        for change in [
            (&|| write(file("b"), "new").unwrap()) as &dyn Fn(),
            &|| std::fs::rename(file("b"), file("a")).unwrap(),
            &|| std::fs::remove_file(file("a")).unwrap(),
        ] {
            change();
            follow.changed(files).await;
        }
        write(file("b"), "again").unwrap();
        follow.changed(files).await;
        // Who is not named any more is another state too, unless it was said before.
        let fewer = || vec![file("a")];
        follow.changed(fewer).await;
        follow.set(files());
        let quiet = tokio::time::timeout(3 * LOOK, follow.changed(files));
        assert!(quiet.await.is_err(), "it was looked at as it was set");
    }
}
