//! Why a Python environment could not be made, and what to do about it.

use std::io;
use std::path::PathBuf;

/// Why a Python environment could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VenvError {
    #[error(
        "cannot read the requirements file {}: check `spec.container.python.requirements`",
        path.display()
    )]
    Requirements { path: PathBuf, source: io::Error },
    #[error(
        "cannot run {}: install Python 3.11 or newer, or name one with --python",
        python.display()
    )]
    NoPython { python: PathBuf, source: io::Error },
    #[error(
        "{} does not tell its version; name a Python 3.11 or newer with --python; it printed: {said}",
        python.display()
    )]
    BadPython { python: PathBuf, said: String },
    #[error(
        "{} is Python {found}: 3.11 or newer is needed; install one and name it with --python",
        python.display()
    )]
    TooOld { python: PathBuf, found: String },
    #[error(
        "{} has no module to make environments with: install it (on Debian and Ubuntu: \
         apt install python3-venv); the whole output is in {}",
        python.display(), log.display()
    )]
    NoVenvModule { python: PathBuf, log: PathBuf },
    #[error(
        "{} -m venv failed; its last lines, the rest is in {}:\n{tail}",
        python.display(), log.display()
    )]
    Venv { python: PathBuf, log: PathBuf, tail: String },
    #[error(
        "pip cannot reach a package index: check the network, or name a mirror in PIP_INDEX_URL; \
         the whole output is in {}",
        log.display()
    )]
    NoNetwork { log: PathBuf },
    #[error(
        "a downloaded package is not the one that {} names by its hash: try again, or another \
         mirror; never remove the hash; the whole output is in {}",
        requirements.display(), log.display()
    )]
    Hashes { requirements: PathBuf, log: PathBuf },
    #[error(
        "{} must name each package, and what it needs itself, by version and hash: list what you need in \
         requirements.in, then make it by `uv pip compile --generate-hashes requirements.in -o {}`, or by \
         pip-compile; the whole output is in {}",
        requirements.display(), requirements.display(), log.display()
    )]
    NotPinned { requirements: PathBuf, log: PathBuf },
    #[error(
        "pip could not install {}; its last lines, the rest is in {}:\n{tail}",
        requirements.display(), log.display()
    )]
    Pip { requirements: PathBuf, log: PathBuf, tail: String },
    #[error(
        "making the Python environment took longer than {minutes} minutes and was stopped: check \
         the network and try again; its output is in {}",
        log.display()
    )]
    TooSlow { minutes: u64, log: PathBuf },
    #[error("cannot write {}: check the folder's permissions and free space", path.display())]
    Write { path: PathBuf, source: io::Error },
}
