//! Rules about files: length, name, first line, and what may not be used where.

use super::source::{Source, Violation, has_word};
use std::path::Path;

/// A file of more lines is several ideas.
const MAX_LINES: usize = 400;

/// Files that may be longer: path, how long they are (never more than now), and why.
pub(super) const EXCUSED_LENGTHS: &[(&str, usize, &str)] = &[];

/// Names that say nothing about what is inside.
const DRAWERS: &[&str] =
    &["util", "utils", "helper", "helpers", "common", "manager", "managers", "misc", "mod"];

/// What reads a clock, waits, or touches the world: not in `policy/`.
const IMPURE: &[&str] = &[
    "Instant::now",
    "SystemTime",
    ".elapsed()",
    ".await",
    "async",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
];

/// Every Rust file is shorter than 400 lines, but for the excused.
pub(super) fn length(tree: &[Source], excused: &[(&str, usize, &str)]) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in tree.iter().filter(|source| source.is_rust()) {
        let lines = source.text.lines().count();
        let excuse = excused.iter().find(|(path, ..)| *path == source.path);
        let allowed = excuse.map_or(MAX_LINES - 1, |(_, allowed, _)| *allowed);
        if lines > allowed {
            let what = format!("{lines} lines, at most {allowed}: split it by ideas");
            found.push(source.violation(lines, what));
        } else if excuse.is_some() && lines < MAX_LINES {
            let what = format!("{lines} lines: take it off the list of long files");
            found.push(source.violation(lines, what));
        }
    }
    let is_gone = |path: &str| !tree.iter().any(|source| source.path == path);
    let gone = excused.iter().filter(|(path, ..)| is_gone(path));
    found.extend(gone.map(|(path, ..)| {
        Source::new(path, "").violation(1, "is gone: take it off the list of long files")
    }));
    found
}

/// Every Rust file says first what it is.
pub(super) fn file_doc(tree: &[Source]) -> Vec<Violation> {
    tree.iter()
        .filter(|source| source.is_rust() && !source.text.starts_with("//! "))
        .map(|source| source.violation(1, "begin the file with `//! ` and what it is for"))
        .collect()
}

/// No file and no folder of sources is a drawer for everything, and none is a `mod.rs`.
pub(super) fn names(tree: &[Source]) -> Vec<Violation> {
    let is_drawer = |part: &str| {
        part.trim_end_matches(".rs").split(['_', '-']).any(|word| DRAWERS.contains(&word))
    };
    tree.iter()
        .filter(|source| source.is_rust())
        .filter(|source| source.path.split('/').any(is_drawer))
        .map(|source| source.violation(1, "name the file after the one idea in it"))
        .collect()
}

/// Proxy and autoscaler meet in what one prints and the other reads, and never as code.
pub(super) fn strangers(tree: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for (folder, stranger) in [("proxy/", "autoscaler"), ("autoscaler/", "proxy")] {
        let words = [format!("tidegate_{stranger}"), format!("tidegate-{stranger}")];
        for source in tree.iter().filter(|source| source.path.starts_with(folder)) {
            let words = if source.is_rust() { &words[..1] } else { &words[..] };
            let what = format!("don't use the {stranger} here: what both need belongs in api/");
            found.extend(with_words(source, words, &what));
        }
    }
    found
}

/// Parts that run without Kubernetes, and in the slim sidecar.
const NOT_ON_KUBERNETES: &[&str] = &["api/", "proxy/", "simulate/", "benches/"];

/// The Kubernetes client is used in its own crate and by those who act on a cluster, not elsewhere.
pub(super) fn no_kubernetes(tree: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    let is_without = |path: &str| NOT_ON_KUBERNETES.iter().any(|folder| path.starts_with(folder));
    for source in tree.iter().filter(|source| is_without(&source.path)) {
        let words: &[&str] = match Path::new(&source.path).extension().and_then(|end| end.to_str())
        {
            Some("rs") => &["kube::", "k8s_openapi::"],
            _ => &["kube =", "kube.workspace", "k8s-openapi"],
        };
        found.extend(with_words(source, words, "no Kubernetes client here: it is kubernetes/'s"));
    }
    found
}

/// What the C library keeps in a file of its own, libm, of which a first use maps 0.3 MB.
const OF_LIBM: &[&str] = &[
    ".ln(", ".log(", ".log2(", ".log10(", ".ln_1p(", ".exp(", ".exp2(", ".exp_m1(", ".powf(",
    ".cbrt(",
];

/// A sidecar runs beside every model, so it does without libm.
pub(super) fn no_libm(tree: &[Source]) -> Vec<Violation> {
    let is_sidecars = |path: &str| path.starts_with("api/src/") || path.starts_with("proxy/src/");
    tree.iter()
        .filter(|source| is_sidecars(&source.path) && !source.is_unit_test())
        .flat_map(|source| {
            with_words(
                source,
                OF_LIBM,
                "this brings libm into every sidecar: a table or a series may do",
            )
        })
        .collect()
}

/// `policy/` uses the standard library and itself, and nothing of that which has an effect.
pub(super) fn policy(tree: &[Source], folder: &str) -> Vec<Violation> {
    let manifest = format!("{folder}/Cargo.toml");
    let manifest = tree.iter().find(|source| source.path == manifest);
    let mut banned: Vec<String> = manifest.map(dependencies).unwrap_or_default();
    banned.extend(IMPURE.iter().map(|&word| word.to_owned()));
    let what = "policy/ uses only std, plain data and crate::policy: pass in what it needs";
    let mut found = Vec::new();
    for source in tree {
        let is_policy = source.place().is_some_and(|(of, file)| {
            of == folder && (file == "policy.rs" || file.starts_with("policy/"))
        });
        if !is_policy || source.is_unit_test() {
            continue;
        }
        for (index, line) in source.code().lines().enumerate() {
            let leaves = line
                .split("crate::")
                .skip(1)
                .any(|rest| !rest.starts_with("policy::") && !rest.starts_with("policy;"));
            if leaves || banned.iter().any(|word| has_word(line, word)) {
                found.push(source.violation(index + 1, what));
            }
        }
    }
    found
}

/// What the manifest's tables of dependencies name, as it is written in code, with `::`.
fn dependencies(manifest: &Source) -> Vec<String> {
    let mut names = Vec::new();
    let mut listed = false;
    for line in manifest.text.lines() {
        if line.starts_with('[') {
            listed = line.ends_with("dependencies]");
        } else if let (true, Some((name, _))) = (listed, line.split_once(['.', ' ', '='])) {
            names.push(name.replace('-', "_") + "::");
        }
    }
    names
}

fn with_words(source: &Source, words: &[impl AsRef<str>], what: &str) -> Vec<Violation> {
    let code = if source.is_rust() { source.code() } else { source.text.clone() };
    code.lines()
        .enumerate()
        .filter(|(_, line)| words.iter().any(|word| has_word(line, word.as_ref())))
        .map(|(index, _)| source.violation(index + 1, what))
        .collect()
}
