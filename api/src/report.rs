//! What is wrong in a document: every mistake of a file, each with its place.

use crate::key_path::KeyPath;
use std::fmt;

/// The most mistakes that are kept: more would not be read, and a hostile file must not fill memory.
const MAX_MISTAKES: usize = 100;

/// One mistake: where it is, what is there, and what must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Line in the file, from 1.
    pub line: usize,
    /// Column in that line, in characters, from 1.
    pub column: usize,
    /// The key's path, such as `spec.concurrency.limit`. Empty where the file as a whole is wrong.
    pub path: String,
    /// What is there, as the end of a sentence: `is 0`.
    pub what: String,
    /// What must be there, to be read after "must be": `an integer from 1 to 100000`.
    pub must: String,
}

/// Every mistake of one file, in the order of its lines.
///
/// Displays as one line a mistake (`file:line:column: path: what; must be …`), then their count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The file's name, as the caller gave it.
    pub file: String,
    /// At least one and at most a hundred.
    pub mistakes: Vec<Mistake>,
    /// Mistakes beyond the hundred that are listed.
    pub more: usize,
}

/// Where something stands in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    /// From 1.
    pub(crate) line: usize,
    /// From 1, in characters.
    pub(crate) column: usize,
}

/// Mistakes while they are collected.
#[derive(Debug, Default)]
pub(crate) struct Mistakes {
    found: Vec<(KeyPath, Mistake)>,
    more: usize,
}

// === impl Mistake ===

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}; must be {}", self.what, self.must)
    }
}

// === impl Report ===

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.mistakes {
            writeln!(f, "{}:{mistake}", self.file)?;
        }
        match self.mistakes.len() + self.more {
            1 => write!(f, "1 mistake")?,
            count => write!(f, "{count} mistakes")?,
        }
        if self.more > 0 {
            write!(f, ", the first {} are listed", self.mistakes.len())?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

// === impl Mistakes ===

impl Mistakes {
    /// Adds a mistake; past the limit it is only counted.
    pub(crate) fn add(
        &mut self,
        mark: Mark,
        path: &KeyPath,
        what: impl Into<String>,
        must: impl Into<String>,
    ) {
        if self.is_full() {
            self.more += 1;
            return;
        }
        let mistake = Mistake {
            line: mark.line,
            column: mark.column,
            path: path.to_string(),
            what: what.into(),
            must: must.into(),
        };
        self.found.push((path.clone(), mistake));
    }

    /// Whether nothing is wrong so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether further mistakes are only counted.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() >= MAX_MISTAKES
    }

    /// Whether a mistake is known at this key, in it or around it, so that a rule about its value
    /// would only add noise.
    pub(crate) fn touch(&self, path: &KeyPath) -> bool {
        self.found.iter().any(|(at, _)| at.is_within(path) || path.is_within(at))
    }

    /// Takes over the mistakes of a later document of the same file.
    pub(crate) fn append(&mut self, other: Self) {
        let room = MAX_MISTAKES - self.found.len();
        self.more += other.more + other.found.len().saturating_sub(room);
        self.found.extend(other.found.into_iter().take(room));
    }

    /// The report on the file, unless there is nothing to report.
    pub(crate) fn into_report(self, file: &str) -> Option<Report> {
        let mut mistakes: Vec<_> = self.found.into_iter().map(|(_, mistake)| mistake).collect();
        mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
        (!mistakes.is_empty()).then(|| Report { file: file.to_owned(), mistakes, more: self.more })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_limit_mistakes_are_counted_and_not_kept() {
        let mut mistakes = Mistakes::default();
        for line in 1..=MAX_MISTAKES + 5 {
            mistakes.add(Mark { line, column: 1 }, &KeyPath::ROOT, "is wrong", "right");
        }
        let report = mistakes.into_report("a.yaml").unwrap();
        assert_eq!((report.mistakes.len(), report.more), (MAX_MISTAKES, 5));
        let text = report.to_string();
        assert!(text.starts_with("a.yaml:1:1: is wrong; must be right\n"), "{text}");
        assert!(text.ends_with("\n105 mistakes, the first 100 are listed"), "{text}");
    }

    #[test]
    fn a_mistake_touches_its_key_those_within_and_those_around() {
        let mut mistakes = Mistakes::default();
        mistakes.add(Mark { line: 1, column: 1 }, &KeyPath::keys("a.b"), "", "");
        for (path, touched) in [("a", true), ("a.b", true), ("a.b.c", true), ("a.bc", false)] {
            assert_eq!(mistakes.touch(&KeyPath::keys(path)), touched, "{path}");
        }
    }
}
