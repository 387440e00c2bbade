//! What the user may do, as the API server says (`SelfSubjectAccessReview`).

use super::Finding;
use crate::apis::in_time;
use crate::connect::Connection;
use crate::resource::{GROUP, PLURAL};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;

/// What a command needs: the command, and verb, group, resource and subresource.
const NEEDED: [(&str, &str, &str, &str, &str); 13] = [
    ("get", "get", GROUP, PLURAL, ""),
    ("get", "list", GROUP, PLURAL, ""),
    ("get -w", "watch", GROUP, PLURAL, ""),
    ("deploy", "create", GROUP, PLURAL, ""),
    ("deploy", "patch", GROUP, PLURAL, ""),
    ("delete", "delete", GROUP, PLURAL, ""),
    ("describe", "list", "", "events", ""),
    ("describe", "list", "", "pods", ""),
    ("describe", "get", "apps", "deployments", "scale"),
    ("logs", "get", "", "pods", "log"),
    ("logs -f", "watch", "", "pods", ""),
    ("refresh", "patch", "apps", "deployments", ""),
    ("refresh", "patch", "apps", "statefulsets", ""),
];

/// Asks for each right; what is missing is told in one finding.
pub(super) async fn examine(connection: &Connection, namespace: Option<&str>) -> Option<Finding> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(connection.client.clone());
    let mut missing = Vec::new();
    for (command, verb, group, resource, subresource) in NEEDED {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let attributes = ResourceAttributes {
            namespace: namespace.map(str::to_owned),
            verb: text(verb),
            group: text(group),
            resource: text(resource),
            subresource: text(subresource),
            ..ResourceAttributes::default()
        };
        let spec = SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            non_resource_attributes: None,
        };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        match in_time(reviews.create(&PostParams::default(), &review)).await {
            Ok(review) if review.status.as_ref().is_some_and(|status| status.allowed) => {}
            Ok(_) => missing.push((command, verb, resource, subresource)),
            Err(failure) => return Some(Finding::unknown("rights", &failure)),
        }
    }
    Some(finding(&missing, namespace))
}

fn finding(missing: &[(&str, &str, &str, &str)], namespace: Option<&str>) -> Finding {
    let place =
        namespace.map_or_else(|| "all namespaces".to_owned(), |name| format!("namespace {name}"));
    if missing.is_empty() {
        return Finding::fine("rights", format!("you may do all that tidegate does in {place}"));
    }
    let one = |(command, verb, resource, subresource): &(&str, &str, &str, &str)| {
        let slash = if subresource.is_empty() { "" } else { "/" };
        format!("{verb} {resource}{slash}{subresource} (for `{command}`)")
    };
    let all: Vec<String> = missing.iter().map(one).collect();
    let what = format!("you may not, in {place}: {}", all.join(", "));
    Finding::doubt("rights", what, "ask for a role with these verbs, if you need them")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn what_is_missing_is_told_with_the_command_that_needs_it() {
        assert_eq!(finding(&[], Some("models")).level, Level::Fine);
        let missing = [("logs", "get", "pods", "log"), ("deploy", "patch", PLURAL, "")];
        let what = finding(&missing, None).what;
        let all = "get pods/log (for `logs`), patch inferenceapis (for `deploy`)";
        assert_eq!(what, format!("you may not, in all namespaces: {all}"));
    }
}
