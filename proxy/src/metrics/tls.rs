//! What is measured of TLS, where it is spoken.

use crate::error::StartError;
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};
use tidegate_api::names::{label, metric};

/// The sides that there are.
const CLIENT: &str = "client";
const ENDPOINT: &str = "endpoint";

/// The handles.
#[derive(Debug)]
pub struct TlsMetrics {
    failures: IntCounterVec,
    ends: IntGaugeVec,
    /// Files that changed and could not be used.
    pub reload_failures: IntCounter,
}

// === impl TlsMetrics ===

impl TlsMetrics {
    /// Registers them. A handshake may fail for one of these reasons.
    ///
    /// # Errors
    /// If they are registered already.
    pub fn register(
        registry: &Registry,
        reasons: &[&str],
        reload_failures: IntCounter,
    ) -> Result<Self, StartError> {
        let failures = IntCounterVec::new(
            Opts::new(metric::TLS_HANDSHAKE_FAILURES, "Handshakes of TLS that came to nothing."),
            &[label::SIDE, label::REASON],
        )?;
        // So that the first one is an increase.
        for reason in reasons {
            for side in [CLIENT, ENDPOINT] {
                failures.get_metric_with_label_values(&[side, reason])?;
            }
        }
        let ends = IntGaugeVec::new(
            Opts::new(metric::TLS_CERTIFICATE_EXPIRY, "When the certificate in force ends."),
            &[label::CERTIFICATE],
        )?;
        registry.register(Box::new(failures.clone()))?;
        registry.register(Box::new(ends.clone()))?;
        Ok(Self { failures, ends, reload_failures })
    }

    /// A handshake with a client came to nothing.
    pub fn client_failed(&self, reason: &str) {
        self.failures.with_label_values(&[CLIENT, reason]).inc();
    }

    /// A handshake with an endpoint came to nothing.
    pub fn endpoint_failed(&self, reason: &str) {
        self.failures.with_label_values(&[ENDPOINT, reason]).inc();
    }

    /// When a certificate ends that is in force now, in seconds since 1970.
    pub fn certificate_ends(&self, file: &str, ends: u64) {
        let ends = i64::try_from(ends).unwrap_or(i64::MAX);
        self.ends.with_label_values(&[file]).set(ends);
    }
}
