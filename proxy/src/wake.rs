//! Tells the autoscaler at once that requests are held for an API at zero.
//!
//! Of several autoscalers one acts. So all that a name stands for are told, and one that says yes is
//! enough.

use crate::bounded_file;
use crate::gate::Gate;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tidegate_api::names::path;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;

/// While requests are held the push is repeated: the autoscaler may have been away, or have begun
/// anew and know nothing of it.
const REPEAT: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_secs(1);
/// Autoscalers that are told at the most.
const MOST_TARGETS: usize = 16;
/// The longest token that is read.
const MAX_TOKEN_BYTES: u64 = 16 << 10;

/// Whom to tell, and how to say who does.
#[derive(Debug, Clone)]
pub struct WakeSettings {
    /// Hosts with ports. A name may stand for several autoscalers.
    pub targets: Vec<String>,
    /// The file of a token, read anew each time: Kubernetes exchanges it while we run.
    pub token_file: Option<PathBuf>,
}

type WakeError = Box<dyn std::error::Error + Send + Sync>;

impl From<SocketAddr> for WakeSettings {
    fn from(autoscaler: SocketAddr) -> Self {
        Self { targets: vec![autoscaler.to_string()], token_file: None }
    }
}

/// Pushes for one API, for ever.
pub async fn push(settings: Arc<WakeSettings>, api: String, gate: Arc<Gate>) {
    loop {
        gate.held.notified().await;
        let mut complained = false;
        while gate.is_asleep() {
            let pushed = tokio::time::timeout(TIMEOUT, tell(&settings, &api)).await;
            match pushed.unwrap_or_else(|_| Err("it does not answer".into())) {
                Ok(()) => {
                    complained = false;
                    tracing::debug!(api, "woke the autoscaler");
                }
                Err(error) if complained => {
                    tracing::debug!(api, %error, "still can't wake the autoscaler")
                }
                Err(error) => {
                    complained = true;
                    tracing::warn!(api, %error, "can't wake the autoscaler; trying on")
                }
            }
            tokio::time::sleep(REPEAT).await;
            // Looked at only now: who has left by then may have gone to another API for the while.
            if !gate.is_held() {
                break;
            }
        }
    }
}

/// Tells all; one yes is enough.
async fn tell(settings: &WakeSettings, api: &str) -> Result<(), WakeError> {
    let token = settings.token_file.as_ref().map(|file| {
        bounded_file::text(file, MAX_TOKEN_BYTES)
            .map_err(|error| format!("can't read {} (--wake-token-file): {error}", file.display()))
    });
    let token = token.transpose()?;
    let mut posts = JoinSet::new();
    for target in &settings.targets {
        let found = lookup_host(target).await;
        for to in found.map_err(|error| format!("{target} (--wake): {error}"))? {
            if posts.len() < MOST_TARGETS {
                let request = request(to, api, token.as_deref())?;
                posts.spawn(async move {
                    post(to, request).await.map_err(|error| format!("{to}: {error}"))
                });
            }
        }
    }
    let mut errors = Vec::new();
    while let Some(done) = posts.join_next().await {
        match done? {
            Ok(()) => return Ok(()),
            Err(error) => errors.push(error),
        }
    }
    Err(errors.join("; ").into())
}

fn request(
    to: SocketAddr,
    api: &str,
    token: Option<&str>,
) -> Result<Request<Empty<Bytes>>, http::Error> {
    let mut request = Request::post(format!("{}{api}", path::WAKE)).header(HOST, to.to_string());
    if let Some(token) = token {
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.trim()))?;
        bearer.set_sensitive(true);
        request = request.header(AUTHORIZATION, bearer);
    }
    request.body(Empty::new())
}

async fn post(to: SocketAddr, request: Request<Empty<Bytes>>) -> Result<(), WakeError> {
    let stream = TcpStream::connect(to).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let status = tokio::select! {
        response = sender.send_request(request) => response?.status(),
        ended = connection => return Err(ended.err().map_or_else(|| "no answer".into(), Into::into)),
    };
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::NOT_FOUND => Err("it scales no such API, or does not lead".into()),
        status => Err(format!("it answered {status}").into()),
    }
}
