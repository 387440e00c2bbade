//! What pods' sidecars and gateways tell of a load, over HTTP.

use crate::support::now;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What sidecars and gateways say.
#[derive(Default)]
pub(super) struct Load {
    /// Requests in flight of each app, shared by its pods.
    pub(super) demand: Mutex<BTreeMap<String, u32>>,
    /// Of single pods, which then have no share of the app's.
    pub(super) busy: Mutex<BTreeMap<String, u32>>,
    /// Each pod's app and what its sidecar counts.
    pub(super) pods: Mutex<BTreeMap<String, Counter>>,
    /// Requests that wait at the gateway, by API.
    pub(super) held: Mutex<BTreeMap<String, u32>>,
}

pub(super) struct Counter {
    pub(super) app: String,
    pub(super) seconds: f64,
    pub(super) since: Instant,
}

impl Load {
    /// The metrics of a pod's sidecar.
    pub(super) fn sidecar(&self, pod: &str) -> String {
        let mut pods = self.pods.lock().unwrap();
        let Some(app) = pods.get(pod).map(|counter| counter.app.clone()) else {
            return String::new();
        };
        let busy = self.busy.lock().unwrap();
        let shares: Vec<&String> = pods
            .iter()
            .filter(|(name, counter)| counter.app == app && !busy.contains_key(*name))
            .map(|(name, _)| name)
            .collect();
        let demand = self.demand.lock().unwrap().get(&app).copied().unwrap_or(0) as usize;
        let in_flight = match busy.get(pod) {
            Some(own) => *own as usize,
            None => {
                let index = shares.iter().position(|name| *name == pod).unwrap_or(0);
                demand / shares.len() + usize::from(index < demand % shares.len())
            }
        };
        let Some(counter) = pods.get_mut(pod) else { return String::new() };
        let moment = now();
        counter.seconds += (moment - counter.since).as_secs_f64() * in_flight as f64;
        counter.since = moment;
        format!(
            "tidegate_concurrency_seconds_total {}\ntidegate_queue_seconds_total 0\n\
             tidegate_requests_in_flight {in_flight}\ntidegate_requests_queued 0\n\
             tidegate_draining 0\n",
            counter.seconds
        )
    }
}

/// Of a page the series that are asked for by name, if any are; as a sidecar does.
fn asked_for(head: &str, page: String) -> String {
    let names: Vec<&str> =
        head.split([' ', '?', '&']).filter_map(|part| part.strip_prefix("name%5B%5D=")).collect();
    let is_asked = |line: &&str| names.contains(&line.split(['{', ' ']).next().unwrap_or(""));
    match names.is_empty() {
        true => page,
        false => page.lines().filter(is_asked).map(|line| format!("{line}\n")).collect(),
    }
}

/// Serves a text on a free port, to whoever asks for whatever, as long as the runtime lives.
pub(super) async fn serve_text(
    name: String,
    text: impl Fn(&str) -> String + Send + Sync + 'static,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move {
        let text = Arc::new(text);
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            while connections.try_join_next().is_some() {}
            let (name, text) = (name.clone(), Arc::clone(&text));
            connections.spawn(async move {
                let mut head = [0; 4096];
                let Ok(count) = stream.read(&mut head).await else { return };
                let body = asked_for(&String::from_utf8_lossy(&head[..count]), text(&name));
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).await.ok();
            });
        }
    });
    server.detach_all();
    port
}
