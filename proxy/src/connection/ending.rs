//! What is left of a request after its answer, and a connection's end.

use super::Closing;
use crate::clock;
use crate::guard::HttpLimits;
use crate::inbound::Inbound;
use crate::lazy_timer::LazyTimer;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

/// How long a client whose request was refused unread may go on sending, so that it can read why
/// before its sending resets the connection.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// Reads and drops what is left of a request's body. Says whether a next head can follow: not where
/// too much is left, where the client takes too long over it, or where the process is ending.
pub(super) async fn discard(
    inbound: &Inbound,
    limits: &HttpLimits,
    timer: &mut LazyTimer,
    closing: &mut Closing<Pin<&mut impl Future<Output = ()>>>,
) -> bool {
    let mut discarded = 0;
    let mut until: Option<Instant> = None;
    poll_fn(|cx| {
        if let Poll::Ready(is_before_head) = inbound.poll_discard(cx, &mut discarded) {
            return Poll::Ready(is_before_head);
        }
        if closing.poll(cx).is_ready() {
            return Poll::Ready(false);
        }
        let until = *until.get_or_insert_with(|| clock::now() + limits.body_timeout);
        timer.poll(cx, until).map(|()| false)
    })
    .await
}

/// Says the end, then reads what the client was still sending, so that it sees the answer.
pub(super) async fn close(inbound: &Inbound) {
    // It may be gone already; then there is nobody to say it to.
    drop(poll_fn(|cx| inbound.poll_shutdown(cx)).await);
    let mut discarded = 0;
    let lingering = poll_fn(|cx| inbound.poll_linger(cx, &mut discarded));
    drop(tokio::time::timeout(LINGER, lingering).await);
}
