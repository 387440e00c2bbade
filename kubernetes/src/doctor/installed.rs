//! The API server's version, and the definition of the resource beside that of this program. Pure.

use super::Finding;
use crate::crd;
use crate::resource::VERSION;
use k8s_openapi::apimachinery::pkg::version::Info;
use serde_json::{Map, Value};

/// The first version whose pods have native sidecars without a switch.
const LEAST: u32 = 29;

/// What to do about a definition.
const APPLY: &str = "run `tidegate crd | kubectl apply --server-side -f -`";

/// Which version answers.
pub(super) fn version(version: &Info, server: &str) -> Finding {
    let digits =
        |text: &str| text.trim_end_matches(|letter: char| !letter.is_ascii_digit()).parse();
    let (major, minor): (Option<u32>, Option<u32>) =
        (digits(&version.major).ok(), digits(&version.minor).ok());
    let what = format!("{server} answers, Kubernetes {}", version.git_version);
    match (major, minor) {
        (Some(1), Some(minor)) if minor < LEAST => Finding::doubt(
            "api-server",
            format!("{what}: its pods have no native sidecars"),
            format!("use 1.{LEAST} or newer, or the chart's injector.mode=plain"),
        ),
        _ => Finding::fine("api-server", what),
    }
}

/// Whether the definition is there, and that of this version.
pub(super) fn definition(found: Option<&Value>) -> Finding {
    let Some(found) = found else {
        return Finding::wrong("definition", "there is no InferenceApi resource", APPLY);
    };
    let mut conditions = found["status"]["conditions"].as_array().into_iter().flatten();
    let not_taken = conditions.find(|condition| {
        ["Established", "NamesAccepted"].iter().any(|kind| condition["type"] == *kind)
            && condition["status"] == "False"
    });
    if let Some(condition) = not_taken {
        let why = condition["message"].as_str().unwrap_or("it says not why");
        let what = format!("the InferenceApi resource is not established: {why}");
        return Finding::wrong("definition", what, "see `kubectl describe crd`");
    }
    let its_own = |definition: &Value| {
        let versions = definition["spec"]["versions"].as_array().cloned().unwrap_or_default();
        versions.into_iter().find(|version| version["name"] == VERSION)
    };
    let wanted = its_own(&crd::definition()).unwrap_or_default();
    let Some(given) = its_own(found) else {
        let what = format!("the InferenceApi resource has no version {VERSION}");
        return Finding::wrong("definition", what, APPLY);
    };
    for field in ["schema", "subresources"] {
        if let Some(path) = difference(&wanted[field], &given[field], field) {
            let what = format!(
                "the InferenceApi resource is that of another version of Tidegate: it differs at \
                 {path}"
            );
            return Finding::wrong("definition", what, APPLY);
        }
    }
    Finding::fine(
        "definition",
        format!("the InferenceApi resource {VERSION} is that of this version"),
    )
}

/// Where two values differ first. What an API server writes in another way is the same: numbers as
/// `1e+06`, and what is false or empty not at all.
fn difference(one: &Value, other: &Value, path: &str) -> Option<String> {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let keys = one.keys().chain(other.keys().filter(|key| !one.contains_key(*key)));
            let value =
                |map: &Map<String, Value>, key: &str| map.get(key).cloned().unwrap_or_default();
            keys.into_iter().find_map(|key| {
                difference(&value(one, key), &value(other, key), &format!("{path}.{key}"))
            })
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let mut pairs = one.iter().zip(other).enumerate();
            pairs.find_map(|(at, (one, other))| difference(one, other, &format!("{path}[{at}]")))
        }
        (Value::Number(one), Value::Number(other)) => {
            (one.as_f64() != other.as_f64()).then(|| path.to_owned())
        }
        (one, other) if one == other || (is_nothing(one) && is_nothing(other)) => None,
        _ => Some(path.to_owned()),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    use serde_json::json;

    fn info(minor: &str) -> Info {
        Info { major: "1".into(), minor: minor.into(), git_version: "v1".into(), ..Info::default() }
    }

    #[test]
    fn a_version_without_native_sidecars_is_doubted() {
        for (minor, level) in
            [("33", Level::Fine), ("29+", Level::Fine), ("28", Level::Doubt), ("28+", Level::Doubt)]
        {
            assert_eq!(version(&info(minor), "here").level, level, "{minor}");
        }
    }

    #[test]
    fn a_definition_is_ours_also_as_an_api_server_writes_it() {
        let ours = crd::definition();
        assert_eq!(definition(Some(&ours)).level, Level::Fine);
        // What its types keep of it, in the order that they have.
        let kept: CustomResourceDefinition = serde_json::from_value(ours.clone()).unwrap();
        let finding = definition(Some(&serde_json::to_value(kept).unwrap()));
        assert_eq!(finding.level, Level::Fine, "{}", finding.what);
        assert_eq!(definition(None).level, Level::Wrong);
        let mut other = ours.clone();
        let spec =
            &mut other["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        spec["properties"]["paused"]["default"] = json!(true);
        let finding = definition(Some(&other));
        assert!(finding.what.ends_with("properties.spec.properties.paused.default"), "{finding:?}");
        let mut refused = ours;
        refused["status"]["conditions"] =
            json!([{"type": "NamesAccepted", "status": "False", "message": "iapi is taken"}]);
        assert!(definition(Some(&refused)).what.ends_with("iapi is taken"));
    }

    #[test]
    fn other_ways_to_write_the_same_are_no_difference() {
        for (one, other, path) in [
            (json!({"a": 1}), json!({"a": 1.0}), None),
            (json!({"a": 1, "b": false}), json!({"a": 1}), None),
            (json!({"a": []}), json!({}), None),
            (json!({"a": true}), json!({}), Some("x.a")),
            (json!([1, {"b": 2}]), json!([1, {"b": 3}]), Some("x[1].b")),
            (json!([1]), json!([1, 2]), Some("x")),
        ] {
            assert_eq!(difference(&one, &other, "x").as_deref(), path, "{one} {other}");
        }
    }
}
