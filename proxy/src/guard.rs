//! Which requests are let in at all. What makes a head malformed is in [`crate::head`]; here is
//! what is well-formed and still not allowed.

use crate::error::Refusal;
use crate::message::Request;
use http::Method;
use http::uri::PathAndQuery;
use http_body::Body;
use std::time::{Duration, Instant};
use tidegate_api::reason::Reason;

/// How many connections there may be, and the sizes and times that each of them and its requests
/// may take.
#[derive(Debug, Clone)]
pub struct HttpLimits {
    /// Bytes of a head.
    pub max_head_bytes: usize,
    /// Bytes of a request target.
    pub max_target_bytes: usize,
    /// Bytes of a body.
    pub max_body_bytes: u64,
    /// Bytes of a body that are read before the request is queued: small bodies are then wholly
    /// here and can be sent again.
    pub read_ahead_bytes: usize,
    /// How long a head may take, from the connection's begin or the head's first byte.
    pub header_timeout: Duration,
    /// How long a request's body may stall.
    pub body_timeout: Duration,
    /// How long a client may take nothing of its answer.
    pub write_timeout: Duration,
    /// How long a connection may be quiet between two requests.
    pub keep_alive_timeout: Duration,
    /// Connections that clients may hold, all workers together.
    pub max_connections: usize,
}

impl HttpLimits {
    /// How long a body that is awaited whole may take, of a request whose time is over at `deadline`.
    pub fn patience(&self, arrived: Instant, deadline: Option<Instant>) -> Duration {
        let left = deadline.map(|at| at.saturating_duration_since(arrived));
        left.map_or(self.body_timeout, |left| left.min(self.body_timeout))
    }
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            max_head_bytes: 64 << 10,
            max_target_bytes: 8 << 10,
            max_body_bytes: 1 << 30,
            read_ahead_bytes: 64 << 10,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            keep_alive_timeout: Duration::from_secs(300),
            max_connections: 10_000,
        }
    }
}

/// Checks a request's head.
///
/// # Errors
/// With the reason for which the request is refused.
pub fn check<B: Body>(request: &Request<B>, limits: &HttpLimits) -> Result<(), Refusal> {
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(Reason::MethodNotAllowed.into());
    }
    let target =
        request.uri().path_and_query().map_or(0, |target| PathAndQuery::as_str(target).len());
    if target > limits.max_target_bytes {
        return Err(Reason::TargetTooLong.into());
    }
    if request.body().size_hint().exact().is_some_and(|length| length > limits.max_body_bytes) {
        return Err(Reason::BodyTooLarge.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;

    fn request(head: &str, body: &'static str) -> Request<Full<&'static [u8]>> {
        let mut lines = head.lines();
        let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
        let mut request = http::Request::builder().method(method).uri(target);
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        request.body(Full::new(body.as_bytes())).unwrap().into()
    }

    #[test]
    fn heads_that_are_refused() {
        let limits = HttpLimits { max_target_bytes: 8, max_body_bytes: 5, ..HttpLimits::default() };
        for (head, body, expected) in [
            ("GET /\nhost: a", "", None),
            ("POST /\nhost: a", "12345", None),
            ("TRACE /\nhost: a", "", Some(Reason::MethodNotAllowed)),
            ("CONNECT a:1\nhost: a", "", Some(Reason::MethodNotAllowed)),
            ("GET /12345678\nhost: a", "", Some(Reason::TargetTooLong)),
            ("POST /\nhost: a", "123456", Some(Reason::BodyTooLarge)),
        ] {
            let found = check(&request(head, body), &limits).err().map(|refusal| refusal.reason);
            assert_eq!(found, expected, "{head}");
        }
    }
}
