//! Logs of a target's pods: what they have written, and what they write.

use crate::apis::in_time;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::patience::Patience;
use crate::target::{Container, Replica, replicas};
use futures_util::{AsyncBufRead, AsyncBufReadExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::LogParams;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use std::collections::BTreeSet;
use std::pin::{Pin, pin};
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;

/// Logs that are followed at once: each is a connection.
const MOST_STREAMS: usize = 100;

/// The longest line, in bytes; the rest of it is left out.
const MOST_LINE: usize = 64 * 1024;

/// Before a log that broke off is asked for again.
const RETRY: Duration = Duration::from_secs(1);

/// Which lines are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Go on with what comes.
    pub follow: bool,
    /// Only so many of each container's last lines.
    pub tail: Option<u32>,
    /// Only lines of the last so many seconds.
    pub since: Option<u32>,
    /// Only the sidecars' lines, or only those of the others.
    pub sidecar: Option<bool>,
}

/// What is told of logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A line.
    Line {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
        /// The line.
        text: String,
    },
    /// Why there are no lines.
    Note(String),
}

/// A container's log: the pod, the container, and how often that was begun anew.
type LogKey = (String, String, u32);

/// One look at a log, to its end.
struct Reading {
    key: LogKey,
    /// When the last line was written that was told.
    last: Option<Timestamp>,
    /// Why it broke off, if it did.
    broken: Option<String>,
}

/// Sends the lines of the pods with these labels, until there are no more, or nobody listens.
///
/// # Errors
/// A [`Failure`] of finding the pods. What goes wrong with one log is told as a note.
pub async fn logs(
    connection: &Connection,
    namespace: &str,
    selector: &str,
    wanted: &Wanted,
    told: Sender<Told>,
) -> Result<(), Failure> {
    let pods: Api<Pod> = Api::namespaced(connection.client.clone(), namespace);
    if wanted.follow {
        follow(pods, selector, wanted, told).await
    } else {
        let pods_seen = replicas(connection, namespace, selector).await?;
        read_all(pods, pods_seen, wanted, told).await;
        Ok(())
    }
}

/// The last lines of each container of some pods, so many.
pub async fn last_lines(
    connection: &Connection,
    namespace: &str,
    seen: Vec<Replica>,
    most: u32,
) -> Vec<Told> {
    let pods: Api<Pod> = Api::namespaced(connection.client.clone(), namespace);
    let wanted = Wanted { tail: Some(most), ..Wanted::default() };
    let (sender, mut told) = tokio::sync::mpsc::channel(1);
    let collect = async {
        let mut all = Vec::new();
        while let Some(told) = told.recv().await {
            all.push(told);
        }
        all
    };
    tokio::join!(read_all(pods, seen, &wanted, sender), collect).1
}

/// Pod by pod and container by container.
async fn read_all(pods: Api<Pod>, seen: Vec<Replica>, wanted: &Wanted, told: Sender<Told>) {
    if seen.is_empty() {
        told.send(Told::Note("there are no pods".to_owned())).await.ok();
    }
    for pod in seen {
        for container in pod.containers.iter().filter(|container| is_wanted(container, wanted)) {
            let key = (pod.name.clone(), container.name.clone(), container.restarts);
            if !container.has_begun && container.trouble.is_some() {
                let note = format!("{}/{} has not begun", key.0, key.1);
                told.send(Told::Note(note)).await.ok();
                continue;
            }
            let reading = read(pods.clone(), key, params(wanted, None), None, told.clone()).await;
            if let Some(why) = reading.broken {
                let note = format!("{}/{}: {why}", reading.key.0, reading.key.1);
                told.send(Told::Note(note)).await.ok();
            }
        }
    }
}

/// All logs at once, those of new pods and of new beginnings too.
async fn follow(
    pods: Api<Pod>,
    selector: &str,
    wanted: &Wanted,
    told: Sender<Told>,
) -> Result<(), Failure> {
    let config = watcher::Config::default().labels(selector);
    let mut events = pin!(watcher(pods.clone(), config).backoff(Patience::default()));
    let mut open = Open::new(pods, wanted, told.clone());
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            Some(Ok(reading)) = open.streams.join_next() => {
                open.ended(reading);
                continue;
            }
            () = told.closed() => return Ok(()),
        };
        match event {
            None => return Ok(()),
            Some(Ok(Event::Apply(pod) | Event::InitApply(pod))) => {
                if let Some(pod) = Replica::of(pod) {
                    open.see(&pod).await;
                }
            }
            Some(Ok(Event::Delete(pod))) => {
                let name = pod.metadata.name.unwrap_or_default();
                open.over.retain(|(pod, ..)| *pod != name);
            }
            Some(Err(watcher::Error::InitialListFailed(error))) => {
                let failure = Failure::from(error);
                if ["forbidden", "invalid"].contains(&failure.code) {
                    return Err(failure);
                }
            }
            // What is wrong otherwise is tried again.
            Some(Ok(Event::Init | Event::InitDone) | Err(_)) => {}
        }
    }
}

/// The logs that are followed.
struct Open<'a> {
    pods: Api<Pod>,
    wanted: &'a Wanted,
    told: Sender<Told>,
    streams: JoinSet<Reading>,
    keys: BTreeSet<LogKey>,
    /// Those that have come to their end, of pods that are still there.
    over: BTreeSet<LogKey>,
    is_full: bool,
}

impl<'a> Open<'a> {
    fn new(pods: Api<Pod>, wanted: &'a Wanted, told: Sender<Told>) -> Self {
        let (keys, over) = (BTreeSet::new(), BTreeSet::new());
        Self { pods, wanted, told, streams: JoinSet::new(), keys, over, is_full: false }
    }

    /// Follows the logs of a pod that are new.
    async fn see(&mut self, pod: &Replica) {
        for key in begun(pod, self.wanted) {
            if self.keys.contains(&key) || self.over.contains(&key) {
                continue;
            }
            if self.keys.len() >= MOST_STREAMS {
                if !std::mem::replace(&mut self.is_full, true) {
                    let note = format!("only {MOST_STREAMS} logs are followed at once");
                    self.told.send(Told::Note(note)).await.ok();
                }
                return;
            }
            self.keys.insert(key.clone());
            let params = params(self.wanted, None);
            self.streams.spawn(read(self.pods.clone(), key, params, None, self.told.clone()));
        }
    }

    /// Goes on with a log that broke off; one that is at its end is left.
    fn ended(&mut self, reading: Reading) {
        let Reading { key, last, broken } = reading;
        if broken.is_none() {
            self.keys.remove(&key);
            self.over.insert(key);
            return;
        }
        let (pods, told, params) =
            (self.pods.clone(), self.told.clone(), params(self.wanted, last));
        self.streams.spawn(async move {
            tokio::time::sleep(RETRY).await;
            read(pods, key, params, last, told).await
        });
    }
}

/// The logs of a pod that there are.
fn begun(pod: &Replica, wanted: &Wanted) -> Vec<LogKey> {
    let begun = pod.containers.iter().filter(|one| one.has_begun && is_wanted(one, wanted));
    begun.map(|one| (pod.name.clone(), one.name.clone(), one.restarts)).collect()
}

fn is_wanted(container: &Container, wanted: &Wanted) -> bool {
    wanted.sidecar.is_none_or(|sidecar| sidecar == container.is_sidecar)
}

fn params(wanted: &Wanted, last: Option<Timestamp>) -> LogParams {
    let is_new = last.is_none();
    LogParams {
        follow: wanted.follow,
        tail_lines: wanted.tail.map(i64::from).filter(|_| is_new),
        since_seconds: wanted.since.map(i64::from).filter(|_| is_new),
        since_time: last,
        // By them it is known where to go on.
        timestamps: true,
        ..LogParams::default()
    }
}

/// Reads one log to its end. Lines up to `last` were told before.
async fn read(
    pods: Api<Pod>,
    key: LogKey,
    mut params: LogParams,
    mut last: Option<Timestamp>,
    told: Sender<Told>,
) -> Reading {
    params.container = Some(key.1.clone());
    let stream = match in_time(pods.log_stream(&key.0, &params)).await {
        Ok(stream) => stream,
        // Gone meanwhile, or not begun: it comes anew if it does.
        Err(failure) if params.follow && ["invalid", "not-found"].contains(&failure.code) => {
            return Reading { key, last, broken: None };
        }
        Err(failure) => return Reading { key, last, broken: Some(failure.to_string()) },
    };
    let mut lines = Lines { stream: Box::pin(stream), line: Vec::new() };
    let before = last;
    loop {
        let line = match lines.next().await {
            Ok(Some(line)) => line,
            Ok(None) => return Reading { key, last, broken: None },
            Err(error) => return Reading { key, last, broken: Some(error.to_string()) },
        };
        let (at, text) = match line.split_once(' ').map(|(at, text)| (at.parse(), text)) {
            Some((Ok(at), text)) => (Some(at), text.to_owned()),
            _ => (last, line),
        };
        if at.is_some() && at <= before {
            continue;
        }
        last = at;
        let line = Told::Line { pod: key.0.clone(), container: key.1.clone(), text };
        if told.send(line).await.is_err() {
            return Reading { key, last, broken: None };
        }
    }
}

/// Lines of bounded length.
struct Lines<S> {
    stream: Pin<Box<S>>,
    line: Vec<u8>,
}

impl<S: AsyncBufRead> Lines<S> {
    async fn next(&mut self) -> std::io::Result<Option<String>> {
        self.line.clear();
        loop {
            let chunk = self.stream.fill_buf().await?;
            if chunk.is_empty() {
                let is_last = self.line.is_empty();
                return Ok((!is_last).then(|| self.text()));
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = chunk.iter().take(end.unwrap_or(chunk.len()));
            self.line.extend(part.take(MOST_LINE.saturating_sub(self.line.len())));
            let used = end.map_or(chunk.len(), |end| end + 1);
            self.stream.consume_unpin(used);
            if end.is_some() {
                return Ok(Some(self.text()));
            }
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.line).trim_end_matches('\r').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::io::{BufReader, Cursor};

    async fn lines_of(text: &[u8], buffer: usize) -> Vec<String> {
        let stream = Box::pin(BufReader::with_capacity(buffer, Cursor::new(text.to_vec())));
        let mut lines = Lines { stream, line: Vec::new() };
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        all
    }

    #[tokio::test]
    async fn lines_are_whole_whatever_the_pieces_and_never_endless() {
        for buffer in [1, 3, 100] {
            let all = lines_of(b"one\n\ntwo\r\nlast", buffer).await;
            assert_eq!(all, ["one", "", "two", "last"], "{buffer}");
        }
        let endless = [vec![b'a'; MOST_LINE * 2], b"\nnext\n".to_vec()].concat();
        let all = lines_of(&endless, 1000).await;
        assert_eq!((all[0].len(), all[1].as_str(), all.len()), (MOST_LINE, "next", 2));
    }
}
