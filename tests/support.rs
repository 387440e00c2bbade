//! What the tests share: real processes, their output, requests, metrics.

pub(crate) mod family;
pub(crate) mod frames;
pub(crate) mod gateway;
pub(crate) mod h2;
pub(crate) mod http;
pub(crate) mod load;
pub(crate) mod memory;
pub(crate) mod process;
pub(crate) mod python;
pub(crate) mod recorder;
pub(crate) mod sidecar;
pub(crate) mod tls;
pub(crate) mod up;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The longest any single event may take on a busy machine. Tests wait for events, not for times.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The workspace's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent")
}

/// One of the workspace's binaries, built from what is there now, in the profile of these tests; or, of the
/// proxy, the file that `TIDEGATE_TEST_PROXY` names, so that what is shipped can be tested as it is.
pub(crate) fn binary(name: &str) -> PathBuf {
    if let Some(file) = std::env::var_os("TIDEGATE_TEST_PROXY").filter(|_| name == "tidegate-proxy")
    {
        return file.into();
    }
    static PROFILE_DIR: OnceLock<PathBuf> = OnceLock::new();
    let profile_dir = PROFILE_DIR.get_or_init(|| {
        let exe = std::env::current_exe().expect("a test has a path");
        // target/<profile>/deps/tests-<hash>
        let profile_dir = exe.parent().and_then(Path::parent).expect("a test lies in deps/");
        let target_dir = profile_dir.parent().expect("a profile lies in target/");
        let profile = profile_dir.file_name().and_then(|name| name.to_str()).unwrap_or("debug");
        let built = Command::new(env!("CARGO"))
            .current_dir(root())
            .args(["build", "--quiet", "--workspace", "--bins", "--locked", "--profile"])
            .arg(if profile == "debug" { "dev" } else { profile })
            .arg("--target-dir")
            .arg(target_dir)
            .status();
        assert!(built.expect("cargo runs").success(), "cargo build failed");
        profile_dir.to_owned()
    });
    profile_dir.join(name)
}

/// The time now.
#[expect(clippy::disallowed_methods, reason = "tests measure real processes by the real clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// An address that nobody listens on, for now: below the ports that the system gives unasked, and those
/// that models are given, so that no other test gets it meanwhile but by a rare chance.
pub(crate) fn free_address() -> SocketAddr {
    let is_free = |address: &SocketAddr| TcpListener::bind(address).is_ok();
    let drawn = || SocketAddr::from(([127, 0, 0, 1], fastrand::u16(10_000..20_000)));
    std::iter::repeat_with(drawn).find(is_free).expect("drawn until one is free")
}

/// Replaces a file in one step, as a careful editor does.
pub(crate) fn replace(file: &Path, text: impl AsRef<[u8]>) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, file).unwrap();
}

/// Says what was measured, or why there is nothing to test; seen also when the test passes.
pub(crate) fn say(text: &str) {
    // Not by `println!`, which is shown for failures only. If nobody can be told, so be it.
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// Asks again and again until the answer is yes; fails, saying what was awaited, after
/// [`PATIENCE`].
pub(crate) fn eventually(what: &str, mut answer: impl FnMut() -> bool) {
    let start = now();
    while !answer() {
        assert!(now() - start < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
