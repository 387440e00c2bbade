//! What the API server made here answers to each request.

use super::api_server::{Answer, Shared, Write};
use super::apply::{Apply, apply};
use super::legacy_events;
use super::log::log_stream;
use super::request::{Place, Selection, kinds, query};
use super::store::{Refusal, merge, merge_by_name};
use super::watch::watch_stream;
use crate::support::now;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// What a request is answered; writes and the rights that were used are remembered.
pub(super) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let what = format!("{} {}", head.method, head.uri.path());
    let refusal = shared.refusal(&what);
    let query = query(head.uri.query().unwrap_or(""));
    let answer = match (refusal, Place::parse(head.uri.path())) {
        (Some(404), _) => no_page(),
        (Some(status), _) => refused(&Refusal(status, "Fault", "a fault on purpose".to_owned())),
        (None, None) if head.uri.path() == "/version" => json_answer(200, &version()),
        (None, None) => match kinds(head.uri.path()) {
            Some(kinds) => json_answer(200, &kinds),
            None => no_page(),
        },
        (None, Some(place)) => match carry_out(&shared, &head, &place, &query, &body) {
            Ok(answer) => answer,
            Err(refusal) => refused_at(&refusal, &place),
        },
    };
    let text = |name: &str| head.headers.get(name).and_then(|text| text.to_str().ok());
    let who = text("authorization").unwrap_or("").trim_start_matches("Bearer ").to_owned();
    let from = (who.clone(), text("user-agent").unwrap_or("").to_owned());
    let status = answer.status().as_u16();
    let rights = Place::parse(head.uri.path()).map(|place| {
        let verb = verb(&head.method, &place, query.contains_key("watch"));
        let (group, resource) = place.named_in_roles();
        // An apply that makes something needs the right to create it, too.
        let made = (status == 201).then_some("create");
        let right = |verb: &str| (who.clone(), verb.to_owned(), group.clone(), resource.clone());
        std::iter::once(verb).chain(made).map(right).collect::<Vec<_>>()
    });
    let write = (head.method != Method::GET).then(|| Write { at: now(), who, what, body, status });
    shared.remember(rights.unwrap_or_default(), from, write);
    answer
}

fn carry_out(
    shared: &Arc<Shared>,
    head: &http::request::Parts,
    place: &Place,
    query: &HashMap<String, String>,
    body: &Value,
) -> Result<Answer, Refusal> {
    let header =
        |name: &str| head.headers.get(name).and_then(|text| text.to_str().ok()).unwrap_or("");
    let asked = |name: &str| query.get(name).map_or("", String::as_str);
    let bad = |message: String| Refusal(400, "BadRequest", message);
    let object = match (head.method.as_str(), place.name.is_empty()) {
        ("GET", true) => {
            let selection = Selection::of(query).map_err(bad)?;
            return Ok(if asked("watch") == "true" || asked("watch") == "1" {
                watch_stream(Arc::clone(shared), place.clone(), selection, query)
            } else {
                json_answer(200, &list(shared, place, &selection, query))
            });
        }
        ("GET", false) if place.subresource == "log" => {
            return log_stream(Arc::clone(shared), place, query);
        }
        ("GET", false) => shared.store(|store| store.get(place))?,
        ("POST", true) => {
            let made = match review(shared, place, body) {
                Some(reviewed) => reviewed,
                None => shared.store(|store| store.create(place, body.clone()))?,
            };
            return Ok(json_answer(201, &made));
        }
        ("PUT", false) => {
            shared.store(|store| store.change(place, |object| *object = body.clone()))?
        }
        ("PATCH", false) => match header("content-type") {
            "application/merge-patch+json" => {
                shared.store(|store| store.change(place, |object| merge(object, body)))?
            }
            "application/strategic-merge-patch+json" => {
                shared.store(|store| store.change(place, |object| merge_by_name(object, body)))?
            }
            "application/apply-patch+yaml" => {
                let (manager, force) = (asked("fieldManager"), asked("force") == "true");
                let of = Apply { manager, force, body };
                let (object, is_new) = shared.store(|store| apply(store, place, &of))?;
                if is_new {
                    return Ok(json_answer(201, &object));
                }
                object
            }
            kind => {
                let message = format!("the body of the request was in an unknown format: {kind}");
                return Err(Refusal(415, "UnsupportedMediaType", message));
            }
        },
        ("DELETE", false) => shared.store(|store| store.delete(place))?,
        (method, _) => {
            let message = format!("{method} is not supported here");
            return Err(Refusal(405, "MethodNotAllowed", message));
        }
    };
    if header("accept").contains("PartialObjectMetadata") {
        let partial = json!({
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": object["metadata"],
        });
        return Ok(json_answer(200, &partial));
    }
    Ok(json_answer(200, &object))
}

fn verb(method: &Method, place: &Place, watches: bool) -> &'static str {
    match (method.as_str(), place.name.is_empty()) {
        ("GET", true) if watches => "watch",
        ("GET", true) => "list",
        ("GET", false) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        _ => "delete",
    }
}

/// The answer to a question that is asked by creating it, and kept nowhere.
fn review(shared: &Shared, place: &Place, body: &Value) -> Option<Value> {
    match place.plural.as_str() {
        "selfsubjectaccessreviews" => Some(access_review(shared, body)),
        "tokenreviews" => Some(shared.review_token(body)),
        _ => None,
    }
}

/// What `SelfSubjectAccessReview` is answered: everything is allowed but what was denied.
fn access_review(shared: &Shared, body: &Value) -> Value {
    let mut review = body.clone();
    let asked = &body["spec"]["resourceAttributes"];
    let text = |field: &str| asked[field].as_str().unwrap_or("");
    let resource = match text("subresource") {
        "" => text("resource").to_owned(),
        subresource => format!("{}/{subresource}", text("resource")),
    };
    let allowed = !shared.is_denied(text("verb"), &resource);
    review["kind"] = json!("SelfSubjectAccessReview");
    review["apiVersion"] = json!("authorization.k8s.io/v1");
    review["status"] = json!({ "allowed": allowed });
    review
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "33", "gitVersion": "v1.33.0", "gitCommit": "", "gitTreeState": "",
        "buildDate": "", "goVersion": "", "compiler": "gc", "platform": "linux/amd64",
    })
}

fn list(
    shared: &Shared,
    place: &Place,
    selection: &Selection,
    query: &HashMap<String, String>,
) -> Value {
    let (mut items, revision) = shared.store(|store| {
        let items = match legacy_events::are(place) {
            true => legacy_events::list(store, place, selection),
            false => store.list(place, selection),
        };
        (items, store.revision())
    });
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
    let begin = number("continue").unwrap_or(0).min(items.len());
    let end = begin.saturating_add(number("limit").unwrap_or(usize::MAX)).min(items.len());
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if end < items.len() {
        metadata["continue"] = json!(end.to_string());
        metadata["remainingItemCount"] = json!(items.len() - end);
    }
    items = items.drain(begin..end).collect();
    // Of its own kinds the API server lists objects without kind and version.
    if place.kind() != Some("InferenceApi") {
        for item in items.iter_mut().filter_map(Value::as_object_mut) {
            item.remove("kind");
            item.remove("apiVersion");
        }
    }
    let kind = format!("{}List", place.kind().unwrap_or(""));
    json!({"kind": kind, "apiVersion": place.group_version, "metadata": metadata, "items": items})
}

pub(super) fn status(refusal: &Refusal) -> Value {
    let Refusal(code, reason, message) = refusal;
    let mut status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    });
    if *code == 429 {
        status["details"] = json!({"retryAfterSeconds": 1});
    }
    status
}

/// What is answered where there is no such kind: not in JSON.
fn no_page() -> Answer {
    let body = Full::new(Bytes::from("404 page not found\n")).boxed();
    let answer = Response::builder().status(404);
    answer.header("content-type", "text/plain; charset=utf-8").body(body).unwrap()
}

fn refused(refusal: &Refusal) -> Answer {
    json_answer(refusal.0, &status(refusal))
}

/// A refusal that names what was looked for.
fn refused_at(refusal: &Refusal, place: &Place) -> Answer {
    let mut status = status(refusal);
    if !place.name.is_empty() {
        let (group, kind) = place.named_in_roles();
        merge(&mut status, &json!({"details": {"name": place.name, "group": group, "kind": kind}}));
    }
    json_answer(refusal.0, &status)
}

fn json_answer(code: u16, value: &Value) -> Answer {
    let body = Full::new(Bytes::from(value.to_string())).boxed();
    Response::builder().status(code).header("content-type", "application/json").body(body).unwrap()
}
