//! How many files the process may have open: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files besides connections: listeners, event queues, what is read.
const OTHER_FILES: u64 = 100;

/// Lets the process open as many files as the system allows it at the most, and says so if that is
/// less than clients and upstreams may need.
pub fn raise(max_connections: u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::debug!(%error, "can't raise the limit of open files");
    }
    // A request has a connection on each side.
    let needed = max_connections.saturating_mul(2).saturating_add(OTHER_FILES);
    if let Some(allowed) = getrlimit(Resource::Nofile).current.filter(|allowed| *allowed < needed) {
        tracing::warn!(
            allowed,
            needed,
            "fewer files may be open than --max-connections may need: lower it, or raise `ulimit -n`"
        );
    }
}
