//! How many files the process may have open: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files besides connections: listeners, event queues, what is read, clients that are turned away.
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
    let allowed = getrlimit(Resource::Nofile).current;
    let connections = connections(max_connections, allowed);
    if connections < max_connections {
        tracing::warn!(
            max_connections,
            connections,
            files = allowed,
            "fewer connections than --max-connections: lower it, or let more files be open (`ulimit -n`)"
        );
    }
}

/// So many connections clients may hold that there are files for those to upstreams, and for probes.
pub fn allowed(max_connections: usize) -> usize {
    let most = connections(max_connections as u64, getrlimit(Resource::Nofile).current);
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// A request has a connection on each side.
fn connections(wanted: u64, files: Option<u64>) -> u64 {
    let Some(files) = files else { return wanted };
    let others = OTHER_FILES.min(files / 2);
    wanted.min((files - others) / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_files_for_both_sides_of_a_request_and_for_the_rest() {
        for (wanted, files, expected) in [
            (10_000, None, 10_000),
            (10_000, Some(1_048_576), 10_000),
            (10_000, Some(20_100), 10_000),
            (10_000, Some(20_000), 9950),
            (10_000, Some(1024), 462),
            (10_000, Some(64), 16),
            (5, Some(64), 5),
            (10_000, Some(0), 1),
        ] {
            assert_eq!(connections(wanted, files), expected, "{wanted} {files:?}");
        }
    }
}
