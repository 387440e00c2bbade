//! What a document can have logged and counted.

use crate::support::eventually;
use crate::support::http::{Http, metric};
use crate::support::root;
use crate::support::up::{Up, document};
use serde_json::Value;

const OBSERVED: &str = "
  sidecar: {accessLog: all, llm: openai}
  autoscaling: {minReplicas: 1, maxReplicas: 1}
";

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_logged_and_tokens_counted_where_the_document_says_so() {
    let script = root().join("tests/models/llm.py");
    let command = format!("[python3, {}, \"{{port}}\"]", script.display());
    let up = Up::start(&document(&command, OBSERVED), &[]);
    let replica = up.wait_for_ready(1).remove(0);
    let answer = Http::new().post(up.data, "/v1/completions", "{}").await;
    assert_eq!(answer.status, 200);
    // The model says 40 in its `usage`, and so do both who have seen it.
    let sidecar = replica.admin.unwrap();
    for (who, admin) in [("gateway", up.admin), ("sidecar", sidecar)] {
        let counted = || metric(admin, "tidegate_output_tokens_total", "");
        eventually(&format!("the {who} has counted"), || counted() == 40.0);
    }
    let logged = || {
        let log = up.log(&replica);
        let line = log.lines().find(|line| line.contains(r#""event":"request""#))?;
        serde_json::from_str::<Value>(line).ok()
    };
    eventually("the request is in the log", || logged().is_some());
    let line = logged().unwrap();
    assert_eq!((&line["path"], &line["status"]), (&"/v1/completions".into(), &200.into()));
}
