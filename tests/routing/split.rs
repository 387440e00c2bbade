//! An API whose requests go to versions: by weights, by client, by a tester's word.

use super::{Routed, documents};
use crate::support::gateway::bare;
use crate::support::http::{Answer, Http, get, read_answer};
use crate::support::process::Process;
use crate::support::sidecar::plain_model;
use crate::support::{PATIENCE, binary, eventually, free_address, now};
use serde_json::{Value, json};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use tempfile::TempDir;
use tidegate_api::endpoints::EndpointsFile;

const VERSIONS: [(&str, &str); 2] = [("v1", "  routes: []"), ("v2", "  routes: []")];

/// The API `s`, split in two, with these lines more.
fn split(weights: [u32; 2], spec: &str) -> String {
    let [first, second] = weights;
    format!(
        "---\napiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {{name: s}}\nspec:\n\
         {spec}\n  traffic:\n    versions: [{{api: v1, weight: {first}}}, {{api: v2, weight: {second}}}]\n"
    )
}

fn start(weights: [u32; 2], spec: &str) -> Routed {
    Routed::serve(&(documents(&VERSIONS) + &split(weights, spec)), &["v1", "v2"], &[])
}

/// Says other weights than the document's, and waits until they are in force.
fn tell(routed: &Routed, file: &EndpointsFile, second: u32) {
    let weights = [("v1".to_owned(), 100 - second), ("v2".to_owned(), second)];
    let mut file = file.clone();
    file.weights = [("s".to_owned(), weights.into())].into();
    routed.gateway.write_endpoints_file(&file);
    wait_for_weight(routed, f64::from(second));
}

fn wait_for_weight(routed: &Routed, second: f64) {
    eventually("the weight is in force", || {
        routed.gateway.metric("tidegate_traffic_weight", r#"api="s",version="v2""#) == second
    });
}

/// The endpoints file as it stands.
fn endpoints(routed: &Routed) -> EndpointsFile {
    serde_json::from_slice(&std::fs::read(&routed.gateway.endpoints_file).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_shared_by_the_weights_in_force_and_counted_by_version() {
    let routed = start([90, 10], "  routes: [{path: /s, stripPrefix: true}]");
    let gateway = &routed.gateway;
    wait_for_weight(&routed, 10.0);
    let http = Http::new();
    let count = async |requests: u32| {
        let mut second = 0;
        for _ in 0..requests {
            let answer = http.get(gateway.data, "/s/x").await;
            assert_eq!(answer.status, 200);
            second += u32::from(answer.header("x-tidegate-version") == "v2");
        }
        f64::from(second)
    };
    // Six standard deviations around the mean.
    let bounds = |requests: u32, share: f64| {
        let (mean, spread) =
            (f64::from(requests) * share, f64::from(requests) * share * (1.0 - share));
        mean - 6.0 * spread.sqrt()..mean + 6.0 * spread.sqrt()
    };
    let second = count(2000).await;
    assert!(bounds(2000, 0.1).contains(&second), "{second} of 2000 at a weight of 10");
    eventually("the books agree", || {
        gateway.metric("tidegate_requests_total", r#"api="v2",code="200""#) == second
            && gateway.metric("tidegate_requests_total", r#"api="v1",code="200""#)
                == 2000.0 - second
    });
    let file = endpoints(&routed);
    tell(&routed, &file, 60);
    let second = count(1000).await;
    assert!(bounds(1000, 0.6).contains(&second), "{second} of 1000 at a weight of 60");
    tell(&routed, &file, 0);
    assert_eq!(count(100).await, 0.0);
    // What says nothing leaves the word to the document.
    routed.gateway.write_endpoints_file(&file);
    wait_for_weight(&routed, 10.0);
    assert_eq!(get(gateway.data, "/v1").status, 404, "a version has no route of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_stays_with_its_version_and_moves_once_while_the_weight_rises() {
    for (sticky, header) in [("header: x-user", "x-user"), ("cookie: user", "cookie")] {
        let routed = start([100, 0], "  routes: [{path: /}]");
        let text = documents(&VERSIONS)
            + &split([100, 0], "")
            + &format!("    sticky: {{{sticky}}}\n    override: {{header: x-version}}\n");
        routed.gateway.write_documents(&text);
        routed.gateway.process.wait_for_line("serving what the documents say");
        let file = endpoints(&routed);
        let http = Http::new();
        let data = routed.gateway.data;
        let version = async |user: u32| {
            let said =
                if header == "cookie" { format!("a=1; user={user}") } else { user.to_string() };
            let answer = http.get_with(data, "/x", &[(header, &said)]).await;
            answer.header("x-tidegate-version").to_owned()
        };
        let mut paths = vec![Vec::new(); 60];
        for weight in [0, 20, 50, 90, 100] {
            tell(&routed, &file, weight);
            for (user, path) in (0..).zip(&mut paths) {
                let first = version(user).await;
                assert_eq!(version(user).await, first, "user {user} at {weight}");
                path.push(first);
            }
        }
        for path in &mut paths {
            assert_eq!((path.first().unwrap(), path.last().unwrap()), (&"v1".into(), &"v2".into()));
            path.dedup();
            assert_eq!(path.len(), 2, "{path:?}");
        }
        tell(&routed, &file, 0);
        // A tester reaches what nobody gets; who is no version is nobody's.
        for (said, seen) in [("v2", "v2"), ("v1", "v1"), ("s", "v1"), ("none", "v1")] {
            let answer = http.get_with(data, "/x", &[("x-version", said)]).await;
            assert_eq!((answer.status, answer.header("x-tidegate-version")), (200, seen), "{said}");
        }
    }
}

#[test]
fn a_model_may_be_split_and_is_listed_once() {
    let spec = "  routes: [{path: /v1}]\n  openai: {models: [m-1, m]}";
    let routed = start([50, 50], spec);
    let ask = |body: &str| routed.ask("POST /v1/completions HTTP/1.1\r\nhost: x", body);
    let mut seen = std::collections::BTreeSet::new();
    eventually("both versions were asked", || {
        let answer = ask(r#"{"model":"m"}"#);
        assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"model":"m"}"#));
        seen.insert(answer.header("x-tidegate-version").to_owned());
        seen.len() == 2
    });
    assert_eq!(ask(r#"{"model":"other"}"#).reason(), "unknown-model");
    let list = routed.ask("GET /v1/models HTTP/1.1\r\nhost: x", "");
    let list: Value = serde_json::from_slice(&list.body).unwrap();
    let own = json!([{"id": "m-1", "object": "model", "created": 0, "owned_by": "s"}]);
    assert_eq!(list["data"], own);
}

#[test]
fn a_split_that_leads_nowhere_is_refused_and_what_was_goes_on() {
    let routed = start([90, 10], "");
    let ok = || get(routed.gateway.data, "/x").status == 200;
    assert!(ok());
    let alone = documents(&VERSIONS[..1]) + &split([90, 10], "");
    routed.gateway.write_documents(&alone);
    let said = routed.gateway.process.wait_for_line("can't use the documents");
    assert!(said.contains("is \"v2\", and no document has that name"), "{said}");
    assert!(ok());

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("api.yaml");
    std::fs::write(&file, &alone).unwrap();
    let mut command = Command::new(binary("tidegate-proxy"));
    command.args(["gateway", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.arg("--config").arg(&file).arg("--endpoints").arg(folder.path().join("e.json"));
    let mut process = Process::start(&mut command);
    assert_eq!(process.wait().code(), Some(65), "{}", process.errors());
    let errors = process.errors();
    assert!(errors.contains("api.yaml:15:") && errors.contains("versions[1].api"), "{errors}");
}

#[test]
fn who_runs_on_a_version_is_answered_though_the_split_changes() {
    let routed = start([100, 0], "");
    let asked = std::thread::scope(|scope| {
        let slow = scope.spawn(|| get(routed.gateway.data, "/sleep?ms=2000"));
        eventually("it runs", || {
            routed.gateway.metric("tidegate_requests_in_flight", r#"api="v1""#) == 1.0
        });
        routed.gateway.write_documents(&(documents(&VERSIONS) + &split([0, 100], "")));
        wait_for_weight(&routed, 100.0);
        assert_eq!(get(routed.gateway.data, "/x").header("x-tidegate-version"), "v2");
        slow.join().unwrap()
    });
    assert_eq!((asked.status, asked.header("x-tidegate-version")), (200, "v1"));
    // An endpoint that is gone: its version holds the request, as any API does.
    let mut file = endpoints(&routed);
    let second = file.apis.remove("v2").unwrap().remove(0);
    routed.gateway.write_endpoints_file(&file);
    eventually("it is gone", || {
        routed.gateway.metric("tidegate_concurrency_limit", r#"api="v2""#) == 0.0
    });
    let held = std::thread::scope(|scope| {
        let held = scope.spawn(|| get(routed.gateway.data, "/x"));
        eventually("it waits", || {
            routed.gateway.metric("tidegate_requests_queued", r#"api="v2""#) == 1.0
        });
        file.apis.insert("v2".to_owned(), vec![bare("b", second.address, 8)]);
        routed.gateway.write_endpoints_file(&file);
        held.join().unwrap()
    });
    assert_eq!((held.status, held.header("x-tidegate-version")), (200, "v2"));
    assert_ne!(held.header("x-tidegate-cold-start"), "");
}

#[test]
fn no_request_comes_before_the_weights_that_were_told() {
    let folder = TempDir::new().unwrap();
    let [config, endpoints] = ["api.yaml", "endpoints.json"].map(|name| folder.path().join(name));
    std::fs::write(&config, documents(&VERSIONS) + &split([50, 50], "  routes: [{path: /s}]"))
        .unwrap();
    // A version that was taken back, and has no replica.
    let (_model, address) = plain_model(0);
    let weights = [("v1".to_owned(), 100), ("v2".to_owned(), 0)];
    let file = EndpointsFile {
        apis: [("v1".to_owned(), vec![bare("a", address, 8)])].into(),
        weights: [("s".to_owned(), weights.into())].into(),
    };
    std::fs::write(&endpoints, serde_json::to_vec(&file).unwrap()).unwrap();
    for _ in 0..5 {
        let data = free_address();
        let asking: Vec<_> =
            (0..8).map(|_| std::thread::spawn(move || first_answer(data))).collect();
        let _gateway = Process::start(
            Command::new(binary("tidegate-proxy"))
                .args(["gateway", "--listen", &data.to_string(), "--admin", "127.0.0.1:0"])
                .args(["--config", config.to_str().unwrap()])
                .args(["--endpoints", endpoints.to_str().unwrap()]),
        );
        for asked in asking {
            let answer = asked.join().unwrap();
            assert_eq!((answer.status, answer.header("x-tidegate-version")), (200, "v1"));
        }
    }
}

/// The first answer that is to be had there.
fn first_answer(data: SocketAddr) -> Answer {
    let start = now();
    let mut stream = loop {
        match TcpStream::connect(data) {
            Ok(stream) => break stream,
            Err(error) => assert!(now() - start < PATIENCE, "{error}"),
        }
        std::thread::yield_now();
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    read_answer(&mut stream)
}
