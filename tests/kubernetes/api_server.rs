//! A small Kubernetes API server on loopback: what the autoscaler's client uses, and faults.
//!
//! Requests and answers have the shapes of the API's documentation. There is no scheduler, kubelet
//! or controller, and no schema: see `cluster` for what takes their place.

use super::request::{Place, Selection, query};
use super::store::{Refusal, Store, merge, merge_by_name};
use super::tokens::Tokens;
use super::watch::watch_stream;
use crate::support::now;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// A running API server. Dropped, it is gone.
pub(super) struct ApiServer {
    runtime: Option<Runtime>,
    shared: Arc<Shared>,
    address: SocketAddr,
}

/// What all connections share.
pub(super) struct Shared {
    store: Mutex<Store>,
    /// Tells that something has changed.
    changed: watch::Sender<u64>,
    /// Changes when every connection is to be cut.
    cut: watch::Sender<u64>,
    faults: Mutex<Faults>,
    writes: Mutex<Vec<Write>>,
    reads: Mutex<u64>,
    rights: Mutex<BTreeSet<Right>>,
    tokens: Mutex<Tokens>,
}

/// What somebody has asked for, as a role names it: who, the verb, the group and the resource.
pub(super) type Right = (String, String, String, String);

/// What goes wrong.
#[derive(Default)]
struct Faults {
    /// Connections are closed as they come.
    away: bool,
    /// What every request gets whose method and path contain the text.
    refusals: Vec<(String, u16)>,
}

/// A request that asked for a change.
#[derive(Debug, Clone)]
pub(super) struct Write {
    /// When it came.
    pub(super) at: Instant,
    /// The token that it came with.
    pub(super) who: String,
    /// `PATCH /apis/…`
    pub(super) what: String,
    /// Its body.
    pub(super) body: Value,
    /// The status that it got.
    pub(super) status: u16,
}

/// What a request gets.
pub(super) type Answer = Response<BoxBody<Bytes, Infallible>>;

impl ApiServer {
    /// Starts one on a free port.
    pub(super) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            store: Mutex::default(),
            changed: watch::Sender::new(0),
            cut: watch::Sender::new(0),
            faults: Mutex::default(),
            writes: Mutex::default(),
            reads: Mutex::new(0),
            rights: Mutex::default(),
            tokens: Mutex::default(),
        });
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        Self { runtime: Some(runtime), shared, address }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs beside it, as long as it does.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.as_ref().unwrap().spawn(task);
    }

    /// What tasks beside it need.
    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Gives an account, as `namespace/name`, a token for an audience.
    pub(super) fn give_token(&self, token: &str, account: &str, audience: &str) {
        self.shared.tokens.lock().unwrap().give(token, account, audience);
    }

    /// Closes every connection and takes no new ones, until it is told to be back.
    pub(super) fn away(&self, away: bool) {
        self.shared.faults.lock().unwrap().away = away;
        self.cut();
    }

    /// Closes every connection, with all watches.
    pub(super) fn cut(&self) {
        self.shared.cut.send_modify(|count| *count += 1);
    }

    /// Refuses every request whose `METHOD /path` contains `text`, with this status.
    pub(super) fn refuse(&self, text: &str, status: u16) {
        self.shared.faults.lock().unwrap().refusals.push((text.to_owned(), status));
    }

    /// Refuses nothing more.
    pub(super) fn accept(&self) {
        self.shared.faults.lock().unwrap().refusals.clear();
    }

    /// Forgets what has changed: watches from before must list again.
    pub(super) fn forget(&self) {
        self.shared.store.lock().unwrap().forget();
        self.cut();
    }

    /// Every request for a change so far whose `METHOD /path` contains `text`.
    pub(super) fn writes(&self, text: &str) -> Vec<Write> {
        let writes = self.shared.writes.lock().unwrap();
        writes.iter().filter(|write| write.what.contains(text)).cloned().collect()
    }

    /// Every right that was used so far by who has this token.
    pub(super) fn rights(&self, who: &str) -> BTreeSet<(String, String, String)> {
        let rights = self.shared.rights.lock().unwrap();
        let its_own = rights.iter().filter(|(of, ..)| of == who).cloned();
        its_own.map(|(_, verb, group, resource)| (verb, group, resource)).collect()
    }

    /// How many requests for no change there were.
    pub(super) fn reads(&self) -> u64 {
        *self.shared.reads.lock().unwrap()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Shared {
    /// Looks at the objects, or changes them, and tells who watches.
    pub(super) fn store<T>(&self, work: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = self.store.lock().unwrap();
        let before = store.revision();
        let done = work(&mut store);
        let after = store.revision();
        drop(store);
        if after != before {
            self.changed.send_replace(after);
        }
        done
    }

    /// Hears of changes.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        if shared.faults.lock().unwrap().away {
            continue;
        }
        let shared = Arc::clone(&shared);
        let mut cut = shared.cut.subscribe();
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(answer(shared, request).await) }
            });
            let http = hyper::server::conn::http1::Builder::new();
            let connection = http.serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                _ = connection => {}
                _ = cut.changed() => {}
            }
        });
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let what = format!("{} {}", head.method, head.uri.path());
    let refusal = {
        let faults = shared.faults.lock().unwrap();
        faults.refusals.iter().find(|(text, _)| what.contains(text)).map(|(_, status)| *status)
    };
    let query = query(head.uri.query().unwrap_or(""));
    let answer = match (refusal, Place::parse(head.uri.path())) {
        (Some(status), _) => refused(&Refusal(status, "Fault", "a fault on purpose".to_owned())),
        (None, None) => refused(&Refusal(
            404,
            "NotFound",
            "the server could not find the requested resource".to_owned(),
        )),
        (None, Some(place)) => match carry_out(&shared, &head, &place, &query, &body) {
            Ok(answer) => answer,
            Err(refusal) => refused(&refusal),
        },
    };
    let who = head.headers.get("authorization").and_then(|who| who.to_str().ok());
    let who = who.unwrap_or("").trim_start_matches("Bearer ").to_owned();
    if let Some(place) = Place::parse(head.uri.path()) {
        let verb = verb(&head.method, &place, query.contains_key("watch"));
        let (group, resource) = place.named_in_roles();
        shared.rights.lock().unwrap().insert((who.clone(), verb.to_owned(), group, resource));
    }
    if head.method == Method::GET {
        *shared.reads.lock().unwrap() += 1;
    } else {
        let status = answer.status().as_u16();
        shared.writes.lock().unwrap().push(Write { at: now(), who, what, body, status });
    }
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
        ("GET", false) => shared.store(|store| store.get(place))?,
        ("POST", true) if place.plural == "tokenreviews" => {
            return Ok(json_answer(201, &shared.tokens.lock().unwrap().review(body)));
        }
        ("POST", true) => {
            let made = shared.store(|store| store.create(place, body.clone()))?;
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
            "application/apply-patch+yaml" if asked("fieldManager").is_empty() => {
                return Err(bad("fieldManager is required for apply patch".to_owned()));
            }
            "application/apply-patch+yaml" => apply(shared, place, body)?,
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

/// Server-side apply of one manager that forces its way: what it says replaces what was there.
fn apply(shared: &Shared, place: &Place, body: &Value) -> Result<Value, Refusal> {
    for field in ["apiVersion", "kind"] {
        if body[field].is_null() {
            return Err(Refusal(400, "BadRequest", format!("{field} must be set in an apply")));
        }
    }
    shared.store(|store| match store.change(place, |object| merge(object, body)) {
        Err(Refusal(404, ..)) if place.subresource.is_empty() => store.create(place, body.clone()),
        done => done,
    })
}

fn list(
    shared: &Shared,
    place: &Place,
    selection: &Selection,
    query: &HashMap<String, String>,
) -> Value {
    let (mut items, revision) =
        shared.store(|store| (store.list(place, selection), store.revision()));
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

fn refused(refusal: &Refusal) -> Answer {
    json_answer(refusal.0, &status(refusal))
}

fn json_answer(code: u16, value: &Value) -> Answer {
    let body = Full::new(Bytes::from(value.to_string())).boxed();
    Response::builder().status(code).header("content-type", "application/json").body(body).unwrap()
}
