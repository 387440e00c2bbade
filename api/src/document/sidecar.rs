//! What each replica's sidecar does beside its work.

use std::fmt;

/// What each replica's sidecar does beside its work.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sidecar {
    /// Which requests are logged.
    pub access_log: AccessLog,
    /// Whose API the model's answers follow, if their tokens are counted.
    pub llm: Option<Llm>,
}

/// Which requests are logged. As text it is what `--access-log` takes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum AccessLog {
    /// None.
    #[default]
    Off,
    /// Those that end in an error.
    Errors,
    /// All.
    All,
    /// This share of all, in [0, 1].
    Sampled(f64),
}

/// An API of language models. As text it is what `--llm` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Llm {
    /// OpenAI's, and what is like it.
    OpenAi,
}

// === impl AccessLog ===

impl fmt::Display for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Errors => f.write_str("errors"),
            Self::All => f.write_str("all"),
            Self::Sampled(share) => write!(f, "sampled:{share}"),
        }
    }
}

// === impl Llm ===

impl fmt::Display for Llm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenAi => f.write_str("openai"),
        }
    }
}
