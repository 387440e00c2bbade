//! How many replicas are exchanged at once when what they are made of changes.

use crate::defaults;

/// How many replicas are exchanged at once. One of the two is above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollingUpdate {
    /// How many more there may be meanwhile.
    pub max_surge: Replicas,
    /// How many of them may be not ready meanwhile.
    pub max_unavailable: Replicas,
}

/// A number of replicas, or a share of those that there should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replicas {
    /// So many.
    Count(u32),
    /// So many in a hundred, from 0 to 100.
    Percent(u32),
}

// === impl Default ===

impl Default for RollingUpdate {
    fn default() -> Self {
        Self { max_surge: defaults::MAX_SURGE, max_unavailable: defaults::MAX_UNAVAILABLE }
    }
}
