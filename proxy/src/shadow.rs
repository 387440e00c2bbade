//! Copies of requests for an API's shadow: sent beside the originals, their answers dropped.
//!
//! Whatever the shadow does, the original knows nothing of it: a copy waits in the shadow's own line, as
//! the least urgent, in a task of its own, and where there is no room for it it is not made.

use crate::account::{Account, Unanswered};
use crate::clock;
use crate::forward::{Exchange, Role};
use crate::gate::Ask;
use crate::hop::{ForwardedHeaders, Peer};
use crate::hurry;
use crate::identity::{self, Identity};
use crate::interim::Interim;
use crate::message::RequestParts;
use crate::metrics::shadow::{Outcome, ShadowCounts};
use crate::orca;
use crate::outbound::Outbound;
use crate::policy::claim::{Claim, Priority};
use crate::policy::split::takes;
use crate::request_body::RequestBody;
use crate::rewrite::{Told, rewrite};
use crate::service::Service;
use crate::split::Shadow;
use crate::upstream::Connector;
use http::HeaderName;
use http_body_util::BodyExt;
use std::sync::Arc;
use tidegate_api::names::header;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const SHADOW: HeaderName = HeaderName::from_static(header::SHADOW);

/// Copies on their way at once: as many as a few replicas answer, or hold.
const COPIES: usize = 256;
/// Bytes of their bodies, in KiB.
const BODIES_KIB: usize = 64 << 10;

/// Room for copies, of all APIs together.
#[derive(Debug)]
pub struct ShadowRoom {
    copies: Arc<Semaphore>,
    bodies_kib: Arc<Semaphore>,
}

/// What a copy takes of it, until it is dropped.
type Place = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// A request that is about to be sent to its own API.
pub struct Original<'a> {
    /// Its head, as it came.
    pub parts: &'a RequestParts,
    /// How many bytes to take off its path.
    pub strip: usize,
    /// Its body, as far as it is here.
    pub body: &'a RequestBody,
    /// What it claims.
    pub claim: &'a Claim,
    /// Who sent it.
    pub peer: &'a Peer,
    /// What the next hop is told of the one before.
    pub forwarded: ForwardedHeaders,
    /// What it is known by.
    pub identity: &'a Identity,
    /// What connects.
    pub connector: &'a Connector,
}

/// A copy that is to be sent.
struct Duplicate {
    service: Arc<Service>,
    outbound: Outbound,
    ask: Ask,
    connector: Connector,
    counts: ShadowCounts,
    _place: Place,
}

// === impl ShadowRoom ===

impl Default for ShadowRoom {
    fn default() -> Self {
        let bodies_kib = Arc::new(Semaphore::new(BODIES_KIB));
        Self { copies: Arc::new(Semaphore::new(COPIES)), bodies_kib }
    }
}

impl ShadowRoom {
    fn take(&self, bytes: u64) -> Option<Place> {
        let kib = u32::try_from(bytes.div_ceil(1024)).ok()?;
        let copy = Arc::clone(&self.copies).try_acquire_owned().ok()?;
        let body = Arc::clone(&self.bodies_kib).try_acquire_many_owned(kib).ok()?;
        Some((copy, body))
    }

    /// Sends a copy to the shadow, if this request is one of those that are copied. Waits for nothing.
    pub fn copy(&self, shadow: &Shadow<Arc<Service>>, original: &Original<'_>) {
        // A copy is not copied again, as by a gateway before this one.
        let is_copy = original.parts.headers.contains(SHADOW);
        if is_copy || !takes(shadow.share, identity::draw()) {
            return;
        }
        match self.prepare(shadow, original) {
            // The tracker is the worker's: what is left ends with it.
            Ok(copy) => drop(original.connector.tasks.spawn(copy.run())),
            Err(outcome) => shadow.counts.count(outcome),
        }
    }

    fn prepare(
        &self,
        shadow: &Shadow<Arc<Service>>,
        original: &Original<'_>,
    ) -> Result<Duplicate, Outcome> {
        let Original { strip, peer, forwarded, identity, .. } = *original;
        let whole = original.body.copy().filter(|_| original.parts.upgrade.is_none());
        let body = whole.ok_or(Outcome::NotWhole)?;
        let place = self.take(body.held_bytes()).ok_or(Outcome::NoRoom)?;
        let service = Arc::clone(&shadow.api);
        let mut parts = Box::new(original.parts.clone());
        let affinity = service.terms.affinity.as_ref();
        let key = affinity.and_then(|affinity| affinity.key(&parts.headers, body.ahead()));
        parts.headers.insert(SHADOW, "true");
        hurry::ask(&mut parts.headers, true);
        orca::ask(&mut parts.headers);
        let told = Told { peer, forwarded, identity };
        let outbound = rewrite(parts, strip, body, service.terms.protocol, &told);
        let outbound = outbound.map_err(|_| Outcome::Failed)?;
        let arrived = clock::now();
        let deadline = service.terms.timeouts.total.map(|total| arrived + total);
        let claim = Claim { priority: Priority::Sheddable, key, ..*original.claim };
        let ask = Ask { arrived, deadline, claim, hurry: None };
        let (connector, counts) = (original.connector.clone(), shadow.counts.clone());
        Ok(Duplicate { service, outbound, ask, connector, counts, _place: place })
    }
}

// === impl Duplicate ===

impl Duplicate {
    async fn run(self) {
        let counts = self.counts.clone();
        let well = self.exchange().await;
        counts.count(if well { Outcome::Answered } else { Outcome::Failed });
    }

    /// Whether an answer came that is none of 5xx. It is counted as the shadow's own.
    async fn exchange(self) -> bool {
        let Self { service, outbound, ask, connector, counts: _, _place } = self;
        let mut account = Account::open(Arc::clone(&service.metrics), ask.arrived, None);
        let permit = match service.gate.enter(&ask).await {
            Ok(permit) => permit,
            Err(refusal) => {
                account.close(Some(refusal.reason), clock::now());
                return false;
            }
        };
        account.dispatched(permit.granted_at, permit.was_cold);
        let exchange = Exchange {
            role: Role::Gateway,
            gate: &service.gate,
            timeouts: &service.terms.timeouts,
            connector: &connector,
            interim: &Interim::Nowhere,
            ask,
            tells_load: false,
            hedges: None,
            permit,
            account,
        };
        let response = match exchange.run(outbound, false).await {
            Ok(response) => response,
            Err(Unanswered(unanswered)) => {
                let (account, refusal) = *unanswered;
                account.close(Some(refusal.reason), clock::now());
                return false;
            }
        };
        let answered = !response.status().is_server_error();
        let (_, mut body) = response.into_parts();
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return false;
            }
        }
        answered
    }
}
