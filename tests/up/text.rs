//! Both examples at once: digits, and texts as OpenAI's API has them. Both at zero, both woken.

use crate::support::http::{Http, get};
use crate::support::python::python;
use crate::support::up::Up;
use crate::support::{PATIENCE, eventually, now, root};
use serde_json::Value;
use std::process::Command;

/// An example's documents, read from elsewhere.
fn example(name: &str, file: &str) -> String {
    let folder = root().join("examples").join(name);
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    let lock = folder.join("requirements.lock");
    let own = format!("  container:\n    workingDir: {}\n", folder.display());
    let text = text.replace("  container:\n", &own);
    text.replace("requirements: requirements.lock", &format!("requirements: {}", lock.display()))
}

/// How many replicas each API has.
fn replicas(up: &Up) -> Vec<(String, usize)> {
    let status: Value = serde_json::from_slice(&get(up.autoscaler, "/status").body).unwrap();
    let apis = status["apis"].as_array().unwrap().iter();
    apis.map(|api| {
        let name = api["name"].as_str().unwrap().to_owned();
        (name, api["replicas"].as_array().unwrap().len())
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_apis_at_zero_are_woken_by_curl_and_by_pythons_openai_client() {
    let Some(python) = python() else { return };
    let up = Up::start_shared(
        &format!("{}---\n{}", example("digits", "tidegate.yaml"), example("text", "tidegate.yaml")),
        &[],
    );
    assert_eq!(replicas(&up), [("digits".to_owned(), 0), ("text".to_owned(), 0)]);

    let body =
        r#"{"messages": [{"role": "user", "content": "May I?"}], "model": "licence-writer"}"#;
    let asked = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "--max-time",
            "60",
            "--include",
            "--data",
            body,
        ])
        .args(["--header", "content-type: application/json"])
        .arg(format!("http://{}/v1/chat/completions", up.data))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&asked.stdout);
    assert!(asked.status.success(), "{said} {}", String::from_utf8_lossy(&asked.stderr));
    assert!(
        said.contains("\"chat.completion\"") && said.contains("x-tidegate-cold-start"),
        "{said}"
    );
    assert_eq!(replicas(&up).first().map(|(_, count)| *count), Some(0), "the digits still sleep");

    let said = python.run("clients/openai_text.py", &[&up.data.to_string()]);
    for line in ["LISTED", "WHOLE", "STREAMED 9", "UNKNOWN model_not_found"] {
        assert!(said.contains(line), "no {line}:\n{said}");
    }
    let zero = format!("{{\"pixels\": {:?}}}", [0.0; 64]);
    let digit = Http::new().post(up.data, "/predict", &zero).await;
    assert_eq!(digit.status, 200, "{}", digit.text());
    assert_ne!(digit.header("x-tidegate-cold-start"), "");
    assert_eq!(up.metric("tidegate_requests_total", r#"reason="unknown-model""#), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_of_a_model_at_zero_serve_pythons_openai_client_and_the_new_one_takes_over() {
    let Some(python) = python() else { return };
    // Whether one is a fifth slower is no question for a busy machine.
    let documents = example("text", "versions.yaml").replace("factor: 1.2", "factor: 5");
    let up = Up::start_shared(&documents, &[]);
    assert_eq!(replicas(&up), [("text-v1".to_owned(), 0), ("text-v2".to_owned(), 0)]);
    let said = python.run("clients/openai_text.py", &[&up.data.to_string()]);
    for line in ["LISTED", "WHOLE", "STREAMED 9", "UNKNOWN model_not_found"] {
        assert!(said.contains(line), "no {line}:\n{said}");
    }
    // What is asked while one sleeps wakes it; then eight at a time, until it has all.
    let ask = async || {
        let body = r#"{"model": "licence-writer", "max_tokens": 5, "messages": [{"role": "user",
            "content": "May I?"}]}"#;
        let answer = Http::new().post(up.data, "/v1/chat/completions", body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let start = now();
    let stage = || {
        let status: Value = serde_json::from_slice(&get(up.autoscaler, "/status").body).unwrap();
        status["rollouts"][0].clone()
    };
    while stage()["stage"] != "promoted" {
        assert!(now() - start < PATIENCE, "{}", stage());
        tokio::join!(ask(), ask(), ask(), ask(), ask(), ask(), ask(), ask());
    }
    eventually("it gets all", || {
        up.metric("tidegate_traffic_weight", r#"api="text",version="text-v2""#) == 100.0
    });
}
