//! The digits example: real images for a real model, FastAPI and scikit-learn included.

use crate::support::eventually;
use crate::support::http::{self, Http};
use crate::support::load::{Answers, count};
use crate::support::root;
use crate::support::up::{Up, shared_data_dir};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::JoinSet;

const REQUESTS: usize = 2_000;
const AT_ONCE: usize = 64;

/// An image as the model takes it, and what it shows.
struct Image {
    body: String,
    label: u64,
}

/// What one client saw.
#[derive(Default)]
struct Seen {
    answers: Answers,
    right: usize,
}

/// The example from elsewhere, and with replicas that stay until they were all asked what they
/// counted.
fn document() -> String {
    let folder = root().join("examples/digits");
    let mut text = std::fs::read_to_string(folder.join("tidegate.yaml")).unwrap();
    for (old, new) in [
        ("  container:\n", format!("  container:\n    workingDir: {}\n", folder.display())),
        (
            "requirements: requirements.lock",
            format!("requirements: {}", folder.join("requirements.lock").display()),
        ),
        ("stableWindow: 8s", "stableWindow: 1h".to_owned()),
    ] {
        assert_eq!(text.matches(old).count(), 1, "{old:?} in the example");
        text = text.replace(old, &new);
    }
    text
}

/// The held-out images, as the example itself prints them.
fn images() -> Vec<Image> {
    let venvs = std::fs::read_dir(shared_data_dir().join("venvs")).unwrap().flatten();
    // Environments of earlier requirements or of another Python may lie there too.
    let pythons = venvs.map(|venv| venv.path().join("bin/python3")).filter(|file| file.exists());
    let printed = pythons.filter_map(print_images).next().expect("a Python with scikit-learn");
    let image = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let body = serde_json::json!({ "pixels": line["pixels"] }).to_string();
        Image { body, label: line["label"].as_u64().unwrap() }
    };
    printed.lines().map(image).collect()
}

fn print_images(python: PathBuf) -> Option<String> {
    let folder = root().join("examples/digits");
    let mut command = Command::new(python);
    command.arg("images.py").current_dir(folder).stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_images_find_their_answer_while_replicas_come() {
    let up = Up::start_shared(&document(), &[]);
    let images = Arc::new(images());
    assert_eq!(up.replicas(), []);
    let seen = ask_all(&up, &images).await;

    let only: BTreeSet<_> = seen.answers.keys().cloned().collect();
    assert_eq!(only, [(200, String::new())].into(), "{:?}", seen.answers);
    assert_eq!(seen.answers[&(200, String::new())], REQUESTS);
    assert!(seen.right * 10 >= REQUESTS * 9, "{} of {REQUESTS} right", seen.right);
    let replicas = up.replicas();
    assert!(replicas.len() > 1, "one replica did it all: {replicas:?}");
    assert!(replicas.iter().all(|replica| replica.restarts == 0), "{replicas:?}");
    let counted = |labels| -> f64 {
        let admins = replicas.iter().filter_map(|replica| replica.admin);
        admins.map(|admin| http::metric(admin, "tidegate_requests_total", labels)).sum()
    };
    eventually("the sidecars' books agree", || {
        counted(r#"code="200""#) == REQUESTS as f64 && counted("") == REQUESTS as f64
    });
    eventually("the gateway's books agree", || {
        up.metric("tidegate_requests_total", r#"code="200""#) == REQUESTS as f64
            && up.metric("tidegate_requests_total", "") == REQUESTS as f64
    });
    up.wait_until_idle();
}

/// Sends the images over and over until so many requests were answered.
async fn ask_all(up: &Up, images: &Arc<Vec<Image>>) -> Seen {
    let (http, next) = (Http::new(), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (http, data) = (http.clone(), up.data);
        let (images, next) = (Arc::clone(images), Arc::clone(&next));
        clients.spawn(async move {
            let mut seen = Seen::default();
            loop {
                let request = next.fetch_add(1, Ordering::Relaxed);
                if request >= REQUESTS {
                    return seen;
                }
                let image = &images[request % images.len()];
                let answer = http.post(data, "/predict", &image.body).await;
                count(&mut seen.answers, &answer);
                let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                seen.right += usize::from(json["digit"].as_u64() == Some(image.label));
            }
        });
    }
    let mut all = Seen::default();
    while let Some(client) = clients.join_next().await {
        let Seen { answers, right } = client.unwrap();
        all.right += right;
        for (kind, count) in answers {
            *all.answers.entry(kind).or_default() += count;
        }
    }
    all
}
