//! The workers' threads, for the few things beside requests that would lose time by changing threads.

use std::io;
use std::sync::{Arc, OnceLock};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// Where workers can be given something to do, once they were started. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Threads(Arc<OnceLock<Box<[Handle]>>>);

// === impl Threads ===

impl Threads {
    /// The workers were started. What is said first counts.
    pub fn started(&self, workers: Box<[Handle]>) {
        // They are started once.
        drop(self.0.set(workers));
    }

    /// Does it on the thread of one worker, which the number says, for as long as the worker is there;
    /// here if there is none. Dropped, it ends.
    pub async fn run(&self, number: usize, task: impl Future<Output = ()> + Send + 'static) {
        match self.worker(number) {
            // An error means that the worker has ended, and the task with it.
            Some(worker) => drop(AbortOnDropHandle::new(worker.spawn(task)).await),
            None => task.await,
        }
    }

    /// Serves a connection on the thread of one worker; here if there is none.
    ///
    /// # Errors
    /// If the system refuses to watch the connection there.
    pub fn serve<F: Future<Output = ()> + Send + 'static>(
        &self,
        number: usize,
        stream: TcpStream,
        tasks: &TaskTracker,
        serve: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) -> io::Result<()> {
        let Some(worker) = self.worker(number) else {
            tasks.spawn(serve(stream));
            return Ok(());
        };
        let stream = stream.into_std()?;
        let moved = async move {
            match TcpStream::from_std(stream) {
                Ok(stream) => serve(stream).await,
                Err(error) => tracing::warn!(%error, "can't watch a connection"),
            }
        };
        tasks.spawn_on(moved, worker);
        Ok(())
    }

    fn worker(&self, number: usize) -> Option<&Handle> {
        let workers = self.0.get()?;
        workers.get(number.checked_rem(workers.len())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::thread::{current, spawn};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::runtime::Builder;
    use tokio::sync::{mpsc, oneshot};

    /// A worker, until what is returned is dropped.
    fn worker(threads: &Threads) -> oneshot::Sender<()> {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        threads.started(Box::new([runtime.handle().clone()]));
        let (end, ended) = oneshot::channel();
        spawn(move || drop(runtime.block_on(ended)));
        end
    }

    #[tokio::test]
    async fn what_is_given_to_a_worker_runs_there_and_ends_with_either_side() {
        let threads = Threads::default();
        let here = current().id();
        let (say, mut said) = mpsc::channel(8);
        let task = || {
            let say = say.clone();
            async move { say.send(current().id()).await.unwrap() }
        };
        threads.run(7, task()).await;
        assert_eq!(said.recv().await, Some(here), "there is no worker yet");
        let end = worker(&threads);
        threads.run(7, task()).await;
        assert_ne!(said.recv().await, Some(here));
        // Dropped by us, it ends; and when the worker does.
        let forever = |alive: mpsc::Sender<()>| async move {
            alive.send(()).await.unwrap();
            pending::<()>().await;
        };
        let (alive, mut begun) = mpsc::channel(1);
        tokio::select! {
            () = threads.run(0, forever(alive)) => panic!("it has no end"),
            _ = begun.recv() => {}
        }
        assert_eq!(begun.recv().await, None);
        let (alive, mut begun) = mpsc::channel(1);
        tokio::join!(threads.run(0, forever(alive)), async {
            assert_eq!(begun.recv().await, Some(()));
            drop(end);
        });
    }

    #[tokio::test]
    async fn a_connection_is_served_where_it_is_put() {
        let threads = Threads::default();
        let _end = worker(&threads);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (tasks, here) = (TaskTracker::new(), current().id());
        threads
            .serve(0, stream, &tasks, move |mut stream| async move {
                let word: &[u8] = if current().id() == here { b"here" } else { b"there" };
                stream.write_all(word).await.unwrap();
            })
            .unwrap();
        let mut word = String::new();
        client.read_to_string(&mut word).await.unwrap();
        assert_eq!(word, "there");
        tasks.close();
        tasks.wait().await;
    }
}
