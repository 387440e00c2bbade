//! What is said of a cluster's set-up.

use crate::failure::Failure;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was looked at, in a word: as in `definition`, `lease`.
    pub about: &'static str,
    /// What there is.
    pub what: String,
    /// What to do about it; empty where nothing has to be done.
    pub advice: String,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Fine,
    /// It may be meant so, or could not be seen.
    Doubt,
    /// It does not work so.
    Wrong,
}

impl Level {
    /// In a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Doubt => "doubt",
            Self::Wrong => "wrong",
        }
    }
}

impl Finding {
    pub(super) fn fine(about: &'static str, what: impl Into<String>) -> Self {
        Self { level: Level::Fine, about, what: what.into(), advice: String::new() }
    }

    pub(super) fn doubt(
        about: &'static str,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { level: Level::Doubt, about, what: what.into(), advice: advice.into() }
    }

    pub(super) fn wrong(
        about: &'static str,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { level: Level::Wrong, about, what: what.into(), advice: advice.into() }
    }

    /// What could not be seen.
    pub(super) fn unknown(about: &'static str, failure: &Failure) -> Self {
        let advice = match failure.code {
            "forbidden" => "ask somebody who may read it to run `tidegate check`",
            _ => failure.advice(),
        };
        Self::doubt(about, format!("can't be seen: {failure}"), advice)
    }
}
