//! The raw TCP copy: what moving the bytes costs when nobody reads them. The floor for a proxy.

use anyhow::{Context, Result};
use std::net::SocketAddr;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Each way's buffer: a large body in few system calls.
const BUFFER_BYTES: usize = 64 << 10;

/// Copies until it is ended.
///
/// # Errors
/// If it can't listen.
pub(crate) fn run(listen: SocketAddr, upstream: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener =
            TcpListener::bind(listen).await.with_context(|| format!("can't listen at {listen}"))?;
        let mut pairs = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (client, _) = accepted.context("can't accept")?;
                    pairs.spawn(copy(client, upstream));
                }
                // What ended is forgotten: its ends have seen how.
                Some(_) = pairs.join_next() => {}
            }
        }
    })
}

async fn copy(mut client: TcpStream, upstream: SocketAddr) -> std::io::Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER_BYTES, BUFFER_BYTES).await?;
    Ok(())
}
