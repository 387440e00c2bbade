//! Tidegate's gateway, which reads bodies for the model that they name.

use super::{Method, Setup, write};
use anyhow::{Context, Result, ensure};
use serde_json::json;

/// Everything is for one API. The bodies of the load name its model first.
const DOCUMENT: &str = "\
apiVersion: tidegate.dev/v1alpha1
kind: InferenceApi
metadata: {name: bench}
spec:
  container: {command: [unused]}
  concurrency: {queueCapacity: 1024}
  openai: {models: [digits], whenNotFound: serve}
";

/// The arguments that run it, once document and endpoints are written.
pub(super) fn arguments(setup: &Setup<'_>) -> Result<Vec<String>> {
    ensure!(setup.method == Method::Default, "it is not set up for other ways of balancing here");
    let (document, endpoints) =
        (setup.folder.join("api.yaml"), setup.folder.join("endpoints.json"));
    write(&document, DOCUMENT)?;
    let concurrency = if setup.admins.is_empty() { 1024 } else { 1 };
    let entry = |(index, address)| {
        json!({
            "id": format!("origin{index}"), "address": address, "concurrency": concurrency,
            "admin": setup.admins.get(index), "state": "active",
        })
    };
    let entries: Vec<_> = setup.upstreams.iter().enumerate().map(entry).collect();
    write(&endpoints, &json!({ "apis": { "bench": entries } }).to_string())?;
    let path = |path: &std::path::Path| path.to_str().map(str::to_owned);
    let both = path(&document).zip(path(&endpoints));
    let (document, endpoints) = both.context("the folder's name is no text")?;
    let (listen, admin) = (setup.listen.to_string(), setup.admin.to_string());
    let words = ["gateway", "--listen", &listen, "--admin", &admin, "--config", &document];
    let more = ["--endpoints", &endpoints, "--workers", "1", "--drain-delay", "0s"];
    let last = ["--drain-timeout", "1s", "--log", "error"];
    let words = words.into_iter().chain(more).chain(last).map(str::to_owned);
    Ok(words.chain(super::tls_arguments(setup)).collect())
}
