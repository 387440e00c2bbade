//! A second try beside the first, for a request that is slow to be answered and is said to do no harm twice.

use super::attempt::Attempt;
use super::{Exchange, Sent, told};
use crate::clock;
use crate::hurry;
use crate::interim::Interim;
use crate::outbound::Outbound;
use crate::policy::ejection::Outcome;
use http::StatusCode;
use std::pin::{Pin, pin};
use std::time::Duration;
use tidegate_api::reason::Reason;

/// Which of two tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    First,
    Second,
}

/// What came of both.
struct Race {
    /// The one that counts.
    attempt: Attempt,
    of: Which,
    /// What came of the other, if it had ended before.
    other: Option<Attempt>,
}

// === impl Exchange ===

impl Exchange<'_> {
    /// Asks another endpoint too, once, if this one takes longer than most answers do and another has
    /// a free slot. The first good answer counts; the other try is broken off, and its slot is free.
    pub(super) async fn race(&mut self, request: &mut Outbound, sent: &mut Sent) -> Attempt {
        let this = &*self;
        let (after, copy) = (this.gate.hedge_after(), request.again());
        let mut first = Box::pin(this.one(&this.permit, this.interim).run(request));
        let beside = match after {
            None => None,
            Some(after) => {
                tokio::select! {
                    biased;
                    attempt = &mut first => return this.measured(attempt),
                    () = clock::sleep_until(this.permit.granted_at + after) => {}
                }
                this.gate.enter_beside(&this.ask.claim, this.permit.slot(), sent.retried)
            }
        };
        let (Some(permit), Some(mut copy), Some(counts)) = (beside, copy, this.hedges) else {
            return this.measured(first.await);
        };
        sent.attempts += 1;
        sent.retried += 1;
        // Where others wait it is the last.
        hurry::say(&mut copy.head, Duration::ZERO, permit.pass);
        let mut count = counts.sent();
        let Race { attempt, of, other } = {
            let second = pin!(this.one(&permit, &Interim::Nowhere).run(&mut copy));
            first_good(first.as_mut(), second).await
        };
        drop(first);
        // What a first try that lost would have taken nobody knows: at least so long.
        let took = clock::now().saturating_duration_since(this.permit.granted_at);
        this.gate.took(took);
        match (&other, of) {
            (Some(other), Which::First) => this.note(&permit, other),
            (Some(other), Which::Second) => this.note(&this.permit, other),
            (None, Which::Second) => this.record(&this.permit, Outcome::Answered(took)),
            (None, Which::First) => {}
        }
        count.won = of == Which::Second && matches!(attempt, Attempt::Answered(..));
        drop(count);
        if of == Which::Second {
            self.permit = permit;
        }
        // There is one at the most.
        self.hedges = None;
        attempt
    }

    /// Takes note of how long a first try took that nothing has cut short.
    fn measured(&self, attempt: Attempt) -> Attempt {
        let is_told =
            matches!(attempt, Attempt::Answered(..) | Attempt::Failed(Reason::UpstreamTimeout));
        if is_told {
            self.gate.took(clock::now().saturating_duration_since(self.permit.granted_at));
        }
        attempt
    }
}

// === impl Attempt ===

impl Attempt {
    /// Whether no other answer could be better.
    fn is_good(&self) -> bool {
        let Self::Answered(head, _) = self else { return false };
        let status = told(head);
        !status.is_server_error() && status != StatusCode::TOO_MANY_REQUESTS
    }
}

/// The try with the first good answer; if neither has one, the first that has any; if neither is
/// answered, the one that failed last.
async fn first_good(
    mut first: Pin<&mut impl Future<Output = Attempt>>,
    mut second: Pin<&mut impl Future<Output = Attempt>>,
) -> Race {
    let (early, of) = tokio::select! {
        biased;
        attempt = &mut first => (attempt, Which::First),
        attempt = &mut second => (attempt, Which::Second),
    };
    if early.is_good() {
        return Race { attempt: early, of, other: None };
    }
    let (late, of_late) = match of {
        Which::First => (second.await, Which::Second),
        Which::Second => (first.await, Which::First),
    };
    if matches!(early, Attempt::Answered(..)) && !late.is_good() {
        Race { attempt: early, of, other: Some(late) }
    } else {
        Race { attempt: late, of: of_late, other: Some(early) }
    }
}
