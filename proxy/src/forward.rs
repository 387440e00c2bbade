//! Sends a request that has its slot to the endpoint, and what comes back to the client.

use crate::account::Account;
use crate::body::{Held, ProxyBody, Tunnel};
use crate::clock;
use crate::error::Refusal;
use crate::framing::Framing;
use crate::gate::{Ask, Gate, Permit};
use crate::head::encode::encode_request;
use crate::head::{ResponseHead, UpgradeTo};
use crate::outbound::{ExchangeError, Outbound};
use crate::policy::slots::Usability;
use crate::read_ahead;
use crate::request_body::{RequestBody, UploadError};
use crate::respond::{REASON_HEADER, refusal};
use crate::upstream::{Connector, Lease};
use bytes::BytesMut;
use http::header::{HOST, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderName, Method, Response, StatusCode, Uri, request};
use http_body::Body;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use tidegate_api::names::header;
use tidegate_api::reason::Reason;

/// Endpoints that one request is sent to at the most. Each failure takes an endpoint out until it
/// passes a probe, so more than a few mean that something else is wrong.
const MAX_ATTEMPTS: u32 = 5;
/// Room for an ordinary head, so that writing it allocates once.
const HEAD_BYTES: usize = 512;
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
}

/// What came of one attempt.
enum Attempt {
    Answered(Box<(ResponseHead, Lease)>),
    /// The endpoint never gave the request to the application.
    Unsent(Reason),
    Failed(Reason),
}

/// The request as it goes to the upstream: the route's prefix off, one hop's headers never there.
///
/// # Errors
/// `bad-request` if the target is no path.
pub fn outbound(
    mut parts: request::Parts,
    strip: usize,
    body: RequestBody,
) -> Result<Outbound, Refusal> {
    if let Some(authority) = parts.uri.authority() {
        // RFC 9112 section 3.2.2: the target's authority counts, whatever Host says.
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Reason::BadRequest)?;
        parts.headers.insert(HOST, host);
    }
    if strip > 0 {
        parts.uri = without_prefix(&parts.uri, strip).ok_or(Reason::BadRequest)?;
    }
    let framing = body.size_hint().exact().map_or(Framing::Chunked, Framing::Length);
    // RFC 9110 section 8.6: methods that have a body say so even if it is empty.
    let has_body = matches!(parts.method, Method::POST | Method::PUT | Method::PATCH);
    let said = Some(framing).filter(|framing| *framing != Framing::Length(0) || has_body);
    let upgrade = parts.extensions.get::<UpgradeTo>().map(|UpgradeTo(protocol)| protocol);
    let mut head = BytesMut::with_capacity(HEAD_BYTES);
    encode_request(&parts, said, upgrade, &mut head);
    Ok(Outbound { head: head.freeze(), method: parts.method, framing, body, spent: false })
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
    ) -> Result<Response<ProxyBody>, (Account, Refusal)> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.attempt(&mut request).await {
                Attempt::Answered(answered) => {
                    let (head, lease) = *answered;
                    return Ok(self.answer(head, lease, attempts, upgradable));
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
                    if self.role == Role::Sidecar || attempts == MAX_ATTEMPTS || request.spent {
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

    /// One attempt at one endpoint. A body that is not wholly here goes with it.
    async fn attempt(&self, request: &mut Outbound) -> Attempt {
        let endpoint = &self.permit.endpoint;
        let mut leased = self.connector.lease(endpoint, self.permit.granted_at).await;
        loop {
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
            let body =
                copy.unwrap_or_else(|| std::mem::replace(&mut request.body, RequestBody::Empty));
            lease.connection.start(&request.head, request.method.clone(), request.framing, body);
            let error = match self.first_byte(&mut lease).await {
                Ok(Some(head)) => return self.judge(head, lease),
                Ok(None) => return Attempt::Failed(Reason::UpstreamTimeout),
                Err(error) => error,
            };
            tracing::debug!(endpoint = endpoint.id, %error, "exchange broke off");
            if let ExchangeError::Upload(error) = &error {
                return Attempt::Failed(match error {
                    UploadError::TooLarge(_) => Reason::BodyTooLarge,
                    UploadError::Stalled(_) => Reason::RequestTimeout,
                    UploadError::Incoming(error) => read_ahead::refusal(error).reason,
                });
            }
            // A kept connection that the upstream had closed: once more, on a new one.
            if !again || !lease.was_stale(&error) {
                return Attempt::Failed(Reason::UpstreamReset);
            }
            leased = self.connector.lease_new(endpoint).await;
        }
    }

    /// The answer's head, or `None` when its time is over.
    async fn first_byte(&self, lease: &mut Lease) -> Result<Option<ResponseHead>, ExchangeError> {
        let head = poll_fn(|cx| lease.connection.poll_head(cx));
        let first = self.timeouts.first_byte.map(|first| self.permit.granted_at + first);
        match first.into_iter().chain(self.ask.deadline).min() {
            Some(until) => match tokio::time::timeout_at(until.into(), head).await {
                Ok(head) => head.map(Some),
                Err(_) => Ok(None),
            },
            None => head.await.map(Some),
        }
    }

    /// Whether a response is the application's or a sidecar's word that it never got there.
    fn judge(&self, head: ResponseHead, lease: Lease) -> Attempt {
        match self.sidecars_reason(&head) {
            Some(reason) if reason.is_unsent() => Attempt::Unsent(reason),
            _ => Attempt::Answered(Box::new((head, lease))),
        }
    }

    /// Why a sidecar, not its model, has answered so.
    fn sidecars_reason(&self, head: &ResponseHead) -> Option<Reason> {
        if self.role != Role::Gateway {
            return None;
        }
        let reason = head.response.headers().get(REASON_HEADER)?;
        let reason = Reason::from_code(reason.to_str().ok()?)?;
        (head.response.status().as_u16() == reason.status()).then_some(reason)
    }

    fn answer(
        mut self,
        mut head: ResponseHead,
        lease: Lease,
        attempts: u32,
        upgradable: bool,
    ) -> Response<ProxyBody> {
        let status = head.response.status();
        self.account.head(status.as_u16(), self.sidecars_reason(&head), clock::now());
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(head, lease, upgradable);
        }
        let headers = head.response.headers_mut();
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
        let until = self.timeouts.total.map(|total| self.ask.arrived + total);
        let held = Held { lease, permit: self.permit, account: self.account };
        head.response.map(|()| ProxyBody::relay(held, self.timeouts.idle, until))
    }

    /// The upstream has switched protocols: from here on bytes go both ways.
    fn switch(self, head: ResponseHead, lease: Lease, upgradable: bool) -> Response<ProxyBody> {
        let Some(protocol) = head.upgrade.filter(|_| upgradable) else {
            tracing::warn!(
                endpoint = self.permit.endpoint.id,
                "upstream switched protocols unasked"
            );
            self.account.close(Some(Reason::UpstreamReset), clock::now());
            return refusal(Reason::UpstreamReset.into());
        };
        let tunnel = Tunnel {
            wire: lease.connection.into_wire(),
            protocol,
            idle: self.timeouts.idle,
            permit: self.permit,
            account: self.account,
        };
        head.response.map(|()| ProxyBody::Tunnel(Box::new(tunnel)))
    }

    fn suspect(&self) {
        if self.role == Role::Gateway {
            self.gate.set_usability(self.permit.slot(), Usability::Unusable);
        }
        self.permit.endpoint.suspect();
    }
}

fn without_prefix(uri: &Uri, strip: usize) -> Option<Uri> {
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
    fn targets_without_their_prefix() {
        for (uri, strip, expected) in [
            ("/a/b?c=d", 2, "/b?c=d"),
            ("/a", 2, "/"),
            ("/a?b", 2, "/?b"),
            ("http://host/a/b", 2, "/b"),
        ] {
            let found = without_prefix(&uri.parse().unwrap(), strip);
            assert_eq!(
                found.map(|uri| uri.to_string()).as_deref(),
                Some(expected),
                "{uri} {strip}"
            );
        }
    }

    #[test]
    fn heads_as_they_go_out() {
        let head = |request: request::Builder, strip, body: Option<&'static str>| {
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let body =
                body.map_or(RequestBody::Empty, |body| RequestBody::Whole(Some(body.into())));
            String::from_utf8(outbound(parts, strip, body).unwrap().head.to_vec()).unwrap()
        };
        let get =
            http::Request::get("/a/b?c").header("host", "t").header("x-b", "2").header("x-a", "1");
        assert_eq!(head(get, 2, None), "GET /b?c HTTP/1.1\r\nhost: t\r\nx-b: 2\r\nx-a: 1\r\n\r\n");
        let post = http::Request::post("http://other/p").header("host", "t");
        assert_eq!(
            head(post, 0, Some("abc")),
            "POST /p HTTP/1.1\r\nhost: other\r\ncontent-length: 3\r\n\r\n"
        );
        let empty = http::Request::post("/p").header("host", "t");
        assert_eq!(
            head(empty, 0, None),
            "POST /p HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n"
        );
    }
}
