//! The thread beside the workers: the admin port, and what goes on beside requests.

use crate::admin::Admin;
use crate::error::StartError;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

/// What goes on beside requests, until the thread ends.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A running thread. Dropped, it ends by itself.
pub struct Control {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

// === impl Control ===

impl Control {
    /// Starts the thread. The admin port is served once the doors are open.
    ///
    /// # Errors
    /// If the system refuses the thread or its event queue.
    pub fn start(
        listener: TcpListener,
        mut doors: watch::Receiver<bool>,
        admin: Admin,
        tasks: Vec<Task>,
    ) -> Result<Self, StartError> {
        let failed = |source| StartError::Worker { worker: 0, source };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let run = async move {
            let listener = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => return tracing::error!(%error, "can't watch the admin listener"),
            };
            let mut running: JoinSet<()> = tasks.into_iter().collect();
            running.spawn(async move {
                drop(doors.wait_for(|open| *open).await);
                Arc::new(admin).serve(listener).await;
            });
            // Ends when the sender is dropped; the tasks end with their set.
            drop(stopped.await);
        };
        let thread = std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || runtime.block_on(run))
            .map_err(failed)?;
        Ok(Self { stop, thread })
    }

    /// Ends the thread, and waits for that.
    pub fn end(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the control thread panicked");
        }
    }
}
