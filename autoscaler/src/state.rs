//! The state file: what each API's scaler remembers, for the next process.
//!
//! It is written whole, every few seconds and when a number of replicas changes. One that can't be
//! used is told and ignored: then every API begins as if there were none.

use crate::policy::snapshot::Snapshot;
use crate::replace::replace;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The form of the file. Another one is another program's.
const VERSION: u32 = 1;

/// The largest file that is read: 100 APIs with the longest windows, or 1,000 with the `slo` rule.
const MOST_BYTES: u64 = 128 << 20;

/// Between two writes where no number of replicas changes.
const PERIOD: Duration = Duration::from_secs(5);

/// After a longer gap the old number of replicas says nothing of what is needed now.
const REPLICAS_COUNT_FOR: Duration = Duration::from_secs(600);

/// What one API's scaler knew.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ApiState {
    /// Replicas asked for.
    pub(crate) wanted: u32,
    /// Its snapshot.
    series: BTreeMap<String, Vec<f64>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Contents {
    version: u32,
    /// When it was written, in seconds since the Unix epoch.
    written: f64,
    apis: BTreeMap<String, ApiState>,
    /// Files without it are older, or of a process that has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    rollouts: BTreeMap<String, RolloutState>,
}

/// How far one version of an API has taken over.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RolloutState {
    /// What the document asks for. Another document begins anew.
    pub(crate) plan: String,
    /// Why it stands where it does: a word.
    pub(crate) reason: String,
    /// The same in a sentence.
    pub(crate) detail: String,
    /// Its snapshot.
    pub(crate) series: BTreeMap<String, Vec<f64>>,
}

/// What was read at the start.
#[derive(Debug, Default)]
pub(crate) struct Before {
    /// How long ago it was written.
    pub(crate) ago: Duration,
    apis: BTreeMap<String, ApiState>,
    rollouts: BTreeMap<String, RolloutState>,
}

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("it can't be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("it is larger than {MOST_BYTES} bytes")]
    TooLarge,
    #[error("it is no state: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it has version {0}, and not {VERSION}")]
    Version(u32),
    #[error("it was written at no time")]
    Time,
}

/// The file, and when to write it.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    due: Duration,
    written: BTreeMap<String, u32>,
    failing: bool,
}

impl ApiState {
    /// The state of an API with so many replicas.
    pub(crate) fn new(wanted: u32, snapshot: Snapshot) -> Self {
        Self { wanted, series: snapshot.into_series() }
    }

    /// What its scaler remembers.
    pub(crate) fn into_snapshot(self) -> Snapshot {
        Snapshot::from_series(self.series)
    }
}

impl Before {
    /// Nothing but how far a version of an API has come, a moment ago.
    pub(crate) fn of_rollout(rollout: Option<(String, RolloutState)>) -> Self {
        Self { rollouts: rollout.into_iter().collect(), ..Self::default() }
    }

    /// The state of an API, once. After a long gap it has no replicas.
    pub(crate) fn take(&mut self, api: &str) -> Option<ApiState> {
        let state = self.apis.remove(api)?;
        let wanted = if self.ago <= REPLICAS_COUNT_FOR { state.wanted } else { 0 };
        Some(ApiState { wanted, ..state })
    }

    /// How far a version of an API had come, once. However long ago that was.
    pub(crate) fn take_rollout(&mut self, api: &str) -> Option<RolloutState> {
        self.rollouts.remove(api)
    }
}

impl StateFile {
    /// The file at `path`, and what is in it at `wall`, since the Unix epoch.
    pub(crate) fn open(path: PathBuf, wall: Duration) -> (Self, Before) {
        let before = match read(&path, wall) {
            Ok(before) => before,
            Err(StateError::Read(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                Before::default()
            }
            Err(error) => {
                let file = path.display();
                tracing::warn!(%file, %error, "ignores the state file, begins without a memory");
                Before::default()
            }
        };
        let written = BTreeMap::new();
        (Self { path, due: Duration::ZERO, written, failing: false }, before)
    }

    /// Whether it is time to write, since so many replicas are asked for.
    pub(crate) fn is_due<'a>(
        &self,
        mut wanted: impl Iterator<Item = (&'a str, u32)>,
        now: Duration,
    ) -> bool {
        now >= self.due || wanted.any(|(api, wanted)| self.written.get(api) != Some(&wanted))
    }

    /// Writes the state. A failure is logged once, and tried again at the next turn.
    pub(crate) fn write(
        &mut self,
        apis: BTreeMap<String, ApiState>,
        rollouts: BTreeMap<String, RolloutState>,
        wall: Duration,
        now: Duration,
    ) {
        self.due = now + PERIOD;
        self.written = apis.iter().map(|(api, state)| (api.clone(), state.wanted)).collect();
        let contents = Contents { version: VERSION, written: wall.as_secs_f64(), apis, rollouts };
        let written = replace(&self.path, |file| Ok(serde_json::to_writer(file, &contents)?));
        if let Err(error) = &written
            && !self.failing
        {
            let file = self.path.display();
            tracing::error!(%file, %error, "can't write the state file");
        }
        self.failing = written.is_err();
    }
}

fn read(path: &Path, wall: Duration) -> Result<Before, StateError> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(StateError::TooLarge);
    }
    let contents: Contents = serde_json::from_slice(&bytes)?;
    if contents.version != VERSION {
        return Err(StateError::Version(contents.version));
    }
    let written = Duration::try_from_secs_f64(contents.written).map_err(|_| StateError::Time)?;
    // A clock that went back says nothing of how long it was: as short as it can be.
    let ago = wall.saturating_sub(written);
    Ok(Before { ago, apis: contents.apis, rollouts: contents.rollouts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::bounds::Limits;
    use crate::policy::decide::{RuleSettings, Scaler, ScalerSettings};
    use crate::policy::idle::IdleSettings;
    use crate::policy::observation::{Observation, Traffic};
    use crate::policy::slo::SloSettings;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn state(wanted: u32) -> ApiState {
        let series = BTreeMap::from([("rule.window".to_owned(), vec![0.1, 1e-300, 3.0])]);
        ApiState::new(wanted, Snapshot::from_series(series))
    }

    #[test]
    fn what_was_written_is_read_and_how_long_ago_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let (mut file, mut before) = StateFile::open(path.clone(), at(1000));
        assert_eq!(before.take("a"), None);
        let rollout = RolloutState { plan: "a plan".to_owned(), ..RolloutState::default() };
        let rollouts = BTreeMap::from([("s".to_owned(), rollout.clone())]);
        file.write(BTreeMap::from([("a".to_owned(), state(3))]), rollouts, at(1000), at(5));
        for (wall, ago, wanted) in [(1030, 30, 3), (1600, 600, 3), (1601, 601, 0), (900, 0, 3)] {
            let (_, mut before) = StateFile::open(path.clone(), at(wall));
            assert_eq!(before.ago, at(ago));
            assert_eq!(before.take("a"), Some(ApiState { wanted, ..state(3) }), "{wall}");
            assert_eq!(before.take("a"), None);
            assert_eq!(before.take_rollout("s").as_ref(), Some(&rollout));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_thousand_apis_with_two_weeks_behind_them_fit() {
        let rule = RuleSettings::Slo(SloSettings {
            wait: 0.2,
            late: 0.01,
            cold_start: at(30),
            per_replica: 8,
        });
        let idle = IdleSettings { grace: at(30), retention: at(30) };
        let settings = ScalerSettings { rule, limits: Limits { min: 0, max: 100 }, idle };
        let mut scaler = Scaler::begin(&settings, 1, at(0));
        let mut now = 0;
        let mut look = |seconds: u64| {
            let from = at(now);
            now += seconds;
            let chance = (now as u32).wrapping_mul(2_654_435_761) >> 8;
            let arrivals = seconds as f64 * (50.0 + f64::from(chance) / 1e7);
            let (completions, service_seconds) = (arrivals, arrivals);
            let traffic = Some(Traffic { from, arrivals, completions, service_seconds });
            let seen = Observation {
                current: 10,
                ready: 10,
                traffic,
                complete: true,
                ..Observation::default()
            };
            scaler.decide(&seen, at(now));
        };
        (0..15 * 288).for_each(|_| look(300));
        (0..1500).for_each(|_| look(10));
        (0..600).for_each(|_| look(1));
        let state = ApiState::new(10, scaler.snapshot(at(now)));
        let bytes = serde_json::to_vec(&state).unwrap().len() as u64;
        assert!(bytes * 1000 < MOST_BYTES, "{bytes} each");
    }

    #[test]
    fn a_file_from_before_there_were_rollouts_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let old = r#"{"version":1,"written":1,"apis":{"a":{"wanted":2,"series":{}}}}"#;
        std::fs::write(&path, old).unwrap();
        let (_, mut before) = StateFile::open(path, at(1));
        assert_eq!((before.take("a").unwrap().wanted, before.take_rollout("a")), (2, None));
    }

    #[test]
    fn garbage_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        for (garbage, what) in [
            ("", "is no state"),
            ("{\"version\":1,\"written\":1,\"apis\":{\"a\":{\"wan", "is no state"),
            (
                "{\"version\":1,\"written\":1,\"apis\":{\"a\":{\"wanted\":-1,\"series\":{}}}}",
                "no state",
            ),
            ("{\"version\":2,\"written\":1,\"apis\":{}}", "version 2"),
            ("{\"version\":1,\"written\":-1,\"apis\":{}}", "at no time"),
            ("{\"version\":1,\"written\":1e300,\"apis\":{}}", "at no time"),
        ] {
            std::fs::write(&path, garbage).unwrap();
            let error = read(&path, at(9)).unwrap_err().to_string();
            assert!(error.contains(what), "{garbage}: {error}");
            assert!(StateFile::open(path.clone(), at(9)).1.take("a").is_none());
        }
    }

    #[test]
    fn it_is_written_in_its_time_and_when_a_number_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, _) = StateFile::open(folder.path().join("state.json"), at(0));
        let apis = BTreeMap::from([("a".to_owned(), state(3))]);
        file.write(apis, BTreeMap::new(), at(0), at(10));
        let due = |wanted, now| file.is_due([("a", wanted)].into_iter(), at(now));
        assert_eq!([due(3, 11), due(4, 11), due(3, 14), due(3, 15)], [false, true, false, true]);
    }
}
