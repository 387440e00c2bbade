//! The only place that makes up a response: the reason in a header and in a small JSON body.

use crate::body::ProxyBody;
use crate::error::Refusal;
use crate::grpc;
use crate::message::Response;
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderName, StatusCode};
use serde_json::{Value, json};
use tidegate_api::names::{event, header};
use tidegate_api::reason::Reason;

mod openai;

pub use openai::{model, models};

/// `x-tidegate-reason`.
pub const REASON_HEADER: HeaderName = HeaderName::from_static(header::REASON);

/// What a person may read of how a gRPC call ended.
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// How a request's refusal is worded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manner {
    /// As [`refusal`] does.
    Plain,
    /// As [`grpc_refusal`] does.
    Grpc,
    /// As OpenAI's API does. With the model that the request names, once that is known.
    OpenAi(Option<String>),
}

// === impl Manner ===

impl Manner {
    /// The refusal in this manner.
    pub fn refusal(&self, refused: Refusal) -> Response<ProxyBody> {
        match self {
            Self::Grpc => grpc_refusal(refused),
            Self::Plain | Self::OpenAi(_) => refusal_with(refused, &self.error(refused)),
        }
    }

    /// The refusal as an event, for who was sent the head of a stream of events already.
    pub fn event(&self, refused: Refusal) -> Bytes {
        event(&self.error(refused))
    }

    /// The event that tells of an upstream's answer that is no stream of events.
    pub fn other_answer(&self, status: StatusCode) -> Bytes {
        let message = format!("the model answered {status}, without a stream of events");
        let (code, status) = (event::OTHER_ANSWER, status.as_u16());
        event(&match self {
            Self::OpenAi(_) => openai::other_answer(code, status, &message),
            Self::Plain | Self::Grpc => {
                json!({ "reason": code, "status": status, "message": message })
            }
        })
    }

    fn error(&self, refused: Refusal) -> Value {
        match self {
            Self::OpenAi(model) => openai::error(refused, model.as_deref()),
            Self::Plain | Self::Grpc => error(refused.reason),
        }
    }
}

/// The response that sends a client on to where the same is to be had, by the same method.
pub fn moved(location: &str) -> Response<ProxyBody> {
    let mut response = Response::new(ProxyBody::Text(None));
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(LOCATION, location);
    response
}

/// The response that tells a client why its request was not answered by the model.
pub fn refusal(refusal: Refusal) -> Response<ProxyBody> {
    refusal_with(refusal, &error(refusal.reason))
}

/// The head of a stream of events that begins before the upstream's answer does.
pub fn events(events: ProxyBody) -> Response<ProxyBody> {
    let mut response = Response::new(events);
    response.headers_mut().insert(CONTENT_TYPE, "text/event-stream");
    response.headers_mut().insert(CACHE_CONTROL, "no-cache");
    response
}

/// The event that ends a stream: nothing follows it.
fn event(error: &Value) -> Bytes {
    Bytes::from(format!("event: {}\ndata: {}\n\n", event::ERROR, json!({ "error": error })))
}

fn error(reason: Reason) -> Value {
    json!({ "reason": reason.code(), "message": message(reason) })
}

fn refusal_with(refusal: Refusal, error: &Value) -> Response<ProxyBody> {
    let Refusal { reason, retry_after_s, .. } = refusal;
    let body = json!({ "error": error });
    let mut response = Response::new(ProxyBody::text(body.to_string() + "\n"));
    // Every reason's status is a constant between 400 and 599.
    *response.status_mut() =
        StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, "application/json");
    headers.insert(REASON_HEADER, reason.code());
    if let Some(seconds) = retry_after_s {
        headers.insert(RETRY_AFTER, itoa::Buffer::new().format(seconds));
    }
    if reason == Reason::MethodNotAllowed {
        // RFC 9110 section 15.5.6 wants the list of what is allowed.
        let allowed = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
        headers.insert(ALLOW, allowed);
    }
    if reason == Reason::Unauthorized {
        // RFC 9110 section 15.5.2 wants what would be let in.
        headers.insert(WWW_AUTHENTICATE, "Bearer");
    }
    if closes_connection(reason) {
        headers.insert(CONNECTION, "close");
    }
    response
}

/// The same for a gRPC client: a status of its own, with the message that a person may read.
/// An answer of trailers only, as the gRPC wire protocol has it.
pub fn grpc_refusal(refusal: Refusal) -> Response<ProxyBody> {
    let Refusal { reason, retry_after_s, too_late } = refusal;
    let mut response = Response::new(ProxyBody::Text(None));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, "application/grpc");
    headers.insert(grpc::STATUS, itoa::Buffer::new().format(grpc::status_of(reason, too_late)));
    headers.insert(GRPC_MESSAGE, message(reason));
    headers.insert(REASON_HEADER, reason.code());
    if let Some(seconds) = retry_after_s {
        headers.insert(RETRY_AFTER, itoa::Buffer::new().format(seconds));
    }
    response
}

/// Whether an answer that bears a reason has the form of [`grpc_refusal`].
pub fn is_grpc_refusal(response: &Response<()>) -> bool {
    response.status() == StatusCode::OK && response.headers().contains(grpc::STATUS)
}

/// After these the connection's state is unknown or unwanted.
fn closes_connection(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::BadRequest
            | Reason::TlsRequired
            | Reason::MethodNotAllowed
            | Reason::Draining
            | Reason::TooManyConnections
            | Reason::RequestTimeout
            | Reason::BodyTooLarge
    )
}

fn message(reason: Reason) -> &'static str {
    match reason {
        Reason::BadRequest => "the request's head is malformed or not allowed",
        Reason::TlsRequired => "this port speaks TLS: use https://",
        Reason::HeaderTooLarge => "the request's headers are larger than allowed",
        Reason::TargetTooLong => "the request's target is longer than allowed",
        Reason::BodyTooLarge => "the request's body is larger than allowed",
        Reason::RequestTimeout => "the request came too slowly",
        Reason::QueueFull => "too many requests are waiting; come back later",
        Reason::QueueTimeout => "the request waited longer than allowed",
        Reason::RateLimited => "too many requests; come back later",
        Reason::Draining => "this process is shutting down; ask another",
        Reason::TooManyConnections => "too many connections are open; come back later",
        Reason::MethodNotAllowed => "CONNECT and TRACE are not served",
        Reason::NoRoute => "no API is served at this host and path",
        Reason::NoModel => "no model is named near the start of the request's JSON body",
        Reason::UnknownModel => "no API here has the model that the request names",
        Reason::Unauthorized => "an API key that is known here is needed",
        Reason::Forbidden => "this API key is not one of this API's",
        Reason::ColdStartTimeout => "no replica came up in time; come back later",
        Reason::UpstreamConnect => "no connection to the model could be made",
        Reason::UpstreamReset => "the model ended the connection before its answer was complete",
        Reason::UpstreamTimeout => "the model did not answer in time",
        Reason::ClientGone => "the client left",
        Reason::Internal => "the proxy failed; this is a fault in it",
    }
}
