//! What came at this time of the day and of the week before, where a load has a season.
//!
//! A table of the slots of one week, each with what came in it the last two times. A time of day
//! speaks once it was seen on three days in a row, a time of the week once in two weeks, and then
//! with the least of what came: one busy day is no season. Who asks may only add by it.
//!
//! It goes by time that passes, not by a clock on a wall: a season is one whatever its hours are called.

use super::observation::is_load;
use super::snapshot::{Snapshot, age};
use std::time::Duration;

/// Seconds of a slot: short beside the time for which people come and go, long enough that chance
/// hardly moves its mean.
const SLOT: f64 = 600.0;
/// Slots of a day and of a week.
const DAY: i64 = 144;
const WEEK: i64 = 7 * DAY;
/// Days in a row that make a time of day known: two may be chance.
const DAYS: i64 = 3;
/// The share of a slot that must be known for its mean to count.
const KNOWN: f64 = 0.5;
/// In place of a mean that nobody knows.
const UNKNOWN: f32 = -1.0;

/// Arrivals by the time of the week.
#[derive(Debug, Clone)]
pub struct Season {
    /// For each slot of the week, requests a second: the last time, and the time before.
    slots: Vec<[f32; 2]>,
    open: Option<Open>,
    /// Where slot 0 begins, in seconds of this process; before its beginning after a restart.
    origin: f64,
}

/// The slot that is going on.
#[derive(Debug, Clone, Copy)]
struct Open {
    number: i64,
    count: f64,
    /// Seconds of it that are known.
    seen: f64,
}

impl Season {
    /// Nothing known yet.
    pub fn new() -> Self {
        Self { slots: Vec::new(), open: None, origin: 0.0 }
    }

    /// Records what came from `from` to `now`, all in the slot of its middle.
    pub fn record(&mut self, arrivals: f64, from: Duration, now: Duration) {
        let seconds = now.saturating_sub(from).as_secs_f64();
        if !is_load(arrivals) || seconds <= 0.0 {
            return;
        }
        let number = self.number(now.as_secs_f64() - seconds / 2.0);
        match &mut self.open {
            Some(open) if open.number == number => {
                (open.count, open.seen) = (open.count + arrivals, open.seen + seconds);
            }
            Some(open) if number < open.number => {}
            _ => {
                self.close(number);
                self.open = Some(Open { number, count: arrivals, seen: seconds });
            }
        }
    }

    /// Requests a second that the season brings `ahead` seconds from now; 0 where it says nothing.
    pub fn expect(&self, ahead: f64, now: Duration) -> f64 {
        let Some(open) = self.open.filter(|_| ahead.is_finite()) else { return 0.0 };
        let number = self.number(now.as_secs_f64() + ahead.max(0.0)).max(open.number);
        // What lies that far ahead has no past here that is not overwritten.
        if number - open.number >= DAY {
            return 0.0;
        }
        let days = (1..=DAYS).map(|day| self.slot(number - day * DAY)[0]);
        let day = days.fold(f32::INFINITY, f32::min);
        let week = self.slot(number).into_iter().fold(f32::INFINITY, f32::min);
        f64::from(day.max(week).max(0.0))
    }

    /// Ends the open slot; those from it to slot `next` were not seen.
    fn close(&mut self, next: i64) {
        let Some(open) = self.open.take() else { return };
        if self.slots.is_empty() {
            self.slots = vec![[UNKNOWN; 2]; WEEK as usize];
        }
        let mean =
            if open.seen >= KNOWN * SLOT { (open.count / open.seen) as f32 } else { UNKNOWN };
        self.push(open.number, mean);
        let unseen = (open.number + 1)..next;
        unseen.rev().take(2 * WEEK as usize).for_each(|number| self.push(number, UNKNOWN));
    }

    fn push(&mut self, number: i64, mean: f32) {
        if let Some(slot) = self.slots.get_mut(number.rem_euclid(WEEK) as usize) {
            *slot = [mean, slot[0]];
        }
    }

    fn slot(&self, number: i64) -> [f32; 2] {
        let slot = self.slots.get(number.rem_euclid(WEEK) as usize);
        slot.copied().unwrap_or([UNKNOWN; 2])
    }

    /// The slot of a moment, counted on from the first.
    fn number(&self, at: f64) -> i64 {
        ((at - self.origin) / SLOT).floor() as i64
    }

    pub(super) fn save(&self, to: &mut Snapshot, now: Duration) {
        let Some(open) = self.open else { return };
        let since = age(Duration::ZERO, now) - self.origin;
        to.put("slo.season.open", [[since, open.count, open.seen]]);
        // Enough for one request in a slot; a file of many APIs holds many of them.
        let short = |mean: f32| (f64::from(mean) * 1e4).round() / 1e4;
        to.put("slo.season", self.slots.iter().map(|slot| slot.map(short)));
    }

    /// What was written down at `taken`.
    pub(super) fn load(&mut self, from: &Snapshot, taken: Duration) {
        let Some(open) = from.row::<3>("slo.season.open") else { return };
        let slots: Vec<[f64; 2]> = from.rows("slo.season").collect();
        let is_whole = slots.is_empty() || slots.len() == WEEK as usize;
        if !open.into_iter().all(is_load) || !is_whole {
            return;
        }
        let [since, count, seen] = open;
        self.origin = taken.as_secs_f64() - since;
        self.slots = slots.into_iter().map(|slot| slot.map(|mean| mean as f32)).collect();
        self.open = Some(Open { number: self.number(taken.as_secs_f64()), count, seen });
    }
}

impl Default for Season {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const HOUR: u32 = 3600;

    fn at(seconds: u32) -> Duration {
        Duration::from_secs(u64::from(seconds))
    }

    /// Records minute by minute what `rate` says for an hour, counted from the first.
    fn play(season: &mut Season, hours: std::ops::Range<u32>, rate: impl Fn(u32) -> f64) {
        for minute in hours.start * 60..hours.end * 60 {
            let (from, to) = (at(minute * 60), at(minute * 60 + 60));
            season.record(60.0 * rate(minute / 60), from, to);
        }
    }

    fn office(hour: u32) -> f64 {
        if (8..18).contains(&(hour % 24)) { 10.0 } else { 1.0 }
    }

    #[test]
    fn a_time_of_day_speaks_after_three_days() {
        let mut season = Season::new();
        play(&mut season, 0..48, office);
        assert_eq!(season.expect(9.0 * 3600.0, at(48 * HOUR)), 0.0, "two days may be chance");
        play(&mut season, 48..72, office);
        let ahead = |seconds: f64| season.expect(seconds, at(72 * HOUR));
        assert_eq!([ahead(0.0), ahead(7.9 * 3600.0), ahead(8.1 * 3600.0)], [1.0, 1.0, 10.0]);
    }

    #[test]
    fn one_quiet_day_and_its_hours_are_no_season_any_more() {
        let mut season = Season::new();
        play(&mut season, 0..72, office);
        play(&mut season, 72..96, |_| 2.0);
        assert_eq!(season.expect(9.0 * 3600.0, at(96 * HOUR)), 2.0);
    }

    #[test]
    fn a_time_of_the_week_speaks_after_two_weeks() {
        let monday = |hour: u32| if (hour / 24).is_multiple_of(7) { office(hour) } else { 0.0 };
        let mut season = Season::new();
        play(&mut season, 0..14 * 24, monday);
        let ahead = |hours: u32| season.expect(0.0, at((14 * 24 + hours) * HOUR));
        assert_eq!([ahead(7), ahead(9), ahead(19)], [1.0, 10.0, 1.0]);
    }

    #[test]
    fn a_restart_forgets_nothing_and_what_was_not_seen_is_unknown() {
        let mut before = Season::new();
        play(&mut before, 0..78, office);
        let mut snapshot = Snapshot::default();
        before.save(&mut snapshot, at(78 * HOUR));
        // Taken at 06:00, and read an hour later by a process that began a minute ago.
        let mut season = Season::new();
        season.load(&snapshot, Duration::ZERO);
        season.record(60.0, at(HOUR), at(HOUR + 60));
        assert_eq!(season.expect(1.1 * 3600.0, at(HOUR + 60)), 10.0);
        // A day on which nobody looked is none on which nothing came, but it breaks the row.
        season.record(60.0, at(27 * HOUR), at(27 * HOUR + 60));
        assert_eq!(season.expect(0.0, at(27 * HOUR + 60)), 0.0);
    }

    #[test]
    fn what_was_not_seen_is_not_what_came_a_week_before() {
        let mut season = Season::new();
        play(&mut season, 0..7 * 24, office);
        // Two days that nobody sees, and one more.
        play(&mut season, 9 * 24..10 * 24, office);
        let ahead = |hours: u32| season.expect(f64::from(hours) * 3600.0, at(10 * 24 * HOUR));
        assert_eq!(ahead(9), 0.0, "one day of the last three is known");
    }

    #[test]
    fn nonsense_says_nothing() {
        let mut season = Season::new();
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            season.record(bad, at(0), at(60));
        }
        season.record(5.0, at(60), at(60));
        assert_eq!(season.expect(0.0, at(60)), 0.0);
        season.record(1.0, at(0), at(60));
        season.record(1.0, at(0), Duration::from_secs(u64::MAX / 4));
        season.record(1.0, at(0), at(120));
        assert_eq!(season.expect(f64::NAN, at(120)), 0.0);
        let odd = BTreeMap::from([
            ("slo.season.open".to_owned(), vec![1.0, -1.0, 0.0]),
            ("slo.season".to_owned(), vec![1.0; 8]),
        ]);
        season.load(&Snapshot::from_series(odd), at(5));
        assert_eq!(season.expect(0.0, at(120)), 0.0);
    }
}
