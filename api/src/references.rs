//! APIs that others name: the versions and shadows of `spec.traffic`, and `spec.coldStart.fallback`. They
//! must be there, and have replicas of their own.

use crate::document::InferenceApi;
use crate::key_path::KeyPath;
use crate::quote;
use crate::report::{Mark, Mistake};
use std::collections::HashMap;

/// A name that a document says, and where.
type Named<'a> = (KeyPath, &'a str, Mark);

/// What documents name and can't have. `documents` are all that are read together, each with its
/// file; the file of each mistake is beside it.
pub fn dangling<'a>(documents: &[(&'a str, &InferenceApi)]) -> Vec<(&'a str, Mistake)> {
    let in_traffic = dangling_versions(documents);
    in_traffic.into_iter().chain(dangling_fallbacks(documents)).collect()
}

/// The same where these other APIs are there already.
pub fn dangling_beside<'a>(
    documents: &[(&'a str, &InferenceApi)],
    others: &[&str],
) -> Vec<(&'a str, Mistake)> {
    let mut found = among(documents, others, names_in_traffic);
    found.extend(among(documents, others, name_of_fallback));
    for (_, mistake) in &mut found {
        "the name of an API that is there already, or comes with this one"
            .clone_into(&mut mistake.must);
    }
    found
}

/// Of these, the versions and shadows: an API can't be served without.
pub fn dangling_versions<'a>(documents: &[(&'a str, &InferenceApi)]) -> Vec<(&'a str, Mistake)> {
    among(documents, &[], names_in_traffic)
}

/// And the fallbacks, without which it can.
pub fn dangling_fallbacks<'a>(documents: &[(&'a str, &InferenceApi)]) -> Vec<(&'a str, Mistake)> {
    among(documents, &[], name_of_fallback)
}

/// All APIs that a document names.
pub fn named(api: &InferenceApi) -> Vec<&str> {
    let all = names_in_traffic(api).into_iter().chain(name_of_fallback(api));
    all.map(|(_, name, _)| name).collect()
}

fn names_in_traffic(api: &InferenceApi) -> Vec<Named<'_>> {
    let Some(traffic) = &api.traffic else { return Vec::new() };
    let all = KeyPath::keys("spec.traffic");
    let versions = traffic.versions.iter().enumerate();
    let versions = versions.map(|(index, version)| {
        (all.key("versions").index(index), version.api.as_str(), version.mark)
    });
    let shadow = traffic.shadow.iter();
    let shadow = shadow.map(|of| (all.key("shadow"), of.api.as_str(), of.mark));
    versions.chain(shadow).collect()
}

fn name_of_fallback(api: &InferenceApi) -> Vec<Named<'_>> {
    let fallback = api.cold_start.fallback.iter();
    let path = || KeyPath::keys("spec.coldStart.fallback");
    fallback.map(|of| (path(), of.api.as_str(), of.mark)).collect()
}

fn among<'a>(
    documents: &[(&'a str, &InferenceApi)],
    others: &[&str],
    named: fn(&InferenceApi) -> Vec<Named<'_>>,
) -> Vec<(&'a str, Mistake)> {
    let known: HashMap<&str, &InferenceApi> =
        documents.iter().map(|(_, api)| (api.name.as_str(), *api)).collect();
    let mut found = Vec::new();
    for (file, api) in documents {
        for (path, name, Mark { line, column }) in named(api) {
            let shown = quote::quoted(name);
            let (what, must) = match known.get(name) {
                None if others.contains(&name) => continue,
                None => (
                    format!("is {shown}, and no document has that name"),
                    "the name of an API that is read together with this one",
                ),
                Some(of) if of.traffic.is_some() => (
                    format!("is {shown}, which splits its own requests"),
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
