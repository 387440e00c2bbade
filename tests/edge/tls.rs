//! TLS with clients and with sidecars: real certificates, real clients.

mod endpoints;
mod handshake;
mod reload;
mod streams;

use crate::support::sidecar::Sidecar;
use crate::support::tls::{Authority, Pair};
use rustls::ClientConfig;
use tempfile::TempDir;

/// A sidecar that speaks TLS, who has signed its certificate, and who believes that.
struct Secured {
    sidecar: Sidecar,
    authority: Authority,
    client: ClientConfig,
    folder: TempDir,
    /// The authority's file.
    ca: String,
}

impl Secured {
    /// One before the plain model, with more flags.
    fn start(flags: &[&str]) -> Self {
        let (folder, own) = files();
        let sidecar = Sidecar::start(&[&["--tls-cert", &own.path], flags].concat());
        Self::of(sidecar, folder, own)
    }

    fn of(sidecar: Sidecar, folder: TempDir, own: Own) -> Self {
        let Own { authority, ca, .. } = own;
        let client = authority.client(None);
        Self { sidecar, authority, client, folder, ca }
    }

    /// Failed handshakes for this reason.
    fn failures(&self, reason: &str) -> f64 {
        let labels = format!("reason=\"{reason}\",side=\"client\"");
        self.sidecar.metric("tidegate_tls_handshake_failures_total", &labels)
    }
}

/// A certificate for 127.0.0.1, where it lies, and whose it is.
struct Own {
    authority: Authority,
    ca: String,
    pair: Pair,
    path: String,
}

fn files() -> (TempDir, Own) {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new();
    let ca = authority.write(folder.path(), "ca.pem");
    let pair = authority.issue(&["127.0.0.1", "localhost"]);
    let path = pair.mount(&folder.path().join("own")).to_owned();
    (folder, Own { authority, ca, pair, path })
}
