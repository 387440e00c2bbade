//! What several documents may not share: a name, a route, a model on one route.

use super::Checked;
use crate::document::{Clash, InferenceApi, Route};
use crate::key_path::KeyPath;
use crate::report::Mistakes;
use std::collections::HashMap;

/// The API that has a route, its form of it, and where it says so.
type Claim<'a> = (&'a InferenceApi, &'a Route, usize);

/// Reports names and routes that are given more than once.
pub(crate) fn conflicts(all: &[Checked], mistakes: &mut Mistakes) {
    let mut names = HashMap::new();
    let mut routes: HashMap<_, Vec<Claim<'_>>> = HashMap::new();
    for checked in all {
        let api = &checked.api;
        if let Some(mark) = checked.name {
            if let Some(first) = names.get(api.name.as_str()) {
                let what = format!("is \"{}\", as in line {first}", api.name);
                mistakes.add(mark, &KeyPath::keys("metadata.name"), what, "a name of its own");
            } else {
                names.insert(api.name.as_str(), mark.line);
            }
        }
        for (route, place) in api.routes.iter().zip(&checked.routes) {
            let Some((mark, path)) = place else { continue };
            let claims = routes.entry(route.key()).or_default();
            match claims.iter().find_map(|claim| contradiction(route, api, claim)) {
                Some((what, must)) => mistakes.add(*mark, path, what, must),
                None => claims.push((api, route, mark.line)),
            }
        }
    }
}

/// Why an API can't have a route that another has already: what is wrong, and what must be.
fn contradiction(
    route: &Route,
    api: &InferenceApi,
    (other, its, line): &Claim<'_>,
) -> Option<(String, &'static str)> {
    let place = format!("that of \"{}\" in line {line}", other.name);
    Some(match Clash::between((api, route), (other, its))? {
        Clash::Route => {
            let must = "a route of its own (another host, path or header), or `routes: []` for a \
                        version that `traffic` of another API leads to";
            (format!("is {route}, as {place}"), must)
        }
        Clash::Model(model) => (
            format!("leads to the model \"{model}\", as {place}"),
            "a route of its own, or one of an API with other models",
        ),
        Clash::Unnamed => (
            format!("takes what names no model, as {place}"),
            "a route of its own, or one of the two with `whenNotFound: refuse`",
        ),
        Clash::Prefix => {
            let what =
                if route.strip_prefix { "takes the prefix off" } else { "leaves the prefix" };
            (format!("{what}, unlike {place}"), "a route of its own, or `stripPrefix` as there")
        }
    })
}
