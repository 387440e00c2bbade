//! A connection that has switched protocols: bytes both ways, until an end or until nothing moves.

use crate::access_log::Received;
use crate::body::Tunnel;
use crate::clock;
use crate::wire::Wire;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tidegate_api::reason::Reason;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};

/// Enough for a WebSocket frame of text, little enough for thousands of quiet tunnels.
const BUFFER_BYTES: usize = 16 << 10;

/// Runs a tunnel. Slot and books end with it.
pub async fn run(client: Wire, tunnel: Tunnel) {
    let Tunnel { wire, idle, permit, mut account, .. } = tunnel;
    let (mut client_read, mut client_write) = split(client);
    let (mut upstream_read, mut upstream_write) = split(wire);
    let (upwards, downwards) = (AtomicU64::new(0), AtomicU64::new(0));
    let moved = Mutex::new(clock::now());
    let up = copy(&mut client_read, &mut upstream_write, &moved, &upwards);
    let down = copy(&mut upstream_read, &mut client_write, &moved, &downwards);
    let copied = async { tokio::try_join!(up, down) };
    let failed = tokio::select! {
        ended = copied => {
            if let Err(error) = ended {
                tracing::debug!(%error, "tunnel broke off");
            }
            None
        }
        () = idle_for(idle, &moved) => Some(Reason::UpstreamTimeout),
    };
    if failed.is_some() {
        // Neither side may take it for the other's orderly end.
        client_read.unsplit(client_write).reset_on_close(true);
        upstream_read.unsplit(upstream_write).reset_on_close(true);
    }
    if let Some(entry) = account.entry() {
        entry.received = Received::All(upwards.into_inner());
        entry.sent = downwards.into_inner();
    }
    account.close(failed, clock::now());
    drop(permit);
}

/// Passes one direction on, then its end.
async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    moved: &Mutex<Instant>,
    passed: &AtomicU64,
) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        *moved.lock().unwrap_or_else(PoisonError::into_inner) = clock::now();
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
        // In TLS a part may wait, encrypted, for room.
        to.flush().await?;
        passed.fetch_add(count as u64, Ordering::Relaxed);
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
