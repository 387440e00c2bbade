//! Logs of containers: as text, from their end, and as they grow.

use super::api_server::{Answer, Shared};
use super::request::Place;
use super::store::Refusal;
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use hyper::Response;
use serde_json::Value;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

/// What a request for a log is answered: lines that are there, and with `follow` those that come,
/// until the pod is gone.
pub(super) fn log_stream(
    shared: Arc<Shared>,
    place: &Place,
    query: &HashMap<String, String>,
) -> Result<Answer, Refusal> {
    let pod = Place { subresource: String::new(), ..place.clone() };
    let object = shared.store(|store| store.get(&pod))?;
    let container = container(&object, query)?;
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
    let follow = query.get("follow").is_some_and(|text| text == "true");
    let of = (pod.name.clone(), container);
    let stamped = query.get("timestamps").is_some_and(|text| text == "true");
    let begin = query.get("sinceTime").map_or(0, |time| number_of(time));
    let tail = shared.log(&of).len().saturating_sub(number("tailLines").unwrap_or(usize::MAX));
    let mut told = tail.max(begin);
    let (mut lines, body) = Channel::<Bytes, Infallible>::new(16);
    let mut changes = shared.changes();
    let feed = async move {
        loop {
            changes.mark_unchanged();
            let is_there = shared.store(|store| store.get(&pod)).is_ok();
            for line in shared.log(&of).into_iter().skip(told) {
                let time = if stamped { time_of(told) + " " } else { String::new() };
                told += 1;
                if lines.send_data(Bytes::from(format!("{time}{line}\n"))).await.is_err() {
                    return;
                }
            }
            if !follow || !is_there || changes.changed().await.is_err() {
                return;
            }
        }
    };
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(feed);
    // The stream ends with its feed, and the feed with the connection or the server.
    tasks.detach_all();
    let mut response = Response::new(body.boxed());
    let kind = hyper::header::HeaderValue::from_static("text/plain");
    response.headers_mut().insert("content-type", kind);
    Ok(response)
}

/// The time of a line: one each half second.
fn time_of(line: usize) -> String {
    let nanoseconds = if line % 2 == 1 { "500000000" } else { "000000000" };
    let (minute, second) = (line / 120 % 60, line / 2 % 60);
    format!("2026-01-01T00:{minute:02}:{second:02}.{nanoseconds}Z")
}

/// The first line of a second: clients ask for no smaller times.
fn number_of(time: &str) -> usize {
    let part = |from: usize| time.get(from..from + 2).and_then(|text| text.parse().ok());
    let (minute, second): (usize, usize) = (part(14).unwrap_or(0), part(17).unwrap_or(0));
    (minute * 60 + second) * 2
}

/// The container that is meant; with its log, if it has begun.
fn container(pod: &Value, query: &HashMap<String, String>) -> Result<String, Refusal> {
    let bad = |message: String| Refusal(400, "BadRequest", message);
    let name = pod["metadata"]["name"].as_str().unwrap();
    let list = |field: &str| pod["spec"][field].as_array().cloned().unwrap_or_default();
    let all = [list("initContainers"), list("containers")].concat();
    let names: Vec<&str> = all.iter().filter_map(|one| one["name"].as_str()).collect();
    let meant = match query.get("container").map(String::as_str) {
        Some(meant) => meant,
        None if names.len() == 1 => names[0],
        None => {
            return Err(bad(format!(
                "a container name must be specified for pod {name}, choose one of: {names:?}"
            )));
        }
    };
    if !names.contains(&meant) {
        return Err(bad(format!("container {meant} is not valid for pod {name}")));
    }
    let statuses = ["initContainerStatuses", "containerStatuses"]
        .map(|field| pod["status"][field].as_array().cloned().unwrap_or_default());
    let statuses = statuses.concat();
    let state = statuses.iter().find(|status| status["name"] == meant);
    let waits = state.and_then(|status| status["state"]["waiting"]["reason"].as_str());
    let was_there = state.is_some_and(|status| status["restartCount"] != 0);
    match waits {
        // One that begins anew shows what it wrote before its end.
        Some(reason) if !was_there => Err(bad(format!(
            "container \"{meant}\" in pod \"{name}\" is waiting to start: {reason}"
        ))),
        _ => Ok(meant.to_owned()),
    }
}
