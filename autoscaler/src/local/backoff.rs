//! How long to wait before the next start: 0, 1, 2, 4, 8, 16, then 30 s each.

use std::time::Duration;

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(30);

/// Being ready for this long makes earlier failures forgotten.
pub(super) const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

/// The wait before the start that follows `failures` failed ones.
pub(super) fn wait(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        more => Duration::from_secs(1 << (more - 2).min(5)).min(LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_from_one_second_to_thirty() {
        let waits: Vec<u64> = (0..9).map(|failures| wait(failures).as_secs()).collect();
        assert_eq!(waits, [0, 0, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(wait(u32::MAX), LONGEST);
    }
}
