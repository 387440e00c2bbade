//! The same bad input through a gateway, which reads bodies for the model that they name.

use super::{assert_is_acceptable, cases, failure, h2, plain_answer, read_to_answer_or_end, steps};
use crate::support::gateway::{Gateway, bare};
use crate::support::http::{connect, get};
use crate::support::recorder::{Upstream, play};

/// Everything is for one API, whether or not it names a model.
const DOCUMENT: &str = "
apiVersion: tidegate.dev/v1alpha1
kind: InferenceApi
metadata: {name: plain}
spec:
  container: {command: [unused]}
  timeouts: {firstByte: 2s, idle: 300ms}
  openai: {models: [m], whenNotFound: serve}
";
const FLAGS: &[&str] = &["--header-timeout", "300ms", "--body-timeout", "300ms"];

fn before(upstream: &Upstream) -> Gateway {
    let gateway = Gateway::run(DOCUMENT, &[FLAGS, h2::TIMEOUTS].concat());
    gateway.write_endpoints(vec![bare("a", upstream.address, 64)]);
    gateway.wait_for_limit(64.0);
    gateway
}

#[test]
fn no_request_is_understood_in_two_ways_on_its_way_to_a_model() {
    let mut failures = Vec::new();
    for case in cases("h1-request") {
        let upstream = Upstream::start(plain_answer());
        let gateway = before(&upstream);
        let mut stream = connect(gateway.data);
        play(&mut stream, &steps(case["raw"].as_str().unwrap()));
        let answer = read_to_answer_or_end(&mut stream);
        failures.extend(failure(&case, &answer, &upstream.seen()));
        assert_eq!(get(gateway.data, "/after").status, 200, "after {}", case["id"]);
        let output = gateway.process.output();
        assert!(!output.contains("panicked"), "{output}");
    }
    assert!(failures.is_empty(), "{} cases:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn no_stream_is_understood_in_two_ways_on_its_way_to_a_model() {
    let mut failures = Vec::new();
    for case in cases("h2-request") {
        let upstream = Upstream::start(plain_answer());
        let gateway = before(&upstream);
        let Gateway { process, data, admin, .. } = &gateway;
        failures.extend(h2::failure(&case, &upstream, (process, *data, *admin)));
    }
    assert!(failures.is_empty(), "{} cases:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn no_answer_of_a_model_s_is_given_to_the_wrong_client() {
    for case in cases("upstream-response") {
        let upstream = Upstream::start(steps(case["raw"].as_str().unwrap()));
        let gateway = before(&upstream);
        for _ in 0..2 {
            assert_is_acceptable(&case, &get(gateway.data, "/"));
        }
        let output = gateway.process.output();
        assert!(!output.contains("panicked"), "{output}");
    }
}
