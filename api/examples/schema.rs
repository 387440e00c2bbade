//! Prints the JSON schema of the `InferenceApi` document, for editors:
//! `cargo run -p tidegate-api --example schema > inferenceapi.schema.json`

use std::io::Write;

fn main() -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{:#}", tidegate_api::json_schema())
}
