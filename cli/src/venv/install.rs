//! Makes one environment: `python3 -m venv`, then `pip install` of what the requirements pin.

use super::VenvError;
use super::process::{cut, run};
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;

/// A hundred megabytes over a slow line take minutes; what takes longer than this hangs.
const MINUTES_AT_MOST: u64 = 30;

/// Lines of output that an error repeats.
const TAIL_LINES: usize = 10;

/// Makes the environment in `venv`, from nothing.
pub(super) async fn install(
    python: &Path,
    venv: &Path,
    requirements: &Path,
    text: &str,
    log: &Path,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<(), VenvError> {
    let mut output = Output::create(log)?;
    let all = async {
        remove(venv)?;
        progress(&format!("making a Python environment in {}", venv.display()));
        make(python, venv, &mut output).await?;
        fill(venv, requirements, count_pins(text), &mut output, progress).await
    };
    let limit = Duration::from_secs(MINUTES_AT_MOST * 60);
    tokio::time::timeout(limit, all).await.unwrap_or_else(|_| {
        Err(VenvError::TooSlow { minutes: MINUTES_AT_MOST, log: log.to_owned() })
    })
}

/// Takes away what an interrupted attempt left.
fn remove(venv: &Path) -> Result<(), VenvError> {
    match std::fs::remove_dir_all(venv) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(VenvError::Write { path: venv.to_owned(), source })
        }
        _ => Ok(()),
    }
}

async fn make(python: &Path, venv: &Path, output: &mut Output) -> Result<(), VenvError> {
    let mut command = Command::new(python);
    command.args(["-m", "venv"]).arg(venv);
    let status = run(command, |line| output.take(line))
        .await
        .map_err(|source| VenvError::NoPython { python: python.to_owned(), source })?;
    if status.success() {
        return Ok(());
    }
    let (python, log) = (python.to_owned(), output.path.clone());
    Err(
        if output.says(&[
            "ensurepip is not available",
            "No module named venv",
            "No module named ensurepip",
        ]) {
            VenvError::NoVenvModule { python, log }
        } else {
            VenvError::Venv { python, log, tail: output.tail() }
        },
    )
}

async fn fill(
    venv: &Path,
    requirements: &Path,
    pins: usize,
    output: &mut Output,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<(), VenvError> {
    let pip = venv.join("bin/python3");
    let mut command = Command::new(&pip);
    command
        .args(["-m", "pip", "install", "--require-hashes", "--only-binary", ":all:", "--no-input"])
        .args(["--disable-pip-version-check", "--progress-bar", "off", "-r"])
        .arg(requirements);
    let mut collected = 0;
    let status = run(command, |line| {
        output.take(line);
        if let Some(step) = step(line, &mut collected, pins) {
            progress(&step);
        }
    })
    .await
    .map_err(|source| VenvError::NoPython { python: pip, source })?;
    if status.success() { Ok(()) } else { Err(output.pip_error(requirements)) }
}

/// What a line of pip's output means to somebody who waits, if anything.
pub(super) fn step(line: &str, collected: &mut usize, pins: usize) -> Option<String> {
    if let Some(rest) = line.strip_prefix("Collecting ") {
        *collected += 1;
        let package = rest.split([' ', '=']).next().unwrap_or(rest);
        return Some(format!("fetching Python packages, {collected} of {pins}: {}", cut(package)));
    }
    line.starts_with("Installing collected packages").then(|| "installing them".to_owned())
}

/// How many packages the requirements pin: lines such as `numpy==2.4.6 \`.
pub(super) fn count_pins(requirements: &str) -> usize {
    requirements
        .lines()
        .filter(|line| !line.starts_with([' ', '#', '-']) && line.contains("=="))
        .count()
}

/// The output of both commands: whole in the log file, the last lines here.
struct Output {
    path: PathBuf,
    file: File,
    last: VecDeque<String>,
    signs: BTreeSet<&'static str>,
}

/// What in the output tells the cause of a failure.
const SIGNS: [&str; 6] = [
    "ensurepip is not available",
    "No module named venv",
    "No module named ensurepip",
    "DO NOT MATCH THE HASHES",
    "Hashes are required in --require-hashes mode",
    "all requirements must have their versions pinned",
];

/// The same for one that is the network's.
const NETWORK_SIGNS: [&str; 8] = [
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "Name or service not known",
    "Network is unreachable",
    "ConnectTimeoutError",
    "NewConnectionError",
    "Read timed out",
    "Cannot connect to proxy",
];

impl Output {
    fn create(path: &Path) -> Result<Self, VenvError> {
        let file = File::create(path)
            .map_err(|source| VenvError::Write { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file, last: VecDeque::new(), signs: BTreeSet::new() })
    }

    fn take(&mut self, line: &str) {
        // A full disk shows soon enough, in pip's own failure.
        writeln!(self.file, "{line}").ok();
        let signs = SIGNS.iter().chain(&NETWORK_SIGNS);
        self.signs.extend(signs.filter(|sign| line.contains(**sign)));
        if self.last.len() == TAIL_LINES {
            self.last.pop_front();
        }
        self.last.push_back(cut(line));
    }

    fn says(&self, signs: &[&str]) -> bool {
        self.signs.iter().any(|sign| signs.contains(sign))
    }

    fn tail(&self) -> String {
        Vec::from(self.last.clone()).join("\n")
    }

    fn pip_error(&self, requirements: &Path) -> VenvError {
        let (requirements, log) = (requirements.to_owned(), self.path.clone());
        if self.says(&["DO NOT MATCH THE HASHES"]) {
            VenvError::Hashes { requirements, log }
        } else if self.says(&SIGNS[4..]) {
            VenvError::NotPinned { requirements, log }
        } else if self.says(&NETWORK_SIGNS) {
            VenvError::NoNetwork { log }
        } else {
            VenvError::Pip { requirements, log, tail: self.tail() }
        }
    }
}
