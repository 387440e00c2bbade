//! What an API's replicas are made of, and whether two makes differ: then replicas are exchanged.

use super::launch::sidecar_flags;
use super::preflight::{self, PreflightError, preflight};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tidegate_api::document::InferenceApi;

/// All that the replicas of an API have in common.
#[derive(Debug, Clone)]
pub(crate) struct Make {
    pub(super) api: Arc<InferenceApi>,
    pub(super) program: PathBuf,
    pub(super) python_bin: Option<PathBuf>,
    /// Grows with each refresh.
    refreshed: u64,
}

impl Make {
    /// The make of an API that can be started here.
    pub(crate) fn new(
        api: InferenceApi,
        python_bin: Option<PathBuf>,
    ) -> Result<Self, PreflightError> {
        preflight(&api, python_bin.as_deref())?;
        let program = preflight::resolve(&api, python_bin.as_deref())?;
        Ok(Self { api: Arc::new(api), program, python_bin, refreshed: 0 })
    }

    /// The document.
    pub(crate) fn api(&self) -> &InferenceApi {
        &self.api
    }

    /// The same, made anew: those that are there are to be replaced by ones like them.
    pub(super) fn refreshed(&self) -> Self {
        Self { refreshed: self.refreshed + 1, ..self.clone() }
    }

    /// This one, as often refreshed as another.
    pub(super) fn following(self, before: &Self) -> Self {
        Self { refreshed: before.refreshed, ..self }
    }

    /// Whether replicas of one and of the other are the same: their two commands are, and what
    /// surrounds these.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let (own, its) = (&self.api, &other.api);
        let flags = |api| sidecar_flags(api, 0, Duration::ZERO, Duration::ZERO);
        self.refreshed == other.refreshed
            && (&self.program, &self.python_bin) == (&other.program, &other.python_bin)
            && own.container.command == its.container.command
            && own.container.env == its.container.env
            && own.container.working_dir == its.container.working_dir
            && own.port == its.port
            && flags(own).eq(flags(its))
    }

    /// Whether all replicas need the same port, so that there can be one at a time.
    pub(super) fn has_fixed_port(&self) -> bool {
        preflight::fixed_port(&self.api).is_some()
    }

    /// The model's folder.
    pub(super) fn python_bin(&self) -> Option<&Path> {
        self.python_bin.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(spec: &str) -> Make {
        let text = format!(
            "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {{name: a}}\n\
             spec: {{container: {{command: [sh, '{{port}}'], {spec}}}}}\n"
        );
        let api = tidegate_api::parse(&text, "test", Path::new("/")).unwrap().remove(0);
        Make::new(api, None).unwrap()
    }

    #[test]
    fn what_a_replica_is_started_with_makes_a_difference_and_nothing_else_does() {
        let plain = make("env: {}");
        for (spec, differs) in [
            ("env: {}", false),
            ("env: {A: b}", true),
            ("workingDir: /tmp", true),
            ("env: {}}, port: 8000, autoscaling: {maxReplicas: 2", true),
            ("env: {}}, concurrency: {limit: 2", true),
            ("env: {}}, concurrency: {queueCapacity: 7", true),
            ("env: {}}, timeouts: {idle: 7s", true),
            ("env: {}}, readiness: {httpGet: {path: /}", true),
            ("env: {}}, sidecar: {accessLog: all", true),
            ("env: {}}, readiness: {startTimeout: 7s", false),
            ("env: {}}, timeouts: {coldStart: 7s", false),
            ("env: {}}, autoscaling: {minReplicas: 2", false),
            ("env: {}}, routes: [{path: /a}], balancing: {policy: leastLoaded", false),
            ("env: {}}, rollingUpdate: {maxSurge: 2", false),
        ] {
            assert_eq!(!plain.is_as(&make(spec)), differs, "{spec}");
        }
        assert!(!plain.is_as(&plain.refreshed()));
        let again = make("env: {}").following(&plain.refreshed());
        assert!(again.is_as(&plain.refreshed()));
    }
}
