//! A gateway process that serves one API, with the endpoints that the test writes.

use super::http::metric;
use super::process::Process;
use super::sidecar::{Sidecar, proxy};
use super::{eventually, replace};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tidegate_api::endpoints::{EndpointEntry, EndpointState, EndpointsFile};

/// A gateway that serves the API `plain`.
pub(crate) struct Gateway {
    /// Its process.
    pub(crate) process: Process,
    /// Where requests go.
    pub(crate) data: SocketAddr,
    /// The admin port.
    pub(crate) admin: SocketAddr,
    /// Where it reads what it serves.
    pub(crate) documents: PathBuf,
    /// Where it reads its endpoints.
    pub(crate) endpoints_file: PathBuf,
    _folder: TempDir,
}

impl Gateway {
    /// The document, with words to replace: `COLD_START`, `ROUTES`.
    pub(crate) const DOCUMENT: &str = "
apiVersion: tidegate.dev/v1alpha1
kind: InferenceApi
metadata: {name: plain}
spec:
  container: {command: [unused]}
  concurrency: {queueCapacity: 100, queueTimeout: 60s}
  timeouts: {coldStart: COLD_START}
  routes: ROUTES
";

    /// One that strips `/plain` off the path, with more flags.
    pub(crate) fn start(cold_start: &str, flags: &[&str]) -> Self {
        let routes = "[{path: /plain, stripPrefix: true}]";
        Self::run(
            &Self::DOCUMENT.replace("COLD_START", cold_start).replace("ROUTES", routes),
            flags,
        )
    }

    /// One that takes every path as it is.
    pub(crate) fn start_at_root(flags: &[&str]) -> Self {
        Self::run(
            &Self::DOCUMENT.replace("COLD_START", "60s").replace("ROUTES", "[{path: /}]"),
            flags,
        )
    }

    /// One that strips `/plain` off the path, with more of `spec`.
    pub(crate) fn start_with(spec: &str, flags: &[&str]) -> Self {
        let routes = "[{path: /plain, stripPrefix: true}]";
        let text = Self::DOCUMENT.replace("COLD_START", "60s").replace("ROUTES", routes);
        Self::run(&format!("{text}  {spec}\n"), flags)
    }

    /// One that serves these documents.
    pub(crate) fn run(text: &str, flags: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let documents = folder.path().join("api.yaml");
        std::fs::write(&documents, text).unwrap();
        let endpoints_file = folder.path().join("endpoints.json");
        let (process, data, admin) = serve([&documents, &endpoints_file], flags);
        Self { process, data, admin, documents, endpoints_file, _folder: folder }
    }

    /// Another process that serves the same, and says that it listens at the same addresses.
    pub(crate) fn another(&self, flags: &[&str]) -> Process {
        let (process, data, admin) = serve([&self.documents, &self.endpoints_file], flags);
        assert_eq!((data, admin), (self.data, self.admin), "it listens where the first did");
        process
    }

    /// Replaces what it serves.
    pub(crate) fn write_documents(&self, text: &str) {
        replace(&self.documents, text);
    }

    /// Replaces the endpoints.
    pub(crate) fn write_endpoints(&self, entries: Vec<EndpointEntry>) {
        self.write_endpoints_of([("plain".to_owned(), entries)].into());
    }

    /// Replaces the endpoints of all APIs.
    pub(crate) fn write_endpoints_of(&self, apis: BTreeMap<String, Vec<EndpointEntry>>) {
        self.write_endpoints_file(&EndpointsFile { apis, ..EndpointsFile::default() });
    }

    /// Replaces the endpoints file.
    pub(crate) fn write_endpoints_file(&self, file: &EndpointsFile) {
        replace(&self.endpoints_file, serde_json::to_vec(file).unwrap());
    }

    /// One of its metrics.
    pub(crate) fn metric(&self, name: &str, labels: &str) -> f64 {
        metric(self.admin, name, labels)
    }

    /// Waits until its endpoints take so many requests at once.
    pub(crate) fn wait_for_limit(&self, limit: f64) {
        eventually("the limit is what the endpoints take", || {
            self.metric("tidegate_concurrency_limit", "") == limit
        });
    }
}

fn serve(files: [&Path; 2], flags: &[&str]) -> (Process, SocketAddr, SocketAddr) {
    let [documents, endpoints] = files.map(|file| file.to_str().unwrap());
    let mut own = vec!["--config", documents, "--endpoints", endpoints];
    if !flags.contains(&"--workers") {
        own.extend(["--workers", "2"]);
    }
    proxy("gateway", &[&own, flags].concat())
}

/// A sidecar as an endpoint.
pub(crate) fn entry(id: &str, sidecar: &Sidecar, concurrency: u32) -> EndpointEntry {
    let (address, admin, state) = (sidecar.data, Some(sidecar.admin), EndpointState::Active);
    EndpointEntry { id: id.to_owned(), address, admin, concurrency, state }
}

/// A model without a sidecar as an endpoint.
pub(crate) fn bare(id: &str, address: SocketAddr, concurrency: u32) -> EndpointEntry {
    let state = EndpointState::Active;
    EndpointEntry { id: id.to_owned(), address, admin: None, concurrency, state }
}
