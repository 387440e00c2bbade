//! The routes of one document.

use super::{Check, word};
use crate::document::Route;
use crate::key_path::KeyPath;
use crate::raw::RawRoute;
use crate::report::Mark;

/// The routes, and beside each its place, or `None` if it is wrong anyway.
pub(super) fn check(
    raw: Vec<RawRoute>,
    check: &mut Check<'_>,
) -> (Vec<Route>, Vec<Option<(Mark, KeyPath)>>) {
    let routes = KeyPath::keys("spec.routes");
    if raw.is_empty() {
        return (vec![route(RawRoute::default())], vec![place(&routes, check)]);
    }
    raw.into_iter()
        .enumerate()
        .map(|(index, raw)| {
            let path = routes.index(index);
            check.text(&path.key("path"), &raw.path, word::is_prefix, word::PREFIX);
            let route = route(raw);
            if let Some(host) = &route.host {
                check.text(&path.key("host"), host, word::is_host, word::HOST);
            }
            (route, place(&path, check))
        })
        .unzip()
}

fn place(path: &KeyPath, check: &Check<'_>) -> Option<(Mark, KeyPath)> {
    (!check.mistakes.touch(path)).then(|| (check.node.locate(path), path.clone()))
}

/// One form for what means the same: hosts have no case, and `/v1/` takes what `/v1` takes.
fn route(raw: RawRoute) -> Route {
    let path = match raw.path.strip_suffix('/') {
        Some(path) if !path.is_empty() => path.to_owned(),
        _ => raw.path,
    };
    let host = raw.host.map(|host| host.to_ascii_lowercase());
    Route { host, path, strip_prefix: raw.strip_prefix }
}
