//! A lock file that one process at a time holds.

use super::VenvError;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

/// How often it is asked whether the lock is free: asking, instead of blocking, lets Ctrl-C through.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Waits until nobody else holds the lock. Dropping the file gives it back, as does any end of
/// the process.
pub(super) async fn acquire(
    path: &Path,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<File, VenvError> {
    let failed = |source| VenvError::Write { path: path.to_owned(), source };
    // Never truncated or removed: others may hold it right now.
    let file = File::options().create(true).append(true).open(path).map_err(failed)?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        if !told {
            progress("another process is making the same environment; waiting for it");
            told = true;
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}
