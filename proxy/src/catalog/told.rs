//! APIs that a gateway is told to serve while it runs, and whether it does.

use crate::config::GatewayApi;
use std::future::pending;
use tokio::sync::{mpsc, oneshot};

/// APIs to serve from now on.
pub struct Told {
    /// All of them.
    pub apis: Vec<GatewayApi>,
    /// Hears whether they are served, or why what was goes on.
    pub answer: Option<oneshot::Sender<Result<(), String>>>,
}

/// Tells a running gateway what to serve.
#[derive(Debug, Clone)]
pub struct Teller(mpsc::Sender<Told>);

/// Where the words of all tellers arrive.
#[derive(Debug)]
pub(crate) struct Words(mpsc::Receiver<Told>);

// === impl Words ===

impl Words {
    /// The next, for as long as that takes.
    pub(crate) async fn next(&mut self) -> Told {
        match self.0.recv().await {
            Some(told) => told,
            None => pending().await,
        }
    }
}

// === impl Told ===

impl Told {
    /// Told by nobody who waits for an answer.
    pub fn unasked(apis: Vec<GatewayApi>) -> Self {
        Self { apis, answer: None }
    }
}

// === impl Teller ===

impl Teller {
    /// A teller and where its words arrive.
    pub(crate) fn new() -> (Self, Words) {
        let (sender, told) = mpsc::channel(1);
        (Self(sender), Words(told))
    }

    /// Serves these APIs from now on, and no others. Returns once that is so.
    ///
    /// # Errors
    /// Why they can't be served, or that the gateway has ended. Then nothing has changed.
    pub async fn serve(&self, apis: Vec<GatewayApi>) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        let ended = || "the gateway has ended".to_owned();
        let told = Told { apis, answer: Some(answer) };
        self.0.send(told).await.map_err(|_| ended())?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }
}
