//! A Python environment for a model: made once from a requirements file with hashes, then found.
//!
//! It lies in `<data dir>/venvs/<key>`, where the key stands for the requirements and the Python.
//! A marker is written last, so one that was interrupted is made anew; a lock file makes those
//! who want the same one at once wait for the one who makes it.

mod error;
mod install;
mod lock;
mod process;
#[cfg(test)]
mod tests;

pub(crate) use error::VenvError;

use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Written into an environment once it is whole.
const MARKER: &str = "tidegate-complete";

/// The oldest Python that is supported: the pinned packages need it too.
const OLDEST_PYTHON: (u32, u32) = (3, 11);

/// Which Python makes environments, and where they are kept.
#[derive(Debug, Clone)]
pub(crate) struct Venvs {
    /// A name on `PATH` or a path.
    pub(crate) python: PathBuf,
    /// Environments are made in its folder `venvs`. Absolute.
    pub(crate) data_dir: PathBuf,
}

/// What a Python says of itself.
#[derive(Debug, PartialEq, Eq)]
struct PythonVersion {
    major: u32,
    minor: u32,
    /// Full version, build and place: whatever makes packages or links unfit for another one.
    identity: String,
}

impl Venvs {
    /// The `bin` folder of the environment for `requirements`, made now if it isn't there.
    ///
    /// `progress` is given a line now and then while it is made. To stop early, drop the future:
    /// what it started is killed, and the next call begins anew.
    ///
    /// # Errors
    /// What was missing or failed, and what to do about it.
    pub(crate) async fn prepare(
        &self,
        requirements: &Path,
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<PathBuf, VenvError> {
        let text = std::fs::read_to_string(requirements)
            .map_err(|source| VenvError::Requirements { path: requirements.to_owned(), source })?;
        let version = process::version(&self.python).await?;
        if (version.major, version.minor) < OLDEST_PYTHON {
            return Err(VenvError::TooOld {
                python: self.python.clone(),
                found: format!("{}.{}", version.major, version.minor),
            });
        }
        let key = key(&text, &version.identity);
        let venvs = self.data_dir.join("venvs");
        let venv = venvs.join(&key);
        if is_complete(&venv) {
            return Ok(venv.join("bin"));
        }
        std::fs::create_dir_all(&venvs)
            .map_err(|source| VenvError::Write { path: venvs.clone(), source })?;
        let _lock = lock::acquire(&venvs.join(format!("{key}.lock")), progress).await?;
        // Whoever held the lock until now may have made it.
        if !is_complete(&venv) {
            let log = venvs.join(format!("{key}.log"));
            install::install(&self.python, &venv, requirements, &text, &log, progress).await?;
            std::fs::write(venv.join(MARKER), b"")
                .map_err(|source| VenvError::Write { path: venv.join(MARKER), source })?;
        }
        Ok(venv.join("bin"))
    }
}

/// Whether the environment was finished, and its Python is still where it was.
fn is_complete(venv: &Path) -> bool {
    venv.join(MARKER).is_file() && venv.join("bin/python3").is_file()
}

/// A folder name that differs for every text of requirements and every Python.
fn key(requirements: &str, identity: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(identity.as_bytes());
    hash.update([0]);
    hash.update(requirements.as_bytes());
    let digest = hash.finalize();
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
