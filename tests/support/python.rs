//! Python with what the tests' clients and models need, made once and kept in the target folder.

use super::process::Process;
use super::root;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// An environment.
pub(crate) struct Python {
    exe: PathBuf,
    /// Where the code lies that is generated from `echo.proto`.
    generated: PathBuf,
}

/// The environment, or `None` where it can't be made. Why is printed: then the caller has nothing
/// to test with.
pub(crate) fn python() -> Option<&'static Python> {
    static PYTHON: OnceLock<Result<Python, String>> = OnceLock::new();
    match PYTHON.get_or_init(make) {
        Ok(python) => Some(python),
        Err(why) => {
            super::say(&format!("skipped: no Python packages to test with: {why}"));
            None
        }
    }
}

impl Python {
    /// Runs `tests/FOLDER/NAME.py`. It is told where the generated code lies.
    pub(crate) fn start(&self, script: &str, arguments: &[&str]) -> Process {
        Process::start_with_input(
            Command::new(&self.exe)
                .arg(root().join("tests").join(script))
                .arg(&self.generated)
                .args(arguments),
        )
    }

    /// Runs a client to its end, which must be a good one. What it said.
    pub(crate) fn run(&self, script: &str, arguments: &[&str]) -> String {
        succeed(self.start(script, arguments))
    }
}

/// Waits for a client's good end. What it said.
pub(crate) fn succeed(mut client: Process) -> String {
    let status = client.wait();
    assert!(status.success(), "{status}:\n{}", client.output());
    client.output()
}

/// Makes the environment, if another run of the same requirements hasn't.
fn make() -> Result<Python, String> {
    let sources = root().join("tests/clients");
    let (lock, proto) = (sources.join("requirements.lock"), sources.join("echo.proto"));
    let mut hasher = DefaultHasher::new();
    for path in [&lock, &proto] {
        std::fs::read(path)
            .map_err(|error| format!("{}: {error}", path.display()))?
            .hash(&mut hasher);
    }
    let folder = root().join(format!("target/tests-python/{:016x}", hasher.finish()));
    let python = Python { exe: folder.join("bin/python3"), generated: folder.join("generated") };
    fill(&folder, &python, &lock, &sources).map_err(|error| error.to_string())?;
    Ok(python)
}

fn fill(folder: &Path, python: &Python, lock: &Path, sources: &Path) -> io::Result<()> {
    std::fs::create_dir_all(&python.generated)?;
    // Another test process may be at it.
    let held = File::create(folder.join("lock"))?;
    held.lock()?;
    let done = folder.join("done");
    if done.exists() {
        return Ok(());
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    let pip = ["-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:"];
    let quick = ["--no-input", "--disable-pip-version-check", "--retries", "1", "--timeout", "20"];
    run(Command::new(&python.exe).args(pip).args(quick).arg("-r").arg(lock))?;
    let out = python.generated.display();
    run(Command::new(&python.exe)
        .args(["-m", "grpc_tools.protoc", &format!("--python_out={out}")])
        .arg(format!("--grpc_python_out={out}"))
        .arg(format!("-I{}", sources.display()))
        .arg("echo.proto"))?;
    File::create(done).map(drop)
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or("it said nothing");
    Err(io::Error::other(format!("{command:?} failed: {last}")))
}
