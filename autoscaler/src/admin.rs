//! The autoscaler's own port: alive, metrics, status, the gateway's wake-ups, and refreshes.

use crate::calls::Calls;
use crate::door::{Closed, Door};
use crate::metrics::Metrics;
use crate::places::Places;
use crate::status::Status;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidegate_api::names::path;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Connections at once: gateways, a Prometheus, a human or two. Beyond these, who asks nothing gives way.
const MOST_CONNECTIONS: usize = 64;

/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait when no connection can be accepted, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the port serves from.
pub(crate) struct Admin {
    pub(crate) status: Arc<Mutex<Status>>,
    pub(crate) metrics: Metrics,
    pub(crate) calls: Calls,
    /// Who may wake; nothing for all.
    pub(crate) door: Option<Door>,
}

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, admin: Arc<Admin>) -> Infallible {
    let places = Places::new(MOST_CONNECTIONS);
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection on the admin port");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Who calls for something is judged soon, and calls again.
        let Some(place) = places.take() else { continue };
        let admin = Arc::clone(&admin);
        connections.spawn(async move {
            let service = service_fn(|request| {
                let (admin, place) = (&admin, &place);
                async move { Ok::<_, Infallible>(place.working(answer(admin, &request)).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                served = connection => if let Err(error) = served {
                    tracing::debug!(%error, "a connection to the admin port broke");
                },
                () = place.lost() => {}
            }
        });
        // Else a crowd of new ones could push out who has asked and is not heard yet.
        tokio::task::yield_now().await;
    }
}

async fn answer(admin: &Admin, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let asked = request.uri().path();
    let read = matches!(*request.method(), Method::GET | Method::HEAD);
    match asked {
        path::HEALTHZ | path::READYZ if read => text(StatusCode::OK, "ok\n".to_owned()),
        path::METRICS if read => match admin.metrics.text() {
            Ok(metrics) => text(StatusCode::OK, metrics),
            Err(error) => failed(&error),
        },
        path::STATUS if read => {
            let status = admin.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match serde_json::to_string_pretty(&status) {
                Ok(json) => json_answer(json),
                Err(error) => failed(&error),
            }
        }
        path::HEALTHZ | path::READYZ | path::METRICS | path::STATUS => not_allowed("GET, HEAD"),
        _ => call(admin, request, asked).await,
    }
}

/// What is called for.
async fn call(admin: &Admin, request: &Request<Incoming>, asked: &str) -> Response<Full<Bytes>> {
    let ((api, is_known), done) = if let Some(api) = asked.strip_prefix(path::WAKE) {
        ((api, Calls::wake as fn(&Calls, &str) -> bool), "will be woken")
    } else if let Some(api) = asked.strip_prefix(path::REFRESH).filter(|_| admin.door.is_none()) {
        ((api, Calls::refresh as fn(&Calls, &str) -> bool), "gets new replicas, one after another")
    } else {
        return text(StatusCode::NOT_FOUND, "no such path on the admin port\n".into());
    };
    if request.method() != Method::POST {
        return not_allowed("POST");
    }
    // Only a browser says this, on behalf of a page that may be anybody's.
    if request.headers().contains_key(ORIGIN) {
        return text(StatusCode::FORBIDDEN, "no web page may call for this\n".into());
    }
    // Who may not learns nothing of which APIs there are.
    if let Some(door) = &admin.door {
        let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = token.and_then(bearer).map(str::to_owned);
        if let Err(closed) = door(token).await {
            return denied(closed);
        }
    }
    if is_known(&admin.calls, api) {
        text(StatusCode::ACCEPTED, format!("{api} {done}\n"))
    } else {
        text(StatusCode::NOT_FOUND, "no api of this name is scaled here\n".into())
    }
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn denied(closed: Closed) -> Response<Full<Bytes>> {
    let mut response = text(closed.status, format!("{}\n", closed.what));
    if closed.status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn json_answer(json: String) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::OK, json);
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn not_allowed(methods: &'static str) -> Response<Full<Bytes>> {
    let body = format!("this path takes {methods}\n");
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, body);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

fn failed(error: &dyn std::fmt::Display) -> Response<Full<Bytes>> {
    tracing::error!(%error, "can't answer on the admin port");
    text(StatusCode::INTERNAL_SERVER_ERROR, "can't answer; the log says why\n".to_owned())
}
