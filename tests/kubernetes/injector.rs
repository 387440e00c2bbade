//! The injector over HTTPS, as an API server calls it: its answers, and its certificates.

use super::api_server::ApiServer;
use super::cluster::{OWN, kubeconfig};
use super::request::Place;
use crate::support::http::metric;
use crate::support::process::Process;
use crate::support::{binary, eventually, now, replace, root, say};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tidegate_kubernetes::injector::{Made, make};
use tidegate_kubernetes::k8s_openapi::ByteString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

const NAME: &str = "tidegate-injector.tidegate.svc";

struct Webhook {
    process: Process,
    data: SocketAddr,
    admin: SocketAddr,
}

fn webhook(configure: impl FnOnce(&mut Command)) -> Webhook {
    let mut command = Command::new(binary("tidegate-autoscaler"));
    command.args(["inject", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    configure(&mut command);
    let process = Process::start(&mut command);
    let line = process.wait_for_line(r#""event":"listening""#);
    let line: Value = serde_json::from_str(&line).unwrap();
    let address = |name: &str| line[name].as_str().unwrap().parse().unwrap();
    Webhook { data: address("data"), admin: address("admin"), process }
}

/// A new certificate, written where `files` says.
fn certificate(folder: &TempDir) -> Made {
    let seconds = std::fs::metadata(folder.path()).unwrap().modified().unwrap();
    let since = seconds.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let made = make(&[NAME.to_owned()], since).unwrap();
    replace(&folder.path().join("tls.crt"), &made.certificate);
    replace(&folder.path().join("tls.key"), &made.key);
    made
}

fn from_files(folder: &TempDir) -> Webhook {
    webhook(|command| {
        command.arg("--tls-cert").arg(folder.path().join("tls.crt"));
        command.arg("--tls-key").arg(folder.path().join("tls.key"));
    })
}

/// Sends bytes over TLS to who is trusted by `authority`, and reads to the end. An error where the
/// certificate is not.
fn exchange(to: SocketAddr, authority: &str, request: &[u8]) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(to).await?;
        let name = ServerName::try_from(NAME).unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        stream.write_all(request).await?;
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        // An answer ends where its length says; the connection may stay.
        while !is_whole(&answer) {
            match stream.read(&mut part).await? {
                0 => break,
                length => answer.extend_from_slice(&part[..length]),
            }
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    })
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_some_and(|length| body.len() >= length.parse::<usize>().unwrap())
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn body(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap_or_default()
}

fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: {NAME}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn review(annotations: &Value) -> String {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "operation": "CREATE",
            "object": {
                "metadata": {"annotations": annotations},
                "spec": {"containers": [{"name": "m", "ports": [{"containerPort": 80}]}]},
            },
        },
    })
    .to_string()
}

#[test]
fn pods_get_their_sidecar_as_they_ask_and_bad_reviews_get_an_answer() {
    let folder = TempDir::new().unwrap();
    let made = certificate(&folder);
    let webhook = from_files(&folder);
    let ask = |request: &[u8]| exchange(webhook.data, &made.authority, request).unwrap();
    let asked = ask(&post("/mutate", &review(&json!({"tidegate.dev/inject": "true"}))));
    assert_eq!(status(&asked), 200);
    let patch: ByteString =
        serde_json::from_value(body(&asked)["response"]["patch"].clone()).unwrap();
    let patch = String::from_utf8(patch.0).unwrap();
    assert!(patch.contains("--upstream=localhost:80"), "{patch}");
    let silent = review(&json!({}));
    let left = ask(&post("/mutate", &silent));
    assert_eq!(body(&left)["response"]["patch"], Value::Null);
    let by_default = ask(&post("/mutate/by-default", &silent));
    assert_ne!(body(&by_default)["response"]["patch"], Value::Null);

    let cases = std::fs::read_to_string(root().join("tests/data/bad-reviews.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&cases).unwrap();
    assert_eq!(cases.len(), 6);
    for case in &cases {
        let answer = ask(case["raw"].as_str().unwrap().as_bytes());
        let expected = match case["id"].as_str().unwrap() {
            "B01" | "B05" | "B11" => 400,
            "B03" | "B07" => 200,
            "B09" => 405,
            id => panic!("a case that nobody has thought of: {id}"),
        };
        assert_eq!(status(&answer), expected, "{case}: {answer}");
        assert_eq!(body(&answer)["response"]["patch"], Value::Null, "{case}");
    }
    let large = post("/mutate", &"x".repeat((3 << 20) + 1));
    assert_eq!(status(&ask(&large)), 413);
    let counted = |outcome: &str| {
        let labels = format!(r#"outcome="{outcome}""#);
        metric(webhook.admin, "tidegate_injector_reviews_total", &labels)
    };
    assert_eq!((counted("injected"), counted("left-alone"), counted("refused")), (2.0, 3.0, 3.0));

    let mut times: Vec<Duration> = (0..100)
        .map(|_| {
            let start = now();
            ask(&post("/mutate", &silent));
            now() - start
        })
        .collect();
    times.sort_unstable();
    say(&format!("a review with its handshake: median {:?}, p99 {:?}", times[50], times[98]));
    assert_eq!(webhook.process.count_lines("panicked"), 0);
}

#[test]
fn a_certificate_that_changes_is_served_without_a_restart() {
    let folder = TempDir::new().unwrap();
    let old = certificate(&folder);
    let webhook = from_files(&folder);
    let request = post("/mutate", &review(&json!({})));
    assert!(exchange(webhook.data, &old.authority, &request).is_ok());
    // A half-written pair changes nothing.
    replace(&folder.path().join("tls.crt"), "half");
    webhook.process.wait_for_line("the old certificate stays in force");
    assert!(exchange(webhook.data, &old.authority, &request).is_ok());
    let new = certificate(&folder);
    webhook.process.wait_for_line("a new certificate is in force");
    assert!(exchange(webhook.data, &new.authority, &request).is_ok());
    assert!(
        exchange(webhook.data, &old.authority, &request).is_err(),
        "the old one is not trusted"
    );
}

#[test]
fn injectors_share_a_certificate_of_their_own_that_the_api_server_trusts() {
    let (server, folder) = (ApiServer::start(), TempDir::new().unwrap());
    let config = folder.path().join("kubeconfig");
    std::fs::write(&config, kubeconfig(server.address(), "injector")).unwrap();
    let of = Place::of("admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations", "", "");
    let hooks = json!({"metadata": {"name": "tidegate-injector"}, "webhooks": [
        {"name": "by-request.tidegate.dev", "clientConfig": {"service": {"name": "a"}}},
        {"name": "by-default.tidegate.dev", "clientConfig": {"service": {"name": "b"}}},
    ]});
    server.shared().store(|store| store.create(&of, hooks)).unwrap();
    let start = || {
        webhook(|command| {
            command.args(["--namespace", OWN]).env("KUBECONFIG", &config);
        })
    };
    let (one, two) = (start(), start());
    let of = Place { name: "tidegate-injector".to_owned(), ..of };
    let bundles = || {
        let hooks = server.shared().store(|store| store.get(&of)).unwrap();
        let all = hooks["webhooks"].as_array().unwrap().clone();
        assert!(all.iter().all(|hook| hook["clientConfig"]["service"]["name"].is_string()));
        let bundle = |hook: &Value| {
            let bytes: Result<ByteString, _> =
                serde_json::from_value(hook["clientConfig"]["caBundle"].clone());
            bytes.map(|bytes| String::from_utf8(bytes.0).unwrap()).unwrap_or_default()
        };
        all.iter().map(bundle).collect::<Vec<_>>()
    };
    eventually("both webhooks know it", || bundles().iter().all(|bundle| bundle.contains("BEGIN")));
    let request = post("/mutate", &review(&json!({})));
    let bundle = bundles().remove(0);
    for webhook in [&one, &two] {
        assert_eq!(status(&exchange(webhook.data, &bundle, &request).unwrap()), 200);
    }
    let secrets = server
        .shared()
        .store(|store| store.list(&Place::of("v1", "secrets", OWN, ""), &Default::default()));
    assert_eq!(secrets.len(), 1);
    assert_eq!(secrets[0]["type"], "kubernetes.io/tls");
    // A third one that comes later uses what is there.
    let three = start();
    assert_eq!(status(&exchange(three.data, &bundle, &request).unwrap()), 200);
    assert_eq!(
        server
            .writes("POST /api/v1/namespaces/tidegate/secrets")
            .iter()
            .filter(|write| write.status == 201)
            .count(),
        1
    );
}
