//! `spec.traffic` as the gateway's parts take it.

use crate::affinity::Affinity;
use crate::split::{ShadowSettings, SplitSettings, Version};
use http::HeaderName;
use tidegate_api::document::{InferenceApi, Sticky, Traffic};

/// How the API's requests are split, if they are; each version by its name.
pub(super) fn from_document(api: &InferenceApi) -> Option<SplitSettings<()>> {
    let Traffic { versions, shadow, sticky, override_header } = api.traffic.as_ref()?;
    let mut versions: Vec<_> = versions
        .iter()
        .map(|of| Version { name: of.api.clone(), weight: of.weight, api: () })
        .collect();
    // The one that takes over first, else the one that is listed last, which is the newest.
    let to = api.rollout.as_ref().map(|rollout| rollout.to.as_str());
    let grows = |version: &Version<()>| to.is_none_or(|to| version.name == to);
    if let Some(grows) = versions.iter().rposition(grows) {
        versions[..=grows].rotate_right(1);
    }
    let sticky = sticky.as_ref().and_then(|sticky| match sticky {
        // The document's check has seen that these are headers' names.
        Sticky::Header(name) => HeaderName::try_from(name).ok().map(Affinity::Header),
        Sticky::Cookie(name) => Some(Affinity::Cookie(name.clone())),
    });
    let override_header = override_header.as_ref().and_then(|name| HeaderName::try_from(name).ok());
    let shadow = shadow.as_ref();
    let shadow = shadow.map(|of| ShadowSettings { name: of.api.clone(), share: of.share });
    let compares = api.rollout.is_some();
    Some(SplitSettings { versions, sticky, override_header, shadow, compares })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_that_grows_is_first() {
        let order = |rollout: &str| {
            let text = format!(
                "{{apiVersion: tidegate.dev/v1alpha1, kind: InferenceApi, metadata: {{name: s}}, spec: \
                 {{traffic: {{versions: [{{api: a, weight: 1}}, {{api: b, weight: 2}}, \
                 {{api: c, weight: 97}}]}}{rollout}}}}}"
            );
            let api = tidegate_api::parse(&text, "t", "/".as_ref()).unwrap().remove(0);
            let versions = from_document(&api).unwrap().versions;
            versions.into_iter().map(|version| version.name).collect::<Vec<_>>().join("")
        };
        assert_eq!(order(""), "cab");
        for (to, expected) in [("a", "abc"), ("b", "bac"), ("c", "cab")] {
            let steps = "steps: [{weight: 9, pause: 1s}]";
            assert_eq!(order(&format!(", rollout: {{to: {to}, {steps}}}")), expected);
        }
    }
}
