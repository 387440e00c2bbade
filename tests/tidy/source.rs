//! The files that the rules look at, and what counts as code in them.

use std::fmt;
use std::path::{Path, PathBuf};

/// The folders of the workspace that hold its own sources.
const FOLDERS: &[&str] = &[
    "api",
    "autoscaler",
    "benches",
    "cli",
    "deploy",
    "examples",
    "kubernetes",
    "proxy",
    "simulate",
    "tests",
];

/// One file.
pub(super) struct Source {
    /// From the workspace's root, with `/`.
    pub(super) path: String,
    /// The whole file.
    pub(super) text: String,
}

/// One place where a rule is broken.
#[derive(Debug)]
pub(super) struct Violation {
    /// The file.
    pub(super) path: String,
    /// The line, from 1.
    pub(super) line: usize,
    /// What is wrong and what to do.
    pub(super) what: String,
}

/// Every Rust source and manifest of the workspace.
pub(super) fn tree() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root");
    let mut paths = vec![root.join("Cargo.toml"), root.join("Cargo.lock")];
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder").flatten() {
            let path = entry.path();
            let is_ours = !entry.file_name().to_string_lossy().starts_with('.');
            if path.is_dir() && is_ours && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs")
                || path.ends_with("Cargo.toml")
            {
                paths.push(path);
            }
        }
    }
    paths.sort();
    // A file that is being replaced by an editor while we look is left out.
    paths.iter().filter_map(|path| read(root, path)).collect()
}

fn read(root: &Path, path: &Path) -> Option<Source> {
    let text = std::fs::read_to_string(path).ok()?;
    let path = path.strip_prefix(root).ok()?.to_string_lossy().replace('\\', "/");
    Some(Source { path, text })
}

impl Source {
    /// A file of that text.
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Whether it is Rust.
    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The folder of the crate, and the file's place in `src/`.
    pub(super) fn place(&self) -> Option<(&str, &str)> {
        self.path.split_once("/src/")
    }

    /// Whether it is a module of unit tests in a file of its own.
    pub(super) fn is_unit_test(&self) -> bool {
        self.path.ends_with("/tests.rs")
            || self.path.contains("/src/") && self.path.contains("/tests/")
    }

    /// The text without comments and unit tests, line by line, so that line numbers hold.
    pub(super) fn code(&self) -> String {
        let lines: Vec<&str> = self.text.lines().collect();
        let end = (0..lines.len()).find(|&at| opens_tests(&lines[at..])).unwrap_or(lines.len());
        lines[..end].iter().map(|line| without_comment(line).to_owned() + "\n").collect()
    }

    /// A violation in this file.
    pub(super) fn violation(&self, line: usize, what: impl Into<String>) -> Violation {
        Violation { path: self.path.clone(), line, what: what.into() }
    }
}

/// Whether the module of unit tests begins here, perhaps with attributes of its own.
fn opens_tests(lines: &[&str]) -> bool {
    let is_attribute = |line: &&&str| line.starts_with("#[");
    lines.first() == Some(&"#[cfg(test)]")
        && lines
            .iter()
            .find(|line| !is_attribute(line))
            .is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'))
}

/// The line up to `//`, unless that is part of an address such as `http://`.
fn without_comment(line: &str) -> &str {
    let comment = line
        .match_indices("//")
        .map(|(at, _)| line.split_at(at).0)
        .find(|before| !before.ends_with(':'));
    comment.unwrap_or(line)
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Whether `word` stands in `line` by itself, and not as a part of a longer name.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, rest) = line.split_at(at);
        let after = rest.strip_prefix(word).and_then(|rest| rest.chars().next());
        let joins_after = word.ends_with(is_name) && after.is_some_and(is_name);
        let joins_before = word.starts_with(is_name) && before.ends_with(is_name);
        !joins_after && !joins_before
    })
}
