//! Why a decision is what it is: one enum for the log, the status, the metric and the sentence.

use super::window::Average;
use std::time::Duration;

/// The rule that had the last word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DecisionReason {
    /// The stable window's demand.
    StableWindow,
    /// The panic window's demand, or the most it asked for in this burst.
    Burst,
    /// Requests are held and nothing is ready.
    Wake,
    /// The up rate cut the demand.
    ScaleUpRate,
    /// The down rate raised the demand.
    ScaleDownRate,
    /// Fewer replicas have not been enough for long enough.
    ScaleDownDelay,
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
    /// The last replica stays: a request runs, waits or is held.
    Busy,
    /// The last replica stays: one is starting.
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
    pub const ALL: [Self; 16] = [
        Self::StableWindow,
        Self::Burst,
        Self::Wake,
        Self::ScaleUpRate,
        Self::ScaleDownRate,
        Self::ScaleDownDelay,
        Self::MinReplicas,
        Self::MaxReplicas,
        Self::NoSamples,
        Self::IncompleteSamples,
        Self::ShortHistory,
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
            Self::Burst => "burst",
            Self::Wake => "wake",
            Self::ScaleUpRate => "scale-up-rate",
            Self::ScaleDownRate => "scale-down-rate",
            Self::ScaleDownDelay => "scale-down-delay",
            Self::MinReplicas => "min-replicas",
            Self::MaxReplicas => "max-replicas",
            Self::NoSamples => "no-samples",
            Self::IncompleteSamples => "incomplete-samples",
            Self::ShortHistory => "short-history",
            Self::Busy => "busy",
            Self::Starting => "starting",
            Self::ScaleToZeroGrace => "scale-to-zero-grace",
            Self::LastReplicaRetention => "last-replica-retention",
            Self::Idle => "idle",
        }
    }
}

/// The numbers a decision was made from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Facts {
    /// Replicas asked for before.
    pub current: u32,
    /// Replicas that are ready.
    pub ready: u32,
    /// Requests held while nothing is ready.
    pub held: u32,
    /// Requests in flight aimed at per replica.
    pub target: f64,
    /// The stable window and its length.
    pub stable: (Option<Average>, Duration),
    /// The panic window and its length.
    pub panic: (Option<Average>, Duration),
}

/// How many replicas there should be, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    /// Replicas to ask for.
    pub replicas: u32,
    /// The rule that had the last word.
    pub reason: DecisionReason,
    /// What it was decided from.
    pub facts: Facts,
}

impl Decision {
    /// The decision in a sentence, with its numbers.
    pub fn sentence(&self) -> String {
        use DecisionReason as Why;
        let Facts { current, ready, held, target, .. } = self.facts;
        let replicas = self.replicas;
        let (stable, panic) = (load(self.facts.stable), load(self.facts.panic));
        match self.reason {
            Why::StableWindow => format!("{stable} at {target:.2} a replica: {replicas}"),
            Why::Burst => format!(
                "a burst: {panic} at {target:.2} a replica with {ready} ready; \
                 none go until it has been calm for {}",
                seconds(self.facts.stable.1)
            ),
            Why::Wake => {
                format!("{held} held and none ready, at {target:.2} a replica: {replicas}")
            }
            Why::ScaleUpRate => format!("{panic}, but one step from {ready} ready goes no higher"),
            Why::ScaleDownRate => {
                format!("{stable}, but one step from {ready} ready goes no lower")
            }
            Why::ScaleDownDelay => format!("{stable}, but more was needed within the delay"),
            Why::MinReplicas => format!("{stable}, but {replicas} is the least"),
            Why::MaxReplicas => {
                format!("{panic} at {target:.2} a replica, but {replicas} is the most")
            }
            Why::NoSamples => "no sample says what the load is".to_owned(),
            Why::IncompleteSamples => {
                format!("{stable}, but a source could not be read, so {current} stay")
            }
            Why::ShortHistory => {
                format!("{stable}, but less than half of that is known, so {current} stay")
            }
            Why::Busy => "a request still runs or waits, so one stays".to_owned(),
            Why::Starting => "a replica is starting, so one stays".to_owned(),
            Why::ScaleToZeroGrace => format!("{stable}; one stays for the grace"),
            Why::LastReplicaRetention => format!("{stable}; the last request was not long ago"),
            Why::Idle => format!("{stable}, and nothing runs or waits"),
        }
    }
}

fn load((average, length): (Option<Average>, Duration)) -> String {
    match average {
        Some(average) => format!("{:.2} in flight over {}", average.value, seconds(length)),
        None => format!("no sample in {}", seconds(length)),
    }
}

fn seconds(length: Duration) -> String {
    format!("{} s", (length.as_secs_f64() * 10.0).round() / 10.0)
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

    #[test]
    fn a_sentence_has_the_numbers() {
        let facts = Facts {
            current: 1,
            ready: 1,
            held: 0,
            target: 1.4,
            stable: (Some(Average { value: 2.8, filled: 1.0 }), Duration::from_secs(60)),
            panic: (None, Duration::from_secs(6)),
        };
        let decision = Decision { replicas: 2, reason: DecisionReason::StableWindow, facts };
        assert_eq!(decision.sentence(), "2.80 in flight over 60 s at 1.40 a replica: 2");
    }
}
