//! One line of observations to what a scaling rule sees. Pure.
//!
//! Numbers under short names are since the line before; numbers under the proxies' metric names are
//! cumulative, and their growth since the line before counts. A field that is missing or `null` is
//! unknown: it is never taken for zero.

use crate::policy::observation::{
    Load, MetricSeen, Observation, Reading as Metric, Traffic, Windows,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;
use tidegate_api::schedule::wall_time;

/// What the line before the first one counts as being ago.
const FIRST_SPAN: Duration = Duration::from_secs(1);

/// Where our own time begins, so that there is a moment before the first line.
const BEGINNING: Duration = Duration::from_secs(3600);

/// The latest moment, in seconds: about 30,000 years, which adds to a duration without overflow.
const LATEST: f64 = 1e12;

/// Some editors and shells put it before the first line.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A line as it is written.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Line {
    at: Option<f64>,
    time: Option<String>,
    replicas: Option<f64>,
    ready: Option<f64>,
    starting: Option<f64>,
    in_flight: Option<f64>,
    queued: Option<f64>,
    arrivals: Option<f64>,
    completions: Option<f64>,
    service_seconds: Option<f64>,
    stable: Option<f64>,
    panic: Option<f64>,
    metric: Option<f64>,
    complete: Option<bool>,
    #[serde(flatten)]
    counters: Counters,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

/// What the proxies count, under their metrics' names, summed over all replicas.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct Counters {
    #[serde(rename = "tidegate_requests_in_flight")]
    in_flight: Option<f64>,
    #[serde(rename = "tidegate_requests_queued")]
    queued: Option<f64>,
    #[serde(rename = "tidegate_concurrency_seconds_total")]
    running_seconds: Option<f64>,
    #[serde(rename = "tidegate_queue_seconds_total")]
    queue_seconds: Option<f64>,
    #[serde(rename = "tidegate_requests_total")]
    requests: Option<f64>,
    #[serde(rename = "tidegate_upstream_duration_seconds_sum")]
    service_seconds: Option<f64>,
    #[serde(rename = "tidegate_upstream_duration_seconds_count")]
    completions: Option<f64>,
}

/// What is remembered between lines.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    /// Our own time, which never goes back.
    now: Duration,
    last_at: Option<f64>,
    /// The time of day, once a line has said it.
    wall: Option<Duration>,
    counters: Counters,
}

/// A line that was understood.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// When, as the line says.
    pub(crate) at: f64,
    /// When, by a time that never goes back.
    pub(crate) now: Duration,
    /// The time of day, since the Unix epoch, where this line or one before says it.
    pub(crate) wall: Option<Duration>,
    /// Replicas asked for, where the line says so.
    pub(crate) replicas: Option<u32>,
    /// The rest. Its `current` is the caller's to fill in.
    pub(crate) seen: Observation,
    /// Whether `ready` was given.
    pub(crate) knows_ready: bool,
    /// Whether `starting` was given.
    pub(crate) knows_starting: bool,
    /// Keys that mean nothing here.
    pub(crate) ignored: Vec<String>,
}

/// Why a line is none.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum LineError {
    /// It is no JSON object, or a field has another type.
    #[error(
        "is not a JSON object of numbers ({0}); write one like \
         {{\"at\": 61, \"replicas\": 4, \"in_flight\": 12.5}}"
    )]
    Json(String),
    /// `at` is missing.
    #[error("`at` is missing; give the time in seconds")]
    NoTime,
    /// `time` is no time.
    #[error("`time` is {0:?}; give it as in RFC 3339, such as \"2026-03-29T08:00:00+02:00\"")]
    Time(String),
    /// A moment that can't be counted in seconds.
    #[error("`at` is {0}; give it in seconds, from 0 to {LATEST}")]
    At(f64),
    /// A number that can't be measured.
    #[error("`{0}` is {1}; it must be a number from 0 up")]
    Number(&'static str, f64),
    /// A number of replicas that there can't be.
    #[error("`{0}` is {1}; it must be a whole number from 0 to 4294967295")]
    Count(&'static str, f64),
}

impl Reader {
    /// A reader before its first line.
    pub(crate) fn new() -> Self {
        Self { now: BEGINNING, last_at: None, wall: None, counters: Counters::default() }
    }

    /// Reads one line. An error changes nothing.
    pub(crate) fn read(&mut self, text: &str) -> Result<Reading, LineError> {
        let json = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text).trim_end();
        let line: Line =
            serde_json::from_str(json).map_err(|error| LineError::Json(plain(&error)))?;
        line.check()?;
        let at = line.at.ok_or(LineError::NoTime)?;
        let replicas = count("replicas", line.replicas)?;
        let ready = count("ready", line.ready)?;
        let starting = count("starting", line.starting)?;
        let time = line.time.as_ref().map(|time| {
            wall_time(time).ok_or_else(|| LineError::Time(time.chars().take(40).collect()))
        });
        let time = time.transpose()?;
        // A clock that went back says nothing of how long it was: no time has passed.
        let passed = self.last_at.map_or(0.0, |last| (at - last).max(0.0));
        let from = if self.last_at.is_none() { self.now - FIRST_SPAN } else { self.now };
        self.last_at = Some(at);
        let passed = Duration::from_secs_f64(passed);
        self.now += passed;
        self.wall = time.or_else(|| self.wall?.checked_add(passed));
        let before = std::mem::replace(&mut self.counters, line.counters);
        let seconds = (self.now - from).as_secs_f64();
        let average = line.average(before, seconds);
        let is_half = average.is_some_and(|average| average.is_half);
        let average = average.map(|average| average.value);
        let windows = line.stable.map(|stable| {
            let panic = line.panic.unwrap_or(stable);
            Windows { stable, panic }
        });
        let waiting = line.queued.or(line.counters.queued);
        let running = line.in_flight.or(line.counters.in_flight);
        let known = average.is_some() || windows.is_some() || line.metric.is_some();
        let complete = line.complete.unwrap_or(known && !is_half);
        let reading =
            line.metric.map(|value| Metric { value, replicas: 0, at: self.now, complete });
        let seen = Observation {
            current: 0,
            ready: ready.unwrap_or(0),
            starting: starting.unwrap_or(0),
            load: average.map(|average| Load { from, average }),
            windows,
            traffic: line.traffic(before, from),
            complete,
            lost: false,
            running: running.map_or(0, |running| running.ceil() as u32),
            held: waiting.map_or(0, |waiting| waiting.ceil() as u32),
            metric: MetricSeen { reading, gap: None },
            floor: None,
        };
        Ok(Reading {
            at,
            now: self.now,
            wall: self.wall,
            replicas,
            seen,
            knows_ready: ready.is_some(),
            knows_starting: starting.is_some(),
            ignored: line.rest.into_keys().collect(),
        })
    }
}

impl Line {
    fn check(&self) -> Result<(), LineError> {
        let Counters { in_flight, queued, running_seconds, queue_seconds, .. } = self.counters;
        let Counters { requests, service_seconds, completions, .. } = self.counters;
        for (name, value) in [
            ("in_flight", self.in_flight),
            ("queued", self.queued),
            ("arrivals", self.arrivals),
            ("completions", self.completions),
            ("service_seconds", self.service_seconds),
            ("stable", self.stable),
            ("panic", self.panic),
            ("metric", self.metric),
            ("tidegate_requests_in_flight", in_flight),
            ("tidegate_requests_queued", queued),
            ("tidegate_concurrency_seconds_total", running_seconds),
            ("tidegate_queue_seconds_total", queue_seconds),
            ("tidegate_requests_total", requests),
            ("tidegate_upstream_duration_seconds_sum", service_seconds),
            ("tidegate_upstream_duration_seconds_count", completions),
        ] {
            let is_good = |number: f64| (0.0..=f64::MAX).contains(&number);
            if let Some(number) = value.filter(|number| !is_good(*number)) {
                return Err(LineError::Number(name, number));
            }
        }
        match self.at {
            Some(at) if !(0.0..=LATEST).contains(&at) => Err(LineError::At(at)),
            _ => Ok(()),
        }
    }

    /// Requests in flight on average, running and waiting.
    ///
    /// From the time integrals if both lines have them and neither went back, else from the numbers
    /// of the moment. Of who never says what waits, nothing waits; who did and no longer does is known by half.
    fn average(&self, before: Counters, seconds: f64) -> Option<Average> {
        let running = growth(before.running_seconds, self.counters.running_seconds);
        let queued = growth(before.queue_seconds, self.counters.queue_seconds);
        let says_waiting = before.queue_seconds.is_some() || self.counters.queue_seconds.is_some();
        let measured = running.filter(|_| seconds > 0.0).map(|running| Average {
            value: (running + queued.unwrap_or(0.0)) / seconds,
            is_half: says_waiting && queued.is_none(),
        });
        let moment = || {
            let running = self.in_flight.or(self.counters.in_flight)?;
            let queued = self.queued.or(self.counters.queued);
            Some(Average { value: running + queued.unwrap_or(0.0), is_half: false })
        };
        measured.filter(|average| !average.is_half).or_else(moment).or(measured)
    }

    /// What came and went. Arrivals follow from completions and what is there now, if not given.
    fn traffic(&self, before: Counters, from: Duration) -> Option<Traffic> {
        let now = self.counters;
        let completions = self.completions.or_else(|| growth(before.completions, now.completions));
        let service =
            self.service_seconds.or_else(|| growth(before.service_seconds, now.service_seconds));
        let ended = growth(before.requests, now.requests);
        let held = |counters: Counters| Some(counters.in_flight? + counters.queued.unwrap_or(0.0));
        let arrived = || Some((ended? + held(now)? - held(before)?).max(0.0));
        let arrivals = self.arrivals.or_else(arrived).or(ended).or(completions)?;
        let completions = completions.unwrap_or(0.0);
        Some(Traffic { from, arrivals, completions, service_seconds: service.unwrap_or(0.0) })
    }
}

/// Requests in flight.
#[derive(Debug, Clone, Copy)]
struct Average {
    value: f64,
    /// Whether it is known only how many run, and not how many wait.
    is_half: bool,
}

/// What is wrong with a line, without words of this program. Which line it is the caller says: to the
/// parser each is the first.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    let what = what.replace("expected f64", "expected a number");
    let what = what.replace("expected struct Line", "expected an object");
    format!("{what} at column {}", error.column())
}

/// A whole number, however it is written: many writers have but one kind of number.
fn count(name: &'static str, given: Option<f64>) -> Result<Option<u32>, LineError> {
    let Some(number) = given else { return Ok(None) };
    let is_whole = (0.0..=f64::from(u32::MAX)).contains(&number) && number.fract() == 0.0;
    if is_whole { Ok(Some(number as u32)) } else { Err(LineError::Count(name, number)) }
}

/// What a counter grew by; nothing if it went back or one of the two is unknown.
fn growth(before: Option<f64>, now: Option<f64>) -> Option<f64> {
    let grown = now? - before?;
    (grown >= 0.0).then_some(grown)
}

#[cfg(test)]
mod tests;
