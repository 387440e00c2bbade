//! What several documents of a file may not share: a name, a route.

use super::Checked;
use crate::document::Route;
use crate::key_path::KeyPath;
use crate::report::Mistakes;
use std::collections::HashMap;

/// Reports names and routes that are given more than once.
pub(crate) fn conflicts(all: &[Checked], mistakes: &mut Mistakes) {
    let mut names = HashMap::new();
    let mut routes = HashMap::new();
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
            let key = (route.host.as_deref(), route.path.as_str());
            if let Some((name, line)) = routes.get(&key) {
                let what = format!("is {}, as that of \"{name}\" in line {line}", shown(route));
                mistakes.add(*mark, path, what, "a route of its own: another host or path");
            } else {
                routes.insert(key, (api.name.as_str(), mark.line));
            }
        }
    }
}

fn shown(route: &Route) -> String {
    match &route.host {
        Some(host) => format!("the route {host}{}", route.path),
        None => format!("the route {} of every host", route.path),
    }
}
