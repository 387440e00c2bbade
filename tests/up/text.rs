//! Both examples at once: digits, and texts as OpenAI's API has them. Both at zero, both woken.

use crate::support::http::{Http, get};
use crate::support::python::python;
use crate::support::root;
use crate::support::up::Up;
use serde_json::Value;
use std::process::Command;

/// An example's document, read from elsewhere.
fn example(name: &str) -> String {
    let folder = root().join("examples").join(name);
    let text = std::fs::read_to_string(folder.join("tidegate.yaml")).unwrap();
    let lock = folder.join("requirements.lock");
    let own = format!("  container:\n    workingDir: {}\n", folder.display());
    let text = text.replacen("  container:\n", &own, 1);
    text.replacen(
        "requirements: requirements.lock",
        &format!("requirements: {}", lock.display()),
        1,
    )
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
    let up = Up::start_shared(&format!("{}---\n{}", example("digits"), example("text")), &[]);
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
