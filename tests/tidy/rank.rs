//! The order of modules: a file uses only what lies nearer the core than itself.
//!
//! A module stands for its file and the folder of the same name. `lib.rs` and `main.rs` stand
//! above all others.

use super::source::{Source, Violation};

/// The order within one crate.
pub(super) struct Crate {
    /// The crate's folder.
    pub(super) folder: &'static str,
    /// Each module's rank. It may use those of lower rank.
    pub(super) ranks: &'static [(&'static str, u8)],
    /// Imports against the order that are known: who, whom, why. The list only shrinks.
    pub(super) excused: &'static [(&'static str, &'static str, &'static str)],
}

/// From pure rules (0) through what a request meets, back to front, to wiring and running.
pub(super) const PROXY: Crate = Crate {
    folder: "proxy",
    ranks: &[
        ("policy", 0),
        ("bounded_file", 1),
        ("clock", 1),
        ("drain", 1),
        ("error", 1),
        ("file_limit", 1),
        ("complaints", 0),
        ("fields", 0),
        ("framing", 1),
        ("hangup", 1),
        ("message", 1),
        ("lazy_timer", 1),
        ("leaving", 1),
        ("places", 1),
        ("room", 1),
        ("socket", 1),
        ("threads", 1),
        ("affinity", 2),
        ("classify", 2),
        ("file_watch", 2),
        ("endpoints_file", 3),
        ("names", 2),
        ("guard", 2),
        ("head", 2),
        ("in_force", 2),
        ("metrics", 2),
        ("orca", 2),
        ("probe", 2),
        ("takeover", 2),
        ("wire", 2),
        ("connections", 3),
        ("split", 3),
        ("h2_head", 3),
        ("identity", 3),
        ("inbound", 3),
        ("keys", 3),
        ("listeners", 3),
        ("tls", 3),
        ("access", 4),
        ("access_log", 5),
        ("grpc", 4),
        ("hop", 4),
        ("interim", 4),
        ("account", 6),
        ("forwarded", 5),
        ("proxy_protocol", 5),
        ("h2_inbound", 5),
        ("incoming", 6),
        ("request_body", 7),
        ("outbound", 8),
        ("read_ahead", 8),
        ("model_route", 9),
        ("hurry", 9),
        ("pool", 9),
        ("rewrite", 9),
        ("endpoint", 10),
        ("h2_outbound", 10),
        ("gate", 11),
        ("health", 11),
        ("vacancy", 11),
        ("upstream", 11),
        ("admin", 12),
        ("body", 12),
        ("discover", 12),
        ("overview", 13),
        ("wake", 12),
        ("respond", 13),
        ("tunnel", 13),
        ("forward", 14),
        ("keep_alive", 14),
        ("config", 15),
        ("service", 15),
        ("dispatch", 16),
        ("shadow", 16),
        ("catalog", 16),
        ("documents", 16),
        ("cluster", 17),
        ("stack", 17),
        ("h2_connection", 18),
        ("connection", 19),
        ("redirect", 20),
        ("secured", 20),
        ("turn_away", 20),
        ("control", 21),
        ("listen", 21),
        ("reload", 21),
        ("following", 22),
        ("app", 23),
        ("run", 24),
    ],
    excused: &[],
};

/// From pure rules (0) through what a tick does to wiring and flags.
pub(super) const AUTOSCALER: Crate = Crate {
    folder: "autoscaler",
    ranks: &[
        ("policy", 0),
        ("calendar", 1),
        ("child", 1),
        ("clock", 1),
        ("documents", 1),
        ("door", 1),
        ("explain", 1),
        ("line", 1),
        ("listener", 1),
        ("log", 1),
        ("places", 1),
        ("prometheus", 2),
        ("replace", 1),
        ("sample", 1),
        ("status", 1),
        ("scaling", 1),
        ("calls", 2),
        ("load", 2),
        ("metrics", 2),
        ("scrape", 2),
        ("state", 2),
        ("traffic", 2),
        ("admin", 3),
        ("local", 3),
        ("metric_source", 3),
        ("rollouts", 3),
        ("sources", 3),
        ("tick", 4),
        ("cluster", 5),
        ("handle", 5),
        ("app", 6),
        ("follow", 6),
        ("inject", 6),
        ("args", 7),
        ("decide", 8),
    ],
    excused: &[],
};

/// From what objects say (0) through what is known of a cluster to what a person asks of it.
pub(super) const KUBERNETES: Crate = Crate {
    folder: "kubernetes",
    ranks: &[
        ("asked", 0),
        ("clock", 0),
        ("connect", 0),
        ("failure", 0),
        ("lease", 0),
        ("patience", 0),
        ("resource", 0),
        ("rival", 0),
        ("slice", 0),
        ("structural", 0),
        ("apis", 1),
        ("callers", 1),
        ("facts", 1),
        ("injector", 1),
        ("leader", 1),
        ("owned", 2),
        ("rollout", 2),
        ("scalable", 2),
        ("target", 2),
        ("crd", 3),
        ("logs", 3),
        ("watch", 3),
        ("write", 3),
        ("claims", 4),
        ("view", 5),
        ("doctor", 6),
        ("serving", 6),
    ],
    excused: &[],
};

/// Where the tables stand, for messages.
const TABLES: &str = "tests/tidy/rank.rs";

/// Imports that go against the order, files without a rank, and lines of the tables that are stale.
pub(super) fn order(tree: &[Source], of: &Crate) -> Vec<Violation> {
    let rank =
        |name: &str| of.ranks.iter().find(|(ranked, _)| *ranked == name).map(|(_, rank)| *rank);
    let mut found = Vec::new();
    let mut seen = Vec::new();
    let mut used_excuses = Vec::new();
    for source in tree {
        let Some((folder, file)) = source.place() else { continue };
        let module = file.split('/').next().unwrap_or(file).trim_end_matches(".rs");
        if folder != of.folder || ["lib", "main", "bin"].contains(&module) {
            continue;
        }
        seen.push(module);
        let Some(own) = rank(module) else {
            let what = format!("`{module}` has no rank: give it one in {TABLES}");
            found.push(source.violation(1, what));
            continue;
        };
        if source.is_unit_test() {
            continue;
        }
        for (line, used) in imports(source, file) {
            let is_excused = |(who, whom, _): &&(&str, &str, &str)| *who == module && *whom == used;
            if let Some(excuse) = of.excused.iter().find(is_excused) {
                used_excuses.push(*excuse);
            } else if used != module && rank(&used).is_some_and(|rank| rank >= own) {
                let what = format!(
                    "`{module}` uses `{used}`, which is not of a lower rank: let `{used}` use it, \
                     move what both need further down, or correct the ranks in {TABLES}"
                );
                found.push(source.violation(line, what));
            }
        }
    }
    let stale = |what: String| Source::new(TABLES, "").violation(1, what);
    let gone = of.ranks.iter().filter(|(name, _)| !seen.contains(name));
    found.extend(gone.map(|(name, _)| {
        stale(format!("{}: there is no module `{name}`: take it out of the table", of.folder))
    }));
    let unused = of.excused.iter().filter(|excuse| !used_excuses.contains(excuse));
    found.extend(unused.map(|(who, whom, _)| {
        stale(format!("{}: `{who}` no longer uses `{whom}`: take the excuse out", of.folder))
    }));
    found
}

/// The crate's own modules that a file names, with lines: by `crate::`, or by enough `super::`.
fn imports(source: &Source, file: &str) -> Vec<(usize, String)> {
    let depth = file.matches('/').count() + 1;
    let to_root = "super::".repeat(depth);
    let code = source.code();
    let mut found = Vec::new();
    for prefix in ["crate::", to_root.as_str()] {
        for (at, _) in code.match_indices(prefix) {
            let (before, rest) = code.split_at(at);
            let is_part =
                before.ends_with(|letter: char| letter.is_alphanumeric() || "_:$".contains(letter));
            if is_part {
                continue;
            }
            let line = before.matches('\n').count() + 1;
            let rest = rest.strip_prefix(prefix).unwrap_or(rest);
            found.extend(heads(rest).into_iter().map(|(below, name)| (line + below, name)));
        }
    }
    found.sort();
    found
}

/// The first names of a path or of a braced list of paths, each with the lines before it.
fn heads(rest: &str) -> Vec<(usize, String)> {
    let is_name = |letter: &char| letter.is_alphanumeric() || *letter == '_';
    let name = |text: &str| text.chars().take_while(is_name).collect::<String>();
    if !rest.starts_with('{') {
        return vec![(0, name(rest))];
    }
    let (mut depth, mut lines, mut at_head) = (0, 0, true);
    let mut heads = Vec::new();
    for (at, letter) in rest.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            '\n' => lines += 1,
            ',' if depth == 1 => at_head = true,
            _ if at_head && depth == 1 && is_name(&letter) => {
                heads.push((lines, name(rest.split_at(at).1)));
                at_head = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    heads
}
