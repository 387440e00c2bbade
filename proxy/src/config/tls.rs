//! Flags about TLS.

use crate::tls::{
    CertificateFiles, ClientCertificates, EndpointTlsSettings, MinVersion, ServerTlsSettings,
};
use clap::{Args, ValueEnum};
use rustls::pki_types::ServerName;
use std::path::PathBuf;

/// Flags about TLS with clients.
#[derive(Debug, Clone, Args)]
pub(crate) struct TlsArgs {
    /// Speak TLS where requests are taken (HTTP/1.1 and HTTP/2 by ALPN), with this certificate: a
    /// folder with tls.crt and tls.key, as a Secret of cert-manager is mounted, or CERTIFICATE:KEY,
    /// two PEM files. Several, by commas or by the flag's repetition, are chosen from by the name
    /// that a client asks for (SNI); the first is for any other. Followed as the files change
    #[arg(
        long,
        env = "TIDEGATE_TLS_CERT",
        value_delimiter = ',',
        value_parser = CertificateFiles::parse,
        value_name = "FOLDER|CERT:KEY"
    )]
    tls_cert: Vec<CertificateFiles>,
    /// The oldest version of TLS that is spoken
    #[arg(long, env = "TIDEGATE_TLS_MIN_VERSION", default_value = "1.2", value_name = "VERSION")]
    tls_min_version: MinVersionArg,
    /// Ask clients for a certificate that is signed by one of these: a file of PEM, followed as it
    /// changes
    #[arg(long, env = "TIDEGATE_TLS_CLIENT_CA", requires = "tls_cert", value_name = "FILE")]
    tls_client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is let in; one with a wrong certificate never is
    #[arg(
        long,
        env = "TIDEGATE_TLS_CLIENT_AUTH",
        default_value = "required",
        value_name = "WHICH"
    )]
    tls_client_auth: ClientAuthArg,
}

/// Flags about TLS with endpoints.
#[derive(Debug, Clone, Args)]
pub(crate) struct EndpointTlsArgs {
    /// Speak TLS with endpoints, and believe those whose certificate is signed by one of these: a file
    /// of PEM, followed as it changes. Their admin ports are still probed without TLS
    #[arg(long, env = "TIDEGATE_UPSTREAM_TLS_CA", value_name = "FILE")]
    upstream_tls_ca: Option<PathBuf>,
    /// The certificate for endpoints that ask for one: as in --tls-cert
    #[arg(
        long,
        env = "TIDEGATE_UPSTREAM_TLS_CERT",
        requires = "upstream_tls_ca",
        value_parser = CertificateFiles::parse,
        value_name = "FOLDER|CERT:KEY"
    )]
    upstream_tls_cert: Option<CertificateFiles>,
    /// The name that the endpoints' certificates must have. By default each its own IP address
    #[arg(
        long,
        env = "TIDEGATE_UPSTREAM_TLS_NAME",
        requires = "upstream_tls_ca",
        value_parser = server_name,
        value_name = "NAME"
    )]
    upstream_tls_name: Option<ServerName<'static>>,
}

/// `--tls-min-version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MinVersionArg {
    #[value(name = "1.2")]
    Tls12,
    #[value(name = "1.3")]
    Tls13,
}

/// `--tls-client-auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ClientAuthArg {
    Required,
    Optional,
}

// === impl TlsArgs ===

impl TlsArgs {
    /// How TLS is spoken with clients, if it is.
    pub(super) fn settings(&self) -> Option<ServerTlsSettings> {
        let are_optional = self.tls_client_auth == ClientAuthArg::Optional;
        let clients = self.tls_client_ca.clone();
        (!self.tls_cert.is_empty()).then(|| ServerTlsSettings {
            certificates: self.tls_cert.clone(),
            min_version: match self.tls_min_version {
                MinVersionArg::Tls12 => MinVersion::Tls12,
                MinVersionArg::Tls13 => MinVersion::Tls13,
            },
            clients: clients.map(|authorities| ClientCertificates { authorities, are_optional }),
        })
    }
}

// === impl EndpointTlsArgs ===

impl EndpointTlsArgs {
    /// How TLS is spoken with endpoints, if it is.
    pub(super) fn settings(&self) -> Option<EndpointTlsSettings> {
        let authorities = self.upstream_tls_ca.clone()?;
        let (certificate, name) = (self.upstream_tls_cert.clone(), self.upstream_tls_name.clone());
        Some(EndpointTlsSettings { authorities, certificate, name })
    }
}

fn server_name(text: &str) -> Result<ServerName<'static>, String> {
    let name = ServerName::try_from(text.to_owned());
    name.map_err(|_| "must be a DNS name or an IP address".to_owned())
}
