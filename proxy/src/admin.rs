//! The admin port: alive, ready, metrics, what is in force. Nothing on the data port leads here, nor
//! around it.

use crate::clock;
use crate::complaints::Complaints;
use crate::connections::Connections;
use crate::drain::Drain;
use crate::gate::{Gate, RoomReport};
use crate::in_force::InForce;
use crate::metrics::ProcessMetrics;
use crate::metrics::page::page;
use crate::places::{Place, Places};
use crate::policy::admission::Load;
use crate::threads::Threads;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::Registry;
use serde_json::json;
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use subtle::ConstantTimeEq;
use tidegate_api::names::path;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// Probes and scrapers are few. Beyond these, who asks nothing gives way.
const MAX_CONNECTIONS: usize = 64;
/// So many of them may wait for room: probes find a place whatever they do.
const MAX_WAITING: usize = 32;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether a process could serve.
pub type IsReady = Arc<dyn Fn() -> bool + Send + Sync>;

/// What the admin port shows.
pub struct Admin {
    /// All metrics of the process.
    pub registry: Registry,
    /// Readiness and drain, as metrics.
    pub process: ProcessMetrics,
    /// Whether the process could serve, apart from draining.
    pub ready: IsReady,
    /// The places for clients' connections.
    pub connections: Arc<Connections>,
    /// What the endpoints are up to, as JSON, where there are several.
    pub endpoints: Option<Box<dyn Fn() -> String + Send + Sync>>,
    /// Where room is told of, in a sidecar.
    pub gate: Option<Arc<Gate>>,
    /// The workers' threads, once they run.
    pub threads: Threads,
    /// What the process runs with.
    pub in_force: Arc<InForce>,
    /// Whether it drains; and its page that drains it, if it has a token.
    pub drain: Drain,
}

// === impl Admin ===

impl Admin {
    /// Serves the admin port until another process does.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let (connections, seats) = (TaskTracker::new(), Arc::new(Semaphore::new(MAX_WAITING)));
        let places = Places::new(MAX_CONNECTIONS);
        let (mut drain, mut number) = (self.drain.watch(), 0_usize);
        let mut complaints = Complaints::default();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = drain.taken_over() => return,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    if complaints.may(clock::now()) {
                        tracing::warn!(%error, "can't accept an admin connection");
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            };
            let Some(place) = places.take() else { continue };
            number = number.wrapping_add(1);
            let (admin, seats) = (Arc::clone(&self), Arc::clone(&seats));
            connections.spawn(admin.put((stream, place), number, connections.clone(), seats));
            // Else a crowd of new ones could push out who has asked and is not heard yet.
            tokio::task::yield_now().await;
        }
    }

    /// Who asks for room is served on a worker's thread, where room is made: so word of it, for which
    /// requests wait, does not change threads on its way.
    async fn put(
        self: Arc<Self>,
        (stream, place): (TcpStream, Place),
        number: usize,
        connections: TaskTracker,
        seats: Arc<Semaphore>,
    ) {
        let asks = match self.gate {
            Some(_) => tokio::select! {
                asks = asks_for_room(&stream) => asks,
                () = place.lost() => None,
            },
            None => Some(false),
        };
        // Who says nothing for so long is not answered.
        let Some(asks) = asks else { return };
        let (threads, tasks) = (self.threads.clone(), connections.clone());
        if !asks {
            return self.converse((stream, place), connections, seats).await;
        }
        let serve = move |stream| self.converse((stream, place), connections, seats);
        if let Err(error) = threads.serve(number, stream, &tasks, serve) {
            tracing::warn!(%error, "can't hand on an admin connection");
        }
    }

    /// Answers what is asked over one connection.
    async fn converse(
        self: Arc<Self>,
        (stream, place): (TcpStream, Place),
        tasks: TaskTracker,
        seats: Arc<Semaphore>,
    ) {
        // Of a connection that asks for room, for as long as it is open.
        let seat = OnceLock::new();
        let takes =
            || Arc::clone(&seats).try_acquire_owned().is_ok_and(|own| seat.set(own).is_ok());
        let has_seat = || seat.get().is_some() || takes();
        let service = service_fn(|request| {
            let (admin, tasks, has_seat, place) = (&self, &tasks, &has_seat, &place);
            async move {
                let answer = admin.respond(&request, tasks, has_seat);
                Ok::<_, Infallible>(place.working(answer).await)
            }
        });
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            served = serving => if let Err(error) = served {
                tracing::debug!(%error, "admin connection ended early");
            },
            () = place.lost() => tracing::debug!("admin connection gives way to another"),
        }
    }

    /// `has_seat` if the connection may be one of those that wait for room.
    async fn respond<B>(
        &self,
        request: &Request<B>,
        tasks: &TaskTracker,
        has_seat: impl Fn() -> bool,
    ) -> Response<Full<Bytes>> {
        let (mut response, mut close) = if self.is_asked_to_drain(request) {
            (self.drained(tasks).await, false)
        } else if let Some((gate, waited)) = self.asked_for_room(request) {
            match has_seat() {
                true => (room(gate, waited).await, false),
                // Who asked goes by time, as where nobody tells.
                false => (text(StatusCode::SERVICE_UNAVAILABLE, "too many wait for room\n"), true),
            }
        } else {
            (self.answer(request), false)
        };
        // Another process may answer here next.
        close |= self.drain.is_draining();
        if close {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Whether the request has the token that drains. A hook can only send GET.
    fn is_asked_to_drain<B>(&self, request: &Request<B>) -> bool {
        let token = request.uri().path().strip_prefix(path::DRAIN);
        match (token, &self.drain.settings().token) {
            (Some(given), Some(token)) if *request.method() == Method::GET => {
                given.as_bytes().ct_eq(token.as_bytes()).into()
            }
            _ => false,
        }
    }

    /// Where room is to be awaited, if that is what the request asks for and this process is there
    /// for some time yet.
    fn asked_for_room<B>(&self, request: &Request<B>) -> Option<(&Gate, Duration)> {
        let asked = *request.method() == Method::GET && request.uri().path() == path::ROOM;
        let gate = self.gate.as_deref().filter(|_| asked && !self.drain.is_draining())?;
        let waited = || request.uri().query()?.strip_prefix(path::ROOM_WAITED)?.strip_prefix('=');
        let micros = waited().and_then(|micros| micros.parse().ok()).unwrap_or(0);
        Some((gate, Duration::from_micros(micros)))
    }

    /// Drains, and answers when no client is left, or after the time that draining has.
    async fn drained(&self, tasks: &TaskTracker) -> Response<Full<Bytes>> {
        tracing::info!("drains, as it is asked to");
        let (begun, mut seen) = (self.drain.clone(), self.drain.watch());
        // It goes on to its end also where nobody waits for the answer.
        tasks.spawn(async move { begun.begin(false).await });
        seen.closing().await;
        let empty = async {
            while self.connections.open() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(self.drain.settings().timeout, empty).await {
            Ok(()) => text(StatusCode::OK, "drained\n"),
            Err(_) => text(StatusCode::OK, "some requests were cut off\n"),
        }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if *request.method() != Method::GET && *request.method() != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n");
        }
        match request.uri().path() {
            path::HEALTHZ => text(StatusCode::OK, "alive\n"),
            path::READYZ => self.readyz(),
            path::METRICS => self.metrics(request.uri().query()),
            path::ROOM if self.gate.is_some() => {
                text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
            }
            path::ENDPOINTS => self.endpoints(),
            path::CONFIG => json(self.in_force.page()),
            _ => text(StatusCode::NOT_FOUND, self.pages()),
        }
    }

    fn readyz(&self) -> Response<Full<Bytes>> {
        if self.drain.is_draining() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
        }
        if !(self.ready)() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n");
        }
        text(StatusCode::OK, "ready\n")
    }

    fn endpoints(&self) -> Response<Full<Bytes>> {
        let Some(page) = &self.endpoints else {
            return text(StatusCode::NOT_FOUND, "a sidecar has one endpoint, its model\n");
        };
        json(page())
    }

    /// What is to be had here.
    fn pages(&self) -> &'static str {
        match self.endpoints {
            Some(_) => "here are /healthz, /readyz, /metrics, /config and /endpoints\n",
            None => "here are /healthz, /readyz, /metrics, /config and /room\n",
        }
    }

    fn metrics(&self, query: Option<&str>) -> Response<Full<Bytes>> {
        let draining = self.drain.is_draining();
        self.process.draining.set(i64::from(draining));
        self.process.ready.set(i64::from(!draining && (self.ready)()));
        self.process.connections.set(i64::try_from(self.connections.open()).unwrap_or(i64::MAX));
        match page(self.registry.gather(), query) {
            Ok(page) => {
                let mut response = text(StatusCode::OK, page);
                let kind = HeaderValue::from_static(prometheus::TEXT_FORMAT);
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }
}

/// Whether room is the first that is asked for over a connection, if anything is.
async fn asks_for_room(stream: &TcpStream) -> Option<bool> {
    let asked = ["GET ", path::ROOM].concat();
    let mut first = vec![0; asked.len()];
    let peeked = tokio::time::timeout(HEADER_TIMEOUT, stream.peek(&mut first)).await;
    peeked.is_ok().then(|| first == asked.as_bytes())
}

async fn room(gate: &Gate, waits: Duration) -> Response<Full<Bytes>> {
    let now = clock::now();
    let since = now.checked_sub(waits).unwrap_or(now);
    let RoomReport { load: Load { held, limit }, waited, pass } = gate.room(since).await;
    let said = json!({ "held": held, "limit": limit, "waited": waited, "pass": pass });
    json(said.to_string())
}

fn json(page: String) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::OK, page);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
