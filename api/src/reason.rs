//! Why the proxy answered a request by itself: one enum for the header, the metric and the log.

/// Why the proxy refused or failed a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The head was malformed or not allowed.
    BadRequest,
    /// The request came without TLS to a port that speaks it.
    TlsRequired,
    /// The head was larger than allowed.
    HeaderTooLarge,
    /// The request target was longer than allowed.
    TargetTooLong,
    /// The body was larger than allowed.
    BodyTooLarge,
    /// The request came too slowly.
    RequestTimeout,
    /// The queue had no room, in requests or in bytes.
    QueueFull,
    /// The queue time or the request's deadline passed while it waited.
    QueueTimeout,
    /// The tenant was over its rate.
    RateLimited,
    /// The process is shutting down.
    Draining,
    /// The process holds as many clients' connections as it may.
    TooManyConnections,
    /// No route matches.
    NoRoute,
    /// The body names no model, on a route that tells requests apart by it.
    NoModel,
    /// The body names a model that nobody has.
    UnknownModel,
    /// The request has no API key, or one that nobody knows.
    Unauthorized,
    /// The request's API key is not one of this API's.
    Forbidden,
    /// The method is one that a proxy does not serve.
    MethodNotAllowed,
    /// The API was at zero and did not come up in time.
    ColdStartTimeout,
    /// No connection to the upstream could be made.
    UpstreamConnect,
    /// The upstream ended the connection before the response was complete.
    UpstreamReset,
    /// The upstream was slower than a timeout allows.
    UpstreamTimeout,
    /// The client left before its response was complete.
    ClientGone,
    /// A fault in the proxy itself.
    Internal,
}

impl Reason {
    /// Every reason, in the order of their declaration.
    pub const ALL: [Self; 23] = [
        Self::BadRequest,
        Self::TlsRequired,
        Self::HeaderTooLarge,
        Self::TargetTooLong,
        Self::BodyTooLarge,
        Self::RequestTimeout,
        Self::QueueFull,
        Self::QueueTimeout,
        Self::RateLimited,
        Self::Draining,
        Self::TooManyConnections,
        Self::NoRoute,
        Self::NoModel,
        Self::UnknownModel,
        Self::Unauthorized,
        Self::Forbidden,
        Self::MethodNotAllowed,
        Self::ColdStartTimeout,
        Self::UpstreamConnect,
        Self::UpstreamReset,
        Self::UpstreamTimeout,
        Self::ClientGone,
        Self::Internal,
    ];

    /// The code in `x-tidegate-reason`, in the metric's label and in logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::TlsRequired => "tls-required",
            Self::HeaderTooLarge => "header-too-large",
            Self::TargetTooLong => "target-too-long",
            Self::BodyTooLarge => "body-too-large",
            Self::RequestTimeout => "request-timeout",
            Self::QueueFull => "queue-full",
            Self::QueueTimeout => "queue-timeout",
            Self::RateLimited => "rate-limited",
            Self::Draining => "draining",
            Self::TooManyConnections => "too-many-connections",
            Self::NoRoute => "no-route",
            Self::NoModel => "no-model",
            Self::UnknownModel => "unknown-model",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::ColdStartTimeout => "cold-start-timeout",
            Self::UpstreamConnect => "upstream-connect",
            Self::UpstreamReset => "upstream-reset",
            Self::UpstreamTimeout => "upstream-timeout",
            Self::ClientGone => "client-gone",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status that goes with the reason.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest | Self::TlsRequired | Self::NoModel => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NoRoute | Self::UnknownModel => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::TargetTooLong => 414,
            Self::RateLimited => 429,
            Self::HeaderTooLarge => 431,
            Self::ClientGone => 499,
            Self::Internal => 500,
            Self::UpstreamConnect | Self::UpstreamReset => 502,
            Self::QueueFull
            | Self::QueueTimeout
            | Self::Draining
            | Self::TooManyConnections
            | Self::ColdStartTimeout => 503,
            Self::UpstreamTimeout => 504,
        }
    }

    /// The reason with this code, if there is one.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// Whether a sidecar that answers so has kept the request from the application, so that
    /// another endpoint may be asked.
    pub const fn is_unsent(self) -> bool {
        matches!(
            self,
            Self::QueueFull | Self::Draining | Self::TooManyConnections | Self::UpstreamConnect
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_names_one_reason_and_all_lists_them_in_order() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            assert_eq!(Reason::from_code(reason.code()), Some(reason));
        }
    }
}
