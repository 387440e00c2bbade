//! The results as tables for people and as JSON for programs.

use crate::machine::{Commit, Machine};
use crate::peer::Peer;
use crate::sample::{Instructions, Sample};
use crate::summary::Row;
use crate::tail::{TailRow, TailSample};
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Everything that a run of the harness gave.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// When it began, in UTC.
    pub(crate) date: String,
    /// What was measured.
    pub(crate) commit: Commit,
    /// Where.
    pub(crate) machine: Machine,
    /// Of the machine at the begin and at the end: who else used it.
    pub(crate) load_average: [f64; 2],
    /// What the peers say their versions are.
    pub(crate) versions: BTreeMap<&'static str, String>,
    /// Measurements of each, in turn.
    pub(crate) repeat: u32,
    /// How long each took.
    pub(crate) seconds: f64,
    /// Over how many requests were spread.
    pub(crate) endpoints: u16,
    /// How long each measurement of `tail` took.
    pub(crate) tail_seconds: f64,
    /// Who was left out, and what failed.
    pub(crate) notes: Vec<String>,
    /// Medians.
    pub(crate) rows: Vec<Row>,
    /// By callgrind.
    pub(crate) instructions: Vec<Instructions>,
    /// How long requests waited, by way of balancing.
    pub(crate) tails: Vec<TailRow>,
    /// All that these were made of.
    pub(crate) tail_samples: Vec<TailSample>,
    /// All that the rows were made of.
    pub(crate) samples: Vec<Sample>,
}

/// The load under which memory is compared.
pub(crate) const MEMORY_LOAD: &str = "small, 256 connections";

// === impl Report ===

impl Report {
    /// All tables, as Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!(
            "# Side by side, {}\n\n{}, {} cores, Linux {}. Load average {} at the begin, {} at the \
             end. Commit {}{}. {} repeats of {} s each, in turn; medians.\n\n",
            self.date,
            self.machine.cpu,
            self.machine.cores,
            self.machine.kernel,
            self.load_average[0],
            self.load_average[1],
            self.commit.hash,
            if self.commit.changed { " with changes" } else { "" },
            self.repeat,
            self.seconds,
        );
        let versions: Vec<_> =
            self.versions.iter().map(|(peer, version)| format!("{peer} {version}")).collect();
        text += &format!("Versions: {}.\n", versions.join(", "));
        if self.endpoints > 1 {
            text += &format!("Requests were spread over {} endpoints.\n", self.endpoints);
        }
        for note in &self.notes {
            text += &format!("\n- {note}");
        }
        if !self.rows.is_empty() {
            text += "\n## Time\n\nMicroseconds a request, or a chunk of a stream. `waited`: others had \
                     the peer's core. `added`: more than without a proxy. `alike`: nginx with as \
                     much of the sidecar's work as it can be told to do.\n\n";
            text += &time_table(&self.rows);
        }
        let memory = memory_table(&self.rows);
        if let Some(memory) = memory {
            text += &format!("\n## Memory\n\nMiB; loaded is at {MEMORY_LOAD}.\n\n{memory}");
        }
        if !self.instructions.is_empty() {
            text += "\n## Instructions\n\nOf a small request, in user space, by callgrind.\n\n";
            text += &instruction_table(&self.instructions);
        }
        if !self.tails.is_empty() {
            text += &format!(
                "\n## Tail\n\nMilliseconds that requests waited before eight endpoints that serve one at \
                 a time, exponential 20 ms, at 80 % load, in {} s each. The ideal line is computed for \
                 the same requests, the real one is kept by the load, before the same endpoints.\n\n{}",
                self.tail_seconds,
                tail_table(&self.tails),
            );
        }
        text
    }

    /// Writes both forms into a folder, named after minute and commit, and says where.
    ///
    /// # Errors
    /// If they can't be written.
    pub(crate) fn write(&self, folder: &Path) -> Result<[PathBuf; 2]> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("can't make the folder {}", folder.display()))?;
        // A second run of a day must not write over the first.
        let minute: String = self.date.chars().take("2026-01-02T03:04".len()).collect();
        let minute = minute.replace('T', "-").replace(':', "");
        let stem = format!("proxies-{minute}-{}", self.commit.hash);
        let json = serde_json::to_string_pretty(self).context("can't write JSON")? + "\n";
        let mut written = [folder.join(format!("{stem}.md")), folder.join(format!("{stem}.json"))];
        for (path, text) in written.iter_mut().zip([self.markdown(), json]) {
            std::fs::write(&*path, text)
                .with_context(|| format!("can't write {}", path.display()))?;
        }
        Ok(written)
    }
}

fn time_table(rows: &[Row]) -> String {
    let head = [
        "load",
        "peer",
        "CPU",
        "least–most",
        "user",
        "system",
        "waited",
        "× nginx",
        "× alike",
        "a second",
        "p50",
        "p99",
        "p50 added",
        "p99 added",
    ];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for row in rows {
        let spread = row.cpu_us.map(|cpu| format!("{:.1}–{:.1}", cpu.least, cpu.most));
        lines.push(vec![
            row.load.clone(),
            row.peer.name().to_owned(),
            number(row.cpu_us.map(|cpu| cpu.median), 1),
            spread.unwrap_or_default(),
            number(row.user_us, 1),
            number(row.system_us, 1),
            number(row.waited_us, 1),
            number(row.to_nginx, 2),
            number(row.to_nginx_alike, 2),
            number(Some(row.rate), 0),
            number(Some(row.p50_us), 0),
            number(Some(row.p99_us), 0),
            number(row.p50_added_us, 0),
            number(row.p99_added_us, 0),
        ]);
    }
    table(&lines)
}

fn memory_table(rows: &[Row]) -> Option<String> {
    let head = ["peer", "RSS idle", "RSS loaded", "PSS idle", "PSS loaded"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for row in rows.iter().filter(|row| row.load == MEMORY_LOAD) {
        let (Some(idle), Some(loaded)) = (row.idle, row.loaded) else { continue };
        let mib = |kib: u64| number(Some(kib as f64 / 1024.0), 1);
        let peer = row.peer.name().to_owned();
        let values = [idle.rss_kib, loaded.rss_kib, idle.pss_kib, loaded.pss_kib].map(mib);
        lines.push(std::iter::once(peer).chain(values).collect());
    }
    (lines.len() > 1).then(|| table(&lines))
}

fn instruction_table(instructions: &[Instructions]) -> String {
    let mut lines = vec![["peer", "instructions", "× nginx"].map(str::to_owned).to_vec()];
    let nginx = instructions.iter().find(|counted| counted.peer == Peer::Nginx);
    for counted in instructions {
        lines.push(vec![
            counted.peer.name().to_owned(),
            number(Some(counted.a_request), 0),
            number(nginx.map(|nginx| counted.a_request / nginx.a_request), 2),
        ]);
    }
    table(&lines)
}

fn tail_table(rows: &[TailRow]) -> String {
    let ratios = ["p99 × ideal", "least–most", "p99 × a real line", "least–most"];
    let head = [["balancer", "mean", "p50", "p99"], ratios].concat();
    let mut lines = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for row in rows {
        let times = [row.mean_ms, row.p50_ms, row.p99_ms].map(|time| number(Some(time), 1));
        let ratios = [row.to_ideal, row.to_line].into_iter().flat_map(|ratio| {
            let spread = format!("{:.2}–{:.2}", ratio.least, ratio.most);
            [number(Some(ratio.median), 2), spread]
        });
        lines.push(std::iter::once(row.balancer.clone()).chain(times).chain(ratios).collect());
    }
    table(&lines)
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map(|value| format!("{value:.digits$}")).unwrap_or_default()
}

/// A Markdown table, aligned so that it can be read as it is. The first line is the head.
fn table(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(&widths) {
            text += &format!("| {cell:width$} ");
        }
        text += "|\n";
        if number == 0 {
            for width in &widths {
                text += &format!("|{}", "-".repeat(width + 2));
            }
            text += "|\n";
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary;
    use crate::summary::tests::sample;
    use crate::tail::Beside;
    use crate::usage::Memory;

    fn report() -> Report {
        let mut samples = vec![
            sample(MEMORY_LOAD, Peer::Direct, 1, 0.0, 40.0),
            sample(MEMORY_LOAD, Peer::Nginx, 1, 20.0, 90.0),
            sample(MEMORY_LOAD, Peer::Tidegate, 1, 15.0, 80.0),
        ];
        samples[2].loaded = Some(Memory { rss_kib: 10_240, pss_kib: 9216 });
        let beside = Beside::new(&[2_000_000], &[2_500_000]);
        let instructions = [(Peer::Nginx, 20_000.0), (Peer::Tidegate, 25_000.0)];
        Report {
            date: "2026-01-02T03:04:05Z".to_owned(),
            commit: Commit { hash: "abc".to_owned(), changed: true },
            machine: Machine { cpu: "Fast".to_owned(), cores: 2, kernel: "6.1".to_owned() },
            load_average: [0.5, 1.5],
            versions: BTreeMap::from([("nginx", "1.2".to_owned())]),
            repeat: 1,
            seconds: 2.0,
            endpoints: 1,
            tail_seconds: 2.0,
            tails: crate::tail::rows(&[TailSample::new("x, alone", 1, &[3_000_000], beside)]),
            tail_samples: Vec::new(),
            notes: vec!["skipped: haproxy".to_owned()],
            rows: summary::rows(&samples),
            instructions: instructions
                .map(|(peer, a_request)| Instructions { peer, a_request })
                .to_vec(),
            samples,
        }
    }

    /// A line's cells.
    fn cells(text: &str, begin: &str) -> Vec<Vec<String>> {
        text.lines()
            .filter(|line| line.starts_with(begin))
            .map(|line| line.split('|').map(|cell| cell.trim().to_owned()).collect())
            .collect()
    }

    #[test]
    fn the_tables_say_what_was_measured() {
        let text = report().markdown();
        let head = cells(&text, "| load");
        assert_eq!((head[0][8].as_str(), head[0][13].as_str()), ("× nginx", "p50 added"));
        let time = cells(&text, "| small, 256 connections | tidegate");
        assert_eq!(time[0][3..5], ["15.0", "15.0–15.0"]);
        assert_eq!((time[0][8].as_str(), time[0][13].as_str()), ("0.75", "40"));
        let rest = cells(&text, "| tidegate");
        assert_eq!(rest[0][2..], ["1.0", "10.0", "0.5", "9.0", ""], "memory in\n{text}");
        assert_eq!(rest[1][2..], ["25000", "1.25", ""], "instructions in\n{text}");
        let tail = ["3.0", "3.0", "3.0", "1.50", "1.50–1.50", "1.20", "1.20–1.20", ""];
        assert_eq!(cells(&text, "| x, alone")[0][2..], tail);
        for part in ["Fast, 2 cores, Linux 6.1", "abc with changes", "- skipped: haproxy"] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
    }

    #[test]
    fn both_forms_are_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let [markdown, json] = report().write(&folder.path().join("new")).expect("written");
        assert!(markdown.ends_with("proxies-2026-01-02-0304-abc.md"));
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(json).expect("readable")).expect("JSON");
        assert_eq!(json["rows"][2]["to_nginx"], 0.75);
        assert_eq!(json["samples"].as_array().map(Vec::len), Some(3));
    }
}
