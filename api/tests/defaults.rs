//! The shortest document, the full example and the defaults say the same.

use crate::{FULL, MINIMAL};
use serde_json::Value;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidegate_api::document::{
    Access, Autoscaling, Balancing, ColdStart, Concurrency, ConcurrencyPolicy, Container,
    CortexPolicy, Policy, Probe, RayPolicy, Readiness, RollingUpdate, Route, Sidecar, SloPolicy,
    Timeouts,
};
use tidegate_api::{InferenceApi, json_schema, parse};

fn one(text: &str) -> InferenceApi {
    let mut apis = parse(text, "app.yaml", Path::new("/apps")).expect("a good document");
    assert_eq!(apis.len(), 1);
    apis.remove(0)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_shortest_document_has_the_documented_defaults() {
    let expected = InferenceApi {
        name: "example".to_owned(),
        container: Container {
            command: ["python", "app.py", "--port", "{port}"].map(str::to_owned).to_vec(),
            env: BTreeMap::new(),
            working_dir: PathBuf::from("/apps"),
            python: None,
        },
        target: None,
        template: None,
        endpoints: None,
        paused: false,
        port: None,
        concurrency: Concurrency {
            limit: NonZeroU32::new(1).unwrap(),
            queue_capacity: 100,
            queue_bytes: 64 << 20,
            queue_timeout: seconds(30),
        },
        timeouts: Timeouts {
            first_byte: Some(seconds(300)),
            idle: Some(seconds(300)),
            total: None,
            cold_start: seconds(120),
        },
        readiness: Readiness {
            probe: Probe::TcpSocket,
            period: seconds(1),
            timeout: seconds(1),
            failure_threshold: NonZeroU32::new(3).unwrap(),
            start_timeout: seconds(120),
        },
        routes: vec![Route {
            host: None,
            path: "/".to_owned(),
            exact: false,
            headers: BTreeMap::new(),
            strip_prefix: false,
        }],
        traffic: None,
        rollout: None,
        openai: None,
        access: Access::default(),
        balancing: Balancing::default(),
        cold_start: ColdStart::default(),
        sidecar: Sidecar::default(),
        rolling_update: RollingUpdate::default(),
        autoscaling: Autoscaling {
            min_replicas: 0,
            max_replicas: 10,
            policy: Policy::Concurrency(ConcurrencyPolicy {
                target: 1.0,
                utilization: 0.7,
                stable_window: seconds(60),
                panic_window: seconds(6),
                panic_threshold: 2.0,
                max_scale_up_rate: 1000.0,
                max_scale_down_rate: 2.0,
                scale_down_delay: Duration::ZERO,
                activation_replicas: 0,
                scale_to_zero_grace: seconds(30),
                last_replica_retention: Duration::ZERO,
            }),
            schedules: Vec::new(),
        },
    };
    assert_eq!(one(MINIMAL), expected);
}

#[test]
fn the_full_example_is_the_shortest_document_written_out() {
    assert_eq!(one(FULL), one(MINIMAL));
}

#[test]
fn the_full_example_has_every_key_of_the_schema() {
    let text = FULL.replace("#: ", "   ");
    let mut paths = Vec::new();
    schema_keys(&json_schema(), "", &mut paths);
    assert!(paths.len() > 45, "the schema has lost keys: {paths:?}");
    let keys: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim_start_matches(['-', ' ']).split_once(':'))
        .map(|(key, _)| key)
        .collect();
    for path in paths {
        let key = path.rsplit('.').next().unwrap();
        assert!(keys.contains(&key), "examples/full.yaml doesn't show `{path}`");
    }
}

fn schema_keys(schema: &Value, path: &str, keys: &mut Vec<String>) {
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        schema_keys(value, &path, keys);
        schema_keys(&value["items"], &path, keys);
        keys.push(path);
    }
}

/// Takes the `#: ` off, so that what stood behind it counts.
fn with_alternatives() -> String {
    FULL.lines().map(|line| line.replacen("#: ", "", 1) + "\n").collect()
}

#[test]
fn the_commented_alternatives_are_valid_but_for_each_other() {
    let text = without_traffic(&with_alternatives());
    let report = parse(&text, "full.yaml", Path::new("/apps")).unwrap_err();
    let [endpoints, probes, keys, metrics] = report.mistakes.as_slice() else { panic!("{report}") };
    assert_eq!(endpoints.path, "spec.endpoints");
    assert_eq!(endpoints.what, "has both of `addresses` and `dns`");
    assert_eq!(probes.path, "spec.readiness.tcpSocket");
    assert_eq!(probes.what, "is one of 4 probes: `httpGet`, `tcpSocket`, `grpc`, `exec`");
    assert_eq!(keys.path, "spec.balancing.hash");
    assert_eq!(keys.what, "has 3 of the three keys");
    assert_eq!(metrics.path, "spec.autoscaling.metric.podMetric");
    assert_eq!(metrics.what, "is given beside `query`");
}

#[test]
fn every_value_of_a_document_arrives() {
    let text = without_traffic(&with_alternatives()).replace("tcpSocket: {}\n", "\n");
    let text: String = text
        .lines()
        .filter(|line| {
            ![" query: ", " cookie: ", " promptPrefix: ", " addresses: "]
                .iter()
                .any(|key| line.contains(key))
        })
        .fold(String::new(), |text, line| text + line + "\n");
    for (probe, expected) in [
        ("httpGet", Probe::HttpGet { path: "/healthz".to_owned() }),
        ("grpc", Probe::Grpc { service: String::new() }),
        ("exec", Probe::Exec { command: vec!["python".to_owned(), "ready.py".to_owned()] }),
    ] {
        let api = one(&without_probes_but(&text, probe));
        assert_eq!(api.readiness.probe, expected);
        assert_eq!(api.port.unwrap().get(), 8000);
        assert_eq!(api.routes[0].host.as_deref(), Some("models.example.com"));
        let python = api.container.python.unwrap();
        assert_eq!(python.requirements, Path::new("/apps/requirements.lock"));
    }
}

#[test]
fn the_split_of_the_full_example_is_valid_but_for_its_alternative() {
    let text = with_alternatives();
    let (_, rest) = text.split_once("  traffic:\n").unwrap();
    let (split, _) = rest.split_once("  openai:\n").unwrap();
    let head = MINIMAL.split_once("spec:").unwrap().0;
    let text = format!("{head}spec:\n  traffic:\n{split}");
    let report = parse(&text, "full.yaml", Path::new("/apps")).unwrap_err();
    let [sticky] = report.mistakes.as_slice() else { panic!("{report}") };
    assert_eq!(sticky.what, "has 2 of the two keys");
    let api = one(&text.replace("      cookie: session\n", ""));
    let (traffic, rollout) = (api.traffic.unwrap(), api.rollout.unwrap());
    let weights: Vec<_> = traffic.versions.iter().map(|version| version.weight).collect();
    assert_eq!((weights, traffic.shadow.unwrap().share), (vec![90, 10], 1.0));
    let written = head.to_owned()
        + "spec: {traffic: {versions: [{api: example-v1, weight: 0}, \
        {api: example-v2, weight: 100}]}, rollout: {to: example-v2, steps: [{weight: 10, pause: 60s}]}}";
    assert_eq!(one(&written).rollout.unwrap().condition, rollout.condition);
}

/// A split has nothing that is started, and what exists is not made of a template.
fn without_traffic(text: &str) -> String {
    let without = |text: &str, first: &str, next: &str| {
        let (before, rest) = text.split_once(first).expect("it is there");
        let (_, after) = rest.split_once(next).expect("it comes after");
        format!("{before}{next}{after}")
    };
    let text = without(text, "  traffic:\n", "  openai:\n");
    without(&text, "  template:\n", "  # Where replicas are")
}

fn without_probes_but(text: &str, kept: &str) -> String {
    let mut lines = Vec::new();
    let mut skip_next = false;
    for line in text.lines() {
        let key = line.trim_start().split(':').next().expect("at least one part");
        let is_other = ["httpGet", "grpc", "exec"].contains(&key) && key != kept;
        if !is_other && !skip_next {
            lines.push(line);
        }
        skip_next = is_other;
    }
    lines.join("\n")
}

#[test]
fn values_that_differ_from_the_defaults_arrive() {
    let api = one("
apiVersion: tidegate.dev/v1alpha1
kind: InferenceApi
metadata: {name: other}
spec:
  container: {command: [serve], env: {PORT: '{port}'}, workingDir: models/a}
  concurrency: {limit: 4, queueCapacity: 0, queueBytes: 512k, queueTimeout: 250ms}
  timeouts: {firstByte: 0s, idle: 0s, total: 1m30s, coldStart: 5m}
  readiness: {period: 2s, timeout: 500ms, failureThreshold: 1, startTimeout: 10s}
  routes: [{host: Models.Example.com, path: /v1/, stripPrefix: true}, {host: '*.example.org'}]
  autoscaling:
    minReplicas: 2
    maxReplicas: 3
    concurrency:
      utilization: 1
      stableWindow: 10s
      panicWindow: 10s
      panicThreshold: 1.5
      maxScaleUpRate: 10
      maxScaleDownRate: 3
      scaleDownDelay: 1m
      activationReplicas: 3
      scaleToZeroGrace: 0s
      lastReplicaRetention: 5m
");
    assert_eq!(api.container.env["PORT"], "{port}");
    assert_eq!(api.container.working_dir, Path::new("/apps/models/a"));
    let concurrency = &api.concurrency;
    assert_eq!((concurrency.limit.get(), concurrency.queue_capacity), (4, 0));
    assert_eq!(concurrency.queue_bytes, 512_000);
    assert_eq!(concurrency.queue_timeout, Duration::from_millis(250));
    let timeouts = &api.timeouts;
    assert_eq!((timeouts.first_byte, timeouts.idle), (None, None));
    assert_eq!((timeouts.total, timeouts.cold_start), (Some(seconds(90)), seconds(300)));
    let readiness = &api.readiness;
    assert_eq!((readiness.period, readiness.start_timeout), (seconds(2), seconds(10)));
    assert_eq!(readiness.timeout, Duration::from_millis(500));
    assert_eq!(readiness.failure_threshold.get(), 1);
    let route = |host: &str, path: &str, strip_prefix| Route {
        host: Some(host.to_owned()),
        path: path.to_owned(),
        exact: false,
        headers: BTreeMap::new(),
        strip_prefix,
    };
    let routes = [route("models.example.com", "/v1", true), route("*.example.org", "/", false)];
    assert_eq!(api.routes, routes);
    assert_eq!((api.autoscaling.min_replicas, api.autoscaling.max_replicas), (2, 3));
    let Policy::Concurrency(policy) = api.autoscaling.policy else { panic!("another rule") };
    let expected = ConcurrencyPolicy {
        target: 4.0,
        utilization: 1.0,
        stable_window: seconds(10),
        panic_window: seconds(10),
        panic_threshold: 1.5,
        max_scale_up_rate: 10.0,
        max_scale_down_rate: 3.0,
        scale_down_delay: seconds(60),
        activation_replicas: 3,
        scale_to_zero_grace: Duration::ZERO,
        last_replica_retention: seconds(300),
    };
    assert_eq!(policy, expected);
}

#[test]
fn the_settings_of_each_rule_arrive_and_their_defaults_are_those_of_its_system() {
    let spec = "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {name: x}\n\
                spec: {container: {command: [a]}, concurrency: {limit: 3}, autoscaling: ";
    let policy = |autoscaling: &str| one(&format!("{spec}{autoscaling}}}")).autoscaling.policy;
    let cortex = CortexPolicy {
        target_in_flight: 3.0,
        window: seconds(60),
        upscale_stabilization_period: seconds(60),
        downscale_stabilization_period: seconds(300),
        max_upscale_factor: 1.5,
        max_downscale_factor: 0.75,
        upscale_tolerance: 0.05,
        downscale_tolerance: 0.05,
    };
    assert_eq!(policy("{policy: cortex}"), Policy::Cortex(cortex.clone()));
    let other = "{policy: cortex, cortex: {targetInFlight: 0.5, window: 20s, \
                 upscaleStabilizationPeriod: 0s, downscaleStabilizationPeriod: 10s, \
                 maxUpscaleFactor: 2, maxDownscaleFactor: 0, upscaleTolerance: 0, \
                 downscaleTolerance: 0.5}}";
    let expected = CortexPolicy {
        target_in_flight: 0.5,
        window: seconds(20),
        upscale_stabilization_period: Duration::ZERO,
        downscale_stabilization_period: seconds(10),
        max_upscale_factor: 2.0,
        max_downscale_factor: 0.0,
        upscale_tolerance: 0.0,
        downscale_tolerance: 0.5,
    };
    assert_eq!(policy(other), Policy::Cortex(expected));
    let ray = RayPolicy {
        target_ongoing_requests: 2.0,
        upscale_delay: seconds(30),
        downscale_delay: seconds(600),
        downscale_to_zero_delay: seconds(600),
        upscaling_factor: 1.0,
        downscaling_factor: 1.0,
        look_back_period: seconds(30),
    };
    assert_eq!(policy("{policy: ray}"), Policy::Ray(ray));
    let other = "{policy: ray, ray: {targetOngoingRequests: 5, upscaleDelay: 1s, \
                 downscaleDelay: 2s, downscaleToZeroDelay: 3s, upscalingFactor: 0.5, \
                 downscalingFactor: 0.25, lookBackPeriod: 4s}}";
    let expected = RayPolicy {
        target_ongoing_requests: 5.0,
        upscale_delay: seconds(1),
        downscale_delay: seconds(2),
        downscale_to_zero_delay: seconds(3),
        upscaling_factor: 0.5,
        downscaling_factor: 0.25,
        look_back_period: seconds(4),
    };
    assert_eq!(policy(other), Policy::Ray(expected));
    let slo = |wait, percentile, cold_start| {
        let queue_wait = Duration::from_millis(wait);
        Policy::Slo(SloPolicy { queue_wait, percentile, cold_start: seconds(cold_start) })
    };
    assert_eq!(policy("{policy: slo}"), slo(200, 0.99, 10));
    let other = "{policy: slo, slo: {queueWait: 1s, percentile: 0.9, coldStart: 2m}}";
    assert_eq!(policy(other), slo(1000, 0.9, 120));
}

#[test]
fn relative_paths_are_seen_from_the_documents_folder_and_become_absolute() {
    let here = std::env::current_dir().unwrap();
    for (base, expected) in
        [("/apps", PathBuf::from("/apps")), ("", here.clone()), ("sub", here.join("sub"))]
    {
        let apis = parse(MINIMAL, "app.yaml", Path::new(base)).unwrap();
        assert_eq!(apis[0].container.working_dir, expected, "{base:?}");
    }
}

#[test]
fn a_file_may_hold_several_documents_and_empty_ones_do_not_count() {
    let other = MINIMAL
        .replace("name: example", "name: other")
        .replace("spec: {", "spec: {routes: [{path: /other}], ");
    let text = format!("# both\n---\n{MINIMAL}---\n---\n# nothing\n---\n{other}---\n");
    let apis = parse(&text, "app.yaml", Path::new("/apps")).unwrap();
    let names: Vec<_> = apis.iter().map(|api| api.name.as_str()).collect();
    assert_eq!(names, ["example", "other"]);
}

#[test]
fn the_schema_in_deploy_is_the_one_of_this_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/inferenceapi.schema.json");
    let committed = std::fs::read_to_string(&path).expect("the schema is there");
    let made = format!("{:#}\n", json_schema());
    let how = "cargo run -p tidegate-api --example schema > deploy/inferenceapi.schema.json";
    assert_eq!(committed, made, "out of date: run `{how}`");
}
