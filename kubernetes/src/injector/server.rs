//! The webhook over HTTPS: each connection bounded in time, each body in size.

use super::certificate::Certificates;
use super::review::{Answer, By, answer};
use super::sidecar::InjectSettings;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Connections at once: API servers are few.
const MOST_CONNECTIONS: usize = 256;

/// The largest review: twice the 1.5 MiB that an API server lets an object have, for both versions
/// of it.
const MOST_BYTES: usize = 3 << 20;

/// How long a handshake, a head or a body may take. The API server waits 10 s by default.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks at the certificate's files.
const RELOAD_PERIOD: Duration = Duration::from_secs(10);

/// How long to wait when no connection can be accepted, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The webhook.
pub struct Injector {
    /// What sidecars are made of.
    pub settings: InjectSettings,
    /// What it is known by.
    pub certificates: Certificates,
    /// Is told of each review what was done, in a word, and how long it took.
    pub told: Box<dyn Fn(&'static str) + Send + Sync>,
}

impl std::fmt::Debug for Injector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Injector").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, injector: Arc<Injector>) -> Infallible {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut reloads = tokio::time::interval(RELOAD_PERIOD);
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = reloads.tick() => {
                match injector.certificates.reload() {
                    Ok(false) => {}
                    Ok(true) => tracing::info!("a new certificate is in force"),
                    Err(error) => tracing::error!(%error, "the old certificate stays in force"),
                }
                continue;
            }
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Who finds no place is turned away: the API server goes on without a sidecar.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let injector = Arc::clone(&injector);
        connections.spawn(async move {
            let _place = place;
            connection(stream, injector).await;
        });
    }
}

async fn connection(stream: TcpStream, injector: Arc<Injector>) {
    let acceptor = TlsAcceptor::from(injector.certificates.in_force());
    let stream = match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "no TLS handshake"),
        Err(_) => return tracing::debug!("a TLS handshake took too long"),
    };
    let service = service_fn(move |request| {
        let injector = Arc::clone(&injector);
        async move { Ok::<_, Infallible>(review(&injector, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn review(injector: &Injector, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let by = match request.uri().path() {
        "/mutate" => By::Request,
        "/mutate/by-default" => By::Default,
        _ => {
            return text(StatusCode::NOT_FOUND, "here are /mutate and /mutate/by-default\n".into());
        }
    };
    if request.method() != Method::POST {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only POST is answered\n".into());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let body = Limited::new(request.into_body(), MOST_BYTES).collect();
    let body = match tokio::time::timeout(PATIENCE, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) => {
            let too_large = error.is::<http_body_util::LengthLimitError>();
            let status =
                if too_large { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
            return text(status, format!("the review can't be read: {error}\n"));
        }
        Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the review took too long\n".into()),
    };
    let Answer { status, body, outcome } = answer(&body, &injector.settings, by);
    (injector.told)(outcome);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = text(status, body);
    if status == StatusCode::OK {
        let kind = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    response
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
