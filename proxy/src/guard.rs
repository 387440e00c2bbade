//! Which requests are let in at all, by their head, and what a hop must not pass on.

use crate::error::Refusal;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Uri, Version};
use tidegate_api::reason::Reason;

/// The sizes and times that one request and one connection may take.
#[derive(Debug, Clone)]
pub struct HttpLimits {
    /// Bytes of a head.
    pub max_head_bytes: usize,
    /// Bytes of a request target.
    pub max_target_bytes: usize,
    /// Bytes of a body.
    pub max_body_bytes: u64,
    /// Bytes of a body that are read before the request is queued: small bodies are then wholly
    /// here, can be sent again, and their client's leaving is seen while they wait.
    pub read_ahead_bytes: usize,
    /// How long a head may take.
    pub header_timeout: std::time::Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            max_head_bytes: 64 << 10,
            max_target_bytes: 8 << 10,
            max_body_bytes: 1 << 30,
            read_ahead_bytes: 64 << 10,
            header_timeout: std::time::Duration::from_secs(10),
        }
    }
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Checks a request's head.
///
/// # Errors
/// With the reason for which the request is refused.
pub fn check<B>(request: &Request<B>, limits: &HttpLimits) -> Result<(), Refusal> {
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(Reason::BadRequest.into());
    }
    if target_bytes(request.uri()) > limits.max_target_bytes {
        return Err(Reason::TargetTooLong.into());
    }
    let headers = request.headers();
    // RFC 9112 section 3.2: one Host in HTTP/1.1, at most one in HTTP/1.0.
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() || (host.is_none() && request.version() == Version::HTTP_11) {
        return Err(Reason::BadRequest.into());
    }
    if content_length(headers).is_some_and(|length| length > limits.max_body_bytes) {
        return Err(Reason::BodyTooLarge.into());
    }
    Ok(())
}

/// The length that a request announces.
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The protocol that a request or response asks to switch to.
pub fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = connection_options(headers).any(|option| option.eq_ignore_ascii_case("upgrade"));
    asks.then(|| headers.get(header::UPGRADE).cloned()).flatten()
}

/// Takes off what concerns one hop only (RFC 9110 section 7.6.1).
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> =
            connection_options(headers).filter_map(|option| option.parse().ok()).collect();
        for name in named {
            if !is_end_to_end(&name) {
                headers.remove(name);
            }
        }
        headers.remove(header::CONNECTION);
    }
    for name in [
        KEEP_ALIVE,
        PROXY_CONNECTION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ] {
        headers.remove(name);
    }
}

/// `Connection` may not name these: taking them off would change the message, not the hop.
fn is_end_to_end(name: &HeaderName) -> bool {
    [header::HOST, header::CONTENT_LENGTH, header::AUTHORIZATION, header::CONTENT_TYPE]
        .contains(name)
}

fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::CONNECTION).iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

fn target_bytes(uri: &Uri) -> usize {
    uri.path_and_query().map_or(0, |target| target.as_str().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(head: &str) -> Request<()> {
        let mut lines = head.lines();
        let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(target);
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn heads_that_are_refused() {
        let limits = HttpLimits { max_target_bytes: 8, max_body_bytes: 5, ..HttpLimits::default() };
        for (head, expected) in [
            ("GET /\nhost: a", None),
            ("POST /\nhost: a\ncontent-length: 5", None),
            ("GET /", Some(Reason::BadRequest)),
            ("GET /\nhost: a\nhost: a", Some(Reason::BadRequest)),
            ("TRACE /\nhost: a", Some(Reason::BadRequest)),
            ("CONNECT a:1\nhost: a", Some(Reason::BadRequest)),
            ("GET /12345678\nhost: a", Some(Reason::TargetTooLong)),
            ("POST /\nhost: a\ncontent-length: 6", Some(Reason::BodyTooLarge)),
        ] {
            let found = check(&request(head), &limits).err().map(|refusal| refusal.reason);
            assert_eq!(found, expected, "{head}");
        }
    }

    #[test]
    fn one_hop_headers_go_and_the_rest_stays() {
        let mut headers = request(
            "GET /\nhost: a\nconnection: close, x-own, host\nx-own: 1\nkeep-alive: 5\nte: trailers\nx-kept: 2",
        )
        .headers()
        .clone();
        strip_hop_by_hop(&mut headers);
        let names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["host", "x-kept"]);
    }
}
