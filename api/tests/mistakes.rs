//! Bad documents: each mistake is reported with its line, its path and what must be there.

use crate::MINIMAL;
use std::path::Path;
use tidegate_api::{Report, parse};

fn report(text: &str) -> Report {
    parse(text, "app.yaml", Path::new("/apps")).expect_err(text)
}

/// Line, path and what is said, of each mistake.
fn listed(report: &Report) -> Vec<(usize, &str, &str)> {
    report.mistakes.iter().map(|m| (m.line, m.path.as_str(), m.what.as_str())).collect()
}

const MANY: &str = "\
apiVersion: tidegate.dev/v1
kind: InferenceApi
metadata:
  name: Bad_Name
spec:
  container:
    comand: [serve]
    env: {THREADS: 1, 'A=B': ''}
  concurrency:
    limit: 0
    queue_capacity: 3
    queueTimeout: 30
    queueBytes: 64 apples
  readiness:
    httpGet:
    grpc: {}
    period: 1ms
  routes:
    - path: v1
      path: /v2
    - host: http://example.com
  autoscaling:
    minReplicas: 20
    policy: magic
    concurrency:
      panicWindow: 2m
      target: .nan
      utilisation: 0.5
      maxScaleUpRate: 1
";

/// Line, path and what is said of each mistake in [`MANY`].
const MANY_LISTED: &[(usize, &str, &str)] = &[
    (1, "apiVersion", "is \"tidegate.dev/v1\""),
    (4, "metadata.name", "is \"Bad_Name\""),
    (6, "spec.container.command", "is missing"),
    (7, "spec.container.comand", "is not a known key (did you mean `command`?)"),
    (8, "spec.container.env.THREADS", "is 1"),
    (8, "spec.container.env.A=B", "is \"A=B\""),
    (10, "spec.concurrency.limit", "is 0"),
    (11, "spec.concurrency.queue_capacity", "is not a known key (did you mean `queueCapacity`?)"),
    (12, "spec.concurrency.queueTimeout", "is 30"),
    (13, "spec.concurrency.queueBytes", "is \"64 apples\""),
    (15, "spec.readiness.httpGet.path", "is missing"),
    (16, "spec.readiness.grpc", "is one of 2 probes: `httpGet`, `grpc`"),
    (17, "spec.readiness.period", "is 1ms"),
    (20, "spec.routes[0].path", "is given again, first in line 19"),
    (21, "spec.routes[1].host", "is \"http://example.com\""),
    (23, "spec.autoscaling.minReplicas", "is 20"),
    (24, "spec.autoscaling.policy", "is \"magic\""),
    (26, "spec.autoscaling.concurrency.panicWindow", "is 2m"),
    (27, "spec.autoscaling.concurrency.target", "is NaN"),
    (
        28,
        "spec.autoscaling.concurrency.utilisation",
        "is not a known key (did you mean `utilization`?)",
    ),
    (29, "spec.autoscaling.concurrency.maxScaleUpRate", "is 1"),
];

#[test]
fn all_mistakes_of_a_file_are_in_one_report_each_with_its_line() {
    let report = report(MANY);
    assert_eq!(listed(&report), MANY_LISTED);
    let text = report.to_string();
    for line in [
        "app.yaml:10:12: spec.concurrency.limit: is 0; must be an integer from 1 to 100000\n",
        "app.yaml:24:13: spec.autoscaling.policy: is \"magic\"; must be one of \"concurrency\", \
         \"cortex\", \"ray\", \"slo\", \"metric\"\n",
        "app.yaml:8:20: spec.container.env.THREADS: is 1; must be text: put it in quotes\n",
        "app.yaml:26:20: spec.autoscaling.concurrency.panicWindow: is 2m; must be at most \
         `spec.autoscaling.concurrency.stableWindow`, which is 1m\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(text.ends_with("\n21 mistakes"), "{text}");
}

/// A mistake in one key of `spec`, and what is to be said of it: path, what, must.
const SINGLE: &[(&str, &str, &str, &str)] = &[
    (
        "autoscaling: {cortex: {maxUpscaleFactor: 1}}",
        "spec.autoscaling.cortex.maxUpscaleFactor",
        "is 1",
        "a number above 1 and at most 1000000",
    ),
    (
        "autoscaling: {policy: slo, slo: {percentile: 1}}",
        "spec.autoscaling.slo.percentile",
        "is 1",
        "a number from 0.5 to 0.9999",
    ),
    (
        "autoscaling: {policy: slo, slo: {queueWait: 0s}}",
        "spec.autoscaling.slo.queueWait",
        "is 0s",
        "from 1ms to 1h",
    ),
    (
        "autoscaling: {ray: {lookBackPeriod: 2h}}",
        "spec.autoscaling.ray.lookBackPeriod",
        "is 2h",
        "from 1s to 1h",
    ),
    (
        "concurrency: {limit: many}",
        "spec.concurrency.limit",
        "is \"many\"",
        "an integer from 1 to 100000",
    ),
    (
        "concurrency: {limit: 1.5}",
        "spec.concurrency.limit",
        "is 1.5",
        "an integer from 1 to 100000",
    ),
    ("concurrency: {limit: -1}", "spec.concurrency.limit", "is -1", "an integer from 1 to 100000"),
    ("concurrency: {limit: }", "spec.concurrency.limit", "is empty", "an integer from 1 to 100000"),
    (
        "concurrency: {limit: 99999999999999999999}",
        "spec.concurrency.limit",
        "is 100000000000000000000",
        "an integer from 1 to 100000",
    ),
    (
        "concurrency: [1]",
        "spec.concurrency",
        "is a list",
        "a mapping with keys of `limit`, `queueBytes`, `queueCapacity`, `queueTimeout`",
    ),
    (
        "concurrency: {limit: {a: b}}",
        "spec.concurrency.limit",
        "is a mapping of keys and values",
        "an integer from 1 to 100000",
    ),
    (
        "concurrency: {queueTimeout: 0s}",
        "spec.concurrency.queueTimeout",
        "is 0s",
        "from 1ms to 30d",
    ),
    ("timeouts: {coldStart: 0s}", "spec.timeouts.coldStart", "is 0s", "from 1ms to 30d"),
    (
        "timeouts: {idle: 31d}",
        "spec.timeouts.idle",
        "is \"31d\"",
        "a duration such as \"30s\", \"1m30s\" or \"250ms\", at most \"30d\"",
    ),
    ("port: 65536", "spec.port", "is 65536", "an integer from 1 to 65535"),
    ("port: 0", "spec.port", "is 0", "an integer from 1 to 65535"),
    (
        "routes: {path: /}",
        "spec.routes",
        "is a mapping of keys and values",
        "a list, each of its elements a mapping with keys of `exactPath`, `grpc`, `headers`, `host`, `path`, `stripPrefix`",
    ),
    (
        "routes: [/]",
        "spec.routes[0]",
        "is \"/\"",
        "a mapping with keys of `exactPath`, `grpc`, `headers`, `host`, `path`, `stripPrefix`",
    ),
    (
        "routes: [{path: a}]",
        "spec.routes[0].path",
        "is \"a\"",
        "a path that begins with `/`, without query, fragment, spaces, `//` or dot segments",
    ),
    ("routes: [{stripPrefix: yes}]", "spec.routes[0].stripPrefix", "is \"yes\"", "true or false"),
    (
        "routes: [{path: /a}, {path: /a/}]",
        "spec.routes[1]",
        "is the route /a of every host, as that of \"example\" in line 5",
        "a route of its own (another host, path or header), or `routes: []` for a version that \
         `traffic` of another API leads to",
    ),
    (
        "readiness: {httpGet: {path: healthz}}",
        "spec.readiness.httpGet.path",
        "is \"healthz\"",
        "a path that begins with `/`, without fragment or spaces",
    ),
    (
        "readiness: {exec: {command: []}}",
        "spec.readiness.exec.command",
        "is empty",
        "a list of the program and its arguments",
    ),
    (
        "readiness: {tcpSocket: {port: 1}}",
        "spec.readiness.tcpSocket.port",
        "is not a known key",
        "left out: there are no keys here",
    ),
    (
        "autoscaling: {maxReplicas: 0}",
        "spec.autoscaling.maxReplicas",
        "is 0",
        "an integer from 1 to 10000",
    ),
    (
        "autoscaling: {minReplicas: 3, maxReplicas: 2}",
        "spec.autoscaling.minReplicas",
        "is 3",
        "at most `spec.autoscaling.maxReplicas`, which is 2",
    ),
    (
        "autoscaling: {maxReplicas: x, minReplicas: 20}",
        "spec.autoscaling.maxReplicas",
        "is \"x\"",
        "an integer from 1 to 10000",
    ),
    (
        "autoscaling: {concurrency: {activationReplicas: 11}}",
        "spec.autoscaling.concurrency.activationReplicas",
        "is 11",
        "at most `spec.autoscaling.maxReplicas`, which is 10",
    ),
    (
        "autoscaling: {concurrency: {utilization: 1.1}}",
        "spec.autoscaling.concurrency.utilization",
        "is 1.1",
        "a number above 0 and at most 1",
    ),
    (
        "autoscaling: {concurrency: {target: .inf}}",
        "spec.autoscaling.concurrency.target",
        "is inf",
        "a number above 0 and at most 1000000",
    ),
    (
        "autoscaling: {concurrency: {panicWindow: 500ms}}",
        "spec.autoscaling.concurrency.panicWindow",
        "is 500ms",
        "from 1s to 1h",
    ),
    (
        "autoscaling: {concurrency: {stableWindow: 2h}}",
        "spec.autoscaling.concurrency.stableWindow",
        "is 2h",
        "from 1s to 1h",
    ),
    (
        "autoscaling: !!int x",
        "spec.autoscaling",
        "is \"x\" with the tag tag:yaml.org,2002:!int",
        "a value without a tag, or one that its tag fits",
    ),
    (
        "<<: {}",
        "spec",
        "has a merge key `<<`, which YAML 1.2 does not know",
        "written out key by key",
    ),
    (
        "image: x",
        "spec.image",
        "is not a known key",
        "one of `access`, `autoscaling`, `balancing`, `coldStart`, `concurrency`, `container`, `endpoints`, \
         `openai`, `paused`, `port`, `readiness`, `rollingUpdate`, `rollout`, `routes`, `sidecar`, \
         `target`, `template`, `timeouts`, `traffic`",
    ),
];

#[test]
fn one_mistake_gives_one_line() {
    let block =
        MINIMAL.replace("spec: {container:", "spec:\n  KEY\n  container:").replace("}}\n", "}\n");
    assert_eq!(block.lines().nth(4), Some("  KEY"));
    for (key, path, what, must) in SINGLE {
        let report = report(&block.replace("KEY", key));
        let [mistake] = report.mistakes.as_slice() else { panic!("{key}:\n{report}") };
        let found = (mistake.path.as_str(), mistake.what.as_str(), mistake.must.as_str());
        assert_eq!((mistake.line, found), (5, (*path, *what, *must)), "{key}");
    }
}

#[test]
fn what_must_be_given_is_missed() {
    let cases = [
        ("{}", vec!["apiVersion", "kind", "metadata", "spec"]),
        ("metadata: {}", vec!["apiVersion", "kind", "spec", "metadata.name"]),
        (
            "spec:\n  container:\n    python: {}",
            vec![
                "apiVersion",
                "kind",
                "metadata",
                "spec.container.command",
                "spec.container.python.requirements",
            ],
        ),
    ];
    for (text, paths) in cases {
        let report = report(text);
        let mut found: Vec<_> = report.mistakes.iter().map(|m| m.path.as_str()).collect();
        assert!(report.mistakes.iter().all(|mistake| mistake.what == "is missing"), "{report}");
        found.sort_unstable();
        let mut paths = paths;
        paths.sort_unstable();
        assert_eq!(found, paths, "{text}");
    }
}

#[test]
fn a_file_that_is_no_document_is_one_clear_mistake() {
    let deep = "[".repeat(200);
    let deep_block = (0..100).map(|depth| " ".repeat(depth) + "a:\n").collect::<String>();
    let large = format!("# {}\n{MINIMAL}", "x".repeat(1024 * 1024));
    let long_key = format!("? {}\n: 1\n", "k".repeat(300));
    let cases: &[(&str, usize, &str)] = &[
        ("", 1, "has no document in it"),
        ("# nothing\n---\n", 1, "has no document in it"),
        ("hello", 1, "is \"hello\""),
        ("- a\n- b\n", 1, "is a list"),
        ("a: [1\nb: 2\n", 2, "is not valid YAML"),
        ("a: 'b\n", 1, "is not valid YAML"),
        ("a:\n\tb: 1\n", 2, "is not valid YAML"),
        ("a: *nowhere\n", 1, "is not valid YAML"),
        ("a: &a [*a]\n", 1, "is an alias of something that it is part of"),
        ("? [a]\n: b\n", 1, "has a list, a mapping or an alias as a key"),
        (&deep, 1, "is nested more than 32 deep"),
        (&deep_block, 33, "is nested more than 32 deep"),
        (&large, 1, "is 1048"),
        (&long_key, 1, "has the key \"kkk"),
    ];
    for (text, line, what) in cases {
        let report = report(text);
        let [mistake] = report.mistakes.as_slice() else { panic!("{text:.80}:\n{report}") };
        assert_eq!(mistake.line, *line, "{text:.80}: {report}");
        assert!(mistake.what.starts_with(what), "{text:.80}: {report}");
    }
}

#[test]
fn aliases_are_followed_but_not_without_bound() {
    let text = MINIMAL.replace("spec: {", "spec: {timeouts: {idle: &t 7s, total: *t}, ");
    let apis = parse(&text, "app.yaml", Path::new("/apps")).unwrap();
    assert_eq!(apis[0].timeouts.idle, apis[0].timeouts.total);

    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        laughs += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    let report = report(&laughs);
    let mistake = &report.mistakes[0];
    assert!(mistake.what.starts_with("has more than 100000 values"), "{report}");
}

#[test]
fn mistakes_before_broken_yaml_are_reported_with_it() {
    let text = MINIMAL.replace("name: example", "name: Example") + "---\na: [\n";
    let report = report(&text);
    assert_eq!(listed(&report)[0], (3, "metadata.name", "is \"Example\""));
    assert!(report.mistakes[1].what.starts_with("is not valid YAML"), "{report}");
}

#[test]
fn two_apis_may_not_share_a_name_or_a_route() {
    let text = format!("{MINIMAL}---\n{MINIMAL}");
    let report = report(&text);
    let expected = [
        (8, "metadata.name", "is \"example\", as in line 3"),
        (9, "spec.routes", "is the route / of every host, as that of \"example\" in line 4"),
    ];
    assert_eq!(listed(&report), expected);
}
