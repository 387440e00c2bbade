//! Sends a request that has its slot to the endpoint, and what comes back to the client.

use crate::account::{Account, Unanswered};
use crate::body::{Held, ProxyBody, Tunnel};
use crate::clock;
use crate::gate::{Ask, Gate, Permit};
use crate::h2_head::write_request;
use crate::head::ResponseHead;
use crate::hurry;
use crate::interim::Interim;
use crate::message::Response;
use crate::orca;
use crate::outbound::{ExchangeError, Head, Outbound};
use crate::policy::ejection::Outcome;
use crate::policy::slots::Usability;
use crate::read_ahead;
use crate::request_body::{RequestBody, UploadError};
use crate::respond::{REASON_HEADER, is_grpc_refusal, refusal};
use crate::rewrite::http1_head;
use crate::upstream::{Carrier, ConnectError, Connector, Lease};
use http::{HeaderName, Method, StatusCode};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tidegate_api::names::header;
use tidegate_api::reason::Reason;

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
    /// From dispatch to the response head.
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
    /// Its slot.
    pub permit: Permit,
    /// Its books.
    pub account: Account,
}

/// What came of one attempt.
enum Attempt {
    Answered(ResponseHead, Lease),
    /// The endpoint never gave the request to the application.
    Unsent(Reason),
    Failed(Reason),
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
        let (mut attempts, mut retried) = (0, 0);
        loop {
            attempts += 1;
            if let Some(entry) = self.account.entry() {
                entry.endpoint = Some(self.permit.endpoint.id.clone());
                entry.attempts = attempts;
            }
            if self.permit.has_waited() {
                let waited = self.permit.granted_at.saturating_duration_since(self.ask.arrived);
                hurry::say(&mut request.head, waited, self.permit.pass);
            }
            match self.attempt(&mut request).await {
                Attempt::Answered(head, lease) => {
                    let now = clock::now();
                    self.record_answer(&head, now);
                    return Ok(self.answer(head, lease, attempts, upgradable, now));
                }
                Attempt::Failed(reason) => {
                    match reason {
                        Reason::UpstreamReset => {
                            self.record(Outcome::Broken);
                            // It may be going, connection by connection and the listener last:
                            // nobody follows before a probe has passed.
                            self.suspect();
                        }
                        // Not if it was the client that was in a hurry.
                        Reason::UpstreamTimeout if self.ask.deadline.is_none() => {
                            self.record(Outcome::Error);
                        }
                        _ => {}
                    }
                    return Err(Unanswered::new(self.account, reason.into()));
                }
                Attempt::Unsent(reason) => {
                    if self.role == Role::Gateway {
                        // For a moment not even this request finds it free, whatever its probe says.
                        self.gate.refused(self.permit.slot(), self.ask.arrived);
                    }
                    match reason {
                        // Others were there first: it is well, and busy.
                        Reason::QueueFull => {}
                        Reason::UpstreamConnect | Reason::UpstreamReset => {
                            self.record(Outcome::Broken);
                            self.suspect();
                        }
                        _ => self.suspect(),
                    }
                    if self.role == Role::Sidecar || request.spent {
                        return Err(Unanswered::new(self.account, reason.into()));
                    }
                    // To ask a busy endpoint is how it is found out that it is.
                    if reason != Reason::QueueFull {
                        if !self.gate.may_retry(retried) {
                            return Err(Unanswered::new(self.account, reason.into()));
                        }
                        retried += 1;
                    }
                    match self.gate.enter_again(self.ask, self.permit).await {
                        Ok(permit) => self.permit = permit,
                        Err(refusal) => return Err(Unanswered::new(self.account, refusal)),
                    }
                }
            }
        }
    }

    /// One attempt at one endpoint. A body that is not wholly here goes with it.
    async fn attempt(&self, request: &mut Outbound) -> Attempt {
        let endpoint = &self.permit.endpoint;
        let start_by = self.permit.granted_at + self.timeouts.start;
        let mut leased = self.lease(request, start_by).await;
        for once_more in [true, false] {
            let mut lease = match leased {
                Ok(lease) => lease,
                Err(error) => {
                    tracing::debug!(endpoint = endpoint.id, %error, "no connection to the upstream");
                    return Attempt::Unsent(Reason::UpstreamConnect);
                }
            };
            let copy = request.body.copy();
            let again = copy.is_some() && is_idempotent(&request.method);
            request.spent = copy.is_none();
            let whole = copy.is_some();
            let body =
                copy.unwrap_or_else(|| std::mem::replace(&mut request.body, RequestBody::Empty));
            let error = match self.exchange(&mut lease, request, body).await {
                Ok(Some(head)) => return self.judge(head, lease),
                Ok(None) => return Attempt::Failed(Reason::UpstreamTimeout),
                Err(error) => error,
            };
            tracing::debug!(endpoint = endpoint.id, %error, "exchange broke off");
            match &error {
                ExchangeError::Upload(error) => {
                    return Attempt::Failed(match error {
                        UploadError::TooLarge(_) => Reason::BodyTooLarge,
                        UploadError::Stalled(_) => Reason::RequestTimeout,
                        UploadError::Incoming(error) => read_ahead::refusal(error).reason,
                    });
                }
                // Nothing was done with it: once more, on a new connection, if all of it is here.
                ExchangeError::Unsent if whole && once_more => {}
                ExchangeError::Unsent => return Attempt::Unsent(Reason::UpstreamReset),
                // A kept connection that the upstream had closed: likewise.
                error if again && once_more && lease.was_stale(error) => {}
                _ => return Attempt::Failed(Reason::UpstreamReset),
            }
            leased = match lease.carrier {
                Carrier::Http1(_) => self.connector.lease_new(endpoint, start_by).await,
                Carrier::Http2(_) => {
                    Box::pin(self.connector.lease_new_stream(endpoint, start_by)).await
                }
            };
        }
        Attempt::Failed(Reason::UpstreamReset)
    }

    /// A connection of the protocol that the request goes over.
    async fn lease(
        &self,
        request: &mut Outbound,
        start_by: Instant,
    ) -> Result<Lease, ConnectError> {
        let endpoint = &self.permit.endpoint;
        if let Head::Http2 { only, .. } = request.head {
            // In boxes: most requests go another way, and would carry their state along.
            let speaks = only || Box::pin(self.connector.speaks_http2(endpoint, start_by)).await?;
            if speaks {
                return Box::pin(self.connector.lease_stream(endpoint, start_by)).await;
            }
        }
        self.connector.lease(endpoint, self.permit.granted_at, start_by).await
    }

    /// Sends the request and awaits the answer's head, or `None` when its time is over.
    async fn exchange(
        &self,
        lease: &mut Lease,
        request: &Outbound,
        body: RequestBody,
    ) -> Result<Option<ResponseHead>, ExchangeError> {
        let framing = request.framing;
        match (&mut lease.carrier, &request.head) {
            (Carrier::Http1(connection), Head::Http1(head)) => {
                connection.start(head, request.method.clone(), framing, body);
            }
            (Carrier::Http1(connection), Head::Http2 { parts, .. }) => {
                let head = http1_head((**parts).clone(), framing);
                connection.start(&head, request.method.clone(), framing, body);
            }
            (Carrier::Http2(stream), Head::Http2 { parts, .. }) => {
                let authority = self.permit.endpoint.address.authority();
                stream.start(write_request(parts, framing, &authority), body)?;
            }
            // A stream is leased for a head of its own kind only.
            (Carrier::Http2(_), Head::Http1(_)) => return Err(ExchangeError::Malformed),
        }
        self.first_byte(lease).await
    }

    /// The answer's head, or `None` when its time is over.
    async fn first_byte(&self, lease: &mut Lease) -> Result<Option<ResponseHead>, ExchangeError> {
        let first = self.timeouts.first_byte.map(|first| self.permit.granted_at + first);
        let until = first.into_iter().chain(self.ask.deadline).min();
        poll_fn(|cx| {
            loop {
                let Poll::Ready(head) = lease.poll_head(cx) else {
                    return match until {
                        Some(until) => lease.poll_timer(cx, until).map(|()| Ok(None)),
                        None => Poll::Pending,
                    };
                };
                let head = head?;
                let status = head.response.status();
                if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                    return Poll::Ready(Ok(Some(head)));
                }
                // 100 answers what this hop asked, and this hop asks nothing.
                if status != StatusCode::CONTINUE {
                    self.interim.send(head.response);
                }
            }
        })
        .await
    }

    /// Whether a response is the application's or a sidecar's word that it never got there.
    fn judge(&self, head: ResponseHead, lease: Lease) -> Attempt {
        match self.sidecars_reason(&head) {
            Some(reason) if reason.is_unsent() => Attempt::Unsent(reason),
            _ => Attempt::Answered(head, lease),
        }
    }

    /// Why a sidecar, not its model, has answered so.
    fn sidecars_reason(&self, head: &ResponseHead) -> Option<Reason> {
        if self.role != Role::Gateway {
            return None;
        }
        let reason = head.response.headers().get(REASON_HEADER)?;
        let reason = Reason::from_code(std::str::from_utf8(reason).ok()?)?;
        let status = head.response.status().as_u16();
        let is_refusal = status == reason.status() || is_grpc_refusal(&head.response);
        is_refusal.then_some(reason)
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
        self.account.head(status.as_u16(), self.sidecars_reason(&head), now);
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(head, lease, upgradable);
        }
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
        let held = Held { lease, permit: self.permit, account: self.account };
        head.response.map(|()| ProxyBody::relay(held, self.timeouts.idle, until))
    }

    /// The upstream has switched protocols: from here on bytes go both ways.
    fn switch(self, head: ResponseHead, lease: Lease, upgradable: bool) -> Response<ProxyBody> {
        let switched = head.upgrade.filter(|_| upgradable).zip(lease.into_wire());
        let Some((protocol, wire)) = switched else {
            tracing::warn!(
                endpoint = self.permit.endpoint.id,
                "upstream switched protocols unasked"
            );
            self.account.close(Some(Reason::UpstreamReset), clock::now());
            return refusal(Reason::UpstreamReset.into());
        };
        let tunnel = Tunnel {
            wire,
            protocol,
            idle: self.timeouts.idle,
            permit: self.permit,
            account: self.account,
        };
        head.response.map(|()| ProxyBody::Tunnel(Box::new(tunnel)))
    }

    /// Back-pressure (503 and 429) is no error.
    fn record_answer(&self, head: &ResponseHead, now: Instant) {
        if self.role != Role::Gateway {
            return;
        }
        let status = head.response.status();
        let is_error = status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE;
        let took = now.saturating_duration_since(self.permit.granted_at);
        let outcome = if is_error { Outcome::Error } else { Outcome::Answered(took) };
        let load = orca::read(head.response.headers());
        self.gate.record(self.permit.slot(), outcome, load);
    }

    fn record(&self, outcome: Outcome) {
        if self.role == Role::Gateway {
            self.gate.record(self.permit.slot(), outcome, None);
        }
    }

    fn suspect(&self) {
        if self.role == Role::Gateway {
            self.gate.set_usability(self.permit.slot(), Usability::Unusable);
        }
        self.permit.endpoint.suspect();
    }
}

fn is_idempotent(method: &Method) -> bool {
    // RFC 9110 section 9.2.2.
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}
