//! Tells the autoscaler at once that requests are held for an API at zero.

use crate::gate::Gate;
use bytes::Bytes;
use http::Request;
use http::header::HOST;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tidegate_api::names::path;
use tokio::net::TcpStream;

/// While requests are held the push is repeated: the autoscaler may have been away.
const REPEAT: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_secs(1);

/// Pushes for one API, for ever.
pub async fn push(autoscaler: SocketAddr, api: String, gate: Arc<Gate>) {
    loop {
        gate.held.notified().await;
        while gate.is_held() {
            match tokio::time::timeout(TIMEOUT, post(autoscaler, &api)).await {
                Ok(Ok(())) => tracing::debug!(api, "woke the autoscaler"),
                Ok(Err(error)) => {
                    tracing::warn!(api, %autoscaler, %error, "can't wake the autoscaler")
                }
                Err(_) => tracing::warn!(api, %autoscaler, "the autoscaler does not answer"),
            }
            tokio::time::sleep(REPEAT).await;
        }
    }
}

async fn post(
    autoscaler: SocketAddr,
    api: &str,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let request = Request::post(format!("{}{api}", path::WAKE))
        .header(HOST, autoscaler.to_string())
        .body(Empty::<Bytes>::new())?;
    let stream = TcpStream::connect(autoscaler).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let status = tokio::select! {
        response = sender.send_request(request) => response?.status(),
        ended = connection => return Err(ended.err().map_or_else(|| "no answer".into(), Into::into)),
    };
    if status.is_success() { Ok(()) } else { Err(format!("it answered {status}").into()) }
}
