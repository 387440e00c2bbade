//! An API as requests meet it, and what a route leads to.

use crate::access::Access;
use crate::affinity::Affinity;
use crate::classify::Classifier;
use crate::error::StartError;
use crate::fields::Fields;
use crate::forward::Timeouts;
use crate::gate::Gate;
use crate::identity;
use crate::keep_alive;
use crate::message::RequestParts;
use crate::metrics::tokens::TokenMetrics;
use crate::metrics::{ApiMetrics, GateCollector};
use crate::policy::models::Target;
use crate::policy::route::RouteTable;
use crate::request_body::RequestBody;
use crate::rewrite::UpstreamProtocol;
use crate::split::Split;
use arc_swap::ArcSwap;
use http::Method;
use prometheus::Registry;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_api::document::ColdStart;

/// One API as requests see it.
pub struct Service {
    /// Where its requests wait.
    pub gate: Arc<Gate>,
    /// What is read of their heads.
    pub classifier: Arc<Classifier>,
    /// What it counts.
    pub metrics: Arc<ApiMetrics>,
    /// How its requests are served.
    pub terms: Terms,
    /// Who may use it, and how much.
    pub access: Access,
}

/// All APIs that are served, by name.
pub type Services = ArcSwap<HashMap<String, Arc<Service>>>;

/// How an API's requests are served. Those that run keep the terms that they began with.
pub struct Terms {
    /// How long they may take.
    pub timeouts: Timeouts,
    /// What the upstreams are spoken to in.
    pub protocol: UpstreamProtocol,
    /// What requests that belong to one endpoint have in common.
    pub affinity: Option<Affinity>,
    /// What is done for them while the API comes up from zero.
    pub cold_start: ColdStart,
    /// Which of them get a second try beside the first, by what they want done.
    pub hedged: Box<[Method]>,
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

// === impl Terms ===

impl Terms {
    /// A sidecar's: it has one endpoint, which it does not wait for.
    pub fn of_sidecar(timeouts: Timeouts, protocol: UpstreamProtocol) -> Self {
        let cold_start = ColdStart::default();
        Self { timeouts, protocol, affinity: None, cold_start, hedged: Box::default() }
    }
}

// === impl Service ===

impl Service {
    /// An API whose metrics are registered.
    ///
    /// # Errors
    /// If one of that name is registered already.
    pub fn register(
        (registry, gates): (&Registry, &GateCollector),
        api: Option<&str>,
        (gate, classifier): (Arc<Gate>, &Arc<Classifier>),
        (terms, access): (Terms, Access),
        llm: bool,
    ) -> Result<Self, StartError> {
        let mut metrics = ApiMetrics::register(registry, api)?;
        if llm {
            metrics.tokens = Some(TokenMetrics::register(registry, api)?);
        }
        let read = Arc::clone(&gate);
        gates.add(api, Box::new(move || read.snapshot()));
        let (classifier, metrics) = (Arc::clone(classifier), Arc::new(metrics));
        Ok(Self { gate, classifier, metrics, terms, access })
    }

    /// When the whole time of a request is over, if it is bounded.
    pub fn total_ends(&self, arrived: Instant) -> Option<Instant> {
        self.terms.timeouts.total.map(|total| arrived + total)
    }

    /// How often the client of this request is sent a sign of life, if it is to be: only who finds
    /// the API at zero.
    pub fn keep_alive(&self, parts: &RequestParts, body: &RequestBody) -> Option<Duration> {
        let period = self.terms.cold_start.keep_alive?;
        (self.gate.is_asleep() && keep_alive::is_wanted(parts, body)).then_some(period)
    }

    /// Whether this request may get a second try beside the first: what is said to do no harm twice, and
    /// is here as a whole.
    pub fn may_hedge(&self, parts: &RequestParts, body: &RequestBody) -> bool {
        self.terms.hedged.contains(&parts.method)
            && parts.upgrade.is_none()
            && body.copy().is_some()
    }

    /// The same API, gate and counts included, on other terms.
    pub fn changed(&self, terms: Terms, access: Access) -> Self {
        let (gate, classifier) = (Arc::clone(&self.gate), Arc::clone(&self.classifier));
        Self { gate, classifier, metrics: Arc::clone(&self.metrics), terms, access }
    }
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
