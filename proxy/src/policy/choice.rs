//! How an endpoint is chosen among those with a free slot.

/// The rule of the choice. None of them ever chooses a full endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// The less loaded of two drawn at random.
    #[default]
    PowerOfTwo,
    /// The least loaded of all.
    LeastLoaded,
    /// The same endpoint for the same key; requests without a key go by power of two.
    ConsistentHash {
        /// The most that an endpoint is given, in percent of its share of what runs.
        factor_percent: u32,
    },
}
