//! JSON schema → the structural schema that a CustomResourceDefinition takes.
//!
//! Kubernetes wants a type at every place, knows no `const`, `oneOf` of types nor draft 2020-12's
//! numeric `exclusiveMinimum`, and lets the server prune what `additionalProperties: false` would
//! refuse. See "Specifying a structural schema" in its documentation.

use serde_json::{Map, Value, json};

/// What a duration looks like; the exact rule is the controller's.
const DURATION: &str = "^(0|([0-9]+ *[a-zA-Z]+ *)+)$";

/// Formats that Kubernetes knows, of those that our types have.
const FORMATS: &[&str] = &["double", "int32", "int64"];

/// The structural schema of a JSON schema without references.
pub(crate) fn structural(schema: &Value) -> Value {
    let Some(schema) = schema.as_object() else { return schema.clone() };
    let mut made = Map::new();
    for (key, value) in schema {
        match key.as_str() {
            "$schema" | "title" => {}
            "additionalProperties" if value.is_boolean() => {}
            "additionalProperties" | "items" => {
                made.insert(key.clone(), structural(value));
            }
            "properties" => {
                let each = value.as_object().into_iter().flatten();
                let each = each.map(|(name, schema)| (name.clone(), structural(schema)));
                made.insert(key.clone(), Value::Object(each.collect()));
            }
            // What is absent needs no default.
            "default" if value.is_null() => {}
            "type" => kind(value, &mut made),
            "format" => format(value, &mut made),
            "exclusiveMinimum" => limit("minimum", key, value, &mut made),
            "exclusiveMaximum" => limit("maximum", key, value, &mut made),
            "oneOf" => choice(schema, value, &mut made),
            "description" if schema.contains_key("oneOf") => {}
            _ => {
                made.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(made)
}

/// `null` is left out: a key without a value is left out of the object instead.
fn kind(value: &Value, made: &mut Map<String, Value>) {
    let one = [value.clone()];
    let kinds: Vec<&Value> = value.as_array().map_or(&one[..], Vec::as_slice).iter().collect();
    let kinds: Vec<&Value> = kinds.into_iter().filter(|kind| *kind != "null").collect();
    match kinds.as_slice() {
        [kind] => made.insert("type".to_owned(), (*kind).clone()),
        _ => made.insert("x-kubernetes-int-or-string".to_owned(), json!(true)),
    };
}

fn format(value: &Value, made: &mut Map<String, Value>) {
    match value.as_str() {
        Some("tidegate-duration") => {
            made.insert("pattern".to_owned(), json!(DURATION));
        }
        Some(format) if FORMATS.contains(&format) => {
            made.insert("format".to_owned(), json!(format));
        }
        _ => {}
    }
}

/// OpenAPI 3.0 says `minimum: 0, exclusiveMinimum: true` for draft 2020-12's `exclusiveMinimum: 0`.
fn limit(inclusive: &str, exclusive: &str, value: &Value, made: &mut Map<String, Value>) {
    made.insert(inclusive.to_owned(), value.clone());
    made.insert(exclusive.to_owned(), json!(true));
}

/// A choice of described words: an `enum`, with what each means in the description.
fn choice(schema: &Map<String, Value>, words: &Value, made: &mut Map<String, Value>) {
    let words: Vec<&Value> = words.as_array().into_iter().flatten().collect();
    let said = |of: &Value| of["description"].as_str().unwrap_or_default().to_owned();
    let lines = words.iter().map(|word| {
        let name = word["const"].as_str().unwrap_or_default();
        format!("- `{name}`: {}", said(word))
    });
    let first = said(&Value::Object(schema.clone()));
    let text: Vec<String> = std::iter::once(first).chain(lines).collect();
    let names: Vec<Value> = words.iter().map(|word| word["const"].clone()).collect();
    made.insert("type".to_owned(), json!("string"));
    made.insert("enum".to_owned(), Value::Array(names));
    made.insert("description".to_owned(), json!(text.join("\n").trim()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_keyword_becomes_what_kubernetes_knows() {
        for (schema, want) in [
            (json!({"type": ["string", "null"], "default": null}), json!({"type": "string"})),
            (json!({"type": ["string", "integer"]}), json!({"x-kubernetes-int-or-string": true})),
            (
                json!({"type": "number", "exclusiveMinimum": 0, "format": "double"}),
                json!({"type": "number", "minimum": 0, "exclusiveMinimum": true, "format": "double"}),
            ),
            (json!({"type": "integer", "format": "uint32"}), json!({"type": "integer"})),
            (
                json!({"type": "string", "format": "tidegate-duration"}),
                json!({"type": "string", "pattern": DURATION}),
            ),
            (
                json!({"type": "object", "additionalProperties": {"type": "string", "title": "T"}}),
                json!({"type": "object", "additionalProperties": {"type": "string"}}),
            ),
            (
                json!({"type": "object", "additionalProperties": false,
                       "properties": {"title": {"type": "string", "title": "T"}}}),
                json!({"type": "object", "properties": {"title": {"type": "string"}}}),
            ),
            (
                json!({"description": "One.", "default": "a",
                       "oneOf": [{"const": "a", "type": "string", "description": "Is a."}]}),
                json!({"type": "string", "enum": ["a"], "default": "a",
                       "description": "One.\n- `a`: Is a."}),
            ),
        ] {
            assert_eq!(structural(&schema), want, "{schema}");
        }
    }
}
