//! A deadline that moves with each request and is hardly ever reached.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::time::Sleep;

/// A timer that is moved for free: it is only set anew when it fires too early.
#[derive(Default)]
pub struct LazyTimer(Option<Pin<Box<Sleep>>>);

// === impl LazyTimer ===

impl LazyTimer {
    /// Ready at `until`.
    pub fn poll(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until.into())));
        if sleep.deadline() > until.into() {
            sleep.as_mut().reset(until.into());
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= until.into() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(until.into());
        }
    }
}
