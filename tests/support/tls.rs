//! Certificates, and clients that speak TLS.

use super::http::Answer;
use super::{PATIENCE, http};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

/// A blocking connection.
pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Who signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub(crate) pem: String,
}

/// A certificate with its key, in PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    /// A new one.
    pub(crate) fn new() -> Self {
        let mut own = CertificateParams::default();
        own.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        own.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        let key = KeyPair::generate().unwrap();
        let pem = own.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(own, key), pem }
    }

    /// A certificate for these names or addresses.
    pub(crate) fn issue(&self, names: &[&str]) -> Pair {
        self.issue_until(names, 2099)
    }

    /// One that ends on the first day of this year.
    pub(crate) fn issue_until(&self, names: &[&str], year: i32) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut wanted = CertificateParams::new(names).unwrap();
        wanted.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let chain = wanted.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { chain, key: key.serialize_pem() }
    }

    /// Writes its certificate, and says where.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> String {
        let file = folder.join(name);
        super::replace(&file, &self.pem);
        file.to_str().unwrap().to_owned()
    }

    /// A client that believes it, and shows `own`.
    pub(crate) fn client(&self, own: Option<&Pair>) -> ClientConfig {
        self.client_of(own, rustls::ALL_VERSIONS)
    }

    /// One that speaks these versions.
    pub(crate) fn client_of(
        &self,
        own: Option<&Pair>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        match own {
            None => config.with_no_client_auth(),
            Some(own) => {
                let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
                config.with_client_auth_cert(vec![own.der()], key).unwrap()
            }
        }
    }
}

impl Pair {
    /// The certificate itself.
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()
    }

    /// Puts both into a folder as Kubernetes mounts a Secret: behind a link that changes in one
    /// step. Says where.
    pub(crate) fn mount<'a>(&self, folder: &'a Path) -> &'a str {
        let version = std::fs::read_dir(folder).map_or(0, Iterator::count);
        let data = format!("..{version}");
        std::fs::create_dir_all(folder.join(&data)).unwrap();
        for (name, text) in [("tls.crt", &self.chain), ("tls.key", &self.key)] {
            std::fs::write(folder.join(&data).join(name), text).unwrap();
        }
        symlink(&data, folder.join("..data_tmp")).unwrap();
        std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
        for name in ["tls.crt", "tls.key"] {
            // There from the first time on.
            symlink(Path::new("..data").join(name), folder.join(name)).ok();
        }
        folder.to_str().unwrap()
    }
}

/// A connection that has shaken hands, as far as this side can know.
pub(crate) fn connect(to: SocketAddr, config: &ClientConfig, name: &str) -> io::Result<Tls> {
    shake_hands(http::connect(to), config, name)
}

/// The same over a connection that is there.
pub(crate) fn shake_hands(
    mut stream: TcpStream,
    config: &ClientConfig,
    name: &str,
) -> io::Result<Tls> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut session = ClientConnection::new(Arc::new(config.clone()), name).unwrap();
    stream.set_write_timeout(Some(PATIENCE))?;
    while session.is_handshaking() {
        session.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(session, stream))
}

/// The certificate that is shown to who asks for this name.
pub(crate) fn shown(
    to: SocketAddr,
    config: &ClientConfig,
    name: &str,
) -> io::Result<CertificateDer<'static>> {
    let stream = connect(to, config, name)?;
    Ok(stream.conn.peer_certificates().unwrap()[0].clone().into_owned())
}

/// One `GET` on a connection of its own. Status 0 if there is no answer.
pub(crate) fn get(to: SocketAddr, config: &ClientConfig, target: &str) -> io::Result<Answer> {
    let mut stream = connect(to, config, "127.0.0.1")?;
    write!(stream, "GET {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")?;
    Ok(http::read_answer(&mut stream))
}
