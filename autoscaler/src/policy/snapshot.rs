//! What a rule remembers, as plain numbers: for whoever keeps it over a restart.
//!
//! A snapshot is a table of series of numbers by name. Moments are kept as ages, in seconds before
//! the snapshot was taken, since the next process counts its time anew. What is missing in it, or
//! makes no sense, is not remembered; a rule then begins as it does without a snapshot.

use std::collections::BTreeMap;
use std::time::Duration;

/// The most numbers in a series: the longest history that a rule keeps has some 14,400.
const MOST_NUMBERS: usize = 20_000;

/// The most series of a snapshot.
const MOST_SERIES: usize = 64;

/// The oldest that counts, in seconds: the longest delay a document may ask for.
const OLDEST: f64 = 30.0 * 86_400.0;

/// Series of numbers by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    series: BTreeMap<String, Vec<f64>>,
}

impl Snapshot {
    /// A snapshot of series that were kept elsewhere. Those that are too long, hold something that
    /// is no finite number, or are too many, are left out.
    pub fn from_series(series: BTreeMap<String, Vec<f64>>) -> Self {
        let is_sound = |numbers: &Vec<f64>| {
            numbers.len() <= MOST_NUMBERS && numbers.iter().all(|number| number.is_finite())
        };
        let sound = series.into_iter().filter(|(_, numbers)| is_sound(numbers));
        Self { series: sound.take(MOST_SERIES).collect() }
    }

    /// The series.
    pub fn series(&self) -> &BTreeMap<String, Vec<f64>> {
        &self.series
    }

    /// The series, to be kept elsewhere.
    pub fn into_series(self) -> BTreeMap<String, Vec<f64>> {
        self.series
    }

    /// Writes rows of numbers, oldest first. The oldest of too many are left out.
    pub(super) fn put<const N: usize>(
        &mut self,
        name: &str,
        rows: impl IntoIterator<Item = [f64; N]>,
    ) {
        let mut numbers: Vec<f64> = rows.into_iter().flatten().collect();
        let most = MOST_NUMBERS / N * N;
        numbers.drain(..numbers.len().saturating_sub(most));
        self.series.insert(name.to_owned(), numbers);
    }

    /// The rows of a series; none where it is missing.
    pub(super) fn rows<const N: usize>(&self, name: &str) -> impl Iterator<Item = [f64; N]> {
        let numbers = self.series.get(name).map_or(&[][..], Vec::as_slice);
        numbers.as_chunks::<N>().0.iter().copied()
    }

    /// Whether a series is there, be it without a row. What it says then stands in the place of
    /// what a rule supposes at its beginning.
    pub(super) fn has(&self, name: &str) -> bool {
        self.series.contains_key(name)
    }

    /// The last row of a series.
    pub(super) fn row<const N: usize>(&self, name: &str) -> Option<[f64; N]> {
        self.rows(name).last()
    }
}

/// How long before `now` a moment was, in seconds.
pub(super) fn age(moment: Duration, now: Duration) -> f64 {
    now.saturating_sub(moment).as_secs_f64()
}

/// The moment that was `age` seconds before `taken`. Nothing for what is no age.
pub(super) fn moment(age: f64, taken: Duration) -> Option<Duration> {
    (0.0..=OLDEST).contains(&age).then(|| taken.saturating_sub(Duration::from_secs_f64(age)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_and_what_is_unsound_is_left_out() {
        let mut snapshot = Snapshot::default();
        snapshot.put("pairs", [[1.0, 2.0], [3.0, 4.0]]);
        let back = Snapshot::from_series(snapshot.clone().into_series());
        assert_eq!(back, snapshot);
        assert_eq!(back.rows::<2>("pairs").collect::<Vec<_>>(), [[1.0, 2.0], [3.0, 4.0]]);
        assert_eq!((back.row::<2>("pairs"), back.row::<1>("none")), (Some([3.0, 4.0]), None));
        // A series of another shape has no row but whole ones.
        assert_eq!(back.rows::<3>("pairs").count(), 1);
        for bad in [vec![f64::NAN], vec![1.0, f64::INFINITY], vec![0.0; MOST_NUMBERS + 1]] {
            let series = BTreeMap::from([("bad".to_owned(), bad), ("good".to_owned(), vec![1.0])]);
            let snapshot = Snapshot::from_series(series);
            assert_eq!(snapshot.series().keys().collect::<Vec<_>>(), ["good"]);
        }
    }

    #[test]
    fn too_many_rows_lose_the_oldest() {
        let mut snapshot = Snapshot::default();
        let rows = MOST_NUMBERS / 3 + 5;
        snapshot.put("rows", (0..rows).map(|row| [row as f64, 0.0, 0.0]));
        assert_eq!(snapshot.rows::<3>("rows").next(), Some([5.0, 0.0, 0.0]));
        assert_eq!(snapshot.row::<3>("rows"), Some([(rows - 1) as f64, 0.0, 0.0]));
    }

    #[test]
    fn an_age_is_a_moment_again_and_nonsense_is_none() {
        let (taken, now) = (Duration::from_secs(500), Duration::from_secs(100));
        assert_eq!(
            moment(age(Duration::from_secs(60), now), taken),
            Some(Duration::from_secs(460))
        );
        for bad in [-1.0, f64::NAN, f64::INFINITY, 1e300, OLDEST + 1.0] {
            assert_eq!(moment(bad, taken), None, "{bad}");
        }
    }
}
