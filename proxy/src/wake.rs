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
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tidegate_api::names::path;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Semaphore;
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

/// Tells all; one yes is enough. A name that can't be found, or not soon, keeps nobody from the others.
async fn tell(settings: &WakeSettings, api: &str) -> Result<(), WakeError> {
    let token = settings.token_file.as_ref().map(|file| {
        bounded_file::text(file, MAX_TOKEN_BYTES)
            .map_err(|error| format!("can't read {} (--wake-token-file): {error}", file.display()))
    });
    let token = token.transpose()?;
    let mut told = JoinSet::new();
    let posts = Arc::new(Semaphore::new(MOST_TARGETS));
    for target in &settings.targets {
        let (target, api, token) = (target.clone(), api.to_owned(), token.clone());
        told.spawn(tell_all_behind(target, api, token, Arc::clone(&posts)));
    }
    any(told).await
}

/// Tells all that one name stands for, as far as there are `posts` left.
async fn tell_all_behind(
    target: String,
    api: String,
    token: Option<String>,
    posts: Arc<Semaphore>,
) -> Result<(), WakeError> {
    let found = lookup_host(&target).await;
    let mut told = JoinSet::new();
    for to in found.map_err(|error| format!("{target} (--wake): {error}"))? {
        let Ok(post_of_many) = Arc::clone(&posts).try_acquire_owned() else { break };
        post_of_many.forget();
        let request = request(to, &api, token.as_deref())?;
        told.spawn(async move {
            post(to, request).await.map_err(|error| format!("{to}: {error}").into())
        });
    }
    any(told).await
}

/// The first yes, or why there was none.
async fn any(mut told: JoinSet<Result<(), WakeError>>) -> Result<(), WakeError> {
    let mut errors = Vec::new();
    while let Some(done) = told.join_next().await {
        match done? {
            Ok(()) => return Ok(()),
            Err(error) => errors.push(error.to_string()),
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
    let mut answer = pin!(sender.send_request(request));
    let status = tokio::select! {
        biased;
        response = &mut answer => response?.status(),
        // Who answers and closes has answered.
        ended = connection => match (answer.await, ended) {
            (Ok(response), _) => response.status(),
            (Err(_), Err(error)) => return Err(error.into()),
            (Err(error), Ok(())) => return Err(error.into()),
        },
    };
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::NOT_FOUND => Err("it scales no such API, or does not lead".into()),
        status => Err(format!("it answered {status}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// One that answers so and closes.
    async fn autoscaler(tasks: &mut JoinSet<()>, answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (mut head, mut part) = (Vec::new(), [0; 512]);
                while !head.ends_with(b"\r\n\r\n") {
                    let read = stream.read(&mut part).await.unwrap();
                    head.extend_from_slice(&part[..read]);
                }
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        address
    }

    const YES: &str = "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
    const NO: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";

    #[tokio::test]
    async fn who_answers_and_closes_has_answered() {
        let mut tasks = JoinSet::new();
        let settings = autoscaler(&mut tasks, YES).await.into();
        for _ in 0..100 {
            tell(&settings, "a").await.unwrap();
        }
        let error =
            tell(&autoscaler(&mut tasks, NO).await.into(), "a").await.unwrap_err().to_string();
        assert!(error.ends_with("it scales no such API, or does not lead"), "{error}");
        let error =
            tell(&autoscaler(&mut tasks, "").await.into(), "a").await.unwrap_err().to_string();
        assert!(error.contains("127.0.0.1:"), "{error}");
    }

    #[tokio::test]
    async fn a_name_that_is_not_found_keeps_nobody_from_the_others() {
        let mut tasks = JoinSet::new();
        let yes = autoscaler(&mut tasks, YES).await.to_string();
        let unknown = || "no-such-name.invalid:1".to_owned();
        for targets in [vec![unknown(), yes.clone()], vec![yes, unknown()]] {
            tell(&WakeSettings { targets, token_file: None }, "a").await.unwrap();
        }
        let alone = WakeSettings { targets: vec![unknown()], token_file: None };
        let error = tell(&alone, "a").await.unwrap_err().to_string();
        assert!(error.starts_with("no-such-name.invalid:1 (--wake): "), "{error}");
    }
}
