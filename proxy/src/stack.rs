//! The request path: guard → route → read ahead → classify → admit → forward → account.

use crate::access_log::{AccessLog, Entry};
use crate::account::Account;
use crate::body::ProxyBody;
use crate::classify::{self, Classifier};
use crate::clock;
use crate::connections::Connections;
use crate::drain::DrainWatch;
use crate::error::Refusal;
use crate::forward::{Exchange, Role, Timeouts};
use crate::gate::{Ask, Gate};
use crate::guard::{self, HttpLimits};
use crate::h2_head::is_grpc;
use crate::head::UpgradeTo;
use crate::hop::{HopSettings, Peer};
use crate::identity::{Identity, REQUEST_ID};
use crate::incoming::IncomingBody;
use crate::interim::Interim;
use crate::metrics::ApiMetrics;
use crate::orca;
use crate::policy::route::RouteTable;
use crate::read_ahead::read_ahead;
use crate::respond;
use crate::rewrite::{Told, UpstreamProtocol, rewrite};
use crate::upstream::Connector;
use http::header::{CONNECTION, HOST, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body::Body;
use std::sync::Arc;
use tidegate_api::reason::Reason;

/// One API as requests see it.
pub struct Service {
    /// Where its requests wait.
    pub gate: Arc<Gate>,
    /// What is read of their heads.
    pub classifier: Arc<Classifier>,
    /// What it counts.
    pub metrics: Arc<ApiMetrics>,
    /// How long its requests may take.
    pub timeouts: Timeouts,
    /// What its upstreams are spoken to in.
    pub protocol: UpstreamProtocol,
}

/// All that a request meets on its way.
pub struct Stack {
    /// Where the process stands.
    pub role: Role,
    /// Host and path to API.
    pub routes: RouteTable<Arc<Service>>,
    /// The gate whose load is told to balancers: a sidecar's only one.
    pub reported: Option<Arc<Gate>>,
    /// Counts requests that reach no API.
    pub unrouted: Arc<ApiMetrics>,
    /// Sizes and times.
    pub limits: HttpLimits,
    /// Where ended requests are written to.
    pub access_log: Option<Arc<AccessLog>>,
    /// The places for clients' connections.
    pub connections: Arc<Connections>,
    /// How the hops around are dealt with.
    pub hops: HopSettings,
    /// Whether the process is ending.
    pub drain: DrainWatch,
}

// === impl Stack ===

impl Stack {
    /// The life of a request that came from this peer.
    pub async fn handle(
        &self,
        mut request: Request<IncomingBody>,
        peer: &Peer,
        connector: &Connector,
        interim: &Interim,
    ) -> Response<ProxyBody> {
        let grpc = request.version() == Version::HTTP_2 && is_grpc(request.headers());
        let identity = Identity::establish(request.headers_mut(), self.hops.sampling);
        let load = orca::asked(request.headers_mut(), peer.trusted);
        let entry = self.access_log.as_ref().and_then(|log| log.begin(&request, &identity));
        let served = self.serve(request, entry, peer, connector, interim, &identity).await;
        let mut response = match served {
            Ok(response) => response,
            Err((account, refusal)) => {
                account.close(Some(refusal.reason), clock::now());
                if grpc { respond::grpc_refusal(refusal) } else { respond::refusal(refusal) }
            }
        };
        if self.drain.is_draining() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            // Kept connections would outlive the listener.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self.report_load(response.headers_mut(), load, peer);
        identify(response, identity)
    }

    /// Tells a trusted hop that asks for it how much there is to do.
    fn report_load(&self, headers: &mut HeaderMap, asked: Option<orca::Format>, peer: &Peer) {
        if !peer.trusted {
            orca::conceal(headers);
        }
        if let (Some(format), Some(gate)) = (asked, &self.reported) {
            orca::report(headers, format, &gate.snapshot());
        }
    }

    async fn serve(
        &self,
        request: Request<IncomingBody>,
        entry: Option<Box<Entry>>,
        peer: &Peer,
        connector: &Connector,
        interim: &Interim,
        identity: &Identity,
    ) -> Result<Response<ProxyBody>, (Account, Refusal)> {
        let arrived = clock::now();
        // Guard: what may not be here goes no further.
        if let Err(refusal) = guard::check(&request, &self.limits) {
            return Err((Account::open(Arc::clone(&self.unrouted), arrived, entry), refusal));
        }
        // Route: which API's request it is.
        let Some((service, strip)) = self.route(&request) else {
            let account = Account::open(Arc::clone(&self.unrouted), arrived, entry);
            return Err((account, Reason::NoRoute.into()));
        };
        let mut account = Account::open(Arc::clone(&service.metrics), arrived, entry);
        let upgradable = request.extensions().get::<UpgradeTo>().is_some();
        let (parts, body) = request.into_parts();
        // Read ahead: a small body is here before its request takes anybody's place.
        let body = match read_ahead(body, &self.limits).await {
            Ok(body) => body,
            Err(refusal) => return Err((account, refusal)),
        };
        // Classify: how urgent, of which tenant, how dear, until when.
        let claim = service.classifier.claim(
            &parts.headers,
            body.ahead(),
            body.held_bytes(),
            body.size_hint().exact().unwrap_or_else(|| body.held_bytes()),
        );
        if let Some(entry) = account.entry() {
            entry.tenant = service.classifier.tenant_name(&parts.headers);
            entry.received = body.received();
        }
        let total = service.timeouts.total.map(|total| arrived + total);
        let client = classify::deadline(&parts.headers, arrived);
        let told = Told { peer, forwarded: self.hops.forwarded, identity };
        let outbound = match rewrite(parts, strip, body, service.protocol, &told) {
            Ok(outbound) => outbound,
            Err(refusal) => return Err((account, refusal)),
        };
        // Admit: a slot at once, a place in line, or a refusal.
        let ask = Ask { arrived, deadline: total.into_iter().chain(client).min(), claim };
        let permit = match service.gate.enter(ask).await {
            Ok(permit) => permit,
            Err(refusal) => return Err((account, refusal)),
        };
        account.dispatched(permit.granted_at, permit.was_cold);
        // Forward: slot, connection and books ride in the response's body to its end.
        let exchange = Exchange {
            role: self.role,
            gate: &service.gate,
            timeouts: &service.timeouts,
            connector,
            interim,
            ask,
            permit,
            account,
        };
        exchange.run(outbound, upgradable).await
    }

    /// Answers what has no head that can be read, and books it.
    pub fn refuse(&self, refusal: impl Into<Refusal>) -> Response<ProxyBody> {
        let (now, refusal) = (clock::now(), refusal.into());
        let identity = Identity::unknown();
        let entry = self.access_log.as_ref().and_then(|log| log.begin_unread(&identity));
        Account::open(Arc::clone(&self.unrouted), now, entry).close(Some(refusal.reason), now);
        identify(respond::refusal(refusal), identity)
    }

    fn route<B>(&self, request: &Request<B>) -> Option<(&Arc<Service>, usize)> {
        let uri = request.uri();
        let host = match uri.host() {
            Some(host) => host,
            None => request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or(""),
        };
        self.routes.find(host, uri.path()).map(|found| (found.target, found.strip))
    }
}

/// Tells the client what its request was known by, unless the upstream has a name of its own.
fn identify(mut response: Response<ProxyBody>, identity: Identity) -> Response<ProxyBody> {
    response.headers_mut().entry(REQUEST_ID).or_insert(identity.request_id);
    response
}
