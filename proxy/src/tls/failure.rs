//! Why a handshake came to nothing: one word for the metric, whoever was at the other end.

use rustls::{AlertDescription, Error};
use std::io;

/// Why a handshake came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HandshakeFailure {
    /// It took too long.
    Timeout,
    /// The other end left in the middle of it.
    Closed,
    /// The other end does not speak TLS.
    Plaintext,
    /// They have no version, cipher or protocol in common.
    Incompatible,
    /// The other end has no certificate, or none that is believed.
    Certificate,
    /// The other end does not believe this certificate, or wants another thing of this end.
    Rejected,
    /// What came is not what TLS allows.
    Malformed,
}

// === impl HandshakeFailure ===

impl HandshakeFailure {
    /// All of them.
    pub(super) const ALL: [Self; 7] = [
        Self::Timeout,
        Self::Closed,
        Self::Plaintext,
        Self::Incompatible,
        Self::Certificate,
        Self::Rejected,
        Self::Malformed,
    ];

    /// The metric's word.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Plaintext => "plaintext",
            Self::Incompatible => "incompatible",
            Self::Certificate => "certificate",
            Self::Rejected => "rejected",
            Self::Malformed => "malformed",
        }
    }
}

impl From<&io::Error> for HandshakeFailure {
    fn from(error: &io::Error) -> Self {
        let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<Error>()) else {
            return Self::Closed;
        };
        match error {
            Error::NoCertificatesPresented | Error::InvalidCertificate(_) => Self::Certificate,
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::Incompatible,
            Error::AlertReceived(
                AlertDescription::HandshakeFailure
                | AlertDescription::ProtocolVersion
                | AlertDescription::NoApplicationProtocol,
            ) => Self::Incompatible,
            Error::AlertReceived(_) => Self::Rejected,
            _ => Self::Malformed,
        }
    }
}
