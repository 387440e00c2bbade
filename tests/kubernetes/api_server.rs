//! A small Kubernetes API server on loopback: what the autoscaler's client uses, and faults.
//!
//! Requests and answers have the shapes of the API's documentation. There is no scheduler, kubelet
//! or controller, and no schema: see `cluster` for what takes their place.

use super::answer::answer;
use super::store::Store;
use super::tokens::Tokens;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::Response;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
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
    /// As which programs those with a token have asked.
    agents: Mutex<BTreeSet<(String, String)>>,
    tokens: Mutex<Tokens>,
    /// Verbs and resources that a review of somebody's own rights does not allow.
    denied: Mutex<Vec<(String, String)>>,
    /// What containers have written, by pod and container.
    logs: Mutex<BTreeMap<(String, String), Vec<String>>>,
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
            agents: Mutex::default(),
            tokens: Mutex::default(),
            denied: Mutex::default(),
            logs: Mutex::default(),
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

    /// Answers that this verb of this resource is not allowed, to who asks for his rights.
    pub(super) fn deny(&self, verb: &str, resource: &str) {
        self.shared.denied.lock().unwrap().push((verb.to_owned(), resource.to_owned()));
    }

    /// A container of a pod writes a line.
    pub(super) fn write_log(&self, pod: &str, container: &str, line: &str) {
        let of = (pod.to_owned(), container.to_owned());
        self.shared.logs.lock().unwrap().entry(of).or_default().push(line.to_owned());
        self.shared.changed.send_modify(|_| {});
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

    /// As which programs who has this token has asked, without their versions: whose fields are that
    /// are set without an apply.
    pub(super) fn programs(&self, who: &str) -> Vec<String> {
        let agents = self.shared.agents.lock().unwrap();
        let its_own = agents.iter().filter(|(of, _)| of == who);
        its_own.map(|(_, agent)| agent.split('/').next().unwrap_or("").to_owned()).collect()
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

    /// What a container of a pod has written.
    pub(super) fn log(&self, of: &(String, String)) -> Vec<String> {
        self.logs.lock().unwrap().get(of).cloned().unwrap_or_default()
    }

    /// Whose token it is.
    pub(super) fn review_token(&self, review: &Value) -> Value {
        self.tokens.lock().unwrap().review(review)
    }

    /// Whether somebody may not do this.
    pub(super) fn is_denied(&self, verb: &str, resource: &str) -> bool {
        let denied = self.denied.lock().unwrap();
        denied.iter().any(|(no, to)| no == verb && to == resource)
    }

    /// What every request gets whose method and path contain the text.
    pub(super) fn refusal(&self, what: &str) -> Option<u16> {
        let faults = self.faults.lock().unwrap();
        faults.refusals.iter().find(|(text, _)| what.contains(text)).map(|(_, status)| *status)
    }

    /// Remembers a request, by which rights it came, and from whom and which program.
    pub(super) fn remember(
        &self,
        rights: Vec<Right>,
        from: (String, String),
        write: Option<Write>,
    ) {
        self.agents.lock().unwrap().insert(from);
        self.rights.lock().unwrap().extend(rights);
        match write {
            None => *self.reads.lock().unwrap() += 1,
            Some(write) => self.writes.lock().unwrap().push(write),
        }
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
