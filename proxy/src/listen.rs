//! Listeners, and the worker threads that serve their connections.
//!
//! Each worker is a thread with a runtime and a listener of its own: the kernel spreads new
//! connections over them (`SO_REUSEPORT`), and a connection never changes threads.

use crate::connection;
use crate::error::StartError;
use crate::stack::Stack;
use crate::turn_away::turn_away;
use crate::upstream::Connector;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

/// Connections the kernel may hold until they are accepted.
const BACKLOG: i32 = 1024;
/// Clients for whom there is no place, and who are being told so. More are not told.
const MAX_TURNED_AWAY: usize = 64;
/// When no more files can be opened, wait for connections to end instead of spinning.
const ACCEPT_RETRY: Duration = Duration::from_millis(10);

/// A worker thread.
pub struct Worker {
    /// Its sender is dropped when the worker has drained.
    drained: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
}

/// Listens on `address`, once for each worker. Port 0 takes a free port, the same for all.
///
/// # Errors
/// If the address is taken or can't be listened on.
pub fn bind(
    address: SocketAddr,
    workers: usize,
    flag: &'static str,
) -> Result<Vec<std::net::TcpListener>, StartError> {
    let failed = |source| StartError::Listen { flag, address, source };
    let shared = workers > 1;
    if shared && address.port() != 0 {
        // With SO_REUSEPORT a second process on the same port would go unnoticed.
        drop(listener(address, false).map_err(failed)?);
    }
    let first = listener(address, shared).map_err(failed)?;
    let address = first.local_addr().map_err(failed)?;
    let mut listeners = vec![first];
    for _ in 1..workers {
        listeners.push(listener(address, true).map_err(failed)?);
    }
    Ok(listeners)
}

/// Starts a worker on a thread of its own.
///
/// # Errors
/// If the thread or its runtime can't be made.
pub fn start(
    worker: usize,
    listener: std::net::TcpListener,
    stack: Arc<Stack>,
    drain_timeout: Duration,
) -> Result<Worker, StartError> {
    let failed = |source| StartError::Worker { worker, source };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (done, drained) = oneshot::channel::<()>();
    let thread = std::thread::Builder::new()
        .name(format!("worker-{worker}"))
        .spawn(move || {
            runtime.block_on(serve(worker, listener, stack, drain_timeout));
            drop(done);
        })
        .map_err(failed)?;
    Ok(Worker { drained, thread })
}

async fn serve(
    worker: usize,
    listener: std::net::TcpListener,
    stack: Arc<Stack>,
    drain_timeout: Duration,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(worker, %error, "can't watch the listener"),
    };
    let connections = TaskTracker::new();
    let max_head_bytes = stack.limits.max_head_bytes;
    let tasks = TaskTracker::new();
    let connector = Arc::new(Connector { worker, max_head_bytes, tasks });
    let mut drain = stack.drain.clone();
    let turned_away = TaskTracker::new();
    let serve = |stream, from: SocketAddr| {
        let (stack, connector) = (Arc::clone(&stack), Arc::clone(&connector));
        let peer = stack.hops.trusted.peer(from.ip());
        if let Some(place) = stack.connections.enter() {
            connections.spawn(async move {
                connection::serve(stream, peer, stack, connector).await;
                drop(place);
            });
        } else if turned_away.len() < MAX_TURNED_AWAY {
            turned_away.spawn(turn_away(stream, stack));
        }
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = drain.closing() => break,
        };
        match accepted {
            Ok((stream, from)) => serve(stream, from),
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    // Those who connected before the listener closes are served too.
    while let Some(Ok((stream, from))) = now_or_never(listener.accept()).await {
        serve(stream, from);
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(drain_timeout, connections.wait()).await.is_err() {
        let left = connections.len();
        tracing::warn!(worker, left, "drain timeout: cutting off what still runs");
    }
}

fn listener(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for connections of the last run to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

async fn now_or_never<F: Future>(future: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = std::future::ready(()) => None,
    }
}

// === impl Worker ===

impl Worker {
    /// Waits until the worker has drained and its thread has ended.
    pub async fn join(self) {
        // Nothing is ever sent: the wait ends when the sender goes.
        drop(self.drained.await);
        if self.thread.join().is_err() {
            tracing::error!("a worker panicked");
        }
    }
}
