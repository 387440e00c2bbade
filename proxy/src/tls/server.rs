//! TLS with clients: what they are shown, what is asked of them, and the handshake.

use super::certificate::{Certificate, CertificateFiles, Followed, authorities};
use super::failure::HandshakeFailure;
use super::follow::{Material, follow};
use super::sni::ByName;
use super::{MinVersion, provider, version_text};
use crate::error::StartError;
use crate::file_watch::FileWatch;
use crate::metrics::tls::TlsMetrics;
use crate::socket::Socket;
use arc_swap::ArcSwap;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};

/// A record that begins a handshake (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;
/// What clients may ask to speak inside of TLS, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// How long, and for how many bytes, a client whom the handshake has failed may go on sending, so
/// that it can read why.
const LINGER: Duration = Duration::from_secs(2);
const MAX_UNREAD_BYTES: u64 = 64 << 10;

/// TLS with clients.
#[derive(Debug, Clone)]
pub struct ServerTlsSettings {
    /// The certificates; the first is shown to who asks for no name that another has.
    pub certificates: Vec<CertificateFiles>,
    /// The oldest version that is spoken.
    pub min_version: MinVersion,
    /// Whom of the clients that have certificates to believe. Without it none is asked for one.
    pub clients: Option<ClientCertificates>,
}

/// What is asked of clients.
#[derive(Debug, Clone)]
pub struct ClientCertificates {
    /// The file of those who sign their certificates.
    pub authorities: PathBuf,
    /// Whether a client without one is let in.
    pub are_optional: bool,
}

/// TLS with clients, as the files have it now.
pub struct ServerTls {
    config: ArcSwap<ServerConfig>,
    metrics: Arc<TlsMetrics>,
}

/// How a connection begins.
pub enum Greeting {
    /// With a handshake; in this version of TLS.
    Secured(Socket, &'static str),
    /// With something else.
    Plaintext(TcpStream),
    /// With nothing that leads anywhere.
    Failed,
}

/// What it is made of.
struct Files {
    certificates: Vec<Followed<Certificate>>,
    authorities: Option<(Followed<Arc<RootCertStore>>, bool)>,
    min_version: MinVersion,
    made: Arc<ServerTls>,
}

// === impl ServerTls ===

impl ServerTls {
    /// Reads the files; the future follows them until dropped.
    ///
    /// # Errors
    /// If a file can't be used, or its folder can't be watched.
    pub fn start(
        settings: &ServerTlsSettings,
        metrics: &Arc<TlsMetrics>,
    ) -> Result<(Arc<Self>, impl Future<Output = ()> + Send + use<>), StartError> {
        let failed = |flag, path: String| move |what| StartError::Tls { flag, path, what };
        let read = |files: &CertificateFiles| {
            files.read().map_err(failed("--tls-cert", files.to_string()))
        };
        let certificates: Vec<_> =
            settings.certificates.iter().map(read).collect::<Result<_, _>>()?;
        let authorities = match &settings.clients {
            Some(ClientCertificates { authorities: file, are_optional }) => {
                let path = file.display().to_string();
                let read = authorities(file).map_err(failed("--tls-client-ca", path))?;
                Some((read, *are_optional))
            }
            None => None,
        };
        let min_version = settings.min_version;
        let config = config(&certificates, authorities.as_ref(), min_version);
        let path = certificates.first().map(Followed::name).unwrap_or_default();
        let config = config.map_err(failed("--tls-cert", path))?;
        let config = ArcSwap::from_pointee(config);
        let made = Arc::new(Self { config, metrics: Arc::clone(metrics) });
        let files = Files { certificates, authorities, min_version, made: Arc::clone(&made) };
        files.show();
        let watch = FileWatch::over(&files.paths())?;
        Ok((made, follow(files, watch, Arc::clone(metrics))))
    }

    /// Shakes hands with who has connected.
    pub async fn greet(&self, stream: TcpStream, timeout: Duration) -> Greeting {
        match tokio::time::timeout(timeout, self.shake_hands(stream)).await {
            Ok(greeting) => greeting,
            Err(_) => self.failed(HandshakeFailure::Timeout, &"it is too slow"),
        }
    }

    /// What there is to do with a connection that does not begin with TLS.
    pub fn is_no_tls(&self, stream: TcpStream) -> Greeting {
        self.failed(HandshakeFailure::Plaintext, &"it does not begin with TLS");
        Greeting::Plaintext(stream)
    }

    async fn shake_hands(&self, stream: TcpStream) -> Greeting {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1..) if first == [HANDSHAKE] => {}
            Ok(1..) => return self.is_no_tls(stream),
            // Some balancers look so whether anybody listens.
            Ok(0) | Err(_) => return Greeting::Failed,
        }
        let acceptor = TlsAcceptor::from(self.config.load_full());
        match acceptor.accept(stream).into_fallible().await {
            Ok(stream) => {
                let version = version_text(stream.get_ref().1.protocol_version());
                Greeting::Secured(Socket::Tls(Box::new(TlsStream::Server(stream))), version)
            }
            Err((error, stream)) => {
                let failed = self.failed(HandshakeFailure::from(&error), &error);
                drop(tokio::time::timeout(LINGER, see_off(stream)).await);
                failed
            }
        }
    }

    fn failed(&self, failure: HandshakeFailure, what: &dyn std::fmt::Display) -> Greeting {
        self.metrics.client_failed(failure.code());
        tracing::debug!(%what, reason = failure.code(), "no TLS with a client");
        Greeting::Failed
    }
}

/// Ends a connection after the alert, which what came and stays unread would take along.
async fn see_off(mut stream: TcpStream) -> std::io::Result<()> {
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(MAX_UNREAD_BYTES), &mut tokio::io::sink()).await?;
    Ok(())
}

fn config(
    certificates: &[Followed<Certificate>],
    authorities: Option<&(Followed<Arc<RootCertStore>>, bool)>,
    min_version: MinVersion,
) -> Result<ServerConfig, String> {
    let provider = provider();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(min_version.versions())
        .map_err(|error| error.to_string())?;
    let builder = match authorities {
        None => builder.with_no_client_auth(),
        Some((roots, are_optional)) => {
            let roots = Arc::clone(&roots.now);
            let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            if *are_optional {
                verifier = verifier.allow_unauthenticated();
            }
            builder.with_client_cert_verifier(verifier.build().map_err(|error| error.to_string())?)
        }
    };
    let by_name = ByName::new(certificates.iter().map(|certificate| &certificate.now));
    let mut config = builder.with_cert_resolver(Arc::new(by_name));
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    // Clients keep what a connection needs to go on, so that any worker can take it up. The keys are
    // new with each config: nobody goes on with what another config would not let in.
    config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(|error| error.to_string())?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

// === impl Files ===

impl Files {
    /// Shows when the certificates end.
    fn show(&self) {
        for certificate in &self.certificates {
            self.made.metrics.certificate_ends(&certificate.name(), certificate.now.ends);
            if let Err(what) = certificate.now.check_is_current() {
                tracing::error!(file = certificate.name(), what, "no client will believe this");
            }
        }
    }
}

impl Material for Files {
    fn paths(&self) -> Vec<PathBuf> {
        let authorities = self.authorities.iter().flat_map(|(roots, _)| roots.files());
        let certificates = self.certificates.iter().flat_map(Followed::files);
        certificates.chain(authorities).cloned().collect()
    }

    fn read_again(&mut self) -> Vec<(String, Result<bool, String>)> {
        let certificates = self.certificates.iter_mut();
        let certificates =
            certificates.map(|own| (own.name(), own.read_again(Certificate::check_is_current)));
        let mut read: Vec<_> = certificates.collect();
        if let Some((roots, _)) = &mut self.authorities {
            read.push((roots.name(), roots.read_again(|_| Ok(()))));
        }
        read
    }

    fn put_in_force(&self) -> Result<(), String> {
        let config = config(&self.certificates, self.authorities.as_ref(), self.min_version)?;
        self.made.config.store(Arc::new(config));
        self.show();
        Ok(())
    }
}
