//! Why the API server did not do what was asked, as a word for metrics and a sentence for people.

use kube::Error;
use std::time::Duration;

/// How long to hold back where the API server says "too many" but not for how long.
const HOLD_BACK: Duration = Duration::from_secs(1);

/// Who is told of each failed call: what was asked, and why it failed. Both are of a bounded set.
pub type Tell = std::sync::Arc<dyn Fn(&'static str, &'static str) + Send + Sync>;

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// One of [`CODES`].
    pub code: &'static str,
    /// What the API server, or the way to it, says.
    pub message: String,
    /// How long to ask for nothing more.
    pub hold_back: Option<Duration>,
}

/// Every code of a [`Failure`].
pub const CODES: [&str; 10] = [
    "conflict",
    "deadline",
    "expired",
    "forbidden",
    "invalid",
    "not-found",
    "not-leading",
    "server",
    "throttled",
    "unreachable",
];

impl Failure {
    /// No answer came in time.
    pub(crate) fn deadline(after: Duration) -> Self {
        let message = format!("the API server has not answered within {after:?}");
        Self { code: "deadline", message, hold_back: None }
    }

    /// The cluster does not know the `InferenceApi`.
    pub(crate) fn no_resource() -> Self {
        let message =
            "the cluster has no InferenceApi resource of tidegate.dev/v1alpha1".to_owned();
        Self { code: "not-found", message, hold_back: None }
    }

    /// The cluster does not know a kind.
    pub(crate) fn no_kind(what: &str) -> Self {
        Self { code: "not-found", message: what.to_owned(), hold_back: None }
    }

    /// What a person can do about it.
    pub fn advice(&self) -> &'static str {
        match self.code {
            "conflict" => "look at what is there, or take it over with --force-conflicts",
            "deadline" | "unreachable" => "see --context, and `kubectl cluster-info`",
            "forbidden" => "log in, or ask for the rights: `tidegate check` lists them",
            "not-found" if self.message.contains("InferenceApi resource") => {
                "install it: `tidegate crd | kubectl apply --server-side -f -`"
            }
            "not-found" => "see --namespace, and `tidegate get -A`",
            "server" | "throttled" => "try again in a while",
            _ => "`tidegate check` looks for what is wrong",
        }
    }

    /// There is something of that name which is somebody else's.
    pub(crate) fn not_ours(kind: &str, name: &str) -> Self {
        let message = format!(
            "there is a {kind} {name} already that is not this API's; delete it, or call the API \
             something else, or scale what is there with spec.target"
        );
        Self { code: "conflict", message, hold_back: None }
    }

    /// This process does not hold the Lease.
    pub(crate) fn not_leading() -> Self {
        let message = "another autoscaler leads, or none could be elected".to_owned();
        Self { code: "not-leading", message, hold_back: None }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = code(&error);
        let hold_back = (code == "throttled").then(|| retry_after(&error).unwrap_or(HOLD_BACK));
        let message = match &error {
            Error::Api(status) if !status.message.is_empty() => {
                misfits(&status.message).unwrap_or_else(|| status.message.clone())
            }
            error => causes(error),
        };
        Self { code, message, hold_back }
    }
}

/// An error with its causes, each once: "client error" alone says nothing.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// Why a call failed, in a word.
pub(crate) fn code(error: &Error) -> &'static str {
    let Error::Api(status) = error else { return "unreachable" };
    match status.code {
        // The fault of what was sent, whatever the status says.
        500 if misfits(&status.message).is_some() => "invalid",
        401 | 403 => "forbidden",
        404 => "not-found",
        409 => "conflict",
        410 => "expired",
        429 => "throttled",
        500.. => "server",
        _ => "invalid",
    }
}

/// What server-side apply says of an object that its kind's schema does not have, in one line.
fn misfits(message: &str) -> Option<String> {
    let (_, found) =
        message.strip_prefix("failed to create typed patch object (")?.split_once("): ")?;
    let lines = found.strip_prefix("errors:").unwrap_or(found).lines();
    let lines = lines.map(|line| line.trim().trim_start_matches('.'));
    Some(lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; "))
}

fn retry_after(error: &Error) -> Option<Duration> {
    let Error::Api(status) = error else { return None };
    let seconds = status.details.as_ref()?.retry_after_seconds;
    (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    #[test]
    fn each_answer_has_a_word_and_too_many_says_how_long() {
        for (http, word) in [
            (401, "forbidden"),
            (403, "forbidden"),
            (404, "not-found"),
            (409, "conflict"),
            (410, "expired"),
            (422, "invalid"),
            (429, "throttled"),
            (500, "server"),
            (504, "server"),
        ] {
            let status = Status { code: http, message: "because".to_owned(), ..Status::default() };
            let failure = Failure::from(Error::Api(Box::new(status)));
            assert_eq!((failure.code, failure.message.as_str()), (word, "because"), "{http}");
            assert!(CODES.contains(&failure.code));
            assert_eq!(failure.hold_back.is_some(), http == 429);
        }
        for (said, told) in [
            (
                "errors:\n  .spec.a: field not declared in schema\n  .spec.b: expected map",
                "spec.a: field not declared in schema; spec.b: expected map",
            ),
            (".spec.a: expected list", "spec.a: expected list"),
        ] {
            let message = format!(
                "failed to create typed patch object (n/a; apps/v1, Kind=Deployment): {said}"
            );
            let status = Status { code: 500, message, ..Status::default() };
            let failure = Failure::from(Error::Api(Box::new(status)));
            assert_eq!((failure.code, &*failure.message), ("invalid", told));
        }
        let text = r#"{"code": 429, "details": {"retryAfterSeconds": 7}}"#;
        let status: Status = serde_json::from_str(text).unwrap();
        let failure = Failure::from(Error::Api(Box::new(status)));
        assert_eq!(failure.hold_back, Some(Duration::from_secs(7)));
    }
}
