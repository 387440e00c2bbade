//! `tidegate-autoscaler decide` as a process: lines in, lines out, each at once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// An answer takes milliseconds; on a busy machine it may take longer.
const DEADLINE: Duration = Duration::from_secs(30);

/// A running `decide`. Ends with its input.
struct Decide {
    child: Child,
    input: Option<ChildStdin>,
    answers: Receiver<String>,
    folder: tempfile::TempDir,
}

impl Decide {
    /// One API with `spec.autoscaling` as given and a concurrency limit of ten.
    fn start(autoscaling: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let api = folder.path().join("api.yaml");
        std::fs::write(&api, document("one", autoscaling)).unwrap();
        let mut child =
            command(&api, flags).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, answers) = sync_channel(1000);
        std::thread::spawn(move || {
            for line in output.lines() {
                if sender.send(line.unwrap()).is_err() {
                    break;
                }
            }
        });
        Self { input: child.stdin.take(), child, answers, folder }
    }

    /// The answer to a line, while the input stays open.
    fn ask(&mut self, line: &str) -> Value {
        serde_json::from_str(&self.ask_text(line)).unwrap()
    }

    /// The same, as it is written.
    fn ask_text(&mut self, line: &str) -> String {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
        self.answers.recv_timeout(DEADLINE).unwrap()
    }

    /// Closes the input and waits for the end.
    fn end(mut self) -> Option<i32> {
        self.input = None;
        let code = self.child.wait().unwrap().code();
        drop(self.folder);
        code
    }
}

fn document(name: &str, autoscaling: &str) -> String {
    format!(
        "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {{name: {name}}}\n\
         spec: {{container: {{command: [a]}}, concurrency: {{limit: 10}}, \
         routes: [{{path: /{name}}}], autoscaling: {{maxReplicas: 100, {autoscaling}}}}}\n"
    )
}

fn command(api: &std::path::Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate-autoscaler"));
    command.arg("decide").arg("--api").arg(api).args(flags);
    command
}

const KNATIVE: &str = "concurrency: {utilization: 1, scaleToZeroGrace: 0s}";

#[test]
fn averaged_windows_are_answered_as_knative_does_each_step_explained() {
    let mut decide = Decide::start(KNATIVE, &["--replicas", "1"]);
    let answer = decide.ask(r#"{"at": 61.0, "ready": 1, "stable": 100, "panic": 99}"#);
    let expected = json!({
        "at": 61.0,
        "replicas": 10,
        "raw": 10,
        "reason": "panic",
        "cause": "panic",
        "panicking": true,
        "detail": "a burst has asked for 10 (now 99.00 in flight over 6 s at 10.00 a replica with \
                   1 ready); none go until it has been calm for 60 s",
        "explain": {
            "numbers": {
                "current": 1, "ready": 1, "starting": 0, "running": 0, "held": 0, "target": 10.0,
                "stable": {"average": 100.0, "filled": 1.0, "seconds": 60.0},
                "panic": {"average": 99.0, "filled": 1.0, "seconds": 6.0},
                "burst_most": 10,
            },
            "demand": {"in": 10, "out": 10},
            "rates": {"in": 10, "out": 10},
            "burst": {"in": 10, "out": 10},
            "hold": {"in": 10, "out": 10},
            "certainty": {"in": 10, "out": 10},
            "limits": {"in": 10, "out": 10},
            "idle": {"in": 10, "out": 10},
        },
    });
    assert_eq!(answer, expected);
    // For who reads it: the answer first, and each step in its turn.
    let text = decide.ask_text(r#"{"at": 61.5, "ready": 1, "stable": 100, "panic": 99}"#);
    let turns = [
        r#"{"at":61.5,"replicas":10,"raw":10,"reason":"panic""#,
        r#""explain":{"demand":"#,
        r#""rates":"#,
        r#""burst":"#,
        r#""hold":"#,
        r#""certainty":"#,
        r#""limits":"#,
        r#""idle":"#,
        r#""numbers":"#,
    ];
    let places = turns.map(|turn| text.find(turn));
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{text}");
    // The state is kept: within the burst nothing goes.
    let later = decide.ask(r#"{"at": 70, "ready": 10, "stable": 1, "panic": 1}"#);
    assert_eq!((&later["replicas"], &later["panicking"]), (&json!(10), &json!(true)));
    assert_eq!(decide.end(), Some(0));
}

#[test]
fn a_line_that_is_not_valid_is_named_and_changes_nothing() {
    let lines = [r#"{"at": 1, "in_flight": 40}"#, r#"{"at": 2, "in_flight": 40, "typo": 1}"#];
    let mut plain = Decide::start(KNATIVE, &[]);
    let expected = lines.map(|line| plain.ask(line));
    assert_eq!(expected[1]["ignored"], json!(["typo"]));
    let mut disturbed = Decide::start(KNATIVE, &[]);
    for (line, want) in lines.iter().zip(&expected) {
        let error = disturbed.ask(r#"{"at": 1, "in_flight": -5}"#);
        assert_eq!(error["error"], "`in_flight` is -5; it must be a number from 0 up");
        assert!(error["line"].as_u64().unwrap() > 0);
        for bad in ["", "not json", "{\"at\": NaN}", &"x".repeat(300_000)] {
            assert!(disturbed.ask(bad)["error"].is_string());
        }
        assert_eq!(&disturbed.ask(line), want);
    }
    assert_eq!(disturbed.end(), Some(0));
    assert_eq!(plain.end(), Some(0));
}

#[test]
fn missing_fields_are_unknown_and_scale_nothing_down() {
    for rule in ["concurrency", "cortex", "ray", "slo", "metric, metric: {query: x, target: 1}"] {
        let mut decide = Decide::start(&format!("policy: {rule}"), &[]);
        decide.ask(r#"{"at": 0, "replicas": 5, "ready": 5}"#);
        for at in 1..2000 {
            let answer = decide.ask(&format!("{{\"at\": {at}}}"));
            assert_eq!(answer["replicas"], 5, "{rule}: {answer}");
            assert_eq!(answer["reason"], "no-samples");
        }
        assert_eq!(decide.end(), Some(0));
    }
}

#[test]
fn held_requests_wake_what_they_need() {
    let mut decide = Decide::start("policy: cortex, cortex: {targetInFlight: 10}", &[]);
    let answer =
        decide.ask(r#"{"at": 5, "replicas": 0, "ready": 0, "in_flight": 0, "queued": 35}"#);
    assert_eq!((&answer["replicas"], &answer["reason"]), (&json!(4), &json!("wake")));
    assert_eq!(decide.end(), Some(0));
}

#[test]
fn a_metric_is_a_field_of_a_line() {
    let rule = |source| {
        format!("policy: metric, metric: {{{source}, target: 4, tolerance: 0, scaleDownDelay: 0s}}")
    };
    let mut query = Decide::start(&rule("query: x"), &[]);
    let answer = query.ask(r#"{"at": 1, "replicas": 2, "metric": 12.5}"#);
    assert_eq!((&answer["replicas"], &answer["reason"]), (&json!(4), &json!("metric")));
    assert_eq!(answer["detail"], "the metric is 12.50 at 4.00 a replica: 4");
    assert_eq!(answer["explain"]["numbers"]["metric"], 12.5);
    let answer = query.ask(r#"{"at": 2, "metric": 0, "complete": false}"#);
    assert_eq!((&answer["replicas"], &answer["reason"]), (&json!(4), &json!("incomplete-samples")));
    assert_eq!(query.ask(r#"{"at": 3, "metric": 0}"#)["replicas"], 0);
    assert_eq!(
        query.ask(r#"{"at": 4}"#)["detail"],
        "the metric was not read yet, and nothing runs or waits"
    );
    assert!(query.ask(r#"{"at": 5, "metric": -1}"#)["error"].is_string());
    assert_eq!(query.end(), Some(0));
    let mut average = Decide::start(&rule("podMetric: {name: x}"), &[]);
    let answer = average.ask(r#"{"at": 1, "replicas": 4, "ready": 3, "metric": 8}"#);
    assert_eq!(answer["detail"], "the metric is 8.00 on average over 3 at 4.00 a replica: 6");
    assert_eq!(average.end(), Some(0));
}

#[test]
fn a_schedule_raises_the_floor_once_a_line_says_the_time() {
    let rule = "minReplicas: 1, schedules: [{cron: '0 8 * * *', timeZone: Europe/Berlin, \
                minReplicas: 3, duration: 2h}]";
    let mut decide = Decide::start(rule, &[]);
    let mut ask = |line: &str| {
        let answer = decide.ask(line);
        let text = |key: &str| answer[key].as_str().unwrap_or("").to_owned();
        (answer["replicas"].as_u64(), text("reason"), text("error"))
    };
    let of = |replicas, reason: &str| (Some(replicas), reason.to_owned(), String::new());
    assert_eq!(ask(r#"{"at": 0, "stable": 0}"#), of(1, "min-replicas"));
    let line = r#"{"at": 1, "stable": 0, "time": "2026-07-01T07:59:58+02:00"}"#;
    assert_eq!(ask(line), of(1, "min-replicas"));
    // The time goes on with `at`.
    assert_eq!(ask(r#"{"at": 2, "stable": 0}"#), of(1, "min-replicas"));
    assert_eq!(ask(r#"{"at": 3, "stable": 0}"#), of(3, "schedule"));
    assert_eq!(ask(r#"{"at": 7202, "stable": 0}"#), of(3, "schedule"));
    assert_eq!(ask(r#"{"at": 7203, "stable": 0}"#).0, Some(1));
    let (replicas, _, error) = ask(r#"{"at": 7204, "time": "noon"}"#);
    assert!(replicas.is_none() && error.contains("RFC 3339"), "{error}");
    assert_eq!(decide.end(), Some(0));
}

fn ends(api: &std::path::Path, flags: &[&str]) -> (Option<i32>, String) {
    let output = command(api, flags).stdin(Stdio::null()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_document_that_can_not_be_used_is_said_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (code, error) = ends(&file("bad.yaml", "kind: Pod\n"), &[]);
    assert_eq!(code, Some(65), "{error}");
    let (code, error) = ends(&folder.path().join("none.yaml"), &[]);
    assert_eq!(code, Some(1));
    assert!(error.contains("none.yaml") && error.contains("--api"), "{error}");
    let both = file("two.yaml", &format!("{}---\n{}", document("one", ""), document("two", "")));
    let (code, error) = ends(&both, &[]);
    assert!(code == Some(1) && error.contains("one, two") && error.contains("--name"), "{error}");
    let (code, error) = ends(&both, &["--name", "three"]);
    assert!(code == Some(1) && error.contains("no API named three"), "{error}");
    assert_eq!(ends(&both, &["--name", "two"]).0, Some(0));
}
