//! APIs that others name: the versions and shadows of `spec.traffic`. They must be there, and have
//! replicas of their own.

use crate::document::InferenceApi;
use crate::key_path::KeyPath;
use crate::quote;
use crate::report::{Mark, Mistake};
use std::collections::HashMap;

/// What documents name and can't have. `documents` are all that are read together, each with its
/// file; the file of each mistake is beside it.
pub fn dangling<'a>(documents: &[(&'a str, &InferenceApi)]) -> Vec<(&'a str, Mistake)> {
    let known: HashMap<&str, &InferenceApi> =
        documents.iter().map(|(_, api)| (api.name.as_str(), *api)).collect();
    let mut found = Vec::new();
    for (file, api) in documents {
        let Some(traffic) = &api.traffic else { continue };
        let all = KeyPath::keys("spec.traffic");
        let versions = traffic.versions.iter().enumerate();
        let versions = versions.map(|(index, version)| {
            (all.key("versions").index(index), version.api.as_str(), version.mark)
        });
        let shadow = traffic.shadow.iter();
        let shadow = shadow.map(|of| (all.key("shadow"), of.api.as_str(), of.mark));
        for (path, name, Mark { line, column }) in versions.chain(shadow) {
            let named = quote::quoted(name);
            let (what, must) = match known.get(name) {
                None => (
                    format!("is {named}, and no document has that name"),
                    "the name of an API that is read together with this one",
                ),
                Some(of) if of.traffic.is_some() => (
                    format!("is {named}, which splits its own requests"),
                    "an API with replicas of its own",
                ),
                Some(_) => continue,
            };
            let path = path.key("api").to_string();
            found.push((*file, Mistake { line, column, path, what, must: must.to_owned() }));
        }
    }
    found
}
