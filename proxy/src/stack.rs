//! The request path: guard → route → read ahead → classify → admit → forward → account.
//!
//! Where a route leads to models, a part of the body is read first, and the API follows from it.

use crate::access::{Access, Caller, RateFields};
use crate::access_log::{AccessLog, Entry};
use crate::account::Account;
use crate::affinity::Affinity;
use crate::body::ProxyBody;
use crate::classify::{self, Classifier};
use crate::clock;
use crate::connections::Connections;
use crate::drain::DrainWatch;
use crate::error::Refusal;
use crate::fields::Fields;
use crate::forward::{Exchange, Role, Timeouts};
use crate::gate::{Ask, Gate};
use crate::guard::{self, HttpLimits};
use crate::h2_head::is_grpc;
use crate::hop::{HopSettings, Peer};
use crate::identity::{Identity, REQUEST_ID};
use crate::inbound::Inbound;
use crate::incoming::IncomingBody;
use crate::interim::Interim;
use crate::message::{Request, RequestParts, Response};
use crate::metrics::ApiMetrics;
use crate::model_route::{self, ScanRoom};
use crate::orca;
use crate::policy::model_field::Model;
use crate::policy::models::{Models, Target, asks_for};
use crate::policy::route::RouteTable;
use crate::policy::tokens;
use crate::proxy_protocol::{self, Arrival};
use crate::read_ahead::read_ahead;
use crate::request_body::RequestBody;
use crate::respond::{self, Manner};
use crate::rewrite::{Told, UpstreamProtocol, rewrite};
use crate::socket::Socket;
use crate::upstream::Connector;
use crate::wire::Wire;
use arc_swap::ArcSwap;
use http::header::{CONNECTION, HOST};
use http::{Method, StatusCode, Version};
use http_body::Body;
use percent_encoding::percent_decode_str;
use prometheus::IntCounter;
use std::net::IpAddr;
use std::sync::Arc;
use tidegate_api::reason::Reason;
use tokio::net::TcpStream;

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

/// Which requests are whose.
pub type Routes = RouteTable<Target<Arc<Service>>>;

/// All that a request meets on its way.
pub struct Stack {
    /// Where the process stands.
    pub role: Role,
    /// Host and path to API. A request keeps what it was led to, whatever comes after.
    pub routes: Arc<ArcSwap<Routes>>,
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
    /// Room for bodies whose models are looked for.
    pub scan_room: ScanRoom,
    /// How the hops around are dealt with.
    pub hops: HopSettings,
    /// Whether the process is ending.
    pub drain: DrainWatch,
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
}

/// Where a request was led to.
struct Led {
    target: Target<Arc<Service>>,
    /// How many bytes of the path its route's prefix takes.
    prefix: usize,
    /// How many bytes of it to take off.
    strip: usize,
}

/// A request on its way: whose it is, and its body as far as it was read.
struct Bound {
    service: Arc<Service>,
    caller: Caller,
    parts: RequestParts,
    body: RequestBody,
    upgradable: bool,
    strip: usize,
}

/// What became of a request before it was anybody's turn.
enum Found {
    /// It is an API's.
    Bound(Box<Bound>),
    /// It was about the models themselves.
    Answered(Response<ProxyBody>),
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
        Some((peer, Inbound::new(wire)))
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
        let mut reply = Reply { manner, rate: None };
        let around = Around { peer, connector, interim, identity: &identity };
        let mut response = match self.serve(request, entry, &around, &mut reply).await {
            Ok(response) => response,
            Err((account, refusal)) => {
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
    ) -> Result<Response<ProxyBody>, (Account, Refusal)> {
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
            Err(refusal) => return Err((account, refusal)),
        };
        let Bound { service, caller: Caller(caller), mut parts, body, upgradable, strip } = *bound;
        // Classify: how urgent, of which tenant, how dear, until when.
        let mut claim = service.classifier.claim(
            caller.as_deref(),
            &parts.headers,
            body.ahead(),
            body.held_bytes(),
            length(&body),
        );
        if let Some(affinity) = &service.affinity {
            claim.key = affinity.key(&parts.headers, body.ahead());
        }
        if let Some(entry) = account.entry() {
            let said = || service.classifier.tenant_name(&parts.headers);
            entry.tenant = caller.as_deref().map(str::to_owned).or_else(said);
            entry.received = body.received();
        }
        let total = service.timeouts.total.map(|total| arrived + total);
        let client = classify::deadline(&parts.headers, arrived);
        let Around { peer, connector, interim, identity } = *around;
        let (mut hurries, mut tells_load) = (false, true);
        match self.role {
            Role::Sidecar => hurries = orca::hurries(&mut parts.headers, peer.trusted),
            // What is wholly here can go elsewhere.
            Role::Gateway => tells_load = orca::ask(&mut parts.headers, body.copy().is_some()),
        }
        let told = Told { peer, forwarded: self.hops.forwarded, identity };
        let outbound = match rewrite(parts, strip, body, service.protocol, &told) {
            Ok(outbound) => outbound,
            Err(refusal) => return Err((account, refusal)),
        };
        // Admit: a slot at once, a place in line, or a refusal.
        let ask = Ask { arrived, deadline: total.into_iter().chain(client).min(), claim, hurries };
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
            tells_load,
            permit,
            account,
        };
        exchange.run(outbound, upgradable).await
    }

    /// Finds the API that a request is for, and reads of its body what must be here before it takes
    /// anybody's place.
    async fn find(
        &self,
        request: Request<IncomingBody>,
        account: &mut Account,
        reply: &mut Reply,
    ) -> Result<Found, Refusal> {
        // Guard: what may not be here goes no further.
        guard::check(&request, &self.limits)?;
        // Route: which API's request it is.
        let Led { target, prefix, strip } = self.route(&request).ok_or(Reason::NoRoute)?;
        let upgradable = request.upgrade().is_some();
        let (mut parts, body) = request.into_parts();
        // Read ahead: a small body is here before its request takes anybody's place.
        let (service, caller, body) = match target {
            Target::Api(service) => {
                account.belongs_to(&service.metrics);
                let caller = service.access.caller(&mut parts.headers)?;
                let body = read_ahead(body, &self.limits).await?;
                (service, caller, body)
            }
            Target::Models(models) => {
                if reply.manner == Manner::Plain {
                    reply.manner = Manner::OpenAi(None);
                }
                if let Some(answer) = about_models(&models, &parts, prefix, &mut reply.manner) {
                    return answer.map(Found::Answered);
                }
                let manner = &mut reply.manner;
                let (service, body) = self.by_model(&models, &parts.headers, body, manner).await?;
                account.belongs_to(&service.metrics);
                let caller = service.access.caller(&mut parts.headers)?;
                (service, caller, body)
            }
        };
        let tokens = || tokens::estimate(body.ahead(), length(&body));
        let (rate, spent) = service.access.spend(&caller, &parts.headers, tokens);
        reply.rate = rate;
        spent?;
        Ok(Found::Bound(Box::new(Bound { service, caller, parts, body, upgradable, strip })))
    }

    /// The API that has the model which the body names.
    async fn by_model(
        &self,
        models: &Models<Arc<Service>>,
        headers: &Fields,
        body: IncomingBody,
        manner: &mut Manner,
    ) -> Result<(Arc<Service>, RequestBody), Refusal> {
        let limit = models.scan_limit();
        let reading = model_route::named(headers, body, &self.limits, limit, &self.scan_room);
        let (model, body) = reading.await?;
        let found = model_route::api(models, &model).cloned();
        if let (Manner::OpenAi(named), Model::Named(name)) = (manner, model) {
            *named = Some(name);
        }
        found.map(|service| (service, body))
    }

    /// Answers what has no head that can be read, and books it.
    pub fn refuse(&self, refusal: impl Into<Refusal>, peer: Option<&Peer>) -> Response<ProxyBody> {
        let (now, refusal) = (clock::now(), refusal.into());
        let identity = Identity::unknown();
        let entry = self.access_log.as_ref().and_then(|log| log.begin_unread(&identity, peer));
        Account::open(Arc::clone(&self.unrouted), now, entry).close(Some(refusal.reason), now);
        identify(respond::refusal(refusal), identity)
    }

    fn route<B>(&self, request: &Request<B>) -> Option<Led> {
        let (uri, headers) = (request.uri(), request.headers());
        let host = match uri.host() {
            Some(host) => host.as_bytes(),
            None => headers.get(HOST).unwrap_or_default(),
        };
        let has =
            |name: &str, value: &str| headers.get_all(name).any(|said| said == value.as_bytes());
        let routes = self.routes.load();
        let found = routes.find(host, uri.path(), has)?;
        Some(Led { target: found.target.clone(), prefix: found.prefix, strip: found.strip })
    }
}

/// A body's length, as far as it is known.
fn length(body: &RequestBody) -> u64 {
    body.size_hint().exact().unwrap_or_else(|| body.held_bytes())
}

/// The answer to a request about the models of a route themselves, if it is one.
fn about_models(
    models: &Models<Arc<Service>>,
    parts: &RequestParts,
    prefix: usize,
    manner: &mut Manner,
) -> Option<Result<Response<ProxyBody>, Refusal>> {
    if parts.method != Method::GET {
        return None;
    }
    let rest = parts.uri.path().get(prefix..)?;
    let asked = asks_for(rest)?;
    let lets_in = |service: &Service| service.access.lets_in(&parts.headers);
    let Some(name) = asked else {
        let open = || models.listed().filter(|(_, service)| lets_in(service));
        if open().next().is_none() {
            return Some(Err(Reason::Unauthorized.into()));
        }
        return Some(Ok(respond::models(open().map(|(name, of)| (name, &*of.metrics.api)))));
    };
    let name = percent_decode_str(name).decode_utf8_lossy();
    Some(match models.named(&name) {
        Some(service) if lets_in(service) => Ok(respond::model(&name, &service.metrics.api)),
        Some(_) => Err(Reason::Unauthorized.into()),
        None => {
            if let Manner::OpenAi(named) = manner {
                *named = Some(name.into_owned());
            }
            Err(Reason::UnknownModel.into())
        }
    })
}

/// Tells the client what its request was known by, unless the upstream has a name of its own.
fn identify(mut response: Response<ProxyBody>, identity: Identity) -> Response<ProxyBody> {
    response.headers_mut().insert_if_absent(REQUEST_ID, identity.request_id);
    response
}
