//! Where and of what something was measured.

use serde::Serialize;
use std::fs;
use std::process::Command;

/// The machine.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    /// The processor's name.
    pub(crate) cpu: String,
    /// Processors in all.
    pub(crate) cores: usize,
    /// The kernel's release.
    pub(crate) kernel: String,
}

/// The source.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Commit {
    /// Its short hash.
    pub(crate) hash: String,
    /// Whether files differed from it.
    pub(crate) changed: bool,
}

/// This machine.
pub(crate) fn machine() -> Machine {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let (cpu, cores) = processors(&info);
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    Machine { cpu, cores, kernel }
}

/// Of the last minute.
pub(crate) fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0.0)
}

/// What was built, if git knows.
pub(crate) fn commit() -> Commit {
    let git = |args: &[&str]| {
        let output =
            Command::new("git").args(["-C", env!("CARGO_MANIFEST_DIR")]).args(args).output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    Commit {
        hash: git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned()),
        // Results of earlier runs change nothing that is measured.
        changed: git(&["status", "--porcelain", "--", ":/", ":(exclude)results"])
            .is_none_or(|changes| !changes.is_empty()),
    }
}

/// The first processor's name, and how many there are.
fn processors(info: &str) -> (String, usize) {
    let values = |name: &'static str| {
        let fields = info.lines().filter_map(|line| line.split_once(':'));
        fields.filter(move |(key, _)| key.trim() == name).map(|(_, value)| value.trim())
    };
    let name = values("model name").next().unwrap_or("unknown").to_owned();
    (name, values("processor").count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_counted_and_named() {
        let info = "processor\t: 0\nmodel name\t: Fast 1: the second\n\nprocessor\t: 1\nmodel name\t: Other\n";
        assert_eq!(processors(info), ("Fast 1: the second".to_owned(), 2));
        assert_eq!(processors(""), ("unknown".to_owned(), 0));
    }
}
