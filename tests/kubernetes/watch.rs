//! A watch: changes as lines of JSON, bookmarks between them, and an end.

use super::answer::status;
use super::api_server::{Answer, Shared};
use super::request::{Place, Selection};
use super::store::{News, Refusal};
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use hyper::Response;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// Between two bookmarks of a watch.
const BOOKMARKS: Duration = Duration::from_millis(500);

/// What a watch is answered.
pub(super) fn watch_stream(
    shared: Arc<Shared>,
    place: Place,
    selection: Selection,
    query: &HashMap<String, String>,
) -> Answer {
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<u64>().ok());
    let mut from = number("resourceVersion").unwrap_or(0);
    let end = Duration::from_secs(number("timeoutSeconds").unwrap_or(300));
    let bookmarks = query.get("allowWatchBookmarks").is_some_and(|text| text == "true");
    let (mut lines, body) = Channel::<Bytes, Infallible>::new(16);
    let mut changes = shared.changes();
    let feed = async move {
        loop {
            changes.mark_unchanged();
            let line = |event: &Value| Bytes::from(format!("{event}\n"));
            match shared.store(|store| store.since(from, &place, &selection)) {
                News::Events(events, revision) => {
                    for event in &events {
                        if lines.send_data(line(event)).await.is_err() {
                            return;
                        }
                    }
                    from = revision;
                }
                News::Expired => {
                    let status =
                        status(&Refusal(410, "Expired", "too old resource version".into()));
                    let event = json!({"type": "ERROR", "object": status});
                    lines.send_data(line(&event)).await.ok();
                    return;
                }
            }
            if tokio::time::timeout(BOOKMARKS, changes.changed()).await.is_err() && bookmarks {
                let bookmark = json!({"type": "BOOKMARK", "object": {
                    "kind": place.kind(),
                    "apiVersion": place.group_version,
                    "metadata": {"resourceVersion": from.to_string(), "creationTimestamp": null},
                }});
                if lines.send_data(line(&bookmark)).await.is_err() {
                    return;
                }
            }
        }
    };
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { tokio::time::timeout(end, feed).await.ok() });
    // The stream ends with its feed, and the feed with the connection.
    tasks.detach_all();
    let mut response = Response::new(body.boxed());
    let kind = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", kind);
    response
}
