//! What is done for requests while their API comes up from zero.

use crate::report::Mark;
use std::time::Duration;

/// What is done for requests while their API comes up from zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColdStart {
    /// After how long, and how often then, a client that waits for a stream of events is sent a sign
    /// of life. `None` is off.
    pub keep_alive: Option<Duration>,
    /// Where requests go instead.
    pub fallback: Option<Fallback>,
}

/// Where the requests of an API at zero go instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    /// Another API's name.
    pub api: String,
    /// How long they wait before.
    pub after: Duration,
    pub(crate) mark: Mark,
}
