//! TLS, with certificates out of files that are followed as they change: who connects from then on
//! sees the new ones, and connections that are open go on.

mod certificate;
mod endpoints;
mod failure;
mod follow;
mod server;
mod sni;

pub use certificate::CertificateFiles;
pub use endpoints::{EndpointTls, EndpointTlsSettings, Offer};
pub use server::{ClientCertificates, Greeting, ServerTls, ServerTlsSettings};

use crate::error::StartError;
use crate::metrics::tls::TlsMetrics;
use failure::HandshakeFailure;
use prometheus::{IntCounter, Registry};
use rustls::crypto::{CryptoProvider, ring};
use rustls::{ALL_VERSIONS, ProtocolVersion, SupportedProtocolVersion, version};
use std::pin::Pin;
use std::sync::Arc;

/// With whom TLS is spoken.
#[derive(Debug, Clone, Default)]
pub struct TlsSettings {
    /// With clients.
    pub clients: Option<ServerTlsSettings>,
    /// With endpoints.
    pub endpoints: Option<EndpointTlsSettings>,
}

/// With whom TLS is spoken, as the files have it now.
#[derive(Clone, Default)]
pub struct Tls {
    /// With clients.
    pub clients: Option<Arc<ServerTls>>,
    /// With endpoints.
    pub endpoints: Option<Arc<EndpointTls>>,
}

static ONLY_1_3: [&SupportedProtocolVersion; 1] = [&version::TLS13];

/// What follows the files until dropped.
type Following = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The oldest version that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MinVersion {
    /// 1.2, and 1.3 with who knows it.
    #[default]
    Tls12,
    /// 1.3 only.
    Tls13,
}

// === impl Tls ===

impl Tls {
    /// Reads the files, and says what follows them.
    ///
    /// # Errors
    /// If a file can't be used, or its folder can't be watched.
    pub fn start(
        settings: &TlsSettings,
        registry: &Registry,
        reload_failures: &IntCounter,
    ) -> Result<(Self, Vec<Following>), StartError> {
        let (mut tls, mut following) = (Self::default(), Vec::<Following>::new());
        let TlsSettings { clients, endpoints } = settings;
        if clients.is_none() && endpoints.is_none() {
            return Ok((tls, following));
        }
        let reasons = HandshakeFailure::ALL.map(HandshakeFailure::code);
        let metrics = TlsMetrics::register(registry, &reasons, reload_failures.clone())?;
        let metrics = Arc::new(metrics);
        if let Some(settings) = clients {
            let (made, follow) = ServerTls::start(settings, &metrics)?;
            tls.clients = Some(made);
            following.push(Box::pin(follow));
        }
        if let Some(settings) = endpoints {
            let (made, follow) = EndpointTls::start(settings, &metrics)?;
            tls.endpoints = Some(made);
            following.push(Box::pin(follow));
        }
        Ok((tls, following))
    }
}

// === impl MinVersion ===

impl MinVersion {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => ALL_VERSIONS,
            Self::Tls13 => &ONLY_1_3,
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A version as logs have it.
fn version_text(version: Option<ProtocolVersion>) -> &'static str {
    if version == Some(ProtocolVersion::TLSv1_3) { "1.3" } else { "1.2" }
}

#[cfg(test)]
mod tests;
