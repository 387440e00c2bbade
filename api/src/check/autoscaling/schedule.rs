//! `spec.autoscaling.schedules`: patterns, zones, and that each comes to an end.

use crate::check::{Check, INSTANT};
use crate::key_path::KeyPath;
use crate::quantity::MAX_DURATION;
use crate::quote;
use crate::raw::RawSchedule;
use crate::schedule::{self, Schedule};
use std::time::Duration;

/// The most schedules of an API: each costs time whenever one of them begins or ends.
const MOST_SCHEDULES: usize = 100;

impl Check<'_> {
    pub(super) fn schedules(&mut self, raw: Vec<RawSchedule>, most: u32) -> Vec<Schedule> {
        let path = KeyPath::keys("spec.autoscaling.schedules");
        if raw.len() > MOST_SCHEDULES {
            let must = format!("at most {MOST_SCHEDULES} schedules");
            self.wrong(&path, format!("has {}", raw.len()), must);
        }
        let lasting = raw.iter().filter(|schedule| schedule.duration.is_none()).count();
        let schedules = raw.into_iter().take(MOST_SCHEDULES).enumerate();
        schedules
            .filter_map(|(index, raw)| self.schedule(&path.index(index), raw, lasting > 1, most))
            .collect()
    }

    /// `ends` says whether another schedule may end one without a duration.
    fn schedule(
        &mut self,
        path: &KeyPath,
        raw: RawSchedule,
        ends: bool,
        most: u32,
    ) -> Option<Schedule> {
        let min_replicas = raw.min_replicas.unwrap_or_default();
        let most_path = KeyPath::keys("spec.autoscaling.maxReplicas");
        self.not_above(&path.key("minReplicas"), min_replicas, &most_path, most);
        let duration: Option<Duration> = raw.duration.map(|duration| {
            self.duration(&format!("{path}.duration"), duration, INSTANT, MAX_DURATION)
        });
        if duration.is_none() && !ends {
            let must = "given, or beside another schedule without one, whose start ends this one";
            self.wrong(&path.key("duration"), "is missing", must);
        }
        let text = raw.cron.unwrap_or_default();
        let cron = schedule::cron(&text).map_err(|error| {
            let what = format!("is {}: {}", quote::quoted(&text), error.trim_end_matches('.'));
            let must = "a cron pattern of minute, hour, day of month, month and day of week, such \
                        as \"0 8 * * MON-FRI\"";
            self.wrong(&path.key("cron"), what, must);
        });
        let zone = schedule::zone(&raw.time_zone);
        if zone.is_none() {
            let what = format!("is {}", quote::quoted(&raw.time_zone));
            let must = "the name of a time zone, such as `Europe/Berlin` or `UTC`";
            self.wrong(&path.key("timeZone"), what, must);
        }
        Some(Schedule::new(cron.ok()?, zone?, min_replicas, duration))
    }
}
