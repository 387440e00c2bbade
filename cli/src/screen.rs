//! Standard output: lasting lines, and below them a few that are drawn anew in place.

use console::{Term, truncate_str};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
#[derive(Debug)]
pub(crate) struct Screen {
    is_live: bool,
    drawn: Mutex<Drawn>,
}

#[derive(Debug)]
struct Drawn {
    term: Term,
    lines: usize,
}

impl Screen {
    /// Draws in place only where the format and the terminal allow it.
    pub(crate) fn new(format: Format) -> Self {
        let term = Term::buffered_stdout();
        let is_live = format == Format::Auto && term.features().is_attended();
        Self { is_live, drawn: Mutex::new(Drawn { term, lines: 0 }) }
    }

    /// Whether lines are drawn in place.
    pub(crate) fn is_live(&self) -> bool {
        self.is_live
    }

    /// A line that stays.
    pub(crate) fn line(&self, text: &str) {
        let mut drawn = self.lock();
        drawn.clear();
        drawn.term.write_line(text).ok();
        drawn.term.flush().ok();
    }

    /// Draws these lines in place of those drawn before; cut to the terminal's size, since a line
    /// that wraps could not be taken back.
    pub(crate) fn draw(&self, lines: &[String]) {
        let mut drawn = self.lock();
        drawn.clear();
        let (height, width) = drawn.term.size();
        let shown = lines.len().min(usize::from(height).saturating_sub(1));
        for line in lines.iter().take(shown) {
            let line = truncate_str(line, usize::from(width).saturating_sub(1), "…");
            drawn.term.write_line(&line).ok();
        }
        drawn.lines = shown;
        // All at once, so that nothing flickers.
        drawn.term.flush().ok();
    }

    /// A step of a longer work: drawn in place on a terminal, else a line.
    pub(crate) fn step(&self, text: &str) {
        if self.is_live { self.draw(&[text.to_owned()]) } else { self.line(text) }
    }

    fn lock(&self) -> MutexGuard<'_, Drawn> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drawn {
    fn clear(&mut self) {
        self.term.clear_last_lines(self.lines).ok();
        self.lines = 0;
    }
}
