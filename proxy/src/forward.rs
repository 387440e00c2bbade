//! Sends a request that has its slot to the endpoint, and what comes back to the client.

use crate::account::{Account, Unanswered};
use crate::body::{Held, ProxyBody, Tunnel};
use crate::clock;
use crate::drain::DrainWatch;
use crate::error::Refusal;
use crate::gate::{Ask, Gate, Permit, Place, Waiting};
use crate::grpc;
use crate::head::ResponseHead;
use crate::hurry;
use crate::interim::Interim;
use crate::message::Response;
use crate::metrics::hedges::HedgeCounts;
use crate::orca;
use crate::outbound::Outbound;
use crate::policy::ejection::{Outcome, Unjudged};
use crate::policy::slots::Usability;
use crate::respond::{REASON_HEADER, refusal};
use crate::upstream::{Connector, Lease};
use http::{HeaderName, StatusCode};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_api::names::header;
use tidegate_api::reason::Reason;

mod attempt;
mod hedge;

use attempt::{Attempt, Try, sidecars_reason};

const COLD_START_HEADER: HeaderName = HeaderName::from_static(header::COLD_START);
const ATTEMPTS_HEADER: HeaderName = HeaderName::from_static(header::ATTEMPTS);

/// Where the process stands between client and model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Before one model. What the model says of Tidegate's own headers is not believed.
    Sidecar,
    /// Before sidecars. Their refusals are believed, and sent elsewhere.
    Gateway,
}

/// What forwarding needs to know of the API.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// From dispatch, or from the last part of a body that is passed on as it comes, to the response head.
    pub first_byte: Option<Duration>,
    /// Between two parts of a stream.
    pub idle: Option<Duration>,
    /// From arrival to the end.
    pub total: Option<Duration>,
    /// From dispatch to a connection to a model that has not been seen ready yet.
    pub start: Duration,
}

/// A request with all that it has been given on its way here.
pub struct Exchange<'a> {
    /// Where the process stands.
    pub role: Role,
    /// The API's gate, for another slot.
    pub gate: &'a Arc<Gate>,
    /// The API's timeouts.
    pub timeouts: &'a Timeouts,
    /// What connects.
    pub connector: &'a Connector,
    /// Where interim answers go.
    pub interim: &'a Interim,
    /// What it asked of the gate.
    pub ask: Ask,
    /// Whether the client is told of the upstream's load.
    pub tells_load: bool,
    /// What counts its second try, if it may get one.
    pub hedges: Option<&'a HedgeCounts>,
    /// Its slot.
    pub permit: Permit,
    /// Its books.
    pub account: Account,
}

/// How often a request was sent.
struct Sent {
    attempts: u32,
    /// Of these, at the cost of the retry budget.
    retried: u32,
}

// === impl Exchange ===

impl Exchange<'_> {
    /// Sends the request, elsewhere too if it never reached an application, and returns the answer
    /// with everything that must end with it.
    ///
    /// # Errors
    /// With the reason for which there is no answer.
    pub async fn run(
        mut self,
        mut request: Outbound,
        upgradable: bool,
    ) -> Result<Response<ProxyBody>, Unanswered> {
        let mut sent = Sent { attempts: 0, retried: 0 };
        loop {
            sent.attempts += 1;
            self.log_attempt(sent.attempts);
            if self.permit.has_waited() {
                let waited = self.permit.granted_at.saturating_duration_since(self.ask.arrived);
                hurry::say(&mut request.head, waited, self.permit.pass);
            }
            let attempt = if self.hedges.is_some() {
                // In a box: most requests go another way.
                let attempt = Box::pin(self.race(&mut request, &mut sent)).await;
                self.log_attempt(sent.attempts);
                attempt
            } else {
                self.one(&self.permit, self.interim).run(&mut request).await
            };
            let reason = match attempt {
                Attempt::Answered(head, lease) => {
                    let now = clock::now();
                    return Ok(self.answer(head, lease, sent.attempts, upgradable, now));
                }
                Attempt::Failed(reason) => {
                    self.note_failure(&self.permit, reason);
                    return Err(Unanswered::new(self.account, reason.into()));
                }
                Attempt::Unsent(reason) => {
                    self.note_unsent(&self.permit, reason);
                    reason
                }
            };
            if self.role == Role::Sidecar || request.spent {
                return Err(Unanswered::new(self.account, reason.into()));
            }
            // To ask a busy endpoint is how it is found out that it is.
            if reason != Reason::QueueFull {
                if !self.gate.may_retry(sent.retried) {
                    return Err(Unanswered::new(self.account, reason.into()));
                }
                sent.retried += 1;
            }
            let permit = match self.gate.offer_again(&self.ask, self.permit) {
                Ok(Place::Slot(permit)) => Ok(permit),
                Ok(Place::Line(waiting)) => Box::pin(in_time(&self.connector.drain, waiting)).await,
                Err(refusal) => Err(refusal),
            };
            match permit {
                Ok(permit) => self.permit = permit,
                Err(refusal) => return Err(Unanswered::new(self.account, refusal)),
            }
        }
    }

    fn log_attempt(&mut self, attempts: u32) {
        if let Some(entry) = self.account.entry() {
            entry.endpoint = Some(self.permit.endpoint.id.clone());
            entry.attempts = attempts;
        }
    }

    /// An attempt with this slot.
    fn one<'a>(&'a self, permit: &'a Permit, interim: &'a Interim) -> Try<'a> {
        let Self { role, timeouts, connector, .. } = *self;
        Try { role, timeouts, connector, interim, deadline: self.ask.deadline, permit }
    }

    /// What an attempt says of its endpoint, if it is not the one that counts.
    fn note(&self, permit: &Permit, attempt: &Attempt) {
        match attempt {
            Attempt::Answered(head, _) => {
                // Nobody reads on to its end.
                let unjudged = self.record_answer(permit, head, told(head), clock::now());
                if let Some(unjudged) = unjudged {
                    self.record(permit, unjudged.outcome(StatusCode::OK.as_u16()));
                }
            }
            Attempt::Failed(reason) => self.note_failure(permit, *reason),
            Attempt::Unsent(reason) => self.note_unsent(permit, *reason),
        }
    }

    fn note_failure(&self, permit: &Permit, reason: Reason) {
        match reason {
            Reason::UpstreamReset => {
                self.record(permit, Outcome::Broken);
                // It may be going, connection by connection and the listener last: nobody follows
                // before a probe has passed.
                self.suspect(permit);
            }
            // Not if it was the client that was in a hurry.
            Reason::UpstreamTimeout if self.ask.deadline.is_none() => {
                self.record(permit, Outcome::Error);
            }
            _ => {}
        }
    }

    fn note_unsent(&self, permit: &Permit, reason: Reason) {
        if self.role == Role::Gateway {
            // For a moment not even this request finds it free, whatever its probe says.
            let is_full = reason == Reason::QueueFull;
            self.gate.refused(permit.slot(), is_full.then_some(self.ask.arrived));
        }
        match reason {
            // Others were there first: it is well, and busy.
            Reason::QueueFull => {}
            Reason::UpstreamConnect | Reason::UpstreamReset => {
                self.record(permit, Outcome::Broken);
                self.suspect(permit);
            }
            _ => self.suspect(permit),
        }
    }

    fn answer(
        mut self,
        mut head: ResponseHead,
        lease: Lease,
        attempts: u32,
        upgradable: bool,
        now: Instant,
    ) -> Response<ProxyBody> {
        let status = head.response.status();
        let told = told(&head);
        let unjudged = self.record_answer(&self.permit, &head, told, now);
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(head, lease, upgradable, now);
        }
        self.account.head(told.as_u16(), sidecars_reason(self.role, &head), now);
        let headers = head.response.headers_mut();
        if !self.tells_load {
            orca::conceal(headers);
        }
        self.account.body(headers);
        match self.role {
            Role::Sidecar => {
                headers.remove(REASON_HEADER);
            }
            Role::Gateway => {
                if self.permit.was_cold {
                    let waited = self.permit.granted_at.saturating_duration_since(self.ask.arrived);
                    let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
                    headers.insert(COLD_START_HEADER, itoa::Buffer::new().format(waited_ms));
                }
                if attempts > 1 {
                    headers.insert(ATTEMPTS_HEADER, itoa::Buffer::new().format(attempts));
                }
            }
        }
        let until = self.timeouts.total.map(|total| self.ask.arrived + total);
        let held = Held { lease, permit: self.permit, account: self.account, unjudged };
        head.response.map(|()| ProxyBody::relay(held, self.timeouts.idle, until))
    }

    /// The upstream has switched protocols: from here on bytes go both ways.
    fn switch(
        mut self,
        head: ResponseHead,
        lease: Lease,
        upgradable: bool,
        now: Instant,
    ) -> Response<ProxyBody> {
        let switched = head.upgrade.filter(|_| upgradable).zip(lease.into_wire());
        let Some((protocol, wire)) = switched else {
            tracing::warn!(
                endpoint = self.permit.endpoint.id,
                "upstream switched protocols unasked"
            );
            self.account.close(Some(Reason::UpstreamReset), now);
            return refusal(Reason::UpstreamReset.into());
        };
        self.account.head(head.response.status().as_u16(), None, now);
        let tunnel = Tunnel {
            wire,
            protocol,
            idle: self.timeouts.idle,
            permit: self.permit,
            account: self.account,
        };
        head.response.map(|()| ProxyBody::Tunnel(Box::new(tunnel)))
    }

    /// Counts an answer for its endpoint. Of a gRPC call that has a body it is what stands behind that
    /// which says how it ended: then it is left to be judged.
    fn record_answer(
        &self,
        permit: &Permit,
        head: &ResponseHead,
        told: StatusCode,
        now: Instant,
    ) -> Option<Unjudged> {
        if self.role != Role::Gateway {
            return None;
        }
        let took = now.saturating_duration_since(permit.granted_at);
        let unjudged = Unjudged { took, hurried: self.ask.deadline.is_some() };
        let ends_in_trailers = grpc::ends_in_trailers(&head.response);
        let outcome = (!ends_in_trailers).then(|| unjudged.outcome(told.as_u16()));
        let load = orca::read(head.response.headers());
        self.gate.record(permit.slot(), outcome, load);
        ends_in_trailers.then_some(unjudged)
    }

    fn record(&self, permit: &Permit, outcome: Outcome) {
        if self.role == Role::Gateway {
            self.gate.record(permit.slot(), Some(outcome), None);
        }
    }

    fn suspect(&self, permit: &Permit) {
        if self.role == Role::Gateway {
            self.gate.set_usability(permit.slot(), Usability::Unusable);
        }
        permit.endpoint.suspect();
    }
}

/// Waits for a slot, at the longest until a process that drains has no more time.
///
/// # Errors
/// As the wait, and `draining`.
pub async fn in_time(drain: &DrainWatch, waiting: Waiting<'_>) -> Result<Permit, Refusal> {
    drain.while_waiting(waiting.grant()).await.unwrap_or(Err(Reason::Draining.into()))
}

/// What an answer's head says of its end: its status, or what HTTP would say where gRPC says an error.
fn told(head: &ResponseHead) -> StatusCode {
    let status = head.response.status();
    if status != StatusCode::OK {
        return status;
    }
    let said = head.response.headers().get(grpc::STATUS).and_then(grpc::nearest_http);
    said.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(status)
}
