//! An upgraded connection: bytes both ways, until an end or until nothing moves.

use crate::body::Held;
use crate::clock;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};
use tidegate_api::reason::Reason;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};

/// Enough for a WebSocket frame of text, little enough for thousands of quiet tunnels.
const BUFFER_BYTES: usize = 16 << 10;

/// Runs a tunnel. What `held` holds is given back at its end.
pub async fn run(client: OnUpgrade, upstream: OnUpgrade, idle: Option<Duration>, held: Held) {
    let (client, upstream) = match tokio::try_join!(client, upstream) {
        Ok(sides) => sides,
        Err(error) => {
            tracing::debug!(%error, "upgrade failed");
            return held.end(Some(Reason::UpstreamReset));
        }
    };
    let (client_read, client_write) = split(TokioIo::new(client));
    let (upstream_read, upstream_write) = split(TokioIo::new(upstream));
    let moved = Mutex::new(clock::now());
    let up = copy(client_read, upstream_write, &moved);
    let down = copy(upstream_read, client_write, &moved);
    let copied = async { tokio::try_join!(up, down).map(|_| ()) };
    tokio::select! {
        ended = copied => {
            if let Err(error) = ended {
                tracing::debug!(%error, "tunnel broke off");
            }
            held.end(None);
        }
        () = idle_for(idle, &moved) => held.end(Some(Reason::UpstreamTimeout)),
    }
}

/// Passes one direction on, its end too.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    moved: &Mutex<Instant>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        *moved.lock().unwrap_or_else(PoisonError::into_inner) = clock::now();
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
    }
}

async fn idle_for(idle: Option<Duration>, moved: &Mutex<Instant>) {
    let Some(idle) = idle else { return std::future::pending().await };
    loop {
        let last = *moved.lock().unwrap_or_else(PoisonError::into_inner);
        let over = last + idle;
        if clock::now() >= over {
            return;
        }
        tokio::time::sleep_until(over.into()).await;
    }
}
