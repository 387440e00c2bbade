//! What replicas on this machine have written, and write: a file for each.

use crate::backend::{LogsWanted, Told};
use crate::run_dir::Running;
use anyhow::Result;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidegate_autoscaler::status::{ApiStatus, ReplicaState};
use tokio::sync::mpsc::Sender;

/// Between two looks at what has come.
const PERIOD: Duration = Duration::from_millis(250);

/// Bytes of a log's end that are read at most; the log itself is bounded too.
const MOST_BYTES: u64 = 16 << 20;

/// Bytes of a line that are waited for to its end.
const MOST_LINE: usize = 64 << 10;

/// Lines of each replica that does not get ready.
const LAST_LINES: usize = 20;

/// Replicas whose last lines are shown.
const MOST_TROUBLED: usize = 5;

/// Sends the lines of all of an API's replicas, also of those that are gone.
pub(super) async fn read(
    run: &Running,
    api: &str,
    wanted: &LogsWanted,
    told: &Sender<Told>,
) -> Result<()> {
    if wanted.only.is_some() || wanted.since.is_some() {
        let note = "on one machine a replica's model and sidecar write into one log, which has no \
                    times: --only and --since are left aside";
        told.send(Told::Note(note.to_owned())).await.ok();
    }
    let mut read: BTreeMap<PathBuf, Reading> = BTreeMap::new();
    let mut is_first = true;
    loop {
        for file in files(run, api) {
            let id = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let reading = read.entry(file.clone()).or_default();
            let mut lines = reading.more(&file)?;
            if let (true, Some(tail)) = (is_first, wanted.tail) {
                lines.drain(..lines.len().saturating_sub(tail as usize));
            }
            for text in lines {
                if told.send(Told::Line { source: id.clone(), text }).await.is_err() {
                    return Ok(());
                }
            }
        }
        if !wanted.follow {
            if read.is_empty() {
                let note = format!("no replica of {api} has written anything");
                told.send(Told::Note(note)).await.ok();
            }
            return Ok(());
        }
        is_first = false;
        tokio::time::sleep(PERIOD).await;
    }
}

/// The last lines of those of its replicas that are not ready; of the newest, where those are gone.
pub(super) fn last_lines(run: &Running, api: &ApiStatus) -> Result<Vec<Told>> {
    let starting = api.replicas.iter().filter(|one| one.state == ReplicaState::Starting);
    let mut logs: Vec<PathBuf> =
        starting.map(|one| folder(run).join(format!("{}.log", one.id))).collect();
    if logs.is_empty() && api.trouble.is_some() {
        logs.extend(files(run, &api.name).pop());
    }
    let mut all = Vec::new();
    for file in logs.iter().take(MOST_TROUBLED) {
        let source = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let lines = Reading::default().more(file)?;
        let last = lines.into_iter().rev().take(LAST_LINES).collect::<Vec<_>>().into_iter().rev();
        all.extend(last.map(|text| Told::Line { source: source.clone(), text }));
    }
    Ok(all)
}

fn folder(run: &Running) -> PathBuf {
    run.path.join("replicas")
}

/// The logs of an API's replicas, oldest first: `API-PROCESS-NUMBER.log`.
fn files(run: &Running, api: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder(run)).into_iter().flatten().flatten();
    let prefix = format!("{api}-{}-", run.id);
    let mut found: Vec<(u64, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let number = name.strip_prefix(&prefix)?.strip_suffix(".log")?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, file)| file).collect()
}

/// How far a log was read.
#[derive(Debug, Default)]
struct Reading {
    at: u64,
    /// A line that has no end yet.
    begun: Vec<u8>,
}

impl Reading {
    /// The whole lines that have come since. A log that is shorter than before began anew.
    fn more(&mut self, file: &Path) -> std::io::Result<Vec<String>> {
        let mut file = match File::open(file) {
            // It is made by the first process to start.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            file => file?,
        };
        let length = file.metadata()?.len();
        if length < self.at {
            *self = Self::default();
        }
        let from = self.at.max(length.saturating_sub(MOST_BYTES));
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = std::mem::take(&mut self.begun);
        let read = file.take(MOST_BYTES).read_to_end(&mut bytes)?;
        self.at = from + read as u64;
        let whole = match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if bytes.len() > MOST_LINE => bytes.len(),
            None => 0,
        };
        self.begun = bytes.split_off(whole);
        Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn lines_come_as_they_are_whole_and_a_log_may_begin_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut reading = Reading::default();
        assert_eq!(reading.more(&path).unwrap(), Vec::<String>::new());
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\ntw").unwrap();
        assert_eq!(reading.more(&path).unwrap(), ["one"]);
        file.write_all(b"o\nthree\n").unwrap();
        assert_eq!(reading.more(&path).unwrap(), ["two", "three"]);
        std::fs::write(&path, "new\n").unwrap();
        assert_eq!(reading.more(&path).unwrap(), ["new"]);
    }
}
