//! Standard output: lasting lines, and below them a few that are drawn anew in place.

use crate::beside::{Beside, Shown};
use console::{Term, truncate_str};
use std::sync::{Mutex, PoisonError};

/// How progress and state are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A live table on a terminal, else plain lines
    Auto,
    /// A line when something changes
    Plain,
    /// A line of JSON when something changes
    Json,
}

/// Standard output. What can't be written there is lost: a reader that left wants no more.
pub(crate) struct Screen {
    is_live: bool,
    way: Way,
}

/// How what is shown gets there.
enum Way {
    /// At once: who shows waits for who reads.
    Now(Mutex<Drawn>),
    /// By a thread: who shows does not wait.
    Beside(Beside),
}

#[derive(Debug)]
struct Drawn {
    term: Term,
    lines: usize,
}

impl Screen {
    /// Draws in place only where the format and the terminal allow it.
    pub(crate) fn new(format: Format) -> Self {
        Self::with(format, |drawn| Way::Now(Mutex::new(drawn)))
    }

    /// One that holds nobody up: for what has other things to do than to be read, on a terminal that
    /// may be paused.
    pub(crate) fn beside(format: Format) -> Self {
        Self::with(format, |mut drawn| Way::Beside(Beside::new(move |shown| drawn.show(shown))))
    }

    fn with(format: Format, way: impl FnOnce(Drawn) -> Way) -> Self {
        let term = Term::buffered_stdout();
        let is_live = format == Format::Auto && term.features().is_attended();
        Self { is_live, way: way(Drawn { term, lines: 0 }) }
    }

    /// Whether lines are drawn in place.
    pub(crate) fn is_live(&self) -> bool {
        self.is_live
    }

    /// A line that stays.
    pub(crate) fn line(&self, text: &str) {
        self.show(Shown::Line(text.to_owned()));
    }

    /// Draws these lines in place of those drawn before; cut to the terminal's size, since a line
    /// that wraps could not be taken back.
    pub(crate) fn draw(&self, lines: &[String]) {
        self.show(Shown::Drawing(lines.to_vec()));
    }

    /// A step of a longer work: drawn in place on a terminal, else a line.
    pub(crate) fn step(&self, text: &str) {
        if self.is_live { self.draw(&[text.to_owned()]) } else { self.line(text) }
    }

    fn show(&self, shown: Shown) {
        match &self.way {
            Way::Now(drawn) => drawn.lock().unwrap_or_else(PoisonError::into_inner).show(shown),
            Way::Beside(beside) => beside.show(shown),
        }
    }
}

impl Drawn {
    fn show(&mut self, shown: Shown) {
        self.clear();
        match shown {
            Shown::Line(text) => {
                self.term.write_line(&text).ok();
            }
            Shown::Drawing(lines) => self.draw(&lines),
        }
        // All at once, so that nothing flickers.
        self.term.flush().ok();
    }

    fn draw(&mut self, lines: &[String]) {
        let (height, width) = self.term.size();
        let shown = lines.len().min(usize::from(height).saturating_sub(1));
        for line in lines.iter().take(shown) {
            let line = truncate_str(line, usize::from(width).saturating_sub(1), "…");
            self.term.write_line(&line).ok();
        }
        self.lines = shown;
    }

    fn clear(&mut self) {
        self.term.clear_last_lines(self.lines).ok();
        self.lines = 0;
    }
}
