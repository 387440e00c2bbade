//! What is seen of one API at one tick. What is missing says so; nothing stands for it.

use std::time::Duration;

/// How long what a source has said counts while it can't be read: a tenth of the shortest window by which a rule
/// shrinks unless told otherwise, so whatever came meanwhile moves its mean by little.
pub const LATELY: Duration = Duration::from_secs(6);

/// What is seen at one tick.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Observation {
    /// Replicas asked for now.
    pub current: u32,
    /// Replicas that are ready.
    pub ready: u32,
    /// Replicas that were started and are not ready yet.
    pub starting: u32,
    /// What was in flight since some moment, or nothing where no source could be read.
    pub load: Option<Load>,
    /// Averages over windows that someone else kept. They stand before those made of `load`.
    pub windows: Option<Windows>,
    /// What came and went since some moment, where a source says so.
    pub traffic: Option<Traffic>,
    /// Whether every source was read, now or lately. If not, part of `load` is what a source said long ago.
    pub complete: bool,
    /// Whether one was asked in vain now: part of `load` is what it said a moment ago.
    pub lost: bool,
    /// Requests that run or wait at replicas now.
    pub running: u32,
    /// Requests that wait at the gateway now, handed to no replica yet.
    pub held: u32,
    /// The fewest replicas that a schedule asks for now.
    pub floor: Option<u32>,
    /// The number that the `metric` rule goes by.
    pub metric: MetricSeen,
}

/// What is known of a metric: the last good reading, and what was wrong with a later one.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MetricSeen {
    /// The last good reading.
    pub reading: Option<Reading>,
    /// Why there is no later one; nothing where it is the last.
    pub gap: Option<Gap>,
}

/// A metric's value at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Finite and not below zero.
    pub value: f64,
    /// How many replicas it is the average of, where it is one.
    pub replicas: u32,
    /// When it was read.
    pub at: Duration,
    /// Whether every replica that was asked is in it. One that is not counts as 0.
    pub complete: bool,
}

/// Why a metric has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// It was not asked for yet.
    NotRead,
    /// No answer, or not the one of a metric.
    Unreachable,
    /// An error in the answer, such as that of a query that can't be understood.
    Refused,
    /// No series.
    Empty,
    /// More than one series.
    Several,
    /// Not finite, or below zero.
    NotANumber,
    /// Too old.
    Stale,
    /// No replica is ready to be asked.
    NoReplica,
}

impl Gap {
    /// What is wrong, to be read after "the metric".
    pub const fn what(self) -> &'static str {
        match self {
            Self::NotRead => "was not read yet",
            Self::Unreachable => "can't be read",
            Self::Refused => "is refused by who was asked",
            Self::Empty => "has no series",
            Self::Several => "has several series where one is needed",
            Self::NotANumber => "is no finite number from 0 up",
            Self::Stale => "is too old",
            Self::NoReplica => "can't be read as no replica is ready",
        }
    }
}

/// Requests in flight, running and waiting, at all replicas and the gateway.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Since when. It ends at the tick.
    pub from: Duration,
    /// Requests in flight on average.
    pub average: f64,
}

/// Requests in flight on average, over a policy's own windows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Windows {
    /// Over the stable window, or the only one.
    pub stable: f64,
    /// Over the panic window.
    pub panic: f64,
}

/// What came and went. Each number is a difference, not a counter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Traffic {
    /// Since when. It ends at the tick.
    pub from: Duration,
    /// Requests that came, also those refused for want of room.
    pub arrivals: f64,
    /// Requests that a model has finished.
    pub completions: f64,
    /// Seconds that those finished took at the model, without their waiting; 0 where unknown.
    pub service_seconds: f64,
}

impl Observation {
    /// Requests in flight on average since the last tick, if that is a number a server can have.
    pub fn average(&self) -> Option<f64> {
        self.load.map(|load| load.average).filter(|average| is_load(*average))
    }

    /// Whether fewer replicas can be decided on what is seen: a number from every source.
    pub fn is_certain(&self) -> bool {
        let windows = self.windows.is_some_and(|windows| is_load(windows.stable));
        self.complete && (windows || self.average().is_some())
    }
}

/// Whether a number can be a load: finite and not below zero.
pub fn is_load(number: f64) -> bool {
    number.is_finite() && number >= 0.0
}
