//! The JSON schema of the document, made of the raw types: for editors and for reading files.

use crate::raw::RawInferenceApi;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// The JSON schema (draft 2020-12) of one `InferenceApi` document, without references.
pub fn json_schema() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings.into_generator().into_root_schema_for::<RawInferenceApi>().to_value()
}
