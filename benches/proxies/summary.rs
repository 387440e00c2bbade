//! Medians over the repeats, and how each peer stands beside nginx and beside no proxy.

use crate::peer::Peer;
use crate::sample::Sample;
use crate::usage::Memory;
use serde::Serialize;

/// One peer under one load. Times are in microseconds, medians over the repeats.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// What was asked.
    pub(crate) load: String,
    /// Who answered.
    pub(crate) peer: Peer,
    /// Processor time a unit.
    pub(crate) cpu_us: Option<Spread>,
    /// The user's part of it.
    pub(crate) user_us: Option<f64>,
    /// The system's part of it.
    pub(crate) system_us: Option<f64>,
    /// Time a unit in which others had its core.
    pub(crate) waited_us: Option<f64>,
    /// Processor time by nginx' in the same repeat.
    pub(crate) to_nginx: Option<f64>,
    /// The same by the nginx that does as much of the sidecar's work as it can.
    pub(crate) to_nginx_alike: Option<f64>,
    /// Units a second.
    pub(crate) rate: f64,
    /// As measured.
    pub(crate) p50_us: f64,
    /// As measured.
    pub(crate) p99_us: f64,
    /// More than without a proxy in the same repeat.
    pub(crate) p50_added_us: Option<f64>,
    /// More than without a proxy in the same repeat.
    pub(crate) p99_added_us: Option<f64>,
    /// Before the first request.
    pub(crate) idle: Option<Memory>,
    /// With all connections open.
    pub(crate) loaded: Option<Memory>,
}

/// A median and what it lies between.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

// === impl Spread ===

impl Spread {
    /// None of no values.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let upper = *values.get(middle)?;
        let median = match values.len() % 2 {
            0 => f64::midpoint(*values.get(middle - 1)?, upper),
            _ => upper,
        };
        Some(Self { median, least, most })
    }
}

/// One row for each load and peer, in the order in which they were first measured.
pub(crate) fn rows(samples: &[Sample]) -> Vec<Row> {
    let mut keys: Vec<(&str, Peer)> = Vec::new();
    for sample in samples {
        let key = (sample.load.as_str(), sample.peer);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let place = |load: &str| keys.iter().position(|(other, _)| *other == load);
    let mut sorted = keys.clone();
    sorted.sort_by_key(|(load, peer)| (place(load), *peer));
    sorted.into_iter().filter_map(|(load, peer)| row(samples, load, peer)).collect()
}

fn row(samples: &[Sample], load: &str, peer: Peer) -> Option<Row> {
    let own: Vec<&Sample> =
        samples.iter().filter(|sample| sample.load == load && sample.peer == peer).collect();
    let of = |value: fn(&Sample) -> Option<f64>| {
        Spread::of(own.iter().filter_map(|sample| value(sample)).collect())
    };
    // Beside what another peer took in the same repeat: what the machine did meanwhile counts less.
    let beside = |other: Peer, compare: fn(&Sample, &Sample) -> Option<f64>| {
        let pair = |sample: &&Sample| {
            let other = samples.iter().find(|found| {
                found.load == load && found.peer == other && found.repeat == sample.repeat
            })?;
            compare(sample, other)
        };
        Spread::of(own.iter().filter_map(pair).collect()).map(|spread| spread.median)
    };
    let added = |compare| if peer == Peer::Direct { None } else { beside(Peer::Direct, compare) };
    let memory = |of: fn(&Sample) -> Option<Memory>| {
        let kib = |part: fn(Memory) -> u64| {
            let values = own.iter().filter_map(|sample| of(sample)).map(|kib| part(kib) as f64);
            Spread::of(values.collect()).map(|spread| spread.median as u64)
        };
        Some(Memory {
            rss_kib: kib(|memory| memory.rss_kib)?,
            pss_kib: kib(|memory| memory.pss_kib)?,
        })
    };
    Some(Row {
        load: load.to_owned(),
        peer,
        cpu_us: of(|sample| sample.cpu_us),
        user_us: of(|sample| sample.user_us).map(|spread| spread.median),
        system_us: of(|sample| sample.system_us).map(|spread| spread.median),
        waited_us: of(|sample| sample.waited_us).map(|spread| spread.median),
        to_nginx: beside(Peer::Nginx, cpu_ratio),
        to_nginx_alike: beside(Peer::NginxAlike, cpu_ratio),
        rate: of(|sample| Some(sample.rate))?.median,
        p50_us: of(|sample| Some(sample.p50_us))?.median,
        p99_us: of(|sample| Some(sample.p99_us))?.median,
        p50_added_us: added(|own, direct| Some(own.p50_us - direct.p50_us)),
        p99_added_us: added(|own, direct| Some(own.p99_us - direct.p99_us)),
        idle: memory(|sample| sample.idle),
        loaded: memory(|sample| sample.loaded),
    })
}

fn cpu_ratio(own: &Sample, other: &Sample) -> Option<f64> {
    let cpu = other.cpu_us.filter(|cpu| *cpu > 0.0)?;
    Some(own.cpu_us? / cpu)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A sample of which little counts.
    pub(crate) fn sample(load: &str, peer: Peer, repeat: u32, cpu: f64, p50: f64) -> Sample {
        let has_cpu = peer != Peer::Direct;
        let memory = Memory { rss_kib: 1000 * u64::from(repeat), pss_kib: 500 };
        Sample {
            load: load.to_owned(),
            peer,
            repeat,
            units: 10,
            rate: 1.0,
            cpu_us: has_cpu.then_some(cpu),
            user_us: None,
            system_us: None,
            waited_us: None,
            p50_us: p50,
            p99_us: p50 * 2.0,
            idle: has_cpu.then_some(memory),
            loaded: None,
            load_average: 0.0,
        }
    }

    #[test]
    fn a_median_lies_in_the_middle() {
        let of = |values: &[f64]| Spread::of(values.to_vec()).map(|spread| spread.median);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[3.0, 1.0, 9.0]), Some(3.0));
        assert_eq!(of(&[4.0, 1.0]), Some(2.5));
        let spread = Spread::of(vec![2.0, 8.0, 3.0]).expect("values");
        assert_eq!((spread.least, spread.most), (2.0, 8.0));
    }

    #[test]
    fn ratios_are_taken_within_a_repeat() {
        // The machine was twice as slow in the second repeat, and for both.
        let samples = [
            sample("a", Peer::Tidegate, 1, 30.0, 0.0),
            sample("a", Peer::Nginx, 1, 20.0, 0.0),
            sample("a", Peer::Tidegate, 2, 60.0, 0.0),
            sample("a", Peer::Nginx, 2, 40.0, 0.0),
            // Another load's nginx says nothing about this one.
            sample("b", Peer::Nginx, 1, 1.0, 0.0),
        ];
        let rows = rows(&samples);
        let order: Vec<_> = rows.iter().map(|row| (row.load.as_str(), row.peer)).collect();
        assert_eq!(order, [("a", Peer::Nginx), ("a", Peer::Tidegate), ("b", Peer::Nginx)]);
        assert_eq!(rows[1].to_nginx, Some(1.5));
        assert_eq!(rows[0].to_nginx, Some(1.0));
        assert_eq!(rows[0].idle.map(|memory| memory.rss_kib), Some(1500));
    }

    #[test]
    fn what_is_added_is_added_to_direct() {
        let samples = [
            sample("a", Peer::Direct, 1, 0.0, 40.0),
            sample("a", Peer::Raw, 1, 9.0, 90.0),
            sample("b", Peer::Raw, 1, 9.0, 90.0),
        ];
        let rows = rows(&samples);
        assert_eq!((rows[0].p50_added_us, rows[0].to_nginx), (None, None));
        assert_eq!((rows[1].p50_added_us, rows[1].p99_added_us), (Some(50.0), Some(100.0)));
        assert_eq!(rows[2].p50_added_us, None, "there was no direct");
    }
}
