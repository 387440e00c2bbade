//! Certificates with their keys, and the certificates of those who are believed, as files have them.

use super::provider;
use crate::bounded_file;
use crate::clock;
use crate::error::chain as error_text;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use webpki::{EndEntityCert, KeyUsage};

/// No chain, key or bundle is larger: a bundle of all the world's roots has a fifth of this.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// What a mounted Secret of the type `kubernetes.io/tls` has.
const SECRET_CHAIN: &str = "tls.crt";
const SECRET_KEY: &str = "tls.key";
/// After the end of any certificate: the year 10000.
const FAR_AWAY: Duration = Duration::from_secs(253_402_300_800);

/// A certificate's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and those between it and the root, in PEM.
    pub chain: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// A certificate with its key.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    /// What it is for.
    pub(super) names: Vec<String>,
    /// When it ends, in seconds since 1970.
    pub(super) ends: u64,
}

/// Something made of files, as it was when they could be used last.
pub(super) struct Followed<T> {
    files: Vec<PathBuf>,
    parse: fn(&[Vec<u8>]) -> Result<T, String>,
    /// What is in force.
    pub(super) now: T,
    digest: [u8; 32],
}

// === impl CertificateFiles ===

impl CertificateFiles {
    /// A folder with `tls.crt` and `tls.key`, or the two files with a colon between them.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((chain, key)) if !chain.is_empty() && !key.is_empty() && !key.contains(':') => {
                Ok(Self { chain: chain.into(), key: key.into() })
            }
            None if !text.is_empty() => {
                let folder = Path::new(text);
                Ok(Self { chain: folder.join(SECRET_CHAIN), key: folder.join(SECRET_KEY) })
            }
            _ => Err(format!(
                "must be a folder with {SECRET_CHAIN} and {SECRET_KEY}, or CERTIFICATE:KEY, two files"
            )),
        }
    }

    pub(super) fn read(&self) -> Result<Followed<Certificate>, String> {
        Followed::read(vec![self.chain.clone(), self.key.clone()], Certificate::parse)
    }
}

impl fmt::Display for CertificateFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.chain.display().fmt(f)
    }
}

// === impl Certificate ===

impl Certificate {
    fn parse(files: &[Vec<u8>]) -> Result<Self, String> {
        let [chain, key] = files else { return Err("it needs a certificate and a key".to_owned()) };
        let chain = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| "the key's file has no private key in PEM".to_owned())?;
        let Some(own) = chain.first() else {
            return Err("the certificate's file has no certificate in PEM".to_owned());
        };
        let parsed = EndEntityCert::try_from(own).map_err(|error| error_text(&error))?;
        let names = parsed.valid_dns_names().map(str::to_owned).collect();
        let ends = ends(&parsed).ok_or("the certificate does not say when it ends")?;
        let key = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => "the key is not the certificate's".to_owned(),
            error => error_text(&error),
        })?;
        Ok(Self { key: Arc::new(key), names, ends })
    }

    /// # Errors
    /// If it has ended.
    pub(super) fn check_is_current(&self) -> Result<(), String> {
        if self.ends > clock::unix_seconds() {
            return Ok(());
        }
        let ended = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(self.ends));
        Err(format!("the certificate has expired: it ended at {ended}"))
    }
}

/// When a certificate ends. webpki says so to who asks for a time after that.
fn ends(certificate: &EndEntityCert<'_>) -> Option<u64> {
    let far_away = UnixTime::since_unix_epoch(FAR_AWAY);
    let usage = KeyUsage::server_auth();
    match certificate.verify_for_usage(&[], &[], &[], far_away, usage, None, None) {
        Err(webpki::Error::CertExpired { not_after, .. }) => Some(not_after.as_secs()),
        _ => None,
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.map_err(|error| format!("it is no PEM: {error}"))
}

/// Reads the certificates of those who are believed.
pub(super) fn authorities(file: &Path) -> Result<Followed<Arc<RootCertStore>>, String> {
    Followed::read(vec![file.to_owned()], |files| {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(files.first().map_or(&[], Vec::as_slice))? {
            roots.add(certificate).map_err(|error| error_text(&error))?;
        }
        if roots.is_empty() { Err("it has no certificate".to_owned()) } else { Ok(Arc::new(roots)) }
    })
}

// === impl Followed ===

impl<T> Followed<T> {
    fn read(
        files: Vec<PathBuf>,
        parse: fn(&[Vec<u8>]) -> Result<T, String>,
    ) -> Result<Self, String> {
        let (bytes, digest) = contents(&files)?;
        Ok(Self { now: parse(&bytes)?, files, parse, digest })
    }

    /// Takes what the files have now, if that can be used; says whether it is something else.
    ///
    /// # Errors
    /// What is wrong. Then nothing has changed.
    pub(super) fn read_again(
        &mut self,
        check: fn(&T) -> Result<(), String>,
    ) -> Result<bool, String> {
        let (bytes, digest) = contents(&self.files)?;
        if digest == self.digest {
            return Ok(false);
        }
        let now = (self.parse)(&bytes)?;
        check(&now)?;
        (self.now, self.digest) = (now, digest);
        Ok(true)
    }

    /// Its files.
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What it is called in logs and metrics.
    pub(super) fn name(&self) -> String {
        self.files.first().map(|file| file.display().to_string()).unwrap_or_default()
    }
}

fn contents(files: &[PathBuf]) -> Result<(Vec<Vec<u8>>, [u8; 32]), String> {
    let read = |file: &PathBuf| {
        bounded_file::bytes(file, MAX_FILE_BYTES)
            .map_err(|error| format!("can't read {}: {error}", file.display()))
    };
    let contents: Vec<_> = files.iter().map(read).collect::<Result<_, _>>()?;
    let mut digest = Sha256::new();
    for bytes in &contents {
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    }
    Ok((contents, digest.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    /// A certificate of its own making that ends on the first day of this year.
    fn made(names: &[&str], year: i32) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut wanted = CertificateParams::new(names).unwrap();
        wanted.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        (wanted.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn parse(chain: &str, key: &str) -> Result<Certificate, String> {
        Certificate::parse(&[chain.into(), key.into()])
    }

    #[test]
    fn a_certificate_says_its_names_and_its_end() {
        let (chain, key) = made(&["a.test", "*.b.test", "127.0.0.1"], 2040);
        let certificate = parse(&chain, &key).unwrap();
        assert_eq!(certificate.names, ["a.test", "*.b.test"]);
        // `date -ud 2040-01-01 +%s`.
        assert_eq!(certificate.ends, 2_208_988_800);
        assert_eq!(certificate.check_is_current(), Ok(()));
        let (chain, key) = made(&["a.test"], 2020);
        let expired = parse(&chain, &key).unwrap().check_is_current().unwrap_err();
        assert!(expired.ends_with("it ended at 2020-01-01T00:00:00Z"), "{expired}");
    }

    #[test]
    fn what_is_wrong_with_files_is_said_without_what_is_in_them() {
        let ((chain, key), (other, _)) = (made(&["a.test"], 2040), made(&["a.test"], 2040));
        let half = chain.get(..chain.len() / 2).unwrap();
        for (chain, key, expected) in [
            (other.as_str(), key.as_str(), "the key is not the certificate's"),
            (chain.as_str(), chain.as_str(), "the key's file has no private key in PEM"),
            (chain.as_str(), "", "the key's file has no private key in PEM"),
            (key.as_str(), key.as_str(), "the certificate's file has no certificate in PEM"),
            ("", key.as_str(), "the certificate's file has no certificate in PEM"),
            (half, key.as_str(), "it is no PEM"),
        ] {
            let error = parse(chain, key).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn files_as_text() {
        let files =
            |chain: &str, key: &str| Ok(CertificateFiles { chain: chain.into(), key: key.into() });
        assert_eq!(CertificateFiles::parse("/tls"), files("/tls/tls.crt", "/tls/tls.key"));
        assert_eq!(CertificateFiles::parse("a.pem:b.pem"), files("a.pem", "b.pem"));
        for wrong in ["", ":", "a:", ":b", "a:b:c"] {
            assert!(CertificateFiles::parse(wrong).is_err(), "{wrong}");
        }
    }
}
