//! What a tick costs the autoscaler for 1,000 APIs of 10 replicas each, without the network.
//!
//! `decisions` goes from parsed samples to decisions: meters, flows, windows, the rule, bounds.
//! `parsing` reads the 10,000 texts that those samples come in; `scaling/sidecar-metrics.txt` is what
//! a sidecar has said. `snapshots` is what keeping it all for a restart costs, every few seconds.
//!
//! `cargo bench -p tidegate-benches --bench scaling`

use divan::Bencher;
use std::path::Path;
use std::time::Duration;
use tidegate_autoscaler::load::{Meter, total};
use tidegate_autoscaler::policy::decide::Scaler;
use tidegate_autoscaler::policy::observation::Observation;
use tidegate_autoscaler::sample::{self, ReplicaSample};
use tidegate_autoscaler::scaling;
use tidegate_autoscaler::traffic::Flow;

const APIS: usize = 1000;
const REPLICAS: u32 = 10;
const TICK: Duration = Duration::from_secs(1);
/// Long enough for every window to be full.
const WARM_UP: u32 = 300;
const TEXT: &str = include_str!("scaling/sidecar-metrics.txt");
const POLICIES: [&str; 4] = ["concurrency", "cortex", "ray", "slo"];

fn main() {
    divan::main();
}

/// One API with what is remembered of it between ticks.
struct Api {
    scaler: Scaler,
    replicas: Vec<(Meter, ReplicaSample)>,
    known: Duration,
}

/// Many APIs and their time.
struct World {
    apis: Vec<Api>,
    now: Duration,
    ticks: u32,
}

impl World {
    fn new(policy: &str) -> Self {
        let text = format!(
            "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {{name: bench}}\n\
             spec: {{container: {{command: [a]}}, concurrency: {{limit: 8}}, \
             autoscaling: {{maxReplicas: 100, policy: {policy}}}}}\n"
        );
        let document = tidegate_api::parse(&text, "bench", Path::new("/"));
        let settings = scaling(&document.unwrap_or_else(|report| panic!("{report}"))[0]);
        let now = Duration::from_secs(1000);
        let sample = sample::replica(TEXT).unwrap_or_else(|error| panic!("{error}"));
        let api = || Api {
            scaler: Scaler::begin(&settings, REPLICAS, now),
            replicas: (0..REPLICAS).map(|_| (Meter::default(), sample)).collect(),
            known: now,
        };
        let mut world = Self { apis: (0..APIS).map(|_| api()).collect(), now, ticks: 0 };
        for _ in 0..WARM_UP {
            world.tick();
        }
        world
    }

    /// Samples, a little different each tick, to decisions; the replicas asked for in all.
    fn tick(&mut self) -> u64 {
        self.now += TICK;
        self.ticks += 1;
        let mut wanted = 0;
        for (index, api) in self.apis.iter_mut().enumerate() {
            let load = 3.0 + f64::from((self.ticks + index as u32) % 5);
            wanted += u64::from(api.tick(load, self.now));
        }
        wanted
    }
}

impl Api {
    fn tick(&mut self, load: f64, now: Duration) -> u32 {
        let mut parts = Vec::with_capacity(self.replicas.len());
        let mut flow = Flow::default();
        for (meter, last) in &mut self.replicas {
            let sample = ReplicaSample {
                request_seconds: last.request_seconds + load,
                completions: last.completions + load * 2.0,
                service_seconds: last.service_seconds + load,
                in_flight: load as u32,
                ..*last
            };
            parts.push(meter.read(now, sample.request_seconds, sample.in_flight));
            flow.sidecar(Some(last), &sample);
            *last = sample;
        }
        let total = total(&parts, self.known);
        let seen = Observation {
            current: REPLICAS,
            ready: REPLICAS,
            load: total.load,
            complete: total.complete,
            traffic: flow.traffic(self.known, false),
            running: load as u32 * REPLICAS,
            ..Observation::default()
        };
        self.known = now;
        self.scaler.decide(&seen, now).replicas
    }
}

/// From 10,000 parsed samples to 1,000 decisions.
#[divan::bench(args = POLICIES)]
fn decisions(bencher: Bencher<'_, '_>, policy: &str) {
    let mut world = World::new(policy);
    bencher.bench_local(|| world.tick());
}

/// 10,000 texts of a sidecar.
#[divan::bench]
fn parsing(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| {
        let texts = 0..APIS * REPLICAS as usize;
        texts.filter(|_| sample::replica(divan::black_box(TEXT)).is_ok()).count()
    });
}

/// What 1,000 scalers remember.
#[divan::bench(args = POLICIES)]
fn snapshots(bencher: Bencher<'_, '_>, policy: &str) {
    let world = World::new(policy);
    bencher.bench_local(|| {
        world.apis.iter().map(|api| api.scaler.snapshot(world.now).series().len()).sum::<usize>()
    });
}
