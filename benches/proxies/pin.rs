//! Which core does what: the peer has one for itself, the load and the origin share another.

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The two cores of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cores {
    /// The peer's.
    pub(crate) peer: usize,
    /// The load's and the origin's.
    pub(crate) load: usize,
}

/// The first two cores that this process may use; the same twice if there is one.
///
/// # Errors
/// If the system doesn't say.
pub(crate) fn cores() -> Result<Cores> {
    let allowed = sched_getaffinity(None).context("can't read which cores may be used")?;
    let mut allowed = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
    let peer = allowed.next().context("no core may be used")?;
    Ok(Cores { peer, load: allowed.next().unwrap_or(peer) })
}

/// Keeps this thread, and every process that it starts from now on, on one core.
///
/// # Errors
/// If the system refuses.
pub(crate) fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("can't keep to core {core}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_has_one_core() {
        let cores = cores().expect("cores");
        std::thread::spawn(move || {
            pin(cores.load).expect("pinned");
            assert_eq!(sched_getaffinity(None).expect("affinity").count(), 1);
            assert_eq!(super::cores().expect("cores").peer, cores.load);
        })
        .join()
        .expect("no panic");
    }
}
