//! Sends a request that has its slot to the endpoint, and what comes back to the client.

use crate::account::Account;
use crate::body::{Held, ProxyBody};
use crate::error::Refusal;
use crate::gate::{Ask, Gate, Permit};
use crate::guard;
use crate::policy::slots::Usability;
use crate::request_body::RequestBody;
use crate::respond::REASON_HEADER;
use crate::tunnel;
use crate::upstream::{Connector, Lease};
use http::header::{CONNECTION, EXPECT, HOST, HeaderValue, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderName, Method, Request, Response, StatusCode, Uri, Version, request};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tidegate_api::names::header;
use tidegate_api::reason::Reason;

/// Endpoints that one request is sent to at the most. Each failure takes an endpoint out until it
/// passes a probe, so more than a few mean that something else is wrong.
const MAX_ATTEMPTS: u32 = 5;
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
    /// What it asked of the gate.
    pub ask: Ask,
    /// Its slot.
    pub permit: Permit,
    /// Its books.
    pub account: Account,
    /// The client's side of an upgrade, if it asks for one.
    pub upgrade: Option<(HeaderValue, OnUpgrade)>,
}

/// What came of one attempt.
enum Attempt {
    Answered(Box<Response<Incoming>>, Lease),
    /// The endpoint never gave the request to the application.
    Unsent(Reason),
    Failed(Reason),
}

/// The head that goes to the upstream: one hop's headers off, the route's prefix off.
///
/// # Errors
/// `bad-request` if the target is no path.
pub fn upstream_head(
    mut parts: request::Parts,
    strip: usize,
    upgrade: Option<&HeaderValue>,
) -> Result<request::Parts, Refusal> {
    if let Some(authority) = parts.uri.authority() {
        // RFC 9112 section 3.2.2: the target's authority counts, whatever Host says.
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Reason::BadRequest)?;
        parts.headers.insert(HOST, host);
    }
    if strip > 0 || parts.uri.authority().is_some() {
        parts.uri = origin_form(&parts.uri, strip).ok_or(Reason::BadRequest)?;
    }
    guard::strip_hop_by_hop(&mut parts.headers);
    // The client was told to go on when its body was first read.
    parts.headers.remove(EXPECT);
    if let Some(protocol) = upgrade {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(UPGRADE, protocol.clone());
    }
    parts.version = Version::HTTP_11;
    Ok(parts)
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
        head: request::Parts,
        body: RequestBody,
    ) -> Result<Response<ProxyBody>, (Account, Refusal)> {
        let mut next = Some((head, body));
        let mut attempts = 0;
        loop {
            attempts += 1;
            let Some((head, body)) = next.take() else {
                return Err((self.account, Reason::Internal.into()));
            };
            let may_retry = self.role == Role::Gateway && attempts < MAX_ATTEMPTS;
            let copy = may_retry.then(|| body.copy().map(|body| (head.clone(), body))).flatten();
            match self.attempt(head, body, &mut next).await {
                Attempt::Answered(response, lease) => {
                    return Ok(self.answer(*response, lease, attempts));
                }
                Attempt::Failed(reason) => {
                    // The endpoint may be going: look before the next request finds out.
                    if reason == Reason::UpstreamReset {
                        self.permit.endpoint.suspect();
                    }
                    return Err((self.account, reason.into()));
                }
                Attempt::Unsent(reason) => {
                    self.suspect();
                    next = next.or(copy);
                    if next.is_none() || !may_retry {
                        return Err((self.account, reason.into()));
                    }
                    match self.gate.enter_again(self.ask, self.permit).await {
                        Ok(permit) => self.permit = permit,
                        Err(refusal) => return Err((self.account, refusal)),
                    }
                }
            }
        }
    }

    /// One attempt at one endpoint. What could not be sent is put into `back`.
    async fn attempt(
        &self,
        head: request::Parts,
        body: RequestBody,
        back: &mut Option<(request::Parts, RequestBody)>,
    ) -> Attempt {
        let endpoint = &self.permit.endpoint;
        let too_large = body.too_large_flag();
        let mut lease = match self.connector.lease(endpoint).await {
            Ok(lease) => lease,
            Err(error) => {
                tracing::debug!(endpoint = endpoint.id, %error, "no connection to the upstream");
                *back = Some((head, body));
                return Attempt::Unsent(Reason::UpstreamConnect);
            }
        };
        let again = lease.reused && is_idempotent(&head.method);
        let mut spare = again.then(|| body.copy().map(|body| (head.clone(), body))).flatten();
        let mut request = Request::from_parts(head, body);
        let until = self.first_byte_deadline();
        loop {
            let sending = lease.sender.try_send_request(request);
            let sent = match until {
                Some(until) => match tokio::time::timeout_at(until.into(), sending).await {
                    Ok(sent) => sent,
                    Err(_) => return Attempt::Failed(Reason::UpstreamTimeout),
                },
                None => sending.await,
            };
            let mut error = match sent {
                Ok(response) => return self.judge(response, lease),
                Err(error) => error,
            };
            if too_large.as_ref().is_some_and(|flag| flag.load(Ordering::Acquire)) {
                return Attempt::Failed(Reason::BodyTooLarge);
            }
            // A kept connection that the upstream had closed: not a byte was sent, or none came
            // back for a request that may be sent twice. Once more, on a new one.
            let unsent = error.take_message().map(Request::into_parts);
            let Some((head, body)) = unsent.or_else(|| spare.take()).filter(|_| lease.reused)
            else {
                tracing::debug!(endpoint = endpoint.id, error = %error.error(), "exchange broke off");
                return Attempt::Failed(Reason::UpstreamReset);
            };
            lease = match self.connector.lease_new(endpoint).await {
                Ok(lease) => lease,
                Err(error) => {
                    tracing::debug!(endpoint = endpoint.id, %error, "no connection to the upstream");
                    *back = Some((head, body));
                    return Attempt::Unsent(Reason::UpstreamConnect);
                }
            };
            request = Request::from_parts(head, body);
        }
    }

    /// Whether a response is the application's or a sidecar's word that it never got there.
    fn judge(&self, response: Response<Incoming>, lease: Lease) -> Attempt {
        if self.role == Role::Gateway
            && let Some(reason) = response.headers().get(REASON_HEADER)
            && let Some(reason) = reason.to_str().ok().and_then(Reason::from_code)
            && reason.is_unsent()
            && response.status().as_u16() == reason.status()
        {
            return Attempt::Unsent(reason);
        }
        Attempt::Answered(Box::new(response), lease)
    }

    fn answer(
        mut self,
        mut response: Response<Incoming>,
        lease: Lease,
        attempts: u32,
    ) -> Response<ProxyBody> {
        self.account.head(response.status().as_u16());
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(response, lease);
        }
        guard::strip_hop_by_hop(response.headers_mut());
        let headers = response.headers_mut();
        match self.role {
            Role::Sidecar => {
                headers.remove(REASON_HEADER);
            }
            Role::Gateway => {
                if self.permit.was_cold {
                    let waited = self.permit.granted_at.saturating_duration_since(self.ask.arrived);
                    let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
                    headers.insert(COLD_START_HEADER, HeaderValue::from(waited_ms));
                }
                if attempts > 1 {
                    headers.insert(ATTEMPTS_HEADER, HeaderValue::from(attempts));
                }
            }
        }
        let (mut parts, body) = response.into_parts();
        parts.version = Version::HTTP_11;
        let until = self.timeouts.total.map(|total| (self.ask.arrived + total).into());
        let held = Held { lease, permit: self.permit, account: self.account };
        Response::from_parts(parts, ProxyBody::relay(body, self.timeouts.idle, until, held))
    }

    /// The upstream has switched protocols: from here on bytes go both ways, until either side
    /// ends or nothing has moved for the idle time.
    fn switch(self, mut response: Response<Incoming>, lease: Lease) -> Response<ProxyBody> {
        let Some((_, client)) = self.upgrade else {
            tracing::warn!(
                endpoint = self.permit.endpoint.id,
                "upstream switched protocols unasked"
            );
            self.account.close(Some(Reason::UpstreamReset));
            return crate::respond::refusal(Reason::UpstreamReset.into());
        };
        let upstream = hyper::upgrade::on(&mut response);
        let held = Held { lease, permit: self.permit, account: self.account };
        self.connector.tunnels.spawn(tunnel::run(client, upstream, self.timeouts.idle, held));
        let (parts, _) = response.into_parts();
        Response::from_parts(parts, ProxyBody::empty())
    }

    fn suspect(&self) {
        if self.role == Role::Gateway {
            self.gate.set_usability(self.permit.slot(), Usability::Unusable);
        }
        self.permit.endpoint.suspect();
    }

    fn first_byte_deadline(&self) -> Option<Instant> {
        let first = self.timeouts.first_byte.map(|first| self.permit.granted_at + first);
        first.into_iter().chain(self.ask.deadline).min()
    }
}

fn origin_form(uri: &Uri, strip: usize) -> Option<Uri> {
    let target = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let rest = target.get(strip..)?;
    if rest.starts_with('/') {
        return rest.parse().ok();
    }
    format!("/{rest}").parse().ok()
}

fn is_idempotent(method: &Method) -> bool {
    // RFC 9110 section 9.2.2.
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_in_origin_form() {
        for (uri, strip, expected) in [
            ("/a/b?c=d", 0, "/a/b?c=d"),
            ("/a/b?c=d", 2, "/b?c=d"),
            ("/a", 2, "/"),
            ("/a?b", 2, "/?b"),
            ("http://host/a", 0, "/a"),
            ("http://host", 0, "/"),
        ] {
            let found = origin_form(&uri.parse().unwrap(), strip);
            assert_eq!(
                found.map(|uri| uri.to_string()).as_deref(),
                Some(expected),
                "{uri} {strip}"
            );
        }
    }
}
