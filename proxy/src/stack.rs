//! The request path: guard → route → read ahead → classify → admit → forward → account.
//!
//! Where a route leads to models, a part of the body is read first, and the API follows from it.

use crate::access::{Caller, RateFields};
use crate::access_log::{AccessLog, Entry};
use crate::account::{Account, Unanswered};
use crate::body::ProxyBody;
use crate::clock;
use crate::connections::Connections;
use crate::dispatch::{Asks, Dispatch};
use crate::drain::DrainWatch;
use crate::error::Refusal;
use crate::fields::Fields;
use crate::forward::Role;
use crate::gate::{Ask, Gate};
use crate::guard::HttpLimits;
use crate::h2_head::is_grpc;
use crate::hop::{HopSettings, Peer};
use crate::hurry;
use crate::identity::{Identity, REQUEST_ID};
use crate::inbound::{Inbound, LOOK_AHEAD_ROOM_BYTES};
use crate::incoming::IncomingBody;
use crate::interim::Interim;
use crate::keep_alive;
use crate::message::{Request, Response};
use crate::metrics::ApiMetrics;
use crate::model_route::SCAN_BYTES;
use crate::orca;
use crate::proxy_protocol::{self, Arrival};
use crate::request_body::RequestBody;
use crate::respond::{self, Manner};
use crate::rewrite::{Told, rewrite};
use crate::room::Room;
use crate::service::{Routes, Service, Services, Taker};
use crate::shadow::{Original, ShadowRoom};
use crate::socket::Socket;
use crate::tls::Tls;
use crate::upstream::Connector;
use crate::wire::Wire;
use arc_swap::ArcSwap;
use http::header::{ACCEPT_ENCODING, CONNECTION, HeaderName};
use http::{StatusCode, Version};
use http_body::Body;
use prometheus::IntCounter;
use std::net::IpAddr;
use std::sync::Arc;
use tidegate_api::names::header;
use tokio::net::TcpStream;

mod find;

use find::{Bound, Found};

const VERSION_HEADER: HeaderName = HeaderName::from_static(header::VERSION);

/// All that a request meets on its way.
pub struct Stack {
    /// Where the process stands.
    pub role: Role,
    /// Host and path to API. A request keeps what it was led to, whatever comes after.
    pub routes: Arc<ArcSwap<Routes>>,
    /// The APIs by name.
    pub services: Arc<Services>,
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
    /// Counts connections that were closed for their PROXY header.
    pub refused_arrivals: IntCounter,
    /// Memory that all connections share.
    pub rooms: Rooms,
    /// How the hops around are dealt with.
    pub hops: HopSettings,
    /// With whom TLS is spoken.
    pub tls: Tls,
    /// Whether the process is ending.
    pub drain: DrainWatch,
}

/// Memory that all connections share.
pub struct Rooms {
    /// For bodies whose models are looked for.
    pub scan: Arc<Room>,
    /// For bodies of requests that wait, which are read only to see whether their clients do.
    pub look_ahead: Arc<Room>,
    /// For copies of requests.
    pub shadow: ShadowRoom,
}

/// What stands around one request.
struct Around<'a> {
    peer: &'a Peer,
    connector: &'a Connector,
    interim: &'a Interim,
    identity: &'a Identity,
}

/// What the answer will be like, as far as that is known.
struct Reply {
    manner: Manner,
    rate: Option<RateFields>,
    /// The version that was chosen, where requests are split.
    version: Option<Arc<Service>>,
}

// === impl Rooms ===

impl Default for Rooms {
    fn default() -> Self {
        let (scan, look_ahead) = (Room::new(SCAN_BYTES), Room::new(LOOK_AHEAD_ROOM_BYTES));
        Self { scan, look_ahead, shadow: ShadowRoom::default() }
    }
}

// === impl Stack ===

impl Stack {
    /// Who has connected, and what it sends; `None` if it may not go on.
    pub async fn arrive(&self, mut stream: TcpStream, from: IpAddr) -> Option<(Peer, Inbound)> {
        let timeout = self.limits.header_timeout;
        let Arrival { peer, early } =
            proxy_protocol::arrive(&mut stream, from, &self.hops, timeout, &self.refused_arrivals)
                .await?;
        let mut wire = Wire::new(Socket::Tcp(stream));
        wire.read = early;
        Some((peer, Inbound::new(wire, &self.rooms.look_ahead)))
    }

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
        let entry = self.access_log.as_ref().and_then(|log| log.begin(&request, &identity, peer));
        let manner = if grpc { Manner::Grpc } else { Manner::Plain };
        let mut reply = Reply { manner, rate: None, version: None };
        let around = Around { peer, connector, interim, identity: &identity };
        let mut response = match self.serve(request, entry, &around, &mut reply).await {
            Ok(response) => response,
            Err(Unanswered(unanswered)) => {
                let (account, refusal) = *unanswered;
                account.close(Some(refusal.reason), clock::now());
                reply.manner.refusal(refusal)
            }
        };
        if self.drain.is_draining() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            // Kept connections would outlive the listener.
            response.headers_mut().insert(CONNECTION, "close");
        }
        if let Some(rate) = reply.rate {
            rate.insert(response.headers_mut());
        }
        if let Some(version) = reply.version {
            response.headers_mut().insert(VERSION_HEADER, &*version.metrics.api);
        }
        self.report_load(response.headers_mut(), load, peer);
        identify(response, identity)
    }

    /// Tells a trusted hop that asks for it how much there is to do.
    fn report_load(&self, headers: &mut Fields, asked: Option<orca::Format>, peer: &Peer) {
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
        around: &Around<'_>,
        reply: &mut Reply,
    ) -> Result<Response<ProxyBody>, Unanswered> {
        let arrived = clock::now();
        let mut account = Account::open(Arc::clone(&self.unrouted), arrived, entry);
        let bound = match self.find(request, &mut account, reply).await {
            Ok(Found::Bound(bound)) => bound,
            Ok(Found::Answered(response)) => {
                let now = clock::now();
                account.head(response.status().as_u16(), None, now);
                account.close(None, now);
                return Ok(response);
            }
            Err(refusal) => return Err(Unanswered::new(account, refusal)),
        };
        let Bound { taker, caller: Caller(caller), mut parts, body, upgradable, strip, deadline } =
            bound;
        let Taker { service, split } = taker;
        // Classify: how urgent, of which tenant, how dear, until when.
        let mut claim = service.classifier.claim(
            caller.as_deref(),
            &parts.headers,
            body.ahead(),
            body.held_bytes(),
            length(&body),
        );
        if let Some(affinity) = &service.terms.affinity {
            claim.key = affinity.key(&parts.headers, body.ahead());
        }
        if let Some(entry) = account.entry() {
            let said = || service.classifier.tenant_name(&parts.headers);
            entry.tenant = caller.as_deref().map(str::to_owned).or_else(said);
            entry.received = body.received();
        }
        let Around { peer, connector, interim, identity } = *around;
        if let Some(shadow) = split.as_ref().and_then(|split| split.shadow.as_ref()) {
            let (forwarded, body) = (self.hops.forwarded, &body);
            let (parts, claim) = (&parts, &claim);
            let original =
                Original { parts, strip, body, claim, peer, forwarded, identity, connector };
            self.rooms.shadow.copy(shadow, &original);
        }
        let (hurry, tells_load) = match self.role {
            Role::Sidecar => (hurry::read(&mut parts.headers, peer.trusted, arrived), true),
            Role::Gateway => (None, ask_sidecar(&mut parts.headers, &body)),
        };
        let hedges = service.may_hedge(&parts, &body);
        let keep_alive = service.keep_alive(&parts, &body);
        if keep_alive.is_some() {
            // What follows comments must be as plain as they are.
            parts.headers.remove(ACCEPT_ENCODING);
        }
        let told = Told { peer, forwarded: self.hops.forwarded, identity };
        let outbound = match rewrite(parts, strip, body, service.terms.protocol, &told) {
            Ok(outbound) => outbound,
            Err(refusal) => return Err(Unanswered::new(account, refusal)),
        };
        let ask = Ask { arrived, deadline, claim, hurry };
        let (role, services) = (self.role, &self.services);
        let asks = Asks { ask, tells_load, upgradable, hedges };
        let Some(period) = keep_alive else {
            let way = Dispatch { role, service: &service, services, connector, interim, asks };
            return way.run(outbound, account).await;
        };
        // Its answer may begin before it has run: what it needs goes with it.
        let (services, connector) = (Arc::clone(services), connector.clone());
        let work = Box::pin(async move {
            let (services, connector, interim) = (&services, &connector, &Interim::Nowhere);
            let way = Dispatch { role, service: &service, services, connector, interim, asks };
            way.run(outbound, account).await
        });
        keep_alive::answer(work, period, reply.manner.clone()).await
    }

    /// Answers what has no head that can be read, and books it.
    pub fn refuse(&self, refusal: impl Into<Refusal>, peer: Option<&Peer>) -> Response<ProxyBody> {
        let (now, refusal) = (clock::now(), refusal.into());
        let identity = Identity::unknown();
        let entry = self.access_log.as_ref().and_then(|log| log.begin_unread(&identity, peer));
        Account::open(Arc::clone(&self.unrouted), now, entry).close(Some(refusal.reason), now);
        identify(respond::refusal(refusal), identity)
    }
}

/// A body's length, as far as it is known.
fn length(body: &RequestBody) -> u64 {
    body.size_hint().exact().unwrap_or_else(|| body.held_bytes())
}

/// Asks a sidecar to refuse what is wholly here, and so can go elsewhere, rather than to let it wait, and
/// to tell its load. Returns whether the client has asked for that itself.
fn ask_sidecar(headers: &mut Fields, body: &RequestBody) -> bool {
    hurry::ask(headers, body.copy().is_some());
    orca::ask(headers)
}

/// Tells the client what its request was known by, unless the upstream has a name of its own.
fn identify(mut response: Response<ProxyBody>, identity: Identity) -> Response<ProxyBody> {
    response.headers_mut().insert_if_absent(REQUEST_ID, identity.request_id);
    response
}
