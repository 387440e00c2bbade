//! An API as requests meet it, and what a route leads to.

use crate::access::Access;
use crate::affinity::Affinity;
use crate::classify::Classifier;
use crate::fields::Fields;
use crate::forward::Timeouts;
use crate::gate::Gate;
use crate::identity;
use crate::metrics::ApiMetrics;
use crate::policy::models::Target;
use crate::policy::route::RouteTable;
use crate::rewrite::UpstreamProtocol;
use crate::split::Split;
use std::sync::Arc;

/// One API as requests see it.
pub struct Service {
    /// Where its requests wait.
    pub gate: Arc<Gate>,
    /// What is read of their heads.
    pub classifier: Arc<Classifier>,
    /// What requests that belong to one endpoint have in common.
    pub affinity: Option<Affinity>,
    /// What it counts.
    pub metrics: Arc<ApiMetrics>,
    /// How long its requests may take.
    pub timeouts: Timeouts,
    /// What its upstreams are spoken to in.
    pub protocol: UpstreamProtocol,
    /// Who may use it, and how much.
    pub access: Access,
}

/// Where a route leads to.
#[derive(Clone)]
pub enum Lead {
    /// To an API.
    Api(Arc<Service>),
    /// To one of its versions.
    Split(Arc<Split<Arc<Service>>>),
}

/// Which requests are whose.
pub type Routes = RouteTable<Target<Lead>>;

/// The API that takes a request, and whether it is a version of the one that was asked for.
pub struct Taker {
    /// The API.
    pub service: Arc<Service>,
    /// What was split, if anything was.
    pub split: Option<Arc<Split<Arc<Service>>>>,
}

// === impl Lead ===

impl Lead {
    /// The name of the API that is asked for.
    pub fn name(&self) -> &str {
        match self {
            Self::Api(service) => &service.metrics.api,
            Self::Split(split) => &split.name,
        }
    }

    /// Whether a request with this head may know of it.
    pub fn lets_in(&self, headers: &Fields) -> bool {
        match self {
            Self::Api(service) => service.access.lets_in(headers),
            Self::Split(split) => split.apis().any(|version| version.access.lets_in(headers)),
        }
    }

    /// The API that takes a request with this head. `None` only for a split without versions, which no
    /// document has.
    pub fn taker(&self, headers: &Fields) -> Option<Taker> {
        match self {
            Self::Api(service) => Some(Taker { service: Arc::clone(service), split: None }),
            Self::Split(split) => {
                let service = split.choose(headers, identity::draw()).map(Arc::clone)?;
                Some(Taker { service, split: Some(Arc::clone(split)) })
            }
        }
    }
}
