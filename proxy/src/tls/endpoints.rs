//! TLS with endpoints: whom of them to believe, and what they are shown.

use super::certificate::{Certificate, CertificateFiles, Followed, authorities};
use super::failure::HandshakeFailure;
use super::follow::{Material, follow};
use super::{MinVersion, provider};
use crate::error::StartError;
use crate::file_watch::FileWatch;
use crate::metrics::tls::TlsMetrics;
use crate::socket::{Address, Socket};
use arc_swap::ArcSwap;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_rustls::{TlsConnector, TlsStream};

/// TLS with endpoints.
#[derive(Debug, Clone)]
pub struct EndpointTlsSettings {
    /// The file of those who sign their certificates.
    pub authorities: PathBuf,
    /// The certificate that they are shown if they ask for one.
    pub certificate: Option<CertificateFiles>,
    /// The name that their certificates must have; without it, each its own address.
    pub name: Option<ServerName<'static>>,
}

/// What is offered to speak inside of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// Whichever they like better.
    Either,
}

/// TLS with endpoints, as the files have it now.
#[derive(Debug)]
pub struct EndpointTls {
    configs: ArcSwap<Configs>,
    name: Option<ServerName<'static>>,
    metrics: Arc<TlsMetrics>,
    /// Whether the last handshake came to nothing: said once, not for each request.
    fails: AtomicBool,
}

/// One for each offer.
#[derive(Debug)]
struct Configs {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    either: Arc<ClientConfig>,
}

/// What it is made of.
struct Files {
    authorities: Followed<Arc<RootCertStore>>,
    certificate: Option<Followed<Certificate>>,
    made: Arc<EndpointTls>,
}

// === impl EndpointTls ===

impl EndpointTls {
    /// Reads the files; the future follows them until dropped.
    ///
    /// # Errors
    /// If a file can't be used, or its folder can't be watched.
    pub fn start(
        settings: &EndpointTlsSettings,
        metrics: &Arc<TlsMetrics>,
    ) -> Result<(Arc<Self>, impl Future<Output = ()> + Send + use<>), StartError> {
        let failed = |flag, path: String| move |what| StartError::Tls { flag, path, what };
        let path = settings.authorities.display().to_string();
        let authorities = authorities(&settings.authorities)
            .map_err(failed("--upstream-tls-ca", path.clone()))?;
        let read = |files: &CertificateFiles| {
            files.read().map_err(failed("--upstream-tls-cert", files.to_string()))
        };
        let certificate = settings.certificate.as_ref().map(read).transpose()?;
        let configs = Configs::new(&authorities, certificate.as_ref());
        let configs = configs.map_err(failed("--upstream-tls-ca", path))?;
        let made = Arc::new(Self {
            configs: ArcSwap::from_pointee(configs),
            name: settings.name.clone(),
            metrics: Arc::clone(metrics),
            fails: AtomicBool::new(false),
        });
        let files = Files { authorities, certificate, made: Arc::clone(&made) };
        files.show();
        let watch = FileWatch::over(&files.paths())?;
        Ok((made, follow(files, watch, Arc::clone(metrics))))
    }

    /// Shakes hands with the endpoint at this address. Within this machine there is no need to.
    ///
    /// # Errors
    /// If that comes to nothing.
    pub async fn secure(
        &self,
        socket: Socket,
        address: &Address,
        offer: Offer,
    ) -> io::Result<Socket> {
        let (Socket::Tcp(stream), Address::Tcp(address)) = (socket, address) else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "TLS is for TCP only"));
        };
        let name = self.name.clone().unwrap_or_else(|| ServerName::from(address.ip()));
        let config = self.configs.load().of(offer);
        match TlsConnector::from(config).connect(name, stream).await {
            Ok(stream) => {
                if self.fails.load(Ordering::Relaxed) {
                    self.fails.store(false, Ordering::Relaxed);
                }
                Ok(Socket::Tls(Box::new(TlsStream::Client(stream))))
            }
            Err(error) => {
                let reason = HandshakeFailure::from(&error).code();
                self.metrics.endpoint_failed(reason);
                if !self.fails.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%address, reason, %error, "no TLS with an endpoint");
                }
                Err(error)
            }
        }
    }
}

// === impl Configs ===

impl Configs {
    fn new(
        authorities: &Followed<Arc<RootCertStore>>,
        certificate: Option<&Followed<Certificate>>,
    ) -> Result<Self, String> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(MinVersion::Tls12.versions())
            .map_err(|error| error.to_string())?
            .with_root_certificates(Arc::clone(&authorities.now));
        let config = match certificate {
            None => builder.with_no_client_auth(),
            Some(own) => builder.with_client_cert_resolver(Arc::new(
                rustls::sign::SingleCertAndKey::from(Arc::clone(&own.now.key)),
            )),
        };
        let with = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            Arc::new(config)
        };
        let (http2, http1): (&[u8], &[u8]) = (b"h2", b"http/1.1");
        Ok(Self { http1: with(&[http1]), http2: with(&[http2]), either: with(&[http2, http1]) })
    }

    fn of(&self, offer: Offer) -> Arc<ClientConfig> {
        Arc::clone(match offer {
            Offer::Http1 => &self.http1,
            Offer::Http2 => &self.http2,
            Offer::Either => &self.either,
        })
    }
}

// === impl Files ===

impl Files {
    fn show(&self) {
        if let Some(certificate) = &self.certificate {
            self.made.metrics.certificate_ends(&certificate.name(), certificate.now.ends);
            if let Err(what) = certificate.now.check_is_current() {
                tracing::error!(file = certificate.name(), what, "no endpoint will believe this");
            }
        }
    }
}

impl Material for Files {
    fn paths(&self) -> Vec<PathBuf> {
        let certificate = self.certificate.iter().flat_map(Followed::files);
        self.authorities.files().iter().chain(certificate).cloned().collect()
    }

    fn read_again(&mut self) -> Vec<(String, Result<bool, String>)> {
        let authorities = &mut self.authorities;
        let mut read = vec![(authorities.name(), authorities.read_again(|_| Ok(())))];
        if let Some(own) = &mut self.certificate {
            read.push((own.name(), own.read_again(Certificate::check_is_current)));
        }
        read
    }

    fn put_in_force(&self) -> Result<(), String> {
        let configs = Configs::new(&self.authorities, self.certificate.as_ref())?;
        self.made.configs.store(Arc::new(configs));
        self.show();
        Ok(())
    }
}
