//! The `InferenceApi` that is simulated: from a file or from nothing, with keys set on top.
//!
//! Settings go by the names they have in a document and are checked as one, so whatever can be set
//! there can be set, and swept, here.

use crate::error::SimulateError;
use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Value, json};
use std::path::Path;
use tidegate_api::InferenceApi;

/// The most replicas where no document says: enough not to be in the way.
const MAX_REPLICAS: u32 = 100;

/// A document that keys can still be set in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Document(Value);

impl Document {
    /// Every default, and room for [`MAX_REPLICAS`].
    pub(crate) fn new() -> Self {
        Self(json!({
            "apiVersion": "tidegate.dev/v1alpha1",
            "kind": "InferenceApi",
            "metadata": {"name": "simulated"},
            "spec": {
                "container": {"command": ["simulated"]},
                "autoscaling": {"maxReplicas": MAX_REPLICAS},
            },
        }))
    }

    /// What is in a file: one document, checked.
    pub(crate) fn read(path: &Path) -> Result<Self, SimulateError> {
        let file = path.display();
        let hint = "name a file with one InferenceApi document with --api";
        let unreadable = |why: &dyn std::fmt::Display| {
            SimulateError::Usage(format!("can't read {file}: {why}; {hint}"))
        };
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        let found = tidegate_api::parse(&text, &file.to_string(), folder);
        let found = found.map_err(|report| SimulateError::Document(report.to_string()))?;
        if found.len() != 1 {
            let what = format!("{file} has {} documents; {hint}", found.len());
            return Err(SimulateError::Document(what));
        }
        let documents = Yaml::load_from_str(&text).map_err(|error| unreadable(&error))?;
        let document = documents.iter().map(value).find(|document| !document.is_null());
        Ok(Self(document.unwrap_or_default()))
    }

    /// The same with `key`, a path below `spec`, set to `value`.
    pub(crate) fn with(&self, key: &str, value: Value) -> Self {
        let mut document = self.0.clone();
        let mut place = &mut document;
        for part in std::iter::once("spec").chain(key.split('.')) {
            // What stands in the way is no table; the check will say that the value is none.
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            place = &mut place[part];
        }
        *place = value;
        Self(document)
    }

    /// The same with a `key=value` set.
    pub(crate) fn with_setting(&self, setting: &Setting) -> Self {
        self.with(&setting.key, setting.value.clone())
    }

    /// The checked document.
    pub(crate) fn check(&self) -> Result<InferenceApi, SimulateError> {
        let text = self.0.to_string();
        let source = "the simulated document";
        match tidegate_api::parse(&text, source, Path::new("/")) {
            Ok(found) if found.iter().any(|api| api.traffic.is_some()) => {
                let what =
                    "spec.traffic splits the requests among other APIs; simulate one of those";
                Err(SimulateError::Document(format!("{source}: {what}")))
            }
            Ok(mut found) if found.len() == 1 => Ok(found.remove(0)),
            Ok(_) => Err(SimulateError::Document(format!("{source} is empty"))),
            Err(report) => Err(SimulateError::Document(format!(
                "{report}\n(its keys are set by --api, --set, --sweep and the flags; \
                 api/examples/full.yaml lists all)"
            ))),
        }
    }
}

/// A `key=value` of a command line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    /// A path below `spec`.
    pub(crate) key: String,
    pub(crate) value: Value,
}

impl Setting {
    /// As one word.
    pub(crate) fn label(&self) -> String {
        match &self.value {
            Value::String(text) => format!("{}={text}", self.key),
            other => format!("{}={other}", self.key),
        }
    }
}

impl std::str::FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let must = "write key=value, such as autoscaling.concurrency.target=10";
        let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?}: {must}"))?;
        if key.is_empty() || key.split('.').any(str::is_empty) {
            return Err(format!("{key:?} is no key; {must}"));
        }
        Ok(Self { key: key.to_owned(), value: word(value) })
    }
}

/// A number, a truth or a text.
pub(crate) fn word(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}

/// YAML as JSON. The contract's own reader has checked it, so what JSON has not doesn't occur.
fn value(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Boolean(truth)) => (*truth).into(),
        Yaml::Value(Scalar::Integer(number)) => (*number).into(),
        Yaml::Value(Scalar::FloatingPoint(number)) => number.into_inner().into(),
        Yaml::Value(Scalar::String(text)) => text.as_ref().into(),
        Yaml::Sequence(list) => list.iter().map(value).collect(),
        Yaml::Mapping(table) => {
            let entries = table.iter();
            let entries = entries.filter_map(|(key, entry)| {
                let key = key.as_str()?.to_owned();
                Some((key, value(entry)))
            });
            Value::Object(entries.collect())
        }
        Yaml::Tagged(_, inner) => value(inner),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn settings_have_the_documents_names_and_its_checks() {
        let set = |text: &str| Document::new().with_setting(&text.parse().unwrap()).check();
        let api = set("autoscaling.concurrency.target=2.5").unwrap();
        assert!(format!("{:?}", api.autoscaling.policy).contains("target: 2.5"));
        assert_eq!(api.autoscaling.max_replicas, MAX_REPLICAS);
        assert_eq!(
            set("concurrency.queueTimeout=5s").unwrap().concurrency.queue_timeout.as_secs(),
            5
        );
        for (bad, want) in [
            ("autoscaling.concurrency.tarlet=1", "tarlet"),
            ("autoscaling.maxReplicas=-1", "maxReplicas"),
            ("autoscaling=1", "autoscaling"),
        ] {
            let error = set(bad).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
        for bad in ["target", "=1", "a..b=1"] {
            assert!(bad.parse::<Setting>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_is_read_with_all_it_says() {
        let full = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/examples/full.yaml");
        let api = Document::read(&full).unwrap().check().unwrap();
        assert_eq!((api.name.as_str(), api.autoscaling.max_replicas), ("example", 10));
        let mut two = tempfile::NamedTempFile::new().unwrap();
        let text = std::fs::read_to_string(&full).unwrap();
        write!(
            two,
            "{text}\n---\n{}",
            text.replace("name: example", "name: other").replace("path: /", "path: /x")
        )
        .unwrap();
        let error = Document::read(two.path()).unwrap_err().to_string();
        assert!(error.contains("has 2 documents"), "{error}");
    }
}
