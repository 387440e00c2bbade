//! Which certificate a client is shown: the first that has the name it asks for (SNI) and a key that
//! it can use, else the first of all.

use super::certificate::Certificate;
use crate::policy::server_names::ServerNames;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// The certificates, by their names.
#[derive(Debug)]
pub(super) struct ByName {
    names: ServerNames<Arc<CertifiedKey>>,
    /// For who asks for none of the names, or for none.
    default: Option<Arc<CertifiedKey>>,
}

// === impl ByName ===

impl ByName {
    pub(super) fn new<'a>(certificates: impl Iterator<Item = &'a Certificate>) -> Self {
        let mut by_name = Self { names: ServerNames::default(), default: None };
        for Certificate { key, names, .. } in certificates {
            by_name.default.get_or_insert_with(|| Arc::clone(key));
            for name in names {
                by_name.names.add(name, Arc::clone(key));
            }
        }
        by_name
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().map_or(&[][..], |name| self.names.find(name));
        let schemes = hello.signature_schemes();
        // A name may have one with an RSA key and one with an ECDSA key.
        let usable = named.iter().find(|own| own.key.choose_scheme(schemes).is_some());
        usable.or_else(|| named.first()).or(self.default.as_ref()).cloned()
    }
}
