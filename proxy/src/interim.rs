//! Interim answers (1xx) on their way to a client, before the answer itself.

use crate::inbound::Inbound;
use crate::message::Response;
use http::StatusCode;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Interim answers that wait to be sent. An upstream that says more has them left out.
const MAX_WAITING: usize = 16;

/// Where a request's interim answers go.
#[derive(Debug, Clone)]
pub enum Interim {
    /// Nowhere: HTTP/1.0 knows of none.
    Nowhere,
    /// Onto the client's connection.
    Http1(Inbound),
    /// To the task that owns the client's stream.
    Http2(Waiting),
}

/// Interim answers that wait for the task that owns the stream. It polls what fills this, and so
/// always looks here afterwards.
#[derive(Debug, Clone, Default)]
pub struct Waiting(Arc<Mutex<VecDeque<Response<()>>>>);

// === impl Interim ===

impl Interim {
    /// Sends an interim answer.
    pub fn send(&self, head: Response<()>) {
        match self {
            Self::Nowhere => {}
            Self::Http1(inbound) => inbound.send_interim(head),
            Self::Http2(waiting) => waiting.push(head),
        }
    }
}

// === impl Waiting ===

impl Waiting {
    /// Tells the client to go on with its body.
    pub fn push_continue(&self) {
        let mut head = Response::new(());
        *head.status_mut() = StatusCode::CONTINUE;
        self.push(head);
    }

    /// The next one.
    pub fn pop(&self) -> Option<Response<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn push(&self, head: Response<()>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MAX_WAITING {
            waiting.push_back(head);
        }
    }
}
