//! Numbers and moments that no server has: never a panic, never fewer replicas, always a reason.

use super::{at, concurrency, settings};
use std::time::Duration;
use tidegate_autoscaler::policy::bounds::Limits;
use tidegate_autoscaler::policy::concurrency::ConcurrencySettings;
use tidegate_autoscaler::policy::cortex::CortexSettings;
use tidegate_autoscaler::policy::decide::{RuleSettings, Scaler, ScalerSettings};
use tidegate_autoscaler::policy::demand::Target;
use tidegate_autoscaler::policy::metric::{MetricSettings, Scope};
use tidegate_autoscaler::policy::observation::{
    Load, MetricSeen, Observation, Reading, Traffic, Windows,
};
use tidegate_autoscaler::policy::ray::RaySettings;
use tidegate_autoscaler::policy::slo::SloSettings;

/// Every rule, each ready to shrink at the first certain sample.
fn rules() -> Vec<RuleSettings> {
    let target = Target::new(1.0, 1.0, None);
    let none = Duration::ZERO;
    vec![
        RuleSettings::Concurrency(concurrency()),
        RuleSettings::Cortex(CortexSettings {
            target,
            window: at(10.0),
            upscale_stabilization: none,
            downscale_stabilization: none,
            max_upscale_factor: 1.5,
            max_downscale_factor: 0.75,
            upscale_tolerance: 0.05,
            downscale_tolerance: 0.05,
        }),
        RuleSettings::Ray(RaySettings {
            target,
            upscale_delay: none,
            downscale_delay: none,
            downscale_to_zero_delay: none,
            upscaling_factor: 1.0,
            downscaling_factor: 1.0,
            look_back: at(10.0),
        }),
        RuleSettings::Slo(SloSettings {
            wait: 0.2,
            late: 0.01,
            cold_start: at(1.0),
            per_replica: 1,
        }),
        RuleSettings::Metric(MetricSettings {
            scope: Scope::Replica,
            target: 1.0,
            tolerance: 0.0,
            scale_down_delay: none,
            stale_after: at(10.0),
            per_replica: 1,
        }),
    ]
}

const BAD: [f64; 5] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, -f64::MAX];

#[test]
fn what_is_no_number_takes_no_replica_away() {
    for rule in rules() {
        for bad in BAD {
            let mut scaler = Scaler::begin(&ScalerSettings { rule, ..settings() }, 5, at(0.0));
            for second in 1..300_u32 {
                let now = f64::from(second);
                let from = at(now - 1.0);
                let (arrivals, completions, service_seconds) = (bad, bad, bad);
                let seen = Observation {
                    current: 5,
                    ready: 5,
                    load: Some(Load { from, average: bad }),
                    windows: (second % 2 == 0).then_some(Windows { stable: bad, panic: bad }),
                    traffic: Some(Traffic { from, arrivals, completions, service_seconds }),
                    complete: true,
                    metric: MetricSeen {
                        reading: Some(Reading {
                            value: bad,
                            replicas: second % 3,
                            at: at(now),
                            complete: true,
                        }),
                        gap: None,
                    },
                    ..Observation::default()
                };
                let decision = scaler.decide(&seen, at(now));
                assert!(decision.replicas >= 5, "{rule:?} with {bad}: {decision:?}");
                assert!(!decision.sentence().is_empty());
            }
        }
    }
}

#[test]
fn a_number_that_no_fleet_has_is_survived_and_forgotten() {
    let huge = |traffic: Traffic, number: f64| {
        [
            Traffic { arrivals: number, ..traffic },
            Traffic { completions: number, ..traffic },
            Traffic { service_seconds: number, ..traffic },
            Traffic { arrivals: number, completions: number, service_seconds: number, ..traffic },
        ]
    };
    for (rule, which) in rules().into_iter().flat_map(|rule| (0..4).map(move |n| (rule, n))) {
        let settings = ScalerSettings { rule, ..settings() };
        let [mut scaler, mut calm] = [0, 1].map(|_| Scaler::begin(&settings, 8, at(0.0)));
        let [mut last, mut want] = [0, 0];
        for second in 1..1500_u32 {
            let now = f64::from(second);
            let mut seen = busy(8, 8, 5.0, now);
            want = calm.decide(&seen, at(now)).replicas;
            if (100..130).contains(&second) && second % 3 > 0 {
                seen.traffic = seen.traffic.map(|traffic| huge(traffic, f64::MAX)[which]);
                seen.load = seen.load.map(|load| Load { average: f64::MAX, ..load });
            }
            let decision = scaler.decide(&seen, at(now));
            assert!(!decision.sentence().contains("NaN"), "{}", decision.sentence());
            last = decision.replicas;
        }
        assert!(last >= want, "{rule:?} after number {which}: {last}, and else {want}");
    }
}

#[test]
fn nothing_seen_and_a_lost_source_take_no_replica_away() {
    for rule in rules() {
        let mut scaler = Scaler::begin(&ScalerSettings { rule, ..settings() }, 5, at(0.0));
        for second in 1..2000_u32 {
            let now = f64::from(second);
            let load = (second % 3 == 0).then_some(Load { from: at(now - 1.0), average: 0.0 });
            let seen = Observation { current: 5, ready: 5, load, ..Observation::default() };
            let decision = scaler.decide(&seen, at(now));
            assert!(decision.replicas >= 5, "{rule:?} at {second} s: {decision:?}");
        }
    }
}

#[test]
fn moments_that_stand_still_or_lie_ahead_and_nothing_ready_are_survived() {
    for rule in rules() {
        let mut scaler = Scaler::begin(&ScalerSettings { rule, ..settings() }, 3, at(1000.0));
        for (now, from) in [(1000.0, 1000.0), (1000.0, 2000.0), (1000.0, 0.0), (1e9, 1000.0)] {
            let seen = Observation {
                current: 3,
                starting: 3,
                load: Some(Load { from: at(from), average: 2.0 }),
                complete: true,
                ..Observation::default()
            };
            let decision = scaler.decide(&seen, at(now));
            assert!(decision.replicas >= 1 && decision.replicas <= 10, "{rule:?}: {decision:?}");
        }
    }
}

#[test]
fn a_least_that_is_the_most_is_the_answer_whatever_is_seen() {
    let limits = Limits { min: 4, max: 4 };
    for rule in rules() {
        let settings = ScalerSettings { rule, limits, ..settings() };
        for load in [None, Some(0.0), Some(1e300), Some(f64::NAN)] {
            let mut scaler = Scaler::begin(&settings, 4, at(0.0));
            for second in 1..100_u32 {
                let now = f64::from(second);
                let load = load.map(|average| Load { from: at(now - 1.0), average });
                let (current, ready, complete) = (4, 4, true);
                let seen = Observation { current, ready, load, complete, ..Observation::default() };
                assert_eq!(scaler.decide(&seen, at(now)).replicas, 4, "{rule:?} {load:?}");
            }
        }
    }
}

/// A tick of a second in which `load` runs, of which `ready` of `current` replicas take care.
fn busy(current: u32, ready: u32, load: f64, now: f64) -> Observation {
    let from = at(now - 1.0);
    let traffic = Traffic { from, arrivals: load, completions: load, service_seconds: load };
    let reading = Reading { value: load, replicas: ready, at: at(now), complete: true };
    Observation {
        current,
        ready,
        starting: current - ready,
        load: Some(Load { from, average: load }),
        traffic: Some(traffic),
        complete: true,
        running: load as u32,
        metric: MetricSeen { reading: Some(reading), gap: None },
        ..Observation::default()
    }
}

#[test]
fn a_clock_that_jumped_ahead_takes_no_replica_away_on_what_it_skipped() {
    for rule in rules() {
        let mut scaler = Scaler::begin(&ScalerSettings { rule, ..settings() }, 5, at(0.0));
        for second in 1..120 {
            scaler.decide(&busy(5, 5, 5.0, f64::from(second)), at(f64::from(second)));
        }
        // A day later, with a tick as if nothing had happened: what lies between was not seen.
        for second in 0..5 {
            let now = 86_400.0 + f64::from(second);
            let decision = scaler.decide(&busy(5, 5, 5.0, now), at(now));
            assert!(decision.replicas >= 3, "{rule:?}: {decision:?}");
            assert!(decision.replicas <= 10 && !decision.sentence().is_empty());
        }
    }
}

#[test]
fn a_pod_that_vanished_with_its_numbers_takes_no_other_with_it() {
    for rule in rules() {
        let mut scaler = Scaler::begin(&ScalerSettings { rule, ..settings() }, 5, at(0.0));
        for second in 1..120 {
            scaler.decide(&busy(5, 5, 5.0, f64::from(second)), at(f64::from(second)));
        }
        // One of five could not be read: what the others say is incomplete.
        for second in 120..180 {
            let now = f64::from(second);
            let seen = Observation { complete: false, ready: 4, ..busy(5, 5, 4.0, now) };
            let reading = seen.metric.reading.map(|reading| Reading { complete: false, ..reading });
            let metric = MetricSeen { reading, gap: None };
            let decision = scaler.decide(&Observation { metric, ..seen }, at(now));
            assert!(decision.replicas >= 5, "{rule:?} at {second} s: {decision:?}");
        }
    }
}

#[test]
fn while_nothing_is_ready_the_last_one_stays() {
    for rule in rules() {
        let mut scaler = Scaler::begin(&ScalerSettings { rule, ..settings() }, 2, at(0.0));
        for second in 1..600 {
            let now = f64::from(second);
            let decision = scaler.decide(&busy(2, 0, 0.0, now), at(now));
            assert!(decision.replicas >= 1, "{rule:?} at {second} s: {decision:?}");
        }
    }
}

#[test]
fn a_target_below_one_request_asks_for_many_and_no_more_than_there_may_be() {
    let tiny = Target::new(0.01, 0.5, None);
    for rule in rules() {
        let rule = match rule {
            RuleSettings::Concurrency(of) => {
                RuleSettings::Concurrency(ConcurrencySettings { target: tiny, ..of })
            }
            RuleSettings::Cortex(of) => RuleSettings::Cortex(CortexSettings { target: tiny, ..of }),
            RuleSettings::Ray(of) => RuleSettings::Ray(RaySettings { target: tiny, ..of }),
            RuleSettings::Metric(of) => {
                RuleSettings::Metric(MetricSettings { target: 0.005, ..of })
            }
            RuleSettings::Slo(of) => RuleSettings::Slo(SloSettings { wait: 0.0, late: 1e-9, ..of }),
        };
        let mut scaler = Scaler::begin(&ScalerSettings { rule, ..settings() }, 1, at(0.0));
        let mut current = 1;
        for second in 1..120 {
            let now = f64::from(second);
            current = scaler.decide(&busy(current, current, 0.9, now), at(now)).replicas;
            assert!((1..=10).contains(&current), "{rule:?} at {second} s: {current}");
        }
        assert!(current > 1, "{rule:?}: {current}");
    }
}
