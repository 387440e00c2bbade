//! The `InferenceApi` resource: what it is called, and its objects as documents.

use kube::core::{ApiResource, DynamicObject, Status};
use serde_json::json;
use std::path::Path;
use tidegate_api::names::{API_KIND, API_VERSION};
use tidegate_api::{InferenceApi, Report, parse};

/// The resource's group.
pub const GROUP: &str = "tidegate.dev";
/// The resource's version.
pub const VERSION: &str = "v1alpha1";
/// The resource's name in addresses.
pub const PLURAL: &str = "inferenceapis";

/// What a client must know of it.
pub fn inference_api() -> ApiResource {
    ApiResource {
        group: GROUP.to_owned(),
        version: VERSION.to_owned(),
        api_version: API_VERSION.to_owned(),
        kind: API_KIND.to_owned(),
        plural: PLURAL.to_owned(),
    }
}

/// Whether a "not found" is about the kind itself, and not about one object or its namespace.
pub(crate) fn no_such_kind(status: &Status) -> bool {
    // The API server names what it looked for, unless it has no such kind.
    status.details.as_ref().is_none_or(|details| details.name.is_empty())
}

/// An object's document, checked as a file's is. Labels, status and the like are left out.
///
/// # Errors
/// A [`Report`] of every mistake. Its places are those of a document in one line.
pub fn document(object: &DynamicObject) -> Result<InferenceApi, Report> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let text = json!({
        "apiVersion": API_VERSION,
        "kind": API_KIND,
        "metadata": {"name": name},
        "spec": object.data["spec"],
    });
    // There is one document in it, so there is one that comes out.
    let source = format!("{API_KIND} {name}");
    let mut apis = parse(&text.to_string(), &source, Path::new("/"))?;
    Ok(apis.remove(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_agree() {
        assert_eq!(API_VERSION, format!("{GROUP}/{VERSION}"));
    }

    #[test]
    fn an_object_is_a_document_and_its_mistakes_are_told() {
        let object = |spec: serde_json::Value| {
            let mut object = DynamicObject::new("digits", &inference_api());
            object.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
            object.data = json!({"spec": spec, "status": {"wanted": 3}});
            object
        };
        let api = document(&object(json!({"target": {"name": "digits"}}))).unwrap();
        assert_eq!(
            (api.name.as_str(), api.target.unwrap().kind.as_str()),
            ("digits", "Deployment")
        );
        let report = document(&object(json!({"target": {}, "paused": 1}))).unwrap_err();
        let paths: Vec<&str> = report.mistakes.iter().map(|mistake| &*mistake.path).collect();
        assert_eq!(paths, ["spec.paused", "spec.target.name"]);
    }
}
