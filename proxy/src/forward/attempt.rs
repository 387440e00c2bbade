//! One attempt at one endpoint.

use super::{Role, Timeouts};
use crate::clock;
use crate::gate::Permit;
use crate::h2_head::write_request;
use crate::head::ResponseHead;
use crate::interim::Interim;
use crate::outbound::{ExchangeError, Head, Outbound};
use crate::read_ahead;
use crate::request_body::{RequestBody, UploadError};
use crate::respond::{REASON_HEADER, is_grpc_refusal};
use crate::rewrite::http1_head;
use crate::upstream::{By, Carrier, ConnectError, Connector, Lease};
use http::{Method, StatusCode};
use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;
use tidegate_api::reason::Reason;

/// More parts than this are no refusal's.
const MAX_REFUSAL_PARTS: usize = 4;

/// What one attempt goes by.
#[derive(Clone, Copy)]
pub(super) struct Try<'a> {
    pub(super) role: Role,
    pub(super) timeouts: &'a Timeouts,
    pub(super) connector: &'a Connector,
    pub(super) interim: &'a Interim,
    /// When the request's time is over.
    pub(super) deadline: Option<Instant>,
    pub(super) permit: &'a Permit,
}

/// What came of one attempt.
pub(super) enum Attempt {
    Answered(ResponseHead, Lease),
    /// The endpoint never gave the request to the application.
    Unsent(Reason),
    Failed(Reason),
}

// === impl Try ===

impl Try<'_> {
    /// One attempt at one endpoint. A body that is not wholly here goes with it.
    pub(super) async fn run(self, request: &mut Outbound) -> Attempt {
        let endpoint = &self.permit.endpoint;
        let granted_at = self.permit.granted_at;
        let first = self.timeouts.first_byte.map(|first| granted_at + first);
        let end = first.into_iter().chain(self.deadline).min();
        let by = By { start: granted_at + self.timeouts.start, end };
        let mut leased = self.lease(request, by).await;
        for once_more in [true, false] {
            let mut lease = match leased {
                Ok(lease) => lease,
                Err(ConnectError::Late) => return Attempt::Failed(Reason::UpstreamTimeout),
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
                Ok(Some(head)) => return self.judge(head, lease).await,
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
                Carrier::Http1(_) => self.connector.lease_new(endpoint, by).await,
                Carrier::Http2(_) => Box::pin(self.connector.lease_new_stream(endpoint, by)).await,
            };
        }
        Attempt::Failed(Reason::UpstreamReset)
    }

    /// A connection of the protocol that the request goes over.
    async fn lease(&self, request: &mut Outbound, by: By) -> Result<Lease, ConnectError> {
        let endpoint = &self.permit.endpoint;
        if let Head::Http2 { only, .. } = request.head {
            // In boxes: most requests go another way, and would carry their state along.
            let speaks = only || Box::pin(self.connector.speaks_http2(endpoint, by)).await?;
            if speaks {
                return Box::pin(self.connector.lease_stream(endpoint, by)).await;
            }
        }
        self.connector.lease(endpoint, self.permit.granted_at, by).await
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
        let first = self.timeouts.first_byte;
        let (mut sent_parts, mut since) = (0, self.permit.granted_at);
        poll_fn(|cx| {
            loop {
                let Poll::Ready(head) = lease.poll_head(cx) else {
                    // While a body is passed on and taken, nobody can expect an answer to it.
                    if sent_parts != lease.sent_parts() {
                        (sent_parts, since) = (lease.sent_parts(), clock::now());
                    }
                    let first = first.map(|first| since + first);
                    return match first.into_iter().chain(self.deadline).min() {
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
    async fn judge(&self, head: ResponseHead, lease: Lease) -> Attempt {
        match sidecars_reason(self.role, &head) {
            Some(reason) if reason.is_unsent() => {
                keep(lease).await;
                Attempt::Unsent(reason)
            }
            _ => Attempt::Answered(head, lease),
        }
    }
}

/// Keeps the connection over which a refusal came: its few words are here with its head, or are not
/// waited for.
async fn keep(mut lease: Lease) {
    poll_fn(|cx| {
        for _ in 0..MAX_REFUSAL_PARTS {
            if !matches!(lease.poll_body(cx), Poll::Ready(Some(Ok(_)))) {
                break;
            }
        }
        Poll::Ready(())
    })
    .await;
    lease.give_back(clock::now());
}

/// Why a sidecar, not its model, has answered so. A sidecar believes nobody.
pub(super) fn sidecars_reason(role: Role, head: &ResponseHead) -> Option<Reason> {
    if role != Role::Gateway {
        return None;
    }
    let reason = head.response.headers().get(REASON_HEADER)?;
    let reason = Reason::from_code(std::str::from_utf8(reason).ok()?)?;
    let status = head.response.status().as_u16();
    let is_refusal = status == reason.status() || is_grpc_refusal(&head.response);
    is_refusal.then_some(reason)
}

/// Whether a request may be sent twice (RFC 9110, section 9.2.2).
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}
