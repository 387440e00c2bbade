//! gRPC's status codes beside HTTP's: a gRPC answer is a 200 whatever it says, and its status stands in
//! its trailers, or in the head of an answer that has nothing else.

use crate::h2_head::is_grpc;
use crate::message::Response;
use http::{HeaderName, StatusCode};
use tidegate_api::reason::Reason;

/// Where the status of an answer stands.
pub const STATUS: HeaderName = HeaderName::from_static("grpc-status");

const CANCELLED: u16 = 1;
const UNKNOWN: u16 = 2;
const INVALID_ARGUMENT: u16 = 3;
const DEADLINE_EXCEEDED: u16 = 4;
const NOT_FOUND: u16 = 5;
const ALREADY_EXISTS: u16 = 6;
const PERMISSION_DENIED: u16 = 7;
const RESOURCE_EXHAUSTED: u16 = 8;
const FAILED_PRECONDITION: u16 = 9;
const ABORTED: u16 = 10;
const OUT_OF_RANGE: u16 = 11;
const UNIMPLEMENTED: u16 = 12;
const INTERNAL: u16 = 13;
const UNAVAILABLE: u16 = 14;
const DATA_LOSS: u16 = 15;
const UNAUTHENTICATED: u16 = 16;

/// Whether an answer is one of gRPC's that does not say in its head how it ends.
pub fn ends_in_trailers(response: &Response<()>) -> bool {
    let headers = response.headers();
    response.status() == StatusCode::OK && is_grpc(headers) && !headers.contains(STATUS)
}

/// The nearest of gRPC's status codes. UNAVAILABLE is the one that clients may retry: not one whose
/// own deadline comes first.
pub fn status_of(reason: Reason, too_late: bool) -> u16 {
    match reason {
        Reason::QueueTimeout | Reason::ColdStartTimeout if too_late => DEADLINE_EXCEEDED,
        Reason::ClientGone => CANCELLED,
        Reason::UpstreamTimeout | Reason::RequestTimeout => DEADLINE_EXCEEDED,
        Reason::HeaderTooLarge
        | Reason::TargetTooLong
        | Reason::BodyTooLarge
        | Reason::RateLimited => RESOURCE_EXHAUSTED,
        Reason::NoRoute | Reason::MethodNotAllowed => UNIMPLEMENTED,
        Reason::UnknownModel => NOT_FOUND,
        Reason::NoModel => INVALID_ARGUMENT,
        Reason::Unauthorized => UNAUTHENTICATED,
        Reason::Forbidden => PERMISSION_DENIED,
        Reason::BadRequest | Reason::TlsRequired | Reason::Internal => INTERNAL,
        Reason::QueueFull
        | Reason::QueueTimeout
        | Reason::Draining
        | Reason::TooManyConnections
        | Reason::ColdStartTimeout
        | Reason::UpstreamConnect
        | Reason::UpstreamReset => UNAVAILABLE,
    }
}

/// What HTTP would say where gRPC says this, as `google/rpc/code.proto` has it; `None` for what says that
/// all is well or is no status. A method that is not there is a mistake of the client's, so 404 and
/// not 501.
pub fn nearest_http(status: &[u8]) -> Option<u16> {
    let status = std::str::from_utf8(status).ok()?.parse::<u16>().ok()?;
    Some(match status {
        CANCELLED => 499,
        INVALID_ARGUMENT | FAILED_PRECONDITION | OUT_OF_RANGE => 400,
        UNAUTHENTICATED => 401,
        PERMISSION_DENIED => 403,
        NOT_FOUND | UNIMPLEMENTED => 404,
        ALREADY_EXISTS | ABORTED => 409,
        RESOURCE_EXHAUSTED => 429,
        UNKNOWN | INTERNAL | DATA_LOSS => 500,
        UNAVAILABLE => 503,
        DEADLINE_EXCEEDED => 504,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_come_back_as_errors_of_the_same_side() {
        for reason in Reason::ALL {
            let nearest = nearest_http(status_of(reason, false).to_string().as_bytes());
            let nearest = nearest.expect("a refusal is an error");
            // The protocol's own errors are gRPC's INTERNAL, whoever made them.
            let is_protocol = matches!(reason, Reason::BadRequest | Reason::TlsRequired);
            let same = (nearest >= 500) == (reason.status() >= 500);
            let slow = reason == Reason::RequestTimeout;
            assert!(same || is_protocol || slow, "{reason:?}: {nearest}");
        }
    }

    #[test]
    fn who_has_no_time_left_is_not_asked_to_come_back() {
        for reason in Reason::ALL {
            let waits = matches!(reason, Reason::QueueTimeout | Reason::ColdStartTimeout);
            let expected = if waits { DEADLINE_EXCEEDED } else { status_of(reason, false) };
            assert_eq!(status_of(reason, true), expected, "{reason:?}");
        }
    }

    #[test]
    fn what_is_no_error_has_no_nearest() {
        for status in ["0", "17", "99", "-1", "", "x", "13 ", "999999"] {
            assert_eq!(nearest_http(status.as_bytes()), None, "{status:?}");
        }
        for (status, http) in [("13", 500), ("2", 500), ("14", 503), ("8", 429), ("12", 404)] {
            assert_eq!(nearest_http(status.as_bytes()), Some(http), "{status}");
        }
    }
}
