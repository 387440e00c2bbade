//! Tokens of service accounts, as an API server judges them (TokenReview).

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Whose each token is, and whom it is for.
#[derive(Default)]
pub(super) struct Tokens(BTreeMap<String, (String, String)>);

impl Tokens {
    /// From now on `account`, as `namespace/name`, has this token for this audience.
    pub(super) fn give(&mut self, token: &str, account: &str, audience: &str) {
        let user = format!("system:serviceaccount:{}", account.replace('/', ":"));
        self.0.insert(token.to_owned(), (user, audience.to_owned()));
    }

    /// The answer to a review.
    pub(super) fn review(&self, review: &Value) -> Value {
        let asked = review["spec"]["audiences"].as_array().cloned().unwrap_or_default();
        let status = match self.0.get(review["spec"]["token"].as_str().unwrap_or("")) {
            Some((user, audience)) if asked.contains(&json!(audience)) => json!({
                "authenticated": true,
                "user": {"username": user, "uid": "u", "groups": ["system:serviceaccounts"]},
                "audiences": [audience],
            }),
            Some(_) => json!({
                "user": {},
                "error": "[invalid bearer token, token audiences are invalid for the target]",
            }),
            None => json!({"user": {}, "error": "[invalid bearer token]"}),
        };
        let mut answer = review.clone();
        answer["kind"] = json!("TokenReview");
        answer["apiVersion"] = json!("authentication.k8s.io/v1");
        answer["metadata"] = json!({});
        answer["status"] = status;
        answer
    }
}
