//! Autoscaler, injector and gateway as they are installed, with the Lease and the webhook. Pure.

use super::Finding;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// By which the chart's Deployments are found.
pub(super) const LABELS: &str = "app.kubernetes.io/name=tidegate";
/// Namespaces whose pods all get a sidecar.
pub(super) const INJECTED: &str = "tidegate.dev/inject=true";

/// The label that says which part a Deployment is.
const COMPONENT: &str = "app.kubernetes.io/component";
/// What the chart calls the Lease, where the flags do not say.
const LEASE: &str = "tidegate-autoscaler";
/// How our webhooks' names end.
const WEBHOOK: &str = ".tidegate.dev";
/// A certificate that ends so soon was not renewed in time.
const SOON_SECONDS: i64 = 7 * 86_400;
/// Clocks may differ so much.
const SKEW_SECONDS: i64 = 5;

/// How to install what is missing.
const INSTALL: &str =
    "install it: `helm install tidegate deploy/chart/tidegate -n tidegate --create-namespace`";

/// What is installed.
#[derive(Debug, Default)]
pub(super) struct Parts {
    autoscalers: Vec<Part>,
    injectors: Vec<Part>,
    gateways: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    namespace: String,
    name: String,
    wanted: i32,
    available: i32,
    args: Vec<String>,
}

impl Parts {
    /// Those among Tidegate's Deployments.
    pub(super) fn of(deployments: Vec<Deployment>) -> Self {
        let mut parts = Self::default();
        for deployment in deployments {
            let Some(spec) = deployment.spec else { continue };
            let labels = spec.template.metadata.and_then(|metadata| metadata.labels);
            let containers = spec.template.spec.map(|spec| spec.containers).unwrap_or_default();
            let part = Part {
                namespace: deployment.metadata.namespace.unwrap_or_default(),
                name: deployment.metadata.name.unwrap_or_default(),
                wanted: spec.replicas.unwrap_or(1),
                available: deployment.status.and_then(|s| s.available_replicas).unwrap_or(0),
                args: containers.into_iter().flat_map(|one| one.args).flatten().collect(),
            };
            match labels.as_ref().and_then(|labels| labels.get(COMPONENT)).map(String::as_str) {
                Some("autoscaler") => parts.autoscalers.push(part),
                Some("injector") => parts.injectors.push(part),
                Some("gateway") => parts.gateways.push(part),
                _ => {}
            }
        }
        parts
    }

    /// Whether there are some of each, and they run.
    pub(super) fn are_available(&self) -> Vec<Finding> {
        let none = |about: &str| {
            format!("no Deployment has the labels {LABELS} and, on its pods, {COMPONENT}={about}")
        };
        let mut findings: Vec<Finding> = Vec::new();
        if self.autoscalers.is_empty() {
            findings.push(Finding::wrong("autoscaler", none("autoscaler"), INSTALL));
        }
        findings.extend(self.autoscalers.iter().map(|part| part.is_available("autoscaler")));
        if self.injectors.is_empty() {
            let advice = "without it pods need a sidecar of their own; the chart has it by default";
            findings.push(Finding::doubt("injector", none("injector"), advice));
        }
        findings.extend(self.injectors.iter().map(|part| part.is_available("injector")));
        if self.gateways.is_empty() {
            let advice =
                "without it nothing wakes an API at zero: give each a minReplicas of 1 or more";
            findings.push(Finding::doubt("gateway", none("gateway"), advice));
        }
        findings.extend(self.gateways.iter().map(|part| part.is_available("gateway")));
        findings
    }

    /// Namespace and name of the Lease, if there is an autoscaler.
    pub(super) fn lease(&self) -> Option<(String, String)> {
        let part = self.autoscalers.first()?;
        let namespace = part.flag("--own-namespace").unwrap_or(&part.namespace);
        Some((namespace.to_owned(), part.flag("--lease").unwrap_or(LEASE).to_owned()))
    }

    /// Whether there is an injector.
    pub(super) fn has_injector(&self) -> bool {
        !self.injectors.is_empty()
    }

    /// Whether the API server asks the injector, and trusts it.
    pub(super) fn webhooks(
        &self,
        all: &[MutatingWebhookConfiguration],
        now: Timestamp,
    ) -> Vec<Finding> {
        let hooks = |configuration: &MutatingWebhookConfiguration| {
            let all = configuration.webhooks.clone().unwrap_or_default();
            all.into_iter().filter(|hook| hook.name.ends_with(WEBHOOK)).collect::<Vec<_>>()
        };
        let ours = all.iter().filter(|configuration| !hooks(configuration).is_empty());
        let findings: Vec<Finding> = ours
            .map(|configuration| {
                let name = configuration.metadata.name.clone().unwrap_or_default();
                webhook(&name, &hooks(configuration), now)
            })
            .collect();
        if findings.is_empty() && self.has_injector() {
            let what = "no MutatingWebhookConfiguration names the injector: pods get no sidecars";
            return vec![Finding::wrong("webhook", what, INSTALL)];
        }
        findings
    }
}

impl Part {
    fn is_available(&self, about: &'static str) -> Finding {
        let Self { namespace, name, wanted, available, .. } = self;
        let what = format!("{namespace}/{name}: {available} of {wanted} replicas are available");
        match (*available, *wanted) {
            (0, _) => {
                let advice = format!("see `kubectl -n {namespace} describe deployment {name}`");
                Finding::wrong(about, what, advice)
            }
            (available, wanted) if available < wanted => {
                let advice = format!("see `kubectl -n {namespace} get pods`");
                Finding::doubt(about, what, advice)
            }
            _ => Finding::fine(about, what),
        }
    }

    fn flag(&self, name: &str) -> Option<&str> {
        self.args.iter().find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='))
    }
}

/// Whether somebody holds the Lease, and has renewed it.
pub(super) fn lease(lease: Option<&Lease>, namespace: &str, name: &str, now: Timestamp) -> Finding {
    let of = format!("the Lease {namespace}/{name}");
    let logs = format!("see the autoscaler's log: `kubectl -n {namespace} logs -l {LABELS}`");
    let Some(spec) = lease.and_then(|lease| lease.spec.as_ref()) else {
        return Finding::wrong("lease", format!("{of} is not there: no autoscaler has led"), logs);
    };
    let holder = spec.holder_identity.as_deref().filter(|holder| !holder.is_empty());
    let (Some(holder), Some(renewed)) = (holder, spec.renew_time.as_ref()) else {
        return Finding::wrong("lease", format!("nobody holds {of}: nothing is scaled"), logs);
    };
    let age = now.as_second() - renewed.0.as_second();
    let duration = i64::from(spec.lease_duration_seconds.unwrap_or(0));
    if age > duration + SKEW_SECONDS {
        let what = format!("{of} of {holder} was not renewed for {age} s: nothing is scaled");
        return Finding::wrong("lease", what, logs);
    }
    if age < -SKEW_SECONDS {
        let what = format!("{of} was renewed {} s in the future by this clock", -age);
        return Finding::doubt("lease", what, "set the clocks of this machine and of the nodes");
    }
    Finding::fine("lease", format!("{of} is held by {holder}, renewed {} s ago", age.max(0)))
}

fn webhook(name: &str, hooks: &[MutatingWebhook], now: Timestamp) -> Finding {
    let of = format!("the MutatingWebhookConfiguration {name}");
    let bundles = hooks.iter().map(|hook| hook.client_config.ca_bundle.as_ref());
    let mut until = None;
    for bundle in bundles {
        let Some(bundle) = bundle.filter(|bundle| !bundle.0.is_empty()) else {
            let what = format!("{of} has no caBundle: the API server can't ask the injector");
            return Finding::wrong(
                "webhook",
                what,
                "see the injector's log; it sets it as it starts",
            );
        };
        let Some(end) = end(&bundle.0) else {
            let what = format!("the caBundle of {of} holds no certificate that can be read");
            return Finding::wrong("webhook", what, "restart the injector, or see cert-manager");
        };
        until = until.map_or(Some(end), |until: i64| Some(until.min(end)));
    }
    let left = until.unwrap_or(0) - now.as_second();
    let advice = "see the injector's log: it renews it; or cert-manager";
    match left {
        ..=0 => {
            let what = format!("the caBundle of {of} has ended: pods get no sidecars");
            Finding::wrong("webhook", what, advice)
        }
        left if left < SOON_SECONDS => {
            let what = format!("the caBundle of {of} ends in {} h", left / 3600);
            Finding::doubt("webhook", what, advice)
        }
        left => {
            let what = format!("{of} is there, its caBundle good for {} days", left / 86_400);
            Finding::fine("webhook", what)
        }
    }
}

/// When the last of a bundle's certificates ends, in seconds since the Unix epoch.
fn end(bundle: &[u8]) -> Option<i64> {
    let certificates = CertificateDer::pem_slice_iter(bundle).filter_map(Result::ok);
    let ends = certificates.filter_map(|der| {
        let certificate = Certificate::from_der(&der).ok()?;
        let until = certificate.tbs_certificate().validity().not_after;
        i64::try_from(until.to_unix_duration().as_secs()).ok()
    });
    ends.max()
}

/// Which namespaces are injected as a whole.
pub(super) fn namespaces(all: &[Namespace]) -> Finding {
    let names: Vec<&str> =
        all.iter().filter_map(|namespace| namespace.metadata.name.as_deref()).collect();
    Finding::fine(
        "namespaces",
        match names.is_empty() {
            true => format!("none has the label {INJECTED}: only pods with it get a sidecar"),
            false => format!("all pods get a sidecar in {}", names.join(", ")),
        },
    )
}

#[cfg(test)]
mod tests;
