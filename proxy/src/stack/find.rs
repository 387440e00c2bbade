//! The first half of a request's way: which API it is for, and what of its body must be here before it
//! takes anybody's place.

use super::{Reply, Stack, length};
use crate::access::Caller;
use crate::account::Account;
use crate::body::ProxyBody;
use crate::classify;
use crate::error::Refusal;
use crate::fields::Fields;
use crate::guard;
use crate::incoming::IncomingBody;
use crate::message::{Request, RequestParts, Response};
use crate::model_route;
use crate::policy::model_field::Model;
use crate::policy::models::{Models, Target, asks_for};
use crate::policy::tokens;
use crate::read_ahead::read_ahead;
use crate::request_body::RequestBody;
use crate::respond::{self, Manner};
use crate::service::{Lead, Taker};
use http::Method;
use http::header::HOST;
use percent_encoding::percent_decode_str;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_api::reason::Reason;

/// Where a request was led to.
struct Led {
    target: Target<Lead>,
    /// How many bytes of the path its route's prefix takes.
    prefix: usize,
    /// How many bytes of it to take off.
    strip: usize,
}

/// A request on its way: whose it is, and its body as far as it was read.
pub(super) struct Bound {
    pub(super) taker: Taker,
    pub(super) caller: Caller,
    pub(super) parts: Box<RequestParts>,
    pub(super) body: RequestBody,
    pub(super) upgradable: bool,
    pub(super) strip: usize,
    /// When its time is over: its API's, or its client's own.
    pub(super) deadline: Option<Instant>,
}

/// What became of a request before it was anybody's turn.
pub(super) enum Found {
    /// It is an API's.
    Bound(Bound),
    /// It was about the models themselves.
    Answered(Response<ProxyBody>),
}

// === impl Stack ===

impl Stack {
    /// Finds the API that a request is for, and reads of its body what must be here before it takes
    /// anybody's place.
    pub(super) async fn find(
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
        let arrived = account.arrived;
        let client = classify::deadline(&parts.headers, arrived);
        let within = |deadline| self.limits.patience(arrived, deadline);
        // Read ahead: a small body is here before its request takes anybody's place.
        let (taker, caller, mut body) = match target {
            Target::Api(lead) => {
                let taker = taker(&lead, &parts.headers, reply)?;
                let service = &taker.service;
                account.belongs_to(&service.metrics);
                let caller = service.access.caller(&mut parts.headers)?;
                let deadline = earliest(service.total_ends(arrived), client);
                let body = read_ahead(body, &self.limits, within(deadline)).await?;
                (taker, caller, body)
            }
            Target::Models(models) => {
                if reply.manner == Manner::Plain {
                    reply.manner = Manner::OpenAi(None);
                }
                if let Some(answer) = about_models(&models, &parts, prefix, &mut reply.manner) {
                    return answer.map(Found::Answered);
                }
                let manner = &mut reply.manner;
                let (lead, body) = match models.any() {
                    // A page's browser asks so what it may send, before there is a body to send.
                    Some(any) if parts.method == Method::OPTIONS => {
                        (any.clone(), read_ahead(body, &self.limits, within(client)).await?)
                    }
                    _ => {
                        self.by_model(&models, &parts.headers, (body, within(client)), manner)
                            .await?
                    }
                };
                let taker = taker(&lead, &parts.headers, reply)?;
                let service = &taker.service;
                account.belongs_to(&service.metrics);
                let caller = service.access.caller(&mut parts.headers)?;
                (taker, caller, body)
            }
        };
        let tokens = || tokens::estimate(body.ahead(), length(&body));
        let (rate, spent) = taker.service.access.spend(&caller, &parts.headers, tokens);
        reply.rate = rate;
        let spent = spent?;
        if let Some(spent) = &spent {
            body.costs(|| spent.toll());
        }
        account.spends(spent);
        let deadline = earliest(taker.service.total_ends(arrived), client);
        Ok(Found::Bound(Bound { taker, caller, parts, body, upgradable, strip, deadline }))
    }

    /// The API that has the model which the body names.
    async fn by_model(
        &self,
        models: &Models<Lead>,
        headers: &Fields,
        (body, within): (IncomingBody, Duration),
        manner: &mut Manner,
    ) -> Result<(Lead, RequestBody), Refusal> {
        let limit = models.scan_limit();
        let (limits, room) = (&self.limits, &self.rooms.scan);
        let reading = model_route::named(headers, body, limits, within, limit, room);
        let (model, body) = reading.await?;
        let found = model_route::api(models, &model).cloned();
        if let (Manner::OpenAi(named), Model::Named(name)) = (manner, model) {
            *named = Some(name);
        }
        found.map(|lead| (lead, body))
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

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// The API that takes the request. What is split is said in the answer.
fn taker(lead: &Lead, headers: &Fields, reply: &mut Reply) -> Result<Taker, Refusal> {
    let taker = lead.taker(headers).ok_or(Reason::Internal)?;
    if taker.split.is_some() {
        reply.version = Some(Arc::clone(&taker.service));
    }
    Ok(taker)
}

/// The answer to a request about the models of a route themselves, if it is one.
fn about_models(
    models: &Models<Lead>,
    parts: &RequestParts,
    prefix: usize,
    manner: &mut Manner,
) -> Option<Result<Response<ProxyBody>, Refusal>> {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return None;
    }
    let rest = parts.uri.path().get(prefix..)?;
    let asked = asks_for(rest)?;
    let lets_in = |lead: &Lead| lead.lets_in(&parts.headers);
    let Some(name) = asked else {
        let open = || models.listed().filter(|(_, lead)| lets_in(lead));
        if open().next().is_none() {
            return Some(Err(Reason::Unauthorized.into()));
        }
        return Some(Ok(respond::models(open().map(|(name, lead)| (name, lead.name())))));
    };
    let name = percent_decode_str(name).decode_utf8_lossy();
    Some(match models.named(&name) {
        Some(lead) if lets_in(lead) => Ok(respond::model(&name, lead.name())),
        Some(_) => Err(Reason::Unauthorized.into()),
        None => {
            if let Manner::OpenAi(named) = manner {
                *named = Some(name.into_owned());
            }
            Err(Reason::UnknownModel.into())
        }
    })
}
