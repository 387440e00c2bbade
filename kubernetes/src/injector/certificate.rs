//! The webhook's certificate: from files that somebody renews, or made here.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file can't be read.
    #[error("can't read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is no certificate or key.
    #[error("{} is no {what} in PEM: {why}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The key is not the certificate's, or the like.
    #[error("the certificate and its key can't be used: {0}")]
    Tls(#[from] rustls::Error),
    /// None could be made.
    #[error("can't make a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// A certificate with its key, as PEM, and the authority that it can be checked by.
#[derive(Clone)]
pub struct Made {
    /// Of the authority.
    pub authority: String,
    /// Of the server.
    pub certificate: String,
    /// The server's key.
    pub key: String,
}

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Made").finish_non_exhaustive()
    }
}

/// The certificate in force. It can change while connections are served.
#[derive(Debug)]
pub struct Certificates {
    config: Mutex<Arc<ServerConfig>>,
    files: Option<(PathBuf, PathBuf)>,
    /// What was read last.
    read: Mutex<(Vec<u8>, Vec<u8>)>,
}

/// How long a certificate that is made here is good for.
pub(super) const VALID: Duration = Duration::from_secs(365 * 86_400);

/// Makes an authority, and a certificate of it for these names. `now` is since the Unix epoch.
///
/// # Errors
/// [`CertificateError::Make`], for a name that can't be one.
pub fn make(names: &[String], now: Duration) -> Result<Made, CertificateError> {
    let time = |at: Duration| {
        time::OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(at.as_secs() as i64)
    };
    let mut authority = CertificateParams::default();
    // Clocks differ a little.
    let (from, until) = (time(now.saturating_sub(Duration::from_secs(3600))), time(now + VALID));
    (authority.not_before, authority.not_after) = (from, until);
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority.distinguished_name.push(DnType::CommonName, "tidegate-injector authority");
    let authority_key = KeyPair::generate()?;
    let signed = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);

    let mut server = CertificateParams::new(names)?;
    (server.not_before, server.not_after) = (from, until);
    server.distinguished_name.push(DnType::CommonName, "tidegate-injector");
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &issuer)?;
    Ok(Made { authority: signed.pem(), certificate: certificate.pem(), key: key.serialize_pem() })
}

impl Certificates {
    /// Those of two files, which are read again by [`Certificates::reload`].
    ///
    /// # Errors
    /// [`CertificateError`], with the file that is wrong.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let (chain, secret) = (read(certificate)?, read(key)?);
        let config = config(&chain, &secret, certificate, key)?;
        Ok(Self {
            config: Mutex::new(config),
            files: Some((certificate.to_owned(), key.to_owned())),
            read: Mutex::new((chain, secret)),
        })
    }

    /// Those that were made.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn from_made(made: &Made) -> Result<Self, CertificateError> {
        let (chain, secret) = (made.certificate.as_bytes(), made.key.as_bytes());
        let here = Path::new("what was made here");
        let config = Mutex::new(config(chain, secret, here, here)?);
        let read = Mutex::new((chain.to_vec(), secret.to_vec()));
        Ok(Self { config, files: None, read })
    }

    /// Takes others that were made. True where they are not those that count already.
    ///
    /// # Errors
    /// [`CertificateError`]: then what was stays in force.
    pub fn replace(&self, made: &Made) -> Result<bool, CertificateError> {
        let found = (made.certificate.as_bytes().to_vec(), made.key.as_bytes().to_vec());
        let mut last = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == found {
            return Ok(false);
        }
        let here = Path::new("what was made here");
        let config = config(&found.0, &found.1, here, here)?;
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
        *last = found;
        Ok(true)
    }

    /// Reads the files again, if there are any. True where they have changed and are in force.
    ///
    /// # Errors
    /// [`CertificateError`]: then what was stays in force.
    pub fn reload(&self) -> Result<bool, CertificateError> {
        let Some((certificate, key)) = &self.files else { return Ok(false) };
        let found = (read(certificate)?, read(key)?);
        let mut last = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == found {
            return Ok(false);
        }
        let config = config(&found.0, &found.1, certificate, key)?;
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
        *last = found;
        Ok(true)
    }

    /// What new connections are served with.
    pub(super) fn in_force(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    std::fs::read(path).map_err(|source| CertificateError::Read { path: path.to_owned(), source })
}

fn config(
    chain: &[u8],
    key: &[u8],
    chain_path: &Path,
    key_path: &Path,
) -> Result<Arc<ServerConfig>, CertificateError> {
    let wrong =
        |path: &Path, what, why: String| CertificateError::Pem { path: path.to_owned(), what, why };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(chain_path, "certificate", error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong(chain_path, "certificate", "there is none in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| wrong(key_path, "private key", error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_no_client_auth().with_single_cert(chain, key)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> Made {
        make(&["injector.tidegate.svc".to_owned()], Duration::from_secs(1_700_000_000)).unwrap()
    }

    #[test]
    fn a_new_pair_of_files_counts_and_a_wrong_one_does_not() {
        let folder =
            std::env::temp_dir().join(format!("tidegate-certificate-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
        let write = |made: &Made| {
            std::fs::write(&certificate, &made.certificate).unwrap();
            std::fs::write(&key, &made.key).unwrap();
        };
        let (first, second) = (made(), made());
        write(&first);
        let certificates = Certificates::from_files(&certificate, &key).unwrap();
        assert!(!certificates.reload().unwrap(), "nothing has changed");
        let before = certificates.in_force();
        std::fs::write(&key, &second.key).unwrap();
        assert!(matches!(certificates.reload(), Err(CertificateError::Tls(_))), "not its key");
        assert!(Arc::ptr_eq(&before, &certificates.in_force()));
        std::fs::write(&certificate, "nothing").unwrap();
        let error = certificates.reload().unwrap_err().to_string();
        assert!(error.contains("tls.crt is no certificate"), "{error}");
        write(&second);
        assert!(certificates.reload().unwrap());
        assert!(!Arc::ptr_eq(&before, &certificates.in_force()));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
