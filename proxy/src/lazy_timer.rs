//! A deadline that moves with each request and is hardly ever reached.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tokio::task::coop;
use tokio::time::Sleep;

/// A timer that is moved for free: it is only set anew when it fires too early.
#[derive(Default)]
pub struct LazyTimer {
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whom it wakes.
    wakes: Option<Waker>,
}

// === impl LazyTimer ===

impl LazyTimer {
    /// Ready at `until`.
    pub fn poll(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        let sleep =
            self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until.into())));
        let wakes_this = self.wakes.as_ref().is_some_and(|known| known.will_wake(cx.waker()));
        if sleep.deadline() > until.into() {
            sleep.as_mut().reset(until.into());
        } else if wakes_this && !sleep.is_elapsed() {
            return Poll::Pending;
        }
        loop {
            // A task that has had its turn is not heard by anything that it polls.
            let is_heard = coop::has_budget_remaining();
            if sleep.as_mut().poll(cx).is_pending() {
                self.wakes = is_heard.then(|| cx.waker().clone());
                return Poll::Pending;
            }
            if sleep.deadline() >= until.into() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(until.into());
        }
    }
}
