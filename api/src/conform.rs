//! A document's tree against the JSON schema: unknown keys, missing keys, types, choices, ranges.
//!
//! Understands the part of JSON schema that the raw types make use of; a test holds it to that.

use crate::key_path::KeyPath;
use crate::quantity::{
    self, DURATION_FORMAT, DURATION_MUST, REPLICAS_FORMAT, REPLICAS_MUST, SIZE_FORMAT, SIZE_MUST,
};
use crate::quote;
use crate::report::Mistakes;
use crate::tree::{Data, Entry, Node};
use serde_json::{Map, Number, Value};

/// Marks what others have rules for: it is taken as it is.
const FREE: &str = "x-kubernetes-preserve-unknown-fields";

/// A key this close to a known one (1 is the same) is taken for a slip of the pen.
const LIKENESS: f64 = 0.8;

/// Compares a value with its schema and returns the sound part of it: a mapping's unsound values
/// are left out, a list with an unsound element is left out as a whole, so that positions stay.
pub(crate) fn conform(
    node: &Node,
    schema: &Value,
    path: &KeyPath,
    mistakes: &mut Mistakes,
) -> Option<Value> {
    match &node.data {
        Data::Mapping(_) if schema[FREE] == true => Some(as_it_is(node)),
        Data::Mapping(entries) if allows(schema, "object") => {
            Some(mapping(node, entries, schema, path, mistakes))
        }
        // A key with nothing after it: a mapping or list that has nothing in it.
        Data::Null if allows(schema, "object") => Some(mapping(node, &[], schema, path, mistakes)),
        Data::Null if allows(schema, "array") => Some(Value::Array(Vec::new())),
        Data::Sequence(items) if allows(schema, "array") => sequence(items, schema, path, mistakes),
        _ => {
            let value = scalar(&node.data).filter(|value| fits(value, schema));
            if value.is_none() {
                mistakes.add(node.mark, path, what(&node.data), must(&node.data, schema));
            }
            value
        }
    }
}

fn mapping(
    node: &Node,
    entries: &[Entry],
    schema: &Value,
    path: &KeyPath,
    mistakes: &mut Mistakes,
) -> Value {
    let known = schema["properties"].as_object();
    let mut sound = Map::new();
    for entry in entries {
        let path = path.key(&entry.key);
        let of_key = known.and_then(|known| known.get(&entry.key));
        match of_key.or_else(|| schema.get("additionalProperties").filter(|rest| rest.is_object()))
        {
            Some(schema) => {
                if let Some(value) = conform(&entry.value, schema, &path, mistakes) {
                    sound.insert(entry.key.clone(), value);
                }
            }
            None => {
                let (what, must) = unknown(&entry.key, known);
                mistakes.add(entry.key_mark, &path, what, must);
            }
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !entries.iter().any(|entry| entry.key == name) {
            let must = match known.and_then(|known| known.get(name)) {
                Some(schema) => format!("given: {}", expected(schema)),
                None => "given".to_owned(),
            };
            mistakes.add(node.mark, &path.key(name), "is missing", must);
        }
    }
    Value::Object(sound)
}

fn sequence(
    items: &[Node],
    schema: &Value,
    path: &KeyPath,
    mistakes: &mut Mistakes,
) -> Option<Value> {
    let of_item = &schema["items"];
    let conformed: Vec<_> = items
        .iter()
        .enumerate()
        .map(|(index, item)| conform(item, of_item, &path.index(index), mistakes))
        .collect();
    conformed.into_iter().collect::<Option<Vec<_>>>().map(Value::Array)
}

/// What others have rules for.
fn as_it_is(node: &Node) -> Value {
    match &node.data {
        Data::Mapping(entries) => {
            let entry = |entry: &Entry| (entry.key.clone(), as_it_is(&entry.value));
            Value::Object(entries.iter().map(entry).collect())
        }
        Data::Sequence(items) => Value::Array(items.iter().map(as_it_is).collect()),
        data => scalar(data).unwrap_or(Value::Null),
    }
}

fn scalar(data: &Data) -> Option<Value> {
    match data {
        Data::Boolean(value) => Some(Value::Bool(*value)),
        Data::Integer(value) => Some(Value::from(*value)),
        Data::Number(value) => Number::from_f64(*value).map(Value::Number),
        Data::String(text) => Some(Value::String(text.clone())),
        Data::Null | Data::Sequence(_) | Data::Mapping(_) => None,
    }
}

// === reading the schema ===

/// Whether a scalar is what the schema asks for.
fn fits(value: &Value, schema: &Value) -> bool {
    let kind = match value {
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        _ => "string",
    };
    let choices = choices(schema);
    let typed = schema.get("type").is_none()
        || allows(schema, kind)
        || (kind == "integer" && allows(schema, "number"));
    typed && (choices.is_empty() || choices.contains(&value)) && in_format(value, schema) && {
        value.as_f64().is_none_or(|number| in_range(number, schema))
    }
}

fn allows(schema: &Value, kind: &str) -> bool {
    match &schema["type"] {
        Value::String(only) => only == kind,
        Value::Array(several) => several.iter().any(|one| one == kind),
        _ => false,
    }
}

/// The values to choose from, where the schema lists them.
fn choices(schema: &Value) -> Vec<&Value> {
    let listed = schema["enum"].as_array().into_iter().flatten();
    let described = schema["oneOf"].as_array().into_iter().flatten();
    listed
        .chain(described.filter_map(|choice| choice.get("const")))
        .filter(|v| !v.is_null())
        .collect()
}

fn in_format(value: &Value, schema: &Value) -> bool {
    match schema["format"].as_str() {
        Some(DURATION_FORMAT) => quantity::duration(value).is_some(),
        Some(SIZE_FORMAT) => quantity::size(value).is_some(),
        Some(REPLICAS_FORMAT) => quantity::replicas(value).is_some(),
        _ => true,
    }
}

fn in_range(number: f64, schema: &Value) -> bool {
    let bound = |name: &str| schema[name].as_f64();
    bound("minimum").is_none_or(|least| number >= least)
        && bound("exclusiveMinimum").is_none_or(|below| number > below)
        && bound("maximum").is_none_or(|most| number <= most)
}

// === words ===

fn what(data: &Data) -> String {
    match data {
        Data::Null => "is empty".to_owned(),
        Data::Boolean(value) => format!("is {value}"),
        Data::Integer(value) => format!("is {value}"),
        Data::Number(value) => format!("is {value}"),
        Data::String(text) => format!("is {}", quote::quoted(text)),
        Data::Sequence(_) => "is a list".to_owned(),
        Data::Mapping(_) => "is a mapping of keys and values".to_owned(),
    }
}

fn must(data: &Data, schema: &Value) -> String {
    let expected = expected(schema);
    let is_plain = matches!(data, Data::Boolean(_) | Data::Integer(_) | Data::Number(_));
    if is_plain && expected == TEXT { format!("{TEXT}: put it in quotes") } else { expected }
}

const TEXT: &str = "text";

/// What the schema asks for, to be read after "must be".
fn expected(schema: &Value) -> String {
    let choices = choices(schema);
    if let [only] = choices.as_slice() {
        return only.to_string();
    }
    if !choices.is_empty() {
        return format!("one of {}", list(choices.iter().map(ToString::to_string)));
    }
    match schema["format"].as_str() {
        Some(DURATION_FORMAT) => return DURATION_MUST.to_owned(),
        Some(SIZE_FORMAT) => return SIZE_MUST.to_owned(),
        Some(REPLICAS_FORMAT) => return REPLICAS_MUST.to_owned(),
        _ => {}
    }
    if allows(schema, "object") {
        return match schema["properties"].as_object() {
            Some(known) if !known.is_empty() => format!("a mapping with keys of {}", names(known)),
            Some(_) => "an empty mapping: {}".to_owned(),
            None => "a mapping of keys and values".to_owned(),
        };
    }
    if allows(schema, "array") {
        return format!("a list, each of its elements {}", expected(&schema["items"]));
    }
    if allows(schema, "boolean") {
        return "true or false".to_owned();
    }
    if allows(schema, "integer") {
        return format!("an integer{}", range(schema));
    }
    if allows(schema, "number") {
        return format!("a number{}", range(schema));
    }
    TEXT.to_owned()
}

fn range(schema: &Value) -> String {
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    match (bound("minimum"), bound("exclusiveMinimum"), bound("maximum")) {
        (Some(least), _, Some(most)) => format!(" from {least} to {most}"),
        (_, Some(below), Some(most)) => format!(" above {below} and at most {most}"),
        (Some(least), ..) => format!(" of at least {least}"),
        (_, Some(below), _) => format!(" above {below}"),
        (.., Some(most)) => format!(" of at most {most}"),
        (None, None, None) => String::new(),
    }
}

fn unknown(key: &str, known: Option<&Map<String, Value>>) -> (String, String) {
    let what = "is not a known key";
    let Some(known) = known.filter(|known| !known.is_empty()) else {
        return (what.to_owned(), "left out: there are no keys here".to_owned());
    };
    let must = format!("one of {}", names(known));
    match nearest(key, known) {
        Some(near) => (format!("{what} (did you mean `{near}`?)"), must),
        None => (what.to_owned(), must),
    }
}

/// The known key that was most likely meant.
fn nearest<'a>(key: &str, known: &'a Map<String, Value>) -> Option<&'a String> {
    let likeness =
        |name: &String| strsim::normalized_damerau_levenshtein(&folded(key), &folded(name));
    let likely = known
        .keys()
        .map(|name| (likeness(name), name))
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    let (likeness, name) = likely?;
    let starts = folded(key).len() >= 3 && folded(name).starts_with(&folded(key));
    (likeness >= LIKENESS || starts).then_some(name)
}

/// A key without what people vary: case, `_` and `-`.
fn folded(key: &str) -> String {
    key.chars().filter(|letter| !matches!(letter, '_' | '-')).collect::<String>().to_lowercase()
}

fn names(known: &Map<String, Value>) -> String {
    list(known.keys().map(|name| format!("`{name}`")))
}

fn list(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::json_schema;

    /// The keywords that are obeyed here, and those that only inform.
    const OBEYED: &[&str] = &[
        "additionalProperties",
        "enum",
        "exclusiveMinimum",
        "format",
        "items",
        "maximum",
        "minimum",
        "oneOf",
        "properties",
        "required",
        "type",
        FREE,
    ];
    const INFORM: &[&str] = &["$schema", "default", "description", "title"];
    const FORMATS: &[&str] =
        &[DURATION_FORMAT, REPLICAS_FORMAT, SIZE_FORMAT, "uint16", "uint32", "double"];

    #[test]
    fn the_schema_has_no_keyword_that_is_not_obeyed() {
        let mut schemas = vec![json_schema()];
        let mut count = 0;
        while let Some(schema) = schemas.pop() {
            count += 1;
            for (keyword, value) in schema.as_object().unwrap() {
                let known =
                    OBEYED.contains(&keyword.as_str()) || INFORM.contains(&keyword.as_str());
                assert!(known, "conform.rs must obey `{keyword}`");
                match keyword.as_str() {
                    "properties" => schemas.extend(value.as_object().unwrap().values().cloned()),
                    "items" => schemas.push(value.clone()),
                    "additionalProperties" if value.is_object() => schemas.push(value.clone()),
                    "additionalProperties" => assert_eq!(*value == true, schema[FREE] == true),
                    "format" => assert!(FORMATS.contains(&value.as_str().unwrap()), "{value}"),
                    "oneOf" => assert!(value[0].get("const").is_some(), "{value}"),
                    _ => {}
                }
            }
        }
        assert!(count > 45, "only {count} schemas were seen");
    }

    #[test]
    fn the_nearest_key_is_a_slip_of_the_pen_and_not_any_key() {
        let known: Map<String, Value> = ["limit", "queueCapacity", "queueBytes"]
            .map(|key| (key.to_owned(), Value::Null))
            .into_iter()
            .collect();
        for (key, near) in [
            ("queue_capacity", Some("queueCapacity")),
            ("QueueBytes", Some("queueBytes")),
            ("queueCapcity", Some("queueCapacity")),
            ("limits", Some("limit")),
            ("lim", Some("limit")),
            ("timeout", None),
            ("x", None),
        ] {
            assert_eq!(nearest(key, &known).map(String::as_str), near, "{key}");
        }
    }
}
