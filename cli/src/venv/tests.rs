//! A shell script stands in for Python: it says a version, makes the folder, and writes down each
//! installation, so that these tests need no network and take no time.

use super::process::parse_version;
use super::*;
use std::time::Duration;
use tokio::task::JoinSet;

/// Fails rather than hangs.
const DEADLINE: Duration = Duration::from_secs(20);

const REQUIREMENTS: &str = "# pins\na==1 \\\n    --hash=sha256:0\nb==2 \\\n    --hash=sha256:1\n";

struct Bench {
    folder: tempfile::TempDir,
    venvs: Venvs,
    requirements: PathBuf,
}

impl Bench {
    /// `pip` is what the script does when asked to install.
    fn new(version: &str, pip: &str) -> Self {
        Self::with_venv(version, "mkdir -p \"$3/bin\" && cp \"$0\" \"$3/bin/python3\"", pip)
    }

    /// `venv` is what the script does when asked to make an environment.
    fn with_venv(version: &str, venv: &str, pip: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let python = folder.path().join("python3");
        let installs = folder.path().join("installs");
        let script = format!(
            "#!/bin/sh\ncase \"$1 $2\" in\n\
             '-m venv') {venv};;\n\
             '-m pip') echo install >> '{}'; {pip};;\n\
             *) echo '{version}';;\nesac\n",
            installs.display()
        );
        // Another process makes the program: had this one written it, a fork of another test's
        // thread could hold it open for writing for a moment, and then it can't be run.
        let text = folder.path().join("script");
        std::fs::write(&text, script).unwrap();
        let install = std::process::Command::new("install")
            .args(["-m", "755"])
            .args([&text, &python])
            .status();
        assert!(install.unwrap().success());
        let requirements = folder.path().join("requirements.lock");
        std::fs::write(&requirements, REQUIREMENTS).unwrap();
        let venvs = Venvs { python, data_dir: folder.path().join("data") };
        Self { folder, venvs, requirements }
    }

    async fn prepare(&self) -> Result<PathBuf, VenvError> {
        let prepare = self.venvs.prepare(&self.requirements, &|_| ());
        tokio::time::timeout(DEADLINE, prepare).await.unwrap()
    }

    fn installs(&self) -> usize {
        let text = std::fs::read_to_string(self.folder.path().join("installs"));
        text.unwrap_or_default().lines().count()
    }
}

const VERSION: &str = "3 11 7 x86_64 cpython /usr";

#[tokio::test]
async fn is_made_once_and_then_found() {
    let bench = Bench::new(VERSION, "echo Collecting a==1");
    let first = bench.prepare().await.unwrap();
    assert_eq!(bench.prepare().await.unwrap(), first);
    assert_eq!(bench.installs(), 1);
    assert!(first.join("python3").is_file());
}

#[tokio::test]
async fn other_requirements_get_another_environment() {
    let bench = Bench::new(VERSION, "true");
    let first = bench.prepare().await.unwrap();
    std::fs::write(&bench.requirements, "a==3\n").unwrap();
    assert_ne!(bench.prepare().await.unwrap(), first);
    assert_eq!(bench.installs(), 2);
}

#[test]
fn the_key_tells_texts_and_pythons_apart() {
    let keys = [key("a", "x"), key("b", "x"), key("a", "y"), key("", "xa"), key("xa", "")];
    for (index, left) in keys.iter().enumerate() {
        assert!(left.len() == 16 && left.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert!(keys.iter().skip(index + 1).all(|right| right != left));
    }
    assert_eq!(key("a", "x"), keys[0]);
}

#[tokio::test]
async fn an_unfinished_one_is_made_anew() {
    let bench = Bench::new(VERSION, "true");
    let bin = bench.prepare().await.unwrap();
    let venv = bin.parent().unwrap();
    std::fs::remove_file(venv.join(MARKER)).unwrap();
    std::fs::write(venv.join("half"), "").unwrap();
    bench.prepare().await.unwrap();
    assert_eq!(bench.installs(), 2);
    assert!(!venv.join("half").exists());
}

#[tokio::test]
async fn callers_at_once_share_one_installation() {
    let bench = std::sync::Arc::new(Bench::new(VERSION, "true"));
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let bench = std::sync::Arc::clone(&bench);
        callers.spawn(async move { bench.prepare().await.unwrap() });
    }
    let bins = callers.join_all().await;
    assert!(bins.iter().all(|bin| *bin == bins[0]));
    assert_eq!(bench.installs(), 1);
}

#[tokio::test]
async fn a_caller_waits_while_another_holds_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let held = lock::acquire(&path, &|_| ()).await.unwrap();
    let (told, mut waits) = tokio::sync::mpsc::channel(1);
    let mut waiter = JoinSet::new();
    waiter.spawn(async move {
        lock::acquire(&path, &|_| told.try_send(()).unwrap()).await.unwrap();
    });
    tokio::time::timeout(DEADLINE, waits.recv()).await.unwrap().unwrap();
    assert!(waiter.try_join_next().is_none());
    drop(held);
    tokio::time::timeout(DEADLINE, waiter.join_next()).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn dropping_the_future_kills_what_it_started() {
    // The script tells its own number and that of what it started, then never ends.
    let bench = Bench::new(VERSION, "sleep 600 & echo pids $$ $!; wait");
    let log = bench.folder.path().join("data/venvs");
    let pids = async {
        loop {
            let logs = std::fs::read_dir(&log).into_iter().flatten().flatten();
            let text: String = logs
                .filter(|entry| entry.path().extension().is_some_and(|end| end == "log"))
                .filter_map(|entry| std::fs::read_to_string(entry.path()).ok())
                .collect();
            if let Some(rest) = text.split("pids ").nth(1).filter(|rest| rest.contains('\n')) {
                return rest.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let pids = tokio::select! {
        result = bench.prepare() => panic!("ended with {result:?}"),
        pids = tokio::time::timeout(DEADLINE, pids) => pids.unwrap(),
    };
    assert_eq!(pids.len(), 2);
    let gone = async {
        while pids.iter().any(|pid| is_running(pid)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, gone).await.unwrap();
}

/// Neither gone nor a zombie that nobody has waited for yet.
fn is_running(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(") ").next().unwrap_or_default().starts_with('Z'))
}

#[tokio::test]
async fn each_failure_says_what_to_do() {
    let cases = [
        (VERSION, "echo 'WARNING: NewConnectionError(...)'; exit 1", "check the network"),
        (VERSION, "echo 'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES'; exit 1", "never remove"),
        (
            VERSION,
            "echo 'ERROR: Hashes are required in --require-hashes mode, but'; exit 1",
            "pip-compile",
        ),
        (
            VERSION,
            "echo 'In --require-hashes mode, all requirements must have their versions pinned'; exit 1",
            "by version and hash",
        ),
        (VERSION, "echo 'ERROR: No matching distribution found for a==1'; exit 1", "for a==1"),
        ("3 10 1 x86_64 cpython /usr", "true", "3.11 or newer"),
        ("usage: sh", "true", "does not tell its version"),
    ];
    for (version, pip, expected) in cases {
        let bench = Bench::new(version, pip);
        let error = bench.prepare().await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_missing_python_or_requirements_file_is_named() {
    let mut bench = Bench::new(VERSION, "true");
    bench.venvs.python = bench.folder.path().join("nowhere");
    let error = bench.prepare().await.unwrap_err().to_string();
    assert!(error.contains("nowhere") && error.contains("--python"), "{error}");
    std::fs::remove_file(&bench.requirements).unwrap();
    let error = bench.prepare().await.unwrap_err().to_string();
    assert!(error.contains("requirements.lock"), "{error}");
}

#[tokio::test]
async fn a_python_without_the_venv_module_says_what_to_install() {
    let bench = Bench::with_venv(VERSION, "echo 'ensurepip is not available.'; exit 1", "true");
    let error = bench.prepare().await.unwrap_err().to_string();
    assert!(error.contains("apt install python3-venv"), "{error}");
}

#[test]
fn a_version_is_read_or_refused() {
    let version = parse_version(VERSION).unwrap();
    assert_eq!((version.major, version.minor), (3, 11));
    for bad in ["", "3", "3 x 1", "3 11", "Python 3.11.7"] {
        assert_eq!(parse_version(bad), None, "{bad}");
    }
}

#[test]
fn progress_counts_packages() {
    let mut collected = 0;
    assert_eq!(install::count_pins(REQUIREMENTS), 2);
    let line = "Collecting a==1 (from -r requirements.lock (line 2))";
    let step = install::step(line, &mut collected, 2).unwrap();
    assert!(step.ends_with("1 of 2: a"), "{step}");
    assert_eq!(install::step("  Downloading a-1.whl (3 kB)", &mut collected, 2), None);
}
