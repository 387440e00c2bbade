//! From the line to the answer: a request that is ready to go waits for its slot, and is sent.

use crate::account::{Account, Unanswered};
use crate::body::ProxyBody;
use crate::clock;
use crate::error::Refusal;
use crate::forward::{Exchange, Role, in_time};
use crate::gate::{Ask, Permit, Place};
use crate::interim::Interim;
use crate::message::Response;
use crate::outbound::Outbound;
use crate::service::{Service, Services};
use crate::upstream::Connector;
use http::HeaderName;
use std::pin::pin;
use std::sync::Arc;
use tidegate_api::document::Fallback;
use tidegate_api::names::header;
use tidegate_api::reason::Reason;
use tokio::time::sleep;

const FALLBACK_HEADER: HeaderName = HeaderName::from_static(header::FALLBACK);

/// What becomes of a request: an answer that holds its books, or the books and why there is none.
pub type Answer = Result<Response<ProxyBody>, Unanswered>;

/// Where a request goes once it is ready to go.
#[derive(Clone, Copy)]
pub struct Dispatch<'a> {
    /// Where the process stands.
    pub role: Role,
    /// Whose request it is.
    pub service: &'a Service,
    /// The APIs that it may go to instead.
    pub services: &'a Services,
    /// What connects.
    pub connector: &'a Connector,
    /// Where interim answers go.
    pub interim: &'a Interim,
    /// What it asks for.
    pub asks: Asks,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
pub struct Asks {
    /// Of the gate.
    pub ask: Ask,
    /// Whether the client is told of the upstream's load.
    pub tells_load: bool,
    /// Whether its connection may switch protocols.
    pub upgradable: bool,
    /// Whether it may get a second try beside the first.
    pub hedges: bool,
}

/// What came of the wait.
enum Turn {
    /// A slot, or none.
    Own(Result<Permit, Refusal>),
    /// It goes elsewhere.
    Elsewhere(Arc<Service>),
}

// === impl Dispatch ===

impl Dispatch<'_> {
    /// Admit: a slot at once, a place in line, or a refusal. Then forward: slot, connection and books
    /// ride in the response's body to its end.
    ///
    /// # Errors
    /// With the reason for which there is no answer.
    pub async fn run(self, request: Outbound, account: Account) -> Answer {
        let service = self.service;
        let permit = match &service.terms.cold_start.fallback {
            Some(fallback) if service.gate.is_asleep() => {
                // In boxes: most requests go another way.
                match Box::pin(self.wait(fallback)).await {
                    Turn::Own(permit) => permit,
                    Turn::Elsewhere(other) => {
                        return Box::pin(self.run_elsewhere(&other, request, account)).await;
                    }
                }
            }
            _ => self.enter(service, &self.asks.ask).await,
        };
        match permit {
            Ok(permit) => self.exchange(permit, account).run(request, self.asks.upgradable).await,
            Err(refusal) => Err(Unanswered::new(account, refusal)),
        }
    }

    /// Waits for a slot of this API.
    async fn enter(&self, service: &Service, ask: &Ask) -> Result<Permit, Refusal> {
        match service.gate.offer(ask)? {
            Place::Slot(permit) => Ok(permit),
            Place::Line(waiting) => Box::pin(in_time(&self.connector.drain, waiting)).await,
        }
    }

    /// Waits for as long as it is to before it goes elsewhere. It joins the line even if it leaves it
    /// at once: that is what wakes the API.
    async fn wait(&self, fallback: &Fallback) -> Turn {
        let awake = || {
            let other = self.services.load().get(&fallback.api).map(Arc::clone)?;
            (!other.gate.is_asleep()).then_some(other)
        };
        let mut entering = pin!(self.enter(self.service, &self.asks.ask));
        tokio::select! {
            biased;
            permit = &mut entering => return late(permit, awake),
            () = sleep(fallback.after) => {}
        }
        match awake() {
            Some(other) => Turn::Elsewhere(other),
            None => late(entering.await, awake),
        }
    }

    /// The other API's gate and limits count, and its books, from now on.
    async fn run_elsewhere(
        &self,
        other: &Service,
        request: Outbound,
        mut account: Account,
    ) -> Answer {
        if let Some(fallbacks) = &self.service.metrics.fallbacks {
            fallbacks.inc();
        }
        account.belongs_to(&other.metrics);
        let ask = Ask { arrived: clock::now(), ..self.asks.ask };
        let asks = Asks { ask, ..self.asks };
        let there = Dispatch { service: other, asks, ..*self };
        let permit = match self.enter(other, &ask).await {
            Ok(permit) => permit,
            Err(refusal) => return Err(Unanswered::new(account, refusal)),
        };
        let exchange = there.exchange(permit, account);
        let mut response = exchange.run(request, asks.upgradable).await?;
        response.headers_mut().insert(FALLBACK_HEADER, &other.metrics.api);
        Ok(response)
    }

    /// The request has its slot.
    fn exchange(&self, permit: Permit, mut account: Account) -> Exchange<'_> {
        account.dispatched(permit.granted_at, permit.was_cold);
        let Self { role, service, connector, interim, asks, .. } = *self;
        let Asks { ask, tells_load, hedges, .. } = asks;
        Exchange {
            role,
            gate: &service.gate,
            timeouts: &service.terms.timeouts,
            connector,
            interim,
            ask,
            tells_load,
            hedges: service.metrics.hedges.as_ref().filter(|_| hedges),
            permit,
            account,
        }
    }
}

/// Who waited in vain for its own API goes elsewhere, if that can serve by now.
fn late(permit: Result<Permit, Refusal>, awake: impl Fn() -> Option<Arc<Service>>) -> Turn {
    let in_vain = matches!(&permit, Err(Refusal { reason: Reason::ColdStartTimeout, .. }));
    match awake().filter(|_| in_vain) {
        Some(other) => Turn::Elsewhere(other),
        None => Turn::Own(permit),
    }
}
