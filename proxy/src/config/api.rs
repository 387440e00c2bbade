//! One API as a gateway serves it.

use super::{balancing, split};
use crate::access::LimiterSettings;
use crate::affinity::Affinity;
use crate::forward::Timeouts;
use crate::gate::GateSettings;
use crate::policy::admission::Rules;
use crate::policy::choice::Choice;
use crate::policy::ejection::EjectionRules;
use crate::policy::hedging::HedgeRules;
use crate::policy::models::ModelNames;
use crate::policy::overload::QueueOrder;
use crate::policy::queue::QueueLimits;
use crate::policy::retry_budget::RetryRules;
use crate::policy::route::Rule;
use crate::split::SplitSettings;
use http::Method;
use std::path::PathBuf;
use std::time::Duration;
use tidegate_api::document::{ColdStart, Endpoints, InferenceApi, OpenAi, Route, WhenNotFound};

/// One API as a gateway serves it.
#[derive(Debug, Clone)]
pub struct GatewayApi {
    /// Its name.
    pub name: String,
    /// Which requests are its own.
    pub rules: Vec<Rule>,
    /// The APIs that its requests are split among, by their names, if they are. Then it has no
    /// endpoints of its own.
    pub split: Option<SplitSettings<()>>,
    /// Which models it has, where requests are told apart by them.
    pub models: Option<ModelNames>,
    /// The file of its keys, if it asks for one.
    pub keys: Option<PathBuf>,
    /// How much each tenant may use.
    pub rate_limit: Option<LimiterSettings>,
    /// Where its endpoints are, if its document says so.
    pub endpoints: Option<Endpoints>,
    /// How many requests each of those is given at once.
    pub concurrency: u32,
    /// How many may wait.
    pub queue: QueueLimits,
    /// For how long, while there are replicas.
    pub queue_timeout: Duration,
    /// For how long, while there are none.
    pub cold_start_timeout: Duration,
    /// A request's clocks.
    pub timeouts: Timeouts,
    /// What is done for requests while there are none.
    pub cold_start: ColdStart,
    /// Which of the endpoints with a free slot a request is given.
    pub choice: Choice,
    /// What requests that belong to one endpoint have in common.
    pub affinity: Option<Affinity>,
    /// When an endpoint is taken out.
    pub ejection: EjectionRules,
    /// How many requests are sent on elsewhere.
    pub retries: RetryRules,
    /// How long an endpoint that became ready takes to have all of its slots.
    pub slow_start: Duration,
    /// When requests get a second try, if they do.
    pub hedging: Option<HedgeRules>,
    /// Which of them do, by what they want done.
    pub hedged: Box<[Method]>,
    /// Whether its answers are a language model's, whose tokens are counted.
    pub llm: bool,
}

// === impl GatewayApi ===

impl GatewayApi {
    /// One API of a document. The document bounds one replica's queue; the gateway holds what all
    /// replicas together might.
    pub fn from_document(api: &InferenceApi) -> Self {
        let replicas = api.autoscaling.max_replicas.max(1);
        let rule = |route: &Route| Rule {
            host: route.host.clone(),
            path: route.path.clone(),
            exact: route.exact,
            headers: route.headers.clone().into_iter().collect(),
            strip_prefix: route.strip_prefix,
        };
        let models = |openai: &OpenAi| ModelNames {
            names: openai.models.clone(),
            takes_unknown: openai.when_not_found == WhenNotFound::Serve,
            scan_limit: usize::try_from(openai.scan_limit).unwrap_or(usize::MAX),
        };
        Self {
            name: api.name.clone(),
            rules: api.routes.iter().map(rule).collect(),
            split: split::from_document(api),
            models: api.openai.as_ref().map(models),
            keys: api.access.api_keys.clone(),
            rate_limit: api.access.rate_limit.as_ref().map(LimiterSettings::from_document),
            endpoints: api.endpoints.clone(),
            concurrency: api.concurrency.limit.get(),
            queue: QueueLimits {
                capacity: api.concurrency.queue_capacity.saturating_mul(replicas),
                bytes: api.concurrency.queue_bytes.saturating_mul(u64::from(replicas)),
            },
            queue_timeout: api.concurrency.queue_timeout,
            cold_start_timeout: api.timeouts.cold_start,
            timeouts: Timeouts {
                first_byte: api.timeouts.first_byte,
                idle: api.timeouts.idle,
                total: api.timeouts.total,
                // An endpoint is used once it has passed a probe.
                start: Duration::ZERO,
            },
            cold_start: api.cold_start.clone(),
            choice: balancing::choice(&api.balancing),
            affinity: balancing::affinity(&api.balancing),
            ejection: balancing::ejection(&api.balancing.ejection),
            retries: balancing::retries(&api.balancing.retries),
            slow_start: api.balancing.slow_start,
            hedging: api.balancing.hedging.as_ref().map(balancing::hedging),
            hedged: balancing::hedged(&api.balancing),
            llm: api.sidecar.llm.is_some(),
        }
    }
}

impl GatewayApi {
    /// How its gate works.
    pub fn gate(&self, order: QueueOrder) -> GateSettings {
        GateSettings {
            rules: Rules { limits: self.queue, order, budget: None, choice: self.choice },
            queue_timeout: self.queue_timeout,
            cold_start_timeout: self.cold_start_timeout,
            ejection: self.ejection,
            retries: self.retries,
            slow_start: self.slow_start,
            hedging: self.hedging,
        }
    }
}
