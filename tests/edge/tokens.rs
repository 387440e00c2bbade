//! Tokens of a language model's answers, counted as they pass through a real sidecar.

use crate::support::eventually;
use crate::support::http::{Http, metric};
use crate::support::process::Process;
use crate::support::sidecar::proxy;
use crate::support::{http, root};
use std::net::SocketAddr;
use std::process::Command;

struct Llm {
    _model: Process,
    _sidecar: Process,
    model: SocketAddr,
    data: SocketAddr,
    admin: SocketAddr,
}

impl Llm {
    fn start(flags: &[&str]) -> Self {
        let script = root().join("tests/models/llm.py");
        let process = Process::start(Command::new("python3").arg(script).arg("0"));
        let port = process.wait_for_line("LISTENING").rsplit(' ').next().unwrap().parse().unwrap();
        let model = SocketAddr::from(([127, 0, 0, 1], port));
        let upstream = model.to_string();
        let (sidecar, data, admin) =
            proxy("sidecar", &[&["--upstream", &upstream], flags].concat());
        eventually("the sidecar is ready", || http::get(admin, "/readyz").status == 200);
        Self { _model: process, _sidecar: sidecar, model, data, admin }
    }

    /// What the client gets, after it was seen to be what the model sends.
    async fn ask(&self, body: &str) -> String {
        let http = Http::new();
        let direct = http.post(self.model, "/v1/completions", body).await;
        let answer = http.post(self.data, "/v1/completions", body).await;
        assert_eq!((answer.status, &answer.body), (200, &direct.body), "bytes were changed");
        answer.text()
    }

    /// Waits until the books of so many requests are closed, and reads a metric.
    fn metric(&self, requests: f64, name: &str) -> f64 {
        eventually("the books are closed", || {
            metric(self.admin, "tidegate_requests_total", r#"code="200""#) == requests
        });
        metric(self.admin, name, "")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_counted_by_its_usage_or_by_its_chunks_and_passes_unchanged() {
    let llm = Llm::start(&["--llm", "openai"]);
    // Without usage: the chunks with text.
    assert!(llm.ask(r#"{"stream":true,"n":5,"ms":30}"#).await.ends_with("data: [DONE]\n\n"));
    assert_eq!(llm.metric(1.0, "tidegate_output_tokens_total"), 5.0);
    assert_eq!(llm.metric(1.0, "tidegate_prompt_tokens_total"), 0.0);
    assert_eq!(llm.metric(1.0, "tidegate_time_to_first_token_seconds_count"), 1.0);
    // The chunk with the role, before the first token, came 30 ms earlier.
    assert!(llm.metric(1.0, "tidegate_time_to_first_token_seconds_sum") >= 0.03);
    assert_eq!(llm.metric(1.0, "tidegate_time_per_output_token_seconds_count"), 1.0);
    // The first may have been seen late, so how much less than 30 ms it is can't be said.
    assert!(llm.metric(1.0, "tidegate_time_per_output_token_seconds_sum") > 0.0);
    // With it: what it says.
    llm.ask(r#"{"stream":true,"n":5,"usage":true}"#).await;
    assert_eq!(llm.metric(2.0, "tidegate_output_tokens_total"), 45.0);
    assert_eq!(llm.metric(2.0, "tidegate_prompt_tokens_total"), 11.0);
    assert_eq!(llm.metric(2.0, "tidegate_time_to_first_token_seconds_count"), 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_counted_by_its_usage() {
    let llm = Llm::start(&["--llm", "openai"]);
    llm.ask("{}").await;
    assert_eq!(llm.metric(1.0, "tidegate_output_tokens_total"), 40.0);
    assert_eq!(llm.metric(1.0, "tidegate_prompt_tokens_total"), 11.0);
    assert_eq!(llm.metric(1.0, "tidegate_time_to_first_token_seconds_count"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_counted_unasked() {
    let llm = Llm::start(&[]);
    llm.ask(r#"{"stream":true,"n":2,"usage":true}"#).await;
    assert_eq!(llm.metric(1.0, "tidegate_output_tokens_total"), 0.0);
    assert!(!http::get(llm.admin, "/metrics").text().contains("_token"));
}
