//! What the API server asks the webhook, and what it is answered (`AdmissionReview` of
//! `admission.k8s.io/v1`). Pure.

use super::caution::cautions;
use super::inject::{Injection, inject};
use super::sidecar::InjectSettings;
use serde::Deserialize;
use serde_json::{Value, json};

/// The version that is spoken; an answer must be of the version that was asked in.
const VERSION: &str = "admission.k8s.io/v1";

/// The longest `uid` that opens the page which drains a sidecar; they have 36 characters.
const MOST_UID: usize = 64;

/// Which pods get a sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Those that ask for one.
    Request,
    /// Those that do not refuse it.
    Default,
}

/// An answer over HTTP.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body: JSON where the status is 200, else a sentence.
    pub body: String,
    /// What was done, in a word, for the metric.
    pub outcome: &'static str,
}

/// Every outcome of an [`Answer`].
pub const OUTCOMES: [&str; 4] = ["injected", "left-alone", "doubt", "refused"];

#[derive(Deserialize)]
struct Review {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: String,
    request: Asked,
}

#[derive(Deserialize)]
struct Asked {
    uid: String,
    #[serde(default)]
    operation: String,
    #[serde(default, rename = "subResource")]
    subresource: String,
    #[serde(default)]
    object: Value,
}

/// Answers a review. Every pod is let through: one that is not understood, as it is.
pub fn answer(body: &[u8], settings: &InjectSettings, by: By) -> Answer {
    let refused = |body: String| Answer { status: 400, body, outcome: "refused" };
    let review: Review = match serde_json::from_slice(body) {
        Ok(review) => review,
        Err(error) => return refused(format!("this is no AdmissionReview: {error}\n")),
    };
    if review.api_version != VERSION || review.kind != "AdmissionReview" {
        let given = format!("{} {}", review.api_version, review.kind);
        return refused(format!("only {VERSION} AdmissionReview is answered, not {given}\n"));
    }
    let Asked { uid, operation, subresource, object } = review.request;
    let mut response = json!({"uid": uid, "allowed": true});
    // What is there already, or goes, is nobody's to change; nor is what is no pod.
    let is_new_pod = operation == "CREATE" && subresource.is_empty() && object.is_object();
    let token = is_token(&uid).then_some(uid.as_str());
    let injection = match is_new_pod {
        true => inject(&object, settings, by == By::Default, token),
        false => Injection::LeftAlone("it is no new pod"),
    };
    let outcome = match injection {
        Injection::Patch(patch) => {
            response["patchType"] = json!("JSONPatch");
            response["patch"] = json!(base64(json!(patch).to_string().as_bytes()));
            let told = cautions(&object);
            if !told.is_empty() {
                tracing::warn!(cautions = told.join("; "), pod = %name(&object), "a doubtful pod");
                let warnings = told.iter().map(|caution| format!("tidegate: {caution}"));
                response["warnings"] = warnings.collect();
            }
            "injected"
        }
        Injection::LeftAlone(why) => {
            tracing::debug!(why, "pod left alone");
            "left-alone"
        }
        Injection::Doubt(doubt) => {
            // The API server tells it to whoever made the pod: kubectl shows it, controllers log it.
            response["warnings"] = json!([format!("tidegate: no sidecar: {doubt}")]);
            tracing::warn!(doubt, pod = %name(&object), "no sidecar");
            "doubt"
        }
    };
    let review = json!({"apiVersion": VERSION, "kind": "AdmissionReview", "response": response});
    Answer { status: 200, body: review.to_string(), outcome }
}

/// Whether a uid can be part of a path and can't be guessed.
fn is_token(uid: &str) -> bool {
    let plain = uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    plain && (16..=MOST_UID).contains(&uid.len())
}

fn name(pod: &Value) -> String {
    let metadata = &pod["metadata"];
    let name = metadata["name"].as_str().or_else(|| metadata["generateName"].as_str());
    name.unwrap_or("").chars().take(253).collect()
}

fn base64(bytes: &[u8]) -> String {
    use k8s_openapi::ByteString;
    // Kubernetes' own type for bytes is written in base64.
    match serde_json::to_value(ByteString(bytes.to_vec())) {
        Ok(Value::String(text)) => text,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::injector::Mode;
    use k8s_openapi::ByteString;

    const UID: &str = "705ab4f5-6393-11e8-b7cc-42010a800002";

    fn review(object: &Value) -> Value {
        json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": UID,
                "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "operation": "CREATE",
                "namespace": "models",
                "object": object,
                "dryRun": false,
            },
        })
    }

    fn pod() -> Value {
        json!({
            "metadata": {"annotations": {"tidegate.dev/inject": "true", "a~b/c": "1"}},
            "spec": {"containers": [{"name": "m", "ports": [{"containerPort": 80}]}]},
        })
    }

    fn asked(review: &Value) -> (Answer, Value) {
        let answer = answer(
            review.to_string().as_bytes(),
            &InjectSettings::example(Mode::Native),
            By::Request,
        );
        let body = serde_json::from_str(&answer.body).unwrap_or_default();
        (answer, body)
    }

    #[test]
    fn a_pod_gets_a_patch_in_base64_and_its_own_uid_back() {
        let (answer, body) = asked(&review(&pod()));
        assert_eq!((answer.status, answer.outcome), (200, "injected"));
        let response = &body["response"];
        assert_eq!((&response["uid"], &response["allowed"]), (&json!(UID), &json!(true)));
        assert_eq!(response["patchType"], "JSONPatch");
        let patch: ByteString = serde_json::from_value(response["patch"].clone()).unwrap();
        let patch: json_patch::Patch = serde_json::from_slice(&patch.0).unwrap();
        let mut after = pod();
        json_patch::patch(&mut after, &patch).unwrap();
        assert_eq!(after["spec"]["initContainers"][0]["name"], "tidegate");
        assert_eq!(after["metadata"]["annotations"], pod()["metadata"]["annotations"]);
        let drain = &after["spec"]["containers"][0]["lifecycle"]["preStop"]["httpGet"]["path"];
        assert_eq!(*drain, format!("/drain/{UID}"));
    }

    #[test]
    fn what_is_no_new_pod_is_let_through_as_it_is() {
        for change in [
            json!({"operation": "UPDATE"}),
            json!({"operation": "DELETE", "object": null}),
            json!({"object": null}),
            json!({"object": 7}),
            json!({"subResource": "ephemeralcontainers"}),
        ] {
            let mut review = review(&pod());
            json_patch::merge(&mut review["request"], &change);
            let (answer, body) = asked(&review);
            assert_eq!((answer.status, answer.outcome), (200, "left-alone"), "{change}");
            assert_eq!(body["response"]["allowed"], true);
            assert!(body["response"].get("patch").is_none(), "{change}");
        }
    }

    #[test]
    fn a_doubt_is_a_warning_and_lets_the_pod_through() {
        let mut doubtful = pod();
        doubtful["spec"]["containers"][0]["ports"] = Value::Null;
        let (answer, body) = asked(&review(&doubtful));
        assert_eq!((answer.status, answer.outcome), (200, "doubt"));
        assert_eq!(body["response"]["allowed"], true);
        let warning = body["response"]["warnings"][0].as_str().unwrap();
        assert!(warning.contains("tidegate.dev/port"), "{warning}");
    }

    #[test]
    fn who_makes_a_doubtful_pod_is_warned_and_it_gets_its_sidecar() {
        let mut doubtful = pod();
        doubtful["metadata"]["annotations"]["tidegate.dev/concurrency-limit"] = json!("lots");
        doubtful["spec"]["containers"][0]["ports"][0]["hostPort"] = json!(80);
        let (answer, body) = asked(&review(&doubtful));
        assert_eq!(answer.outcome, "injected");
        let warnings = body["response"]["warnings"].as_array().unwrap();
        assert!(warnings[0].as_str().unwrap().contains("tidegate.dev/concurrency-limit"));
        assert!(warnings[1].as_str().unwrap().contains("hostPort 80 leads past the sidecar"));
        assert!(asked(&review(&pod())).1["response"].get("warnings").is_none());
    }

    #[test]
    fn what_is_no_review_is_refused() {
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        let beta = review(&pod()).to_string().replace("k8s.io/v1", "k8s.io/v1beta1");
        let other = review(&pod()).to_string().replace("AdmissionReview", "TokenReview");
        for body in ["", "null", "{}", "[]", "{\"request\":", &deep, &beta, &other] {
            let answer =
                answer(body.as_bytes(), &InjectSettings::example(Mode::Native), By::Default);
            assert_eq!((answer.status, answer.outcome), (400, "refused"), "{:.40}", answer.body);
        }
    }

    #[test]
    fn a_uid_that_is_no_path_opens_nothing() {
        for uid in ["u1", "../../../../../../x", "a b", &"x".repeat(65)] {
            let mut review = review(&pod());
            review["request"]["uid"] = json!(uid);
            let (answer, body) = asked(&review);
            assert_eq!((answer.status, &body["response"]["uid"]), (200, &json!(uid)));
            let patch: ByteString =
                serde_json::from_value(body["response"]["patch"].clone()).unwrap();
            assert!(!String::from_utf8(patch.0).unwrap().contains("drain-token"), "{uid}");
        }
    }
}
