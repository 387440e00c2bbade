//! The routes of one document, and the models that its requests name.

use super::{Check, word};
use crate::defaults;
use crate::document::{OpenAi, Route, WhenNotFound};
use crate::key_path::KeyPath;
use crate::quantity::Size;
use crate::raw::{RawGrpcRoute, RawOpenAi, RawRoute, RawWhenNotFound};
use crate::report::Mark;
use std::collections::BTreeMap;

/// The fewest and the most bytes to look for `model` in.
const SCAN_LIMITS: std::ops::RangeInclusive<u64> = 1000..=64 << 20;

/// The routes, every path where nothing is said of them; and beside each its place, or `None` if it is wrong anyway.
pub(super) fn check(
    raw: Option<Vec<RawRoute>>,
    check: &mut Check<'_>,
) -> (Vec<Route>, Vec<Option<(Mark, KeyPath)>>) {
    let routes = KeyPath::keys("spec.routes");
    let Some(raw) = raw else {
        return (vec![route(RawRoute::default(), &routes, check)], vec![place(&routes, check)]);
    };
    raw.into_iter()
        .enumerate()
        .map(|(index, raw)| {
            let path = routes.index(index);
            let route = route(raw, &path, check);
            (route, place(&path, check))
        })
        .unzip()
}

/// The models of an API that speaks OpenAI's.
pub(super) fn openai(raw: Option<RawOpenAi>, check: &mut Check<'_>) -> Option<OpenAi> {
    let raw = raw?;
    let path = KeyPath::keys("spec.openai");
    let models = raw.models.unwrap_or_default();
    if models.is_empty() {
        check.wrong(&path.key("models"), "is empty", "a list of names, the one to list first");
    }
    for (index, model) in models.iter().enumerate() {
        let path = path.key("models").index(index);
        check.text(&path, model, word::is_model, word::MODEL);
        if models.iter().take(index).any(|earlier| earlier == model) {
            check.wrong(&path, format!("is \"{model}\" again"), "another name");
        }
    }
    let Size(scan_limit) = raw.scan_limit;
    if !SCAN_LIMITS.contains(&scan_limit) {
        check.wrong(&path.key("scanLimit"), format!("is {scan_limit} bytes"), "from 1k to 64Mi");
    }
    let when_not_found = match raw.when_not_found {
        RawWhenNotFound::Refuse => WhenNotFound::Refuse,
        RawWhenNotFound::Serve => WhenNotFound::Serve,
    };
    Some(OpenAi { models, scan_limit, when_not_found })
}

fn place(path: &KeyPath, check: &Check<'_>) -> Option<(Mark, KeyPath)> {
    (!check.mistakes.touch(path)).then(|| (check.node.locate(path), path.clone()))
}

/// One form for what means the same: hosts and header names have no case, and `/v1/` takes what
/// `/v1` takes.
fn route(raw: RawRoute, path: &KeyPath, check: &mut Check<'_>) -> Route {
    let host = raw.host.map(|host| host.to_ascii_lowercase());
    if let Some(host) = &host {
        check.text(&path.key("host"), host, word::is_host, word::HOST);
    }
    let given = [
        ("path", raw.path.is_some()),
        ("exactPath", raw.exact_path.is_some()),
        ("grpc", raw.grpc.is_some()),
    ];
    let mut given = given.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name);
    if let (Some(first), Some(second)) = (given.next(), given.next()) {
        check.wrong(&path.key(second), format!("is given beside `{first}`"), "left out");
    }
    let (exact, at) = match (raw.exact_path, raw.grpc) {
        (Some(exact), _) => {
            check.text(&path.key("exactPath"), &exact, word::is_prefix, word::PREFIX);
            (true, exact)
        }
        (None, Some(grpc)) => grpc_path(grpc, &path.key("grpc"), check),
        (None, None) => {
            let prefix = raw.path.unwrap_or_else(|| defaults::ROUTE_PATH.to_owned());
            check.text(&path.key("path"), &prefix, word::is_prefix, word::PREFIX);
            (false, without_last_slash(prefix))
        }
    };
    if raw.strip_prefix && exact {
        let must = "left out: only a prefix can be taken off";
        check.wrong(&path.key("stripPrefix"), "is true for a whole path", must);
    }
    let headers = headers(raw.headers, &path.key("headers"), check);
    Route { host, path: at, exact, headers, strip_prefix: raw.strip_prefix }
}

fn without_last_slash(prefix: String) -> String {
    match prefix.strip_suffix('/') {
        Some(path) if !path.is_empty() => path.to_owned(),
        _ => prefix,
    }
}

/// gRPC has its service and method in the path.
fn grpc_path(raw: RawGrpcRoute, path: &KeyPath, check: &mut Check<'_>) -> (bool, String) {
    let service = raw.service.unwrap_or_default();
    let is_name = |text: &str| !text.is_empty() && word::is_service(text) && !text.contains('?');
    check.text(&path.key("service"), &service, is_name, word::SERVICE);
    let Some(method) = raw.method else { return (false, format!("/{service}")) };
    check.text(&path.key("method"), &method, is_name, word::METHOD);
    (true, format!("/{service}/{method}"))
}

fn headers(
    raw: BTreeMap<String, String>,
    path: &KeyPath,
    check: &mut Check<'_>,
) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for (name, value) in raw {
        let path = path.key(&name);
        check.text(&path, &name, word::is_header, word::HEADER);
        check.text(&path, &value, word::is_header_value, word::HEADER_VALUE);
        if headers.insert(name.to_ascii_lowercase(), value).is_some() {
            check.wrong(&path, "is given twice, as names have no case", "one header of that name");
        }
    }
    headers
}
