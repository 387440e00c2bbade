//! Clients that speak TLS: HTTP/1.1 or HTTP/2 inside of it, one request at a time on a connection.

use super::closed::{Client, Http1};
use super::connection::{Connection, connect, invalid};
use crate::workload::{SMALL, small_request};
use anyhow::{Context, Result};
use bytes::Bytes;
use h2::client::SendRequest;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Whose certificate it is.
const NAME: &str = "localhost";

/// A certificate (ECDSA P-256, as most are issued now), and clients that trust it.
#[derive(Debug)]
pub(crate) struct Secured {
    /// The certificate, PEM.
    pub(crate) certificate: PathBuf,
    /// Its key, PEM.
    pub(crate) key: PathBuf,
    /// Both in one file.
    pub(crate) both: PathBuf,
    roots: Arc<RootCertStore>,
}

/// HTTP/2 with one stream at a time.
struct Http2 {
    send: SendRequest<Bytes>,
    /// What drives the connection, and ends with it.
    _driver: JoinSet<()>,
}

// === impl Secured ===

impl Secured {
    /// Makes a certificate in a folder.
    ///
    /// # Errors
    /// If it can't be made or written.
    pub(crate) fn make(folder: &Path) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()])
            .context("can't make a certificate")?;
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).context("the certificate is not one to trust")?;
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text)
                .with_context(|| format!("can't write {}", path.display()))?;
            anyhow::Ok(path)
        };
        Ok(Self {
            both: write("both.pem", &format!("{certificate}{key}"))?,
            certificate: write("tls.crt", &certificate)?,
            key: write("tls.key", &key)?,
            roots: Arc::new(roots),
        })
    }

    async fn connect(&self, to: SocketAddr, protocol: &[u8]) -> io::Result<TlsStream<TcpStream>> {
        // One cipher, so that all peers do the same work.
        let provider =
            CryptoProvider { cipher_suites: vec![TLS13_AES_128_GCM_SHA256], ..default_provider() };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(io::Error::other)?
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, connect(to).await?).await?;
        if stream.get_ref().1.alpn_protocol() != Some(protocol) {
            return Err(invalid("another protocol was agreed on"));
        }
        Ok(stream)
    }
}

/// So many clients that send small requests in HTTP/1.1.
///
/// # Errors
/// If a connection is refused.
pub(crate) async fn http1_in_tls(
    to: SocketAddr,
    secured: &Secured,
    connections: u16,
) -> Result<Vec<impl Client + use<>>> {
    let request: Rc<[u8]> = small_request().into();
    let mut clients = Vec::new();
    for _ in 0..connections {
        let stream = secured.connect(to, b"http/1.1").await.context("can't connect")?;
        clients.push(Http1 { connection: Connection::over(stream), request: Rc::clone(&request) });
    }
    Ok(clients)
}

/// So many clients that send small requests in HTTP/2. To be run in a `LocalSet`.
///
/// # Errors
/// If a connection is refused.
pub(crate) async fn http2_in_tls(
    to: SocketAddr,
    secured: &Secured,
    connections: u16,
) -> Result<Vec<impl Client + use<>>> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        let stream = secured.connect(to, b"h2").await.context("can't connect")?;
        let (send, connection) = h2::client::handshake(stream).await.context("no HTTP/2")?;
        let mut driver = JoinSet::new();
        driver.spawn_local(async move {
            // What breaks it is seen by the request that fails.
            drop(connection.await);
        });
        clients.push(Http2 { send, _driver: driver });
    }
    Ok(clients)
}

// === impl Http2 ===

impl Client for Http2 {
    async fn ask(&mut self) -> io::Result<()> {
        let request = http::Request::get(format!("https://{NAME}{SMALL}"))
            .header("user-agent", "tidegate-benches")
            .header("accept", "*/*")
            .body(())
            .map_err(io::Error::other)?;
        let mut ready = self.send.clone().ready().await.map_err(io::Error::other)?;
        let (answer, _) = ready.send_request(request, true).map_err(io::Error::other)?;
        let answer = answer.await.map_err(io::Error::other)?;
        if answer.status() != http::StatusCode::OK {
            return Err(invalid(&format!("the answer is not 200: {}", answer.status())));
        }
        let mut body = answer.into_body();
        while let Some(part) = body.data().await {
            let length = part.map_err(io::Error::other)?.len();
            body.flow_control().release_capacity(length).map_err(io::Error::other)?;
        }
        Ok(())
    }
}
