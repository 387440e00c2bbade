//! The APIs of a catalog whose requests go to others of it.

use super::Common;
use crate::config::GatewayApi;
use crate::error::StartError;
use crate::service::Service;
use crate::split::{Shadow, Split, SplitSettings, Version};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Whether all APIs that others are split among or fall back to are there, and have endpoints of their
/// own.
pub(super) fn check(apis: &[GatewayApi]) -> Result<(), StartError> {
    let whole: BTreeSet<&str> =
        apis.iter().filter(|api| api.split.is_none()).map(|api| api.name.as_str()).collect();
    for api in apis {
        let versions = api.split.iter().flat_map(|split| &split.versions);
        let versions = versions.map(|of| ("spec.traffic", &of.name));
        let fallback = api.cold_start.fallback.iter();
        let mut named = versions.chain(fallback.map(|of| ("spec.coldStart.fallback", &of.api)));
        if let Some((key, other)) = named.find(|(_, name)| !whole.contains(name.as_str())) {
            let (api, other) = (api.name.clone(), other.clone());
            return Err(StartError::Dangling { api, key, other });
        }
    }
    Ok(())
}

// === impl Common ===

impl Common {
    /// An API that is split among some of these.
    pub(super) fn split(
        &self,
        name: &str,
        settings: SplitSettings<()>,
        served: &HashMap<String, Arc<Service>>,
    ) -> Split<Arc<Service>> {
        let SplitSettings { versions, sticky, override_header, shadow, compares } = settings;
        let version = |Version { name, weight, api: () }: Version<()>| {
            let api = Arc::clone(served.get(&name)?);
            if compares && let Err(error) = api.metrics.measure_finely(&self.registry) {
                tracing::warn!(api = name, %error, "can't measure the version finely");
            }
            Some(Version { name, weight, api })
        };
        let versions = versions.into_iter().filter_map(version).collect();
        let copies = shadow.as_ref().and_then(|of| {
            let (api, counts) = (Arc::clone(served.get(&of.name)?), self.shadows.of(name));
            Some(Shadow { api, share: of.share, counts })
        });
        let settings = SplitSettings { versions, sticky, override_header, shadow, compares };
        Split::new(name.to_owned(), settings, copies, Arc::clone(&self.weights))
    }
}
