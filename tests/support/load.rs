//! Clients that ask one after the other, for as long as they are let.

use super::http::{Answer, Http};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How many answers there were, by status and reason. Status 0 is no answer.
pub(crate) type Answers = BTreeMap<(u16, String), usize>;

/// A load that runs.
pub(crate) struct Load {
    clients: JoinSet<Answers>,
    answered: Arc<AtomicUsize>,
    stop: watch::Sender<bool>,
}

impl Load {
    /// So many clients, each of which posts to `target` again as soon as it has its answer.
    pub(crate) fn start(clients: usize, to: SocketAddr, target: &'static str) -> Self {
        let (stop, stopped) = watch::channel(false);
        let answered = Arc::new(AtomicUsize::new(0));
        let mut running = JoinSet::new();
        for _ in 0..clients {
            let (http, stopped, answered) = (Http::new(), stopped.clone(), Arc::clone(&answered));
            running.spawn(async move {
                let mut answers = Answers::new();
                while !*stopped.borrow() {
                    count(&mut answers, &http.post(to, target, "body").await);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                answers
            });
        }
        Self { clients: running, answered, stop }
    }

    /// Answers so far.
    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits for so many more answers.
    pub(crate) fn wait_for_more(&self, more: usize) {
        let before = self.answered();
        super::eventually("more answers come", || self.answered() >= before + more);
    }

    /// Lets each client finish what it asks, and adds it all up.
    pub(crate) async fn stop(mut self) -> Answers {
        self.stop.send(true).unwrap();
        let mut answers = Answers::new();
        while let Some(client) = self.clients.join_next().await {
            for (kind, count) in client.unwrap() {
                *answers.entry(kind).or_default() += count;
            }
        }
        answers
    }
}

/// Adds one answer.
pub(crate) fn count(answers: &mut Answers, answer: &Answer) {
    *answers.entry((answer.status, answer.reason().to_owned())).or_default() += 1;
}
