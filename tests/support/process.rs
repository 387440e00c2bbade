//! A child process: its lines of output as events, its end, and nothing left behind.

use super::{PATIENCE, now};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// A running child. Dropped, it is killed and reaped.
pub(crate) struct Process {
    child: Child,
    lines: Arc<Lines>,
    name: String,
}

#[derive(Default)]
struct Lines {
    seen: Mutex<Vec<Line>>,
    more: Condvar,
    /// Streams that have come to their end, of two.
    ended: AtomicUsize,
}

struct Line {
    stream: Stream,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    Out,
    Err,
}

impl Process {
    /// Starts a command; its stdout and stderr become lines.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::begin(command.stdin(Stdio::null()))
    }

    /// The same for one that is told things on its standard input.
    pub(crate) fn start_with_input(command: &mut Command) -> Self {
        Self::begin(command.stdin(Stdio::piped()))
    }

    fn begin(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let lines = Arc::new(Lines::default());
        follow(child.stdout.take().expect("piped"), Stream::Out, Arc::clone(&lines));
        follow(child.stderr.take().expect("piped"), Stream::Err, Arc::clone(&lines));
        Self { child, lines, name }
    }

    /// Waits for a line that contains `text`, also one that came before, and returns it.
    pub(crate) fn wait_for_line(&self, text: &str) -> String {
        self.wait_for_lines(text, 1).remove(0)
    }

    /// Waits for so many lines that contain `text`.
    pub(crate) fn wait_for_lines(&self, text: &str, count: usize) -> Vec<String> {
        self.wait_for_lines_within(PATIENCE, text, count)
    }

    /// The same for what may take longer than any event should.
    pub(crate) fn wait_for_lines_within(
        &self,
        patience: Duration,
        text: &str,
        count: usize,
    ) -> Vec<String> {
        let found = |lines: &Vec<Line>| {
            let texts = lines.iter().map(|line| &line.text);
            texts.filter(|line| line.contains(text)).cloned().collect::<Vec<_>>()
        };
        let seen = self.lines.seen.lock().unwrap();
        let (seen, timeout) = self
            .lines
            .more
            .wait_timeout_while(seen, patience, |lines| found(lines).len() < count)
            .unwrap();
        let all = texts(&seen, |_| true);
        assert!(!timeout.timed_out(), "{}: no line {text:?} (x{count}) in:\n{all}", self.name);
        found(&seen)
    }

    /// How many lines so far contain `text`.
    pub(crate) fn count_lines(&self, text: &str) -> usize {
        let seen = self.lines.seen.lock().unwrap();
        seen.iter().filter(|line| line.text.contains(text)).count()
    }

    /// All output so far.
    pub(crate) fn output(&self) -> String {
        texts(&self.lines.seen.lock().unwrap(), |_| true)
    }

    /// What it said on standard error so far.
    pub(crate) fn errors(&self) -> String {
        texts(&self.lines.seen.lock().unwrap(), |line| line.stream == Stream::Err)
    }

    /// Tells it a line.
    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().expect("started with input"), "{line}").unwrap();
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        signal_pid(self.child.id(), signal);
    }

    /// Waits for the end, and for the last line of output.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.wait_within(PATIENCE)
    }

    /// The same for what may take longer than any event should.
    pub(crate) fn wait_within(&mut self, patience: Duration) -> ExitStatus {
        let start = now();
        loop {
            // A stream that stays open is held by a process that was left behind.
            if let Some(status) = self.child.try_wait().unwrap()
                && self.lines.ended.load(Ordering::Acquire) == 2
            {
                return status;
            }
            let output = self.output();
            assert!(now() - start < patience, "{} does not end:\n{output}", self.name);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends a signal to a process by its id. One that has ended is no error.
pub(crate) fn signal_pid(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).ok();
}

/// Waits until a process has let go of its ports and files: it is gone, or a zombie.
pub(crate) fn wait_until_dead(pid: u32) {
    super::eventually("it is dead", || {
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
        stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z')
    });
}

fn follow(stream: impl Read + Send + 'static, name: Stream, lines: Arc<Lines>) {
    std::thread::spawn(move || {
        for text in BufReader::new(stream).lines().map_while(Result::ok) {
            lines.seen.lock().unwrap().push(Line { stream: name, text });
            lines.more.notify_all();
        }
        lines.ended.fetch_add(1, Ordering::Release);
    });
}

fn texts(lines: &[Line], wanted: impl Fn(&Line) -> bool) -> String {
    let texts = lines.iter().filter(|line| wanted(line)).map(|line| line.text.as_str());
    texts.collect::<Vec<_>>().join("\n")
}
