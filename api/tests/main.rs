//! Tests of the document as its users meet it: text in, checked values or a report out.

mod autoscaling;
mod balancing;
mod cold_start;
mod defaults;
mod endpoints;
mod hostile;
mod mistakes;
mod rolling_update;
mod routes;
mod sidecar;
mod target;
mod template;
mod traffic;

use std::path::Path;
use tidegate_api::{InferenceApi, Report, parse};

/// The one API of a document with this part of `spec`.
fn read(part: &str) -> Result<InferenceApi, Report> {
    let text = format!(
        "{{apiVersion: tidegate.dev/v1alpha1, kind: InferenceApi, metadata: {{name: a}}, \
         spec: {{container: {{command: [a]}}, {part}}}}}"
    );
    parse(&text, "app.yaml", Path::new("/apps")).map(|mut apis| apis.remove(0))
}

/// The shortest document: everything else has a default.
const MINIMAL: &str = "\
apiVersion: tidegate.dev/v1alpha1
kind: InferenceApi
metadata: {name: example}
spec: {container: {command: [python, app.py, --port, '{port}']}}
";

/// The example that documents every key.
const FULL: &str = include_str!("../examples/full.yaml");
