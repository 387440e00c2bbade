//! The worker threads, which accept connections and serve them.
//!
//! Each worker is a thread with a runtime and a listener of its own: the kernel spreads new
//! connections over them (`SO_REUSEPORT`), and a connection never changes threads.

use crate::account;
use crate::clock;
use crate::complaints::Complaints;
use crate::connection;
use crate::drain::Drain;
use crate::error::StartError;
use crate::redirect;
use crate::secured;
use crate::stack::Stack;
use crate::turn_away::turn_away;
use crate::upstream::Connector;
use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio_util::task::TaskTracker;

/// Clients for whom there is no place, and who are being told so. More are not told.
const MAX_TURNED_AWAY: usize = 64;
/// When no more files can be opened, wait for connections to end instead of spinning.
const ACCEPT_RETRY: Duration = Duration::from_millis(10);

/// How long it takes those who waited in vain to read so, at the end of the process.
const FAREWELL: Duration = Duration::from_millis(200);

/// A worker thread.
pub struct Worker {
    /// Its sender is dropped when the worker has drained.
    drained: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
    runtime: Handle,
}

/// What a worker is to listen on.
#[derive(Debug)]
pub struct Sockets {
    /// For requests.
    pub data: std::net::TcpListener,
    /// For those that are sent on to HTTPS, on this port.
    pub redirect: Option<(std::net::TcpListener, NonZeroU16)>,
    /// Whether they are open yet: a process that takes over serves when it is ready.
    pub doors: watch::Receiver<bool>,
}

/// What a worker listens on.
struct Doors {
    data: TcpListener,
    redirect: Option<(TcpListener, NonZeroU16)>,
}

/// Who has connected.
struct Caller {
    stream: TcpStream,
    from: IpAddr,
    /// The port of HTTPS that it is sent on to, if it is.
    redirect: Option<NonZeroU16>,
}

/// Starts a worker on a thread of its own.
///
/// # Errors
/// If the thread or its runtime can't be made.
pub fn start(
    worker: usize,
    sockets: Sockets,
    stack: Arc<Stack>,
    drain: Drain,
) -> Result<Worker, StartError> {
    let failed = |source| StartError::Worker { worker, source };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (done, drained) = oneshot::channel::<()>();
    let handle = runtime.handle().clone();
    let thread = std::thread::Builder::new()
        .name(format!("worker-{worker}"))
        .spawn(move || {
            runtime.block_on(serve(worker, sockets, stack, drain));
            drop(done);
        })
        .map_err(failed)?;
    Ok(Worker { drained, thread, runtime: handle })
}

async fn serve(worker: usize, sockets: Sockets, stack: Arc<Stack>, ending: Drain) {
    let mut opening = sockets.doors.clone();
    let doors = match Doors::watch(sockets) {
        Ok(doors) => doors,
        Err(error) => return tracing::error!(worker, %error, "can't watch the listener"),
    };
    let connections = TaskTracker::new();
    let max_head_bytes = stack.limits.max_head_bytes;
    let tasks = TaskTracker::new();
    let tls = stack.tls.endpoints.clone();
    let connector =
        Arc::new(Connector { worker, max_head_bytes, tls, tasks, drain: stack.drain.clone() });
    let mut drain = stack.drain.clone();
    let turned_away = TaskTracker::new();
    let serve = |Caller { stream, from, redirect }| {
        let (stack, connector) = (Arc::clone(&stack), Arc::clone(&connector));
        if let Some(place) = stack.connections.enter() {
            connections.spawn(async move {
                match (redirect, stack.tls.clients.clone()) {
                    (None, None) => connection::serve(stream, from, stack, connector).await,
                    (None, Some(tls)) => {
                        // In a box: a plain connection need not carry its state along.
                        Box::pin(secured::serve(stream, from, stack, connector, tls)).await;
                    }
                    (Some(port), _) => redirect::redirect(stream, from, stack, port).await,
                }
                drop(place);
            });
        } else if redirect.is_none() && stack.tls.clients.is_some() {
            // A handshake costs more than it is worth to be told so.
            drop(stream);
        } else if turned_away.len() < MAX_TURNED_AWAY.min(stack.connections.most().div_ceil(2)) {
            turned_away.spawn(turn_away(stream, stack));
        }
    };
    let mut complaints = Complaints::default();
    // An error means that the owner is gone; then so is what tells when to end.
    drop(opening.wait_for(|open| *open).await);
    loop {
        let accepted = tokio::select! {
            accepted = doors.accept() => accepted,
            () = drain.not_accepting() => break,
        };
        match accepted {
            Ok(caller) => serve(caller),
            Err(error) => {
                if complaints.may(clock::now()) {
                    tracing::warn!(%error, "can't accept a connection");
                }
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    // Those who connected before the listener closes are served too, here or where it lives on.
    while !drain.is_taken_over()
        && let Some(Ok(caller)) = now_or_never(doors.accept()).await
    {
        serve(caller);
    }
    drop(doors);
    connections.close();
    drain.closing().await;
    if tokio::time::timeout(ending.settings().timeout, connections.wait()).await.is_ok() {
        return;
    }
    // Who has not been sent to a model can still be sent to another.
    ending.end_waiting();
    if tokio::time::timeout(FAREWELL, connections.wait()).await.is_err() {
        let left = connections.len();
        tracing::warn!(worker, left, "drain timeout: cutting off what still runs");
        account::cut_off();
    }
}

async fn now_or_never<F: Future>(future: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = std::future::ready(()) => None,
    }
}

// === impl Doors ===

impl Doors {
    fn watch(sockets: Sockets) -> io::Result<Self> {
        let redirect = sockets.redirect.map(|(listener, port)| {
            TcpListener::from_std(listener).map(|listener| (listener, port))
        });
        Ok(Self { data: TcpListener::from_std(sockets.data)?, redirect: redirect.transpose()? })
    }

    async fn accept(&self) -> io::Result<Caller> {
        let redirected = async {
            match &self.redirect {
                Some((listener, port)) => (listener.accept().await, Some(*port)),
                None => pending().await,
            }
        };
        let (accepted, redirect) = tokio::select! {
            accepted = self.data.accept() => (accepted, None),
            accepted = redirected => accepted,
        };
        accepted.map(|(stream, from)| Caller { stream, from: from.ip(), redirect })
    }
}

// === impl Worker ===

impl Worker {
    /// Where something can be done on its thread.
    pub fn handle(&self) -> Handle {
        self.runtime.clone()
    }

    /// Waits until the worker has drained and its thread has ended.
    pub async fn join(self) {
        // Nothing is ever sent: the wait ends when the sender goes.
        drop(self.drained.await);
        if self.thread.join().is_err() {
            tracing::error!("a worker panicked");
        }
    }
}
