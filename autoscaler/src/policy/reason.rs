//! Why a decision is what it is: one enum for the log, the status, the metric and the sentence.

/// The rule that had the last word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DecisionReason {
    /// The stable window's demand.
    StableWindow,
    /// The demand of the rule's only window.
    Window,
    /// The demand that a metric from elsewhere makes.
    Metric,
    /// The fewest replicas with which requests are in time.
    Objective,
    /// The load that is expected when a replica that is started now is ready.
    Forecast,
    /// Requests wait that the present replicas would not clear soon.
    Backlog,
    /// Kept: to bring replicas back would cost more than keeping them.
    BreakEven,
    /// The load is near enough to what the present replicas are for.
    Tolerance,
    /// The panic window's demand, or the most it asked for in this burst.
    Burst,
    /// Requests are held and nothing is ready.
    Wake,
    /// The up rate cut the demand.
    ScaleUpRate,
    /// The down rate raised the demand.
    ScaleDownRate,
    /// More replicas have not been wanted for long enough.
    ScaleUpDelay,
    /// Fewer replicas have not been enough for long enough.
    ScaleDownDelay,
    /// A schedule's least number of replicas.
    Schedule,
    /// The API's least number of replicas.
    MinReplicas,
    /// The API's largest number of replicas.
    MaxReplicas,
    /// Kept: no sample says what the load is.
    NoSamples,
    /// Kept: some of the load is a guess, which is no ground for shrinking.
    IncompleteSamples,
    /// Kept: too little of the stable window is known to shrink.
    ShortHistory,
    /// Kept: not a whole window was seen since a restart.
    Restart,
    /// The last replica stays: a request runs, waits or is held.
    Busy,
    /// A replica is starting, so the last one stays, or no more come before it is ready.
    Starting,
    /// The last replica stays for its grace.
    ScaleToZeroGrace,
    /// The last replica stays a while after the last request.
    LastReplicaRetention,
    /// To zero, or still at zero: nobody asks for anything.
    Idle,
}

impl DecisionReason {
    /// Every reason, in the order of their declaration.
    pub const ALL: [Self; 26] = [
        Self::StableWindow,
        Self::Window,
        Self::Metric,
        Self::Objective,
        Self::Forecast,
        Self::Backlog,
        Self::BreakEven,
        Self::Tolerance,
        Self::Burst,
        Self::Wake,
        Self::ScaleUpRate,
        Self::ScaleDownRate,
        Self::ScaleUpDelay,
        Self::ScaleDownDelay,
        Self::Schedule,
        Self::MinReplicas,
        Self::MaxReplicas,
        Self::NoSamples,
        Self::IncompleteSamples,
        Self::ShortHistory,
        Self::Restart,
        Self::Busy,
        Self::Starting,
        Self::ScaleToZeroGrace,
        Self::LastReplicaRetention,
        Self::Idle,
    ];

    /// The code in logs, in the status and in the metric's label.
    pub const fn code(self) -> &'static str {
        match self {
            Self::StableWindow => "stable-window",
            Self::Window => "window",
            Self::Metric => "metric",
            Self::Objective => "objective",
            Self::Forecast => "forecast",
            Self::Backlog => "backlog",
            Self::BreakEven => "break-even",
            Self::Tolerance => "tolerance",
            Self::Burst => "panic",
            Self::Wake => "wake",
            Self::ScaleUpRate => "scale-up-rate",
            Self::ScaleDownRate => "scale-down-rate",
            Self::ScaleUpDelay => "scale-up-delay",
            Self::ScaleDownDelay => "scale-down-delay",
            Self::Schedule => "schedule",
            Self::MinReplicas => "min-replicas",
            Self::MaxReplicas => "max-replicas",
            Self::NoSamples => "no-samples",
            Self::IncompleteSamples => "incomplete-samples",
            Self::ShortHistory => "short-history",
            Self::Restart => "restart",
            Self::Busy => "busy",
            Self::Starting => "starting",
            Self::ScaleToZeroGrace => "scale-to-zero-grace",
            Self::LastReplicaRetention => "last-replica-retention",
            Self::Idle => "idle",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_distinct_and_all_lists_each_reason_in_order() {
        let codes: BTreeSet<_> = DecisionReason::ALL.map(DecisionReason::code).into();
        assert_eq!(codes.len(), DecisionReason::ALL.len());
        for (index, reason) in DecisionReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }
}
