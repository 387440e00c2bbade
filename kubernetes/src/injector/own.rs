//! The injector's own certificates: kept in a Secret that all its replicas share, renewed in time,
//! and made known to the API server.
//!
//! Whoever finds the Secret missing or old makes a new one; of several at once, the API server takes
//! one, and the others use that. While clients may still be served by the old certificate, both
//! authorities are trusted.

use super::certificate::{CertificateError, Certificates, Made, VALID, make};
use crate::clock::Clock;
use crate::failure::Failure;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

/// Between two looks at the Secret.
const PERIOD: Duration = Duration::from_secs(60);

/// After a failure.
const RETRY: Duration = Duration::from_secs(5);

/// The annotation that says until when the certificate is good, in seconds since the Unix epoch.
const NOT_AFTER: &str = "tidegate.dev/not-after";

/// Where the certificates are kept, and for whom.
#[derive(Debug, Clone)]
pub struct OwnSettings {
    /// The Secret's namespace.
    pub namespace: String,
    /// The Secret's name.
    pub secret: String,
    /// The MutatingWebhookConfiguration whose clients must know them.
    pub webhook: String,
    /// The names that the API server calls the injector by.
    pub names: Vec<String>,
}

/// Keeps certificates.
pub struct Own {
    secrets: Api<Secret>,
    webhooks: Api<MutatingWebhookConfiguration>,
    settings: OwnSettings,
}

/// Why the certificates could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    /// The API server did not do it.
    #[error("{what}: {source}")]
    ApiServer {
        /// What was asked for.
        what: String,
        /// Why not.
        source: Failure,
    },
    /// They can't be made or used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Own").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Own {
    /// A keeper that has done nothing yet.
    pub fn new(client: Client, settings: OwnSettings) -> Self {
        let secrets = Api::namespaced(client.clone(), &settings.namespace);
        Self { secrets, webhooks: Api::all(client), settings }
    }

    /// The certificates that count now.
    ///
    /// # Errors
    /// [`OwnError`].
    pub async fn begin(&self) -> Result<Certificates, OwnError> {
        let made = self.current().await?;
        self.make_known(&made).await?;
        Ok(Certificates::from_made(&made)?)
    }

    /// Looks after them until it is dropped.
    pub async fn keep(&self, certificates: &Certificates) -> Infallible {
        let mut failing = false;
        loop {
            tokio::time::sleep(if failing { RETRY } else { PERIOD }).await;
            let turn = async {
                let made = self.current().await?;
                // Trusted before it is used.
                self.make_known(&made).await?;
                Ok::<_, OwnError>(certificates.replace(&made)?)
            };
            let done = turn.await;
            let failed = done.is_err();
            match done {
                Ok(true) => tracing::info!("a new certificate is in force"),
                Ok(false) => {}
                // Once, and not at each of many tries.
                Err(error) if !failing => tracing::warn!(%error, "can't look after certificates"),
                Err(_) => {}
            }
            failing = failed;
        }
    }

    /// What is in the Secret, renewed if a third of its time or less is left.
    async fn current(&self) -> Result<Made, OwnError> {
        let name = &self.settings.secret;
        let failed = |source: kube::Error| OwnError::ApiServer {
            what: format!("can't read or write the Secret {}/{name}", self.settings.namespace),
            source: source.into(),
        };
        let found = self.secrets.get_opt(name).await.map_err(failed)?;
        let now = Duration::from_secs(Clock::wall().as_second().max(0).unsigned_abs());
        if let Some(made) = found.as_ref().and_then(|secret| usable(secret, now)) {
            return Ok(made);
        }
        let mut made = make(&self.settings.names, now)?;
        if let Some(old) = found.as_ref().and_then(authority) {
            made.authority = format!("{}{}", made.authority, first(&old));
        }
        let version = found.and_then(|secret| secret.metadata.resource_version);
        let exists = version.is_some();
        let secret = self.secret(&made, version, now);
        let written = match exists {
            true => self.secrets.replace(name, &PostParams::default(), &secret).await,
            false => self.secrets.create(&PostParams::default(), &secret).await,
        };
        match written {
            Ok(_) => {
                tracing::info!(secret = name, "made a certificate");
                Ok(made)
            }
            // Another replica was faster: its certificate counts.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let secret = self.secrets.get(name).await.map_err(failed)?;
                Ok(usable(&secret, now).unwrap_or(made))
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn secret(&self, made: &Made, version: Option<String>, now: Duration) -> Secret {
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        let data = [
            ("ca.crt", bytes(&made.authority)),
            ("tls.crt", bytes(&made.certificate)),
            ("tls.key", bytes(&made.key)),
        ];
        let until = (now + VALID).as_secs().to_string();
        Secret {
            metadata: ObjectMeta {
                name: Some(self.settings.secret.clone()),
                namespace: Some(self.settings.namespace.clone()),
                annotations: Some([(NOT_AFTER.to_owned(), until)].into()),
                resource_version: version,
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(data.map(|(key, value)| (key.to_owned(), value)).into()),
            ..Secret::default()
        }
    }

    /// Has the API server trust the authority, if it does not yet.
    async fn make_known(&self, made: &Made) -> Result<(), OwnError> {
        let name = &self.settings.webhook;
        let failed = |source: kube::Error| OwnError::ApiServer {
            what: format!("can't set the caBundle of the MutatingWebhookConfiguration {name}"),
            source: source.into(),
        };
        let configuration = self.webhooks.get(name).await.map_err(failed)?;
        let webhooks = configuration.webhooks.unwrap_or_default();
        let bundle = made.authority.as_bytes();
        let knows =
            |given: &Option<ByteString>| given.as_ref().is_some_and(|given| given.0 == bundle);
        if webhooks.iter().all(|webhook| knows(&webhook.client_config.ca_bundle)) {
            return Ok(());
        }
        // A strategic merge patch finds each webhook by its name and leaves the rest of it alone.
        let bundle = ByteString(bundle.to_vec());
        let all: Vec<_> = webhooks
            .iter()
            .map(|webhook| json!({"name": webhook.name, "clientConfig": {"caBundle": bundle}}))
            .collect();
        let patch = json!({ "webhooks": all });
        let params = PatchParams::default();
        self.webhooks.patch(name, &params, &Patch::Strategic(&patch)).await.map_err(failed)?;
        tracing::info!(webhook = name, "the API server trusts the certificate");
        Ok(())
    }
}

/// What is in a Secret, unless it is missing something or gets old.
fn usable(secret: &Secret, now: Duration) -> Option<Made> {
    let until = secret.metadata.annotations.as_ref()?.get(NOT_AFTER)?.parse().ok()?;
    let left = Duration::from_secs(until).saturating_sub(now);
    if left <= VALID / 3 {
        return None;
    }
    let data = secret.data.as_ref()?;
    Some(Made {
        authority: text(data, "ca.crt")?,
        certificate: text(data, "tls.crt")?,
        key: text(data, "tls.key")?,
    })
}

fn authority(secret: &Secret) -> Option<String> {
    text(secret.data.as_ref()?, "ca.crt")
}

fn text(data: &BTreeMap<String, ByteString>, key: &str) -> Option<String> {
    String::from_utf8(data.get(key)?.0.clone()).ok()
}

/// The first of several certificates: the newest.
fn first(bundle: &str) -> &str {
    const END: &str = "-----END CERTIFICATE-----";
    match bundle.split_once(END) {
        Some((before, _)) => bundle.get(..before.len() + END.len() + 1).unwrap_or(bundle),
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(until: &str) -> Secret {
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        let data = ["ca.crt", "tls.crt", "tls.key"].map(|key| (key.to_owned(), bytes(key)));
        Secret {
            metadata: ObjectMeta {
                annotations: Some([(NOT_AFTER.to_owned(), until.to_owned())].into()),
                ..ObjectMeta::default()
            },
            data: Some(data.into()),
            ..Secret::default()
        }
    }

    #[test]
    fn a_secret_is_renewed_while_a_third_of_its_time_is_left() {
        let (now, year) = (Duration::from_secs(1_000_000_000), VALID.as_secs());
        let left = |seconds: u64| (now.as_secs() + seconds).to_string();
        for (until, good) in [
            (left(year), true),
            (left(year / 3 + 1), true),
            (left(year / 3), false),
            ("0".to_owned(), false),
            ("soon".to_owned(), false),
        ] {
            assert_eq!(usable(&secret(&until), now).is_some(), good, "{until}");
        }
        let mut half = secret(&left(year));
        half.data.as_mut().unwrap().remove("tls.key");
        assert!(usable(&half, now).is_none());
    }

    #[test]
    fn only_the_newest_authority_is_kept_beside_a_new_one() {
        let one = "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n";
        let two = "-----BEGIN CERTIFICATE-----\nB\n-----END CERTIFICATE-----\n";
        assert_eq!(first(&format!("{one}{two}")), one);
        assert_eq!(first(one), one);
        assert_eq!(first("garbage"), "");
    }
}
