//! Times at which an API has more replicas than its load asks for. Pure: the time comes in.
//!
//! A schedule begins whenever its cron pattern fires. With a duration it lasts that long; without
//! one, until another without one fires. Of those that are on, the largest counts.
//!
//! Where a clock is put forward over a pattern's time, it fires once the gap is over; where one is
//! put back, it fires the first time only. A duration is time that passes, not a difference between
//! clock readings. Time zones are those this program was built with, so that a document means the
//! same on every machine.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use std::time::Duration;

/// From where a pattern must fire again: a leap day lies within the next four years.
const SOME_TIME: i64 = 1_700_000_000;

/// A floor that comes and goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
    /// The fewest replicas while it is on.
    pub min_replicas: u32,
    /// How long it lasts; nothing for until another such schedule fires.
    pub duration: Option<Duration>,
}

/// What schedules ask for at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    /// The fewest replicas; nothing where no schedule is on.
    pub replicas: Option<u32>,
    /// Until when nothing changes, since the Unix epoch.
    pub until: Duration,
}

/// A cron pattern: minute, hour, day of the month, month, day of the week.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub(crate) fn cron(text: &str) -> Result<Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(text).map_err(|error| error.to_string())?;
    let some_time = zoned(Duration::from_secs(SOME_TIME.cast_unsigned()), &TimeZone::UTC);
    let fires = some_time.is_some_and(|from| cron.find_next_occurrence(&from, true).is_ok());
    if fires { Ok(cron) } else { Err("it never fires".to_owned()) }
}

/// A time zone by its name, such as `Europe/Berlin`.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

/// A time such as `2026-03-29T08:00:00+02:00` (RFC 3339), since the Unix epoch. Nothing where it is
/// none, or lies before.
pub fn wall_time(text: &str) -> Option<Duration> {
    Duration::try_from(text.parse::<Timestamp>().ok()?.as_duration()).ok()
}

/// What `schedules` ask for at `wall`, which is since the Unix epoch.
pub fn floor(schedules: &[Schedule], wall: Duration) -> Floor {
    let mut replicas = None;
    let mut until = Duration::MAX;
    // When the last one without a duration fired, and what it asks for.
    let mut lasting: Option<(Duration, u32)> = None;
    for schedule in schedules {
        until = until.min(schedule.fires_after(wall).unwrap_or(Duration::MAX));
        let Some(fired) = schedule.fired(wall) else { continue };
        let floor = schedule.min_replicas;
        match schedule.duration {
            Some(duration) if wall < fired + duration => {
                until = until.min(fired + duration);
                replicas = replicas.max(Some(floor));
            }
            Some(_) => {}
            None => lasting = lasting.max(Some((fired, floor))),
        }
    }
    Floor { replicas: replicas.max(lasting.map(|(_, floor)| floor)), until }
}

impl Schedule {
    /// A schedule of parts that were read one by one.
    pub(crate) fn new(
        cron: Cron,
        zone: TimeZone,
        min_replicas: u32,
        duration: Option<Duration>,
    ) -> Self {
        Self { cron, zone, min_replicas, duration }
    }

    /// When it last fired, at the latest at `wall`.
    fn fired(&self, wall: Duration) -> Option<Duration> {
        let found = self.cron.find_previous_occurrence(&zoned(wall, &self.zone)?, true).ok()?;
        since_epoch(&found)
    }

    /// When it fires next, after `wall`.
    fn fires_after(&self, wall: Duration) -> Option<Duration> {
        let found = self.cron.find_next_occurrence(&zoned(wall, &self.zone)?, false).ok()?;
        since_epoch(&found)
    }
}

/// A time on the clocks of a zone; nothing beyond the year 9999.
fn zoned(wall: Duration, zone: &TimeZone) -> Option<Zoned> {
    let seconds = i64::try_from(wall.as_secs()).ok()?;
    Some(Timestamp::new(seconds, wall.subsec_nanos().cast_signed()).ok()?.to_zoned(zone.clone()))
}

fn since_epoch(time: &Zoned) -> Option<Duration> {
    Duration::try_from(time.timestamp().as_duration()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Duration {
        wall_time(text).unwrap()
    }

    fn schedule(pattern: &str, of: &str, min_replicas: u32, hours: Option<u64>) -> Schedule {
        let duration = hours.map(|hours| Duration::from_secs(hours * 3600));
        Schedule::new(cron(pattern).unwrap(), zone(of).unwrap(), min_replicas, duration)
    }

    fn check(schedules: &[Schedule], cases: &[(&str, Option<u32>, &str)]) {
        for (time, replicas, until) in cases {
            let expected = Floor { replicas: *replicas, until: at(until) };
            assert_eq!(floor(schedules, at(time)), expected, "at {time}");
        }
    }

    #[test]
    fn a_window_lasts_its_duration_on_its_own_zones_clock() {
        check(
            &[schedule("0 8 * * MON-FRI", "America/New_York", 5, Some(10))],
            &[
                // A Monday, at UTC-5.
                ("2026-11-23T12:59:59Z", None, "2026-11-23T13:00:00Z"),
                ("2026-11-23T13:00:00Z", Some(5), "2026-11-23T23:00:00Z"),
                ("2026-11-23T22:59:59.999Z", Some(5), "2026-11-23T23:00:00Z"),
                ("2026-11-23T23:00:00Z", None, "2026-11-24T13:00:00Z"),
                // From Friday night to Monday; summer is at UTC-4.
                ("2026-07-03T23:00:00Z", None, "2026-07-06T12:00:00Z"),
            ],
        );
    }

    #[test]
    fn without_durations_the_last_that_fired_counts_until_the_next_does() {
        let day = schedule("0 8 * * *", "UTC", 5, None);
        let night = schedule("0 20 * * *", "UTC", 1, None);
        let noon = schedule("0 12 * * *", "UTC", 9, Some(1));
        let evening = schedule("30 19 * * *", "UTC", 3, Some(1));
        check(
            &[day, night, noon, evening],
            &[
                ("2026-01-05T07:00:00Z", Some(1), "2026-01-05T08:00:00Z"),
                ("2026-01-05T08:00:00Z", Some(5), "2026-01-05T12:00:00Z"),
                ("2026-01-05T12:30:00Z", Some(9), "2026-01-05T13:00:00Z"),
                ("2026-01-05T19:45:00Z", Some(5), "2026-01-05T20:00:00Z"),
                ("2026-01-05T20:15:00Z", Some(3), "2026-01-05T20:30:00Z"),
                ("2026-01-05T20:30:00Z", Some(1), "2026-01-06T08:00:00Z"),
            ],
        );
        let same_time =
            [schedule("0 8 * * *", "UTC", 2, None), schedule("0 8 * * *", "UTC", 7, None)];
        assert_eq!(floor(&same_time, at("2026-01-05T09:00:00Z")).replicas, Some(7));
        assert_eq!(
            floor(&[], at("2026-01-05T09:00:00Z")),
            Floor { replicas: None, until: Duration::MAX }
        );
    }

    #[test]
    fn clocks_that_are_put_forward_and_back_neither_skip_nor_repeat_a_window() {
        // 02:30 is not there on 29 March, and is there twice on 25 October.
        check(
            &[schedule("30 2 * * *", "Europe/Berlin", 4, Some(2))],
            &[
                ("2026-03-29T00:59:59Z", None, "2026-03-29T01:00:00Z"),
                ("2026-03-29T01:00:00Z", Some(4), "2026-03-29T03:00:00Z"),
                ("2026-03-29T03:00:00Z", None, "2026-03-30T00:30:00Z"),
                ("2026-10-25T00:30:00Z", Some(4), "2026-10-25T02:30:00Z"),
                ("2026-10-25T02:30:00Z", None, "2026-10-26T01:30:00Z"),
            ],
        );
    }

    #[test]
    fn a_window_may_be_longer_than_the_time_until_it_fires_again_and_leap_days_come() {
        check(
            &[schedule("0 0 * * *", "UTC", 2, Some(30))],
            &[("2026-01-05T12:00:00Z", Some(2), "2026-01-06T00:00:00Z")],
        );
        check(
            &[schedule("0 0 29 2 *", "Asia/Kathmandu", 2, Some(24))],
            &[
                ("2027-03-01T00:00:00Z", None, "2028-02-28T18:15:00Z"),
                ("2028-02-29T00:00:00Z", Some(2), "2028-02-29T18:15:00Z"),
            ],
        );
    }

    #[test]
    fn the_far_future_has_no_schedule_and_no_panic() {
        let daily = [schedule("0 0 * * *", "UTC", 2, None)];
        for wall in [Duration::MAX, Duration::from_secs(253_402_207_200), Duration::ZERO] {
            floor(&daily, wall);
        }
        assert_eq!(floor(&daily, Duration::MAX).replicas, None);
    }

    #[test]
    fn what_is_no_pattern_no_zone_and_no_time_is_refused() {
        for bad in ["", "* * * *", "0 8 * * 8", "61 * * * *", "0 0 8 * * *", "*/0 * * * *", "x"] {
            assert!(cron(bad).is_err(), "{bad}");
        }
        assert_eq!(cron("0 0 30 2 *").unwrap_err(), "it never fires");
        assert!(zone("Mars/Base").is_none() && zone("").is_none());
        assert_eq!(wall_time("1970-01-01T01:00:00+01:00"), Some(Duration::ZERO));
        for bad in ["1969-12-31T23:59:59Z", "2026-01-05", "2026-01-05T08:00:00", "8"] {
            assert_eq!(wall_time(bad), None, "{bad}");
        }
    }
}
