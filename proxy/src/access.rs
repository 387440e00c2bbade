//! Who may use an API, and how much of it: its keys, and each tenant's rate.

use crate::clock;
use crate::error::Refusal;
use crate::fields::Fields;
use crate::keys::{KeyFile, Presented};
use crate::policy::rate::{Buckets, Level, Rate};
use http::HeaderName;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tidegate_api::document::{RateLimit, RateLimitBy};
use tidegate_api::reason::Reason;

mod toll;

pub use toll::{SpentTokens, Toll};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Tenants of all APIs that may be in debt at once without one being forgotten, for each shard.
const PLACES: usize = 8192;
/// Tables, so that workers seldom meet at a lock. All take two mebibytes together.
const SHARDS: usize = 16;

/// Who may use one API, and how much of it.
pub struct Access {
    /// Its own keys, if it asks for one.
    keys: Option<Arc<KeyFile>>,
    /// Those of every API: a key that is known, but not here, is another matter than none.
    known: Arc<[Arc<KeyFile>]>,
    limiter: Option<Limiter>,
}

/// How much each tenant may use.
pub struct Limiter {
    api: String,
    by: By,
    requests: Option<Rate>,
    tokens: Option<Rate>,
    /// What `RateLimit-Policy` says.
    policy: String,
    spent: Arc<Spent>,
}

/// What tells tenants apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// The caller's name, or what the gateway's header of tenants says.
    Tenant(Option<HeaderName>),
    /// What this header says.
    Header(HeaderName),
}

/// The settings of a [`Limiter`].
#[derive(Debug, Clone, PartialEq)]
pub struct LimiterSettings {
    /// What tells tenants apart.
    pub by: By,
    /// Requests a second.
    pub requests_per_second: Option<f64>,
    /// Tokens a second.
    pub tokens_per_second: Option<f64>,
    /// As much as comes in this time may come at once.
    pub burst: Duration,
}

/// What all tenants of all APIs have spent, in fixed memory.
pub struct Spent {
    shards: Box<[Mutex<Buckets>]>,
    /// Keyed at random for each process, so that nobody can choose whom to collide with.
    hasher: RandomState,
}

/// Who asks: the name that goes with the key, if one was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller(pub Option<Arc<str>>);

/// What an answer says of the rate: `RateLimit-Policy` and `RateLimit`, as in the draft
/// draft-ietf-httpapi-ratelimit-headers-11 (sections 3 and 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateFields {
    policy: String,
    state: String,
}

// === impl Access ===

impl Access {
    /// Everybody may, without a limit.
    pub fn open() -> Self {
        Self { keys: None, known: Arc::new([]), limiter: None }
    }

    /// Who has one of these keys may (everybody, if there are none), and so much. `known` are the
    /// keys of every API.
    pub fn new(
        keys: Option<Arc<KeyFile>>,
        known: Arc<[Arc<KeyFile>]>,
        limiter: Option<Limiter>,
    ) -> Self {
        Self { keys, known, limiter }
    }

    /// Who asks. A key that was asked for is taken out of the head: the model has no use for it.
    ///
    /// # Errors
    /// `unauthorized` without a key that anybody knows, `forbidden` with one of another API.
    pub fn caller(&self, headers: &mut Fields) -> Result<Caller, Refusal> {
        let Some(keys) = &self.keys else { return Ok(Caller::default()) };
        let presented = Presented::of(headers).ok_or(Reason::Unauthorized)?;
        let Some(name) = keys.find(&presented) else {
            let is_known = self.known.iter().any(|other| other.find(&presented).is_some());
            return Err(if is_known { Reason::Forbidden } else { Reason::Unauthorized }.into());
        };
        headers.remove(presented.header);
        Ok(Caller(Some(name)))
    }

    /// Whether a request for something that this API has would be let in.
    pub fn lets_in(&self, headers: &Fields) -> bool {
        let Some(keys) = &self.keys else { return true };
        Presented::of(headers).is_some_and(|presented| keys.find(&presented).is_some())
    }

    /// Spends what a request costs its tenant. What the answer will say of it, also if it is
    /// refused. `tokens` is asked only if they are counted.
    ///
    /// # Errors
    /// `rate-limited`, with the time until it would be let in.
    pub fn spend(
        &self,
        caller: &Caller,
        headers: &Fields,
        tokens: impl FnOnce() -> u32,
    ) -> (Option<RateFields>, Result<Option<Box<SpentTokens>>, Refusal>) {
        match &self.limiter {
            None => (None, Ok(None)),
            Some(limiter) => {
                let (fields, spent) = limiter.spend(caller, headers, tokens);
                (Some(fields), spent)
            }
        }
    }
}

// === impl Limiter ===

impl Limiter {
    /// The limits of the API of this name.
    pub fn new(api: &str, settings: LimiterSettings, spent: Arc<Spent>) -> Self {
        let rate = |per_second: f64| Rate::new(per_second, settings.burst);
        let (requests, tokens) =
            (settings.requests_per_second.map(rate), settings.tokens_per_second.map(rate));
        // Without a unit requests are meant. There is none for tokens in the draft's list.
        let policies = [("requests", "", requests), ("tokens", ";qu=\"tokens\"", tokens)];
        let policies = policies.iter().filter_map(|(name, unit, rate)| {
            let (quota, window) = ((*rate)?.capacity(), seconds((*rate)?.window()).max(1));
            Some(format!("\"{name}\";q={quota}{unit};w={window}"))
        });
        let policy = policies.collect::<Vec<_>>().join(", ");
        Self { api: api.to_owned(), by: settings.by, requests, tokens, policy, spent }
    }

    fn spend(
        &self,
        caller: &Caller,
        headers: &Fields,
        tokens: impl FnOnce() -> u32,
    ) -> (RateFields, Result<Option<Box<SpentTokens>>, Refusal>) {
        let now = clock::now();
        let tenant = self.tenant(caller, headers);
        let key = self.spent.hasher.hash_one((self.api.as_str(), tenant));
        let buckets = [
            self.requests.map(|rate| ("requests", key, rate, 1.0)),
            self.tokens.map(|rate| ("tokens", of_tokens(key), rate, f64::from(tokens()))),
        ];
        let mut table = self.spent.shard(key);
        let waits = buckets.iter().flatten();
        let wait = waits.map(|(_, key, rate, units)| table.wait(*key, *units, rate, now)).max();
        let wait = wait.unwrap_or_default();
        let levels = buckets.iter().flatten().map(|(name, key, rate, units)| {
            let level = match wait.is_zero() {
                true => table.take(*key, *units, rate, now),
                false => table.level(*key, rate, now),
            };
            shown(name, &level)
        });
        let state = levels.collect::<Vec<_>>().join(", ");
        let fields = RateFields { policy: self.policy.clone(), state };
        if wait.is_zero() {
            let [_, tokens] = buckets;
            let spent = tokens.map(|(_, _, rate, tokens)| {
                Box::new(SpentTokens::new(Arc::clone(&self.spent), key, rate, tokens))
            });
            return (fields, Ok(spent));
        }
        let retry_after_s = Some(seconds(wait).max(1));
        (fields, Err(Refusal { retry_after_s, ..Reason::RateLimited.into() }))
    }

    fn tenant<'a>(&self, caller: &'a Caller, headers: &'a Fields) -> &'a [u8] {
        let said = |name: &HeaderName| headers.get(name).unwrap_or_default();
        match (&self.by, &caller.0) {
            (By::Header(name), _) => said(name),
            (By::Tenant(_), Some(name)) => name.as_bytes(),
            (By::Tenant(Some(name)), None) => said(name),
            (By::Tenant(None), None) => b"",
        }
    }
}

// === impl LimiterSettings ===

impl LimiterSettings {
    /// Those of a document. A name that is no header's, which no checked document has, is none.
    pub fn from_document(limit: &RateLimit) -> Self {
        let by = match &limit.by {
            RateLimitBy::Tenant => By::Tenant(None),
            RateLimitBy::Header(name) => name.parse().map_or(By::Tenant(None), By::Header),
        };
        Self {
            by,
            requests_per_second: limit.requests_per_second,
            tokens_per_second: limit.tokens_per_second,
            burst: limit.burst,
        }
    }

    /// The same at a gateway whose tenants are named by this header.
    pub fn of_gateway(self, tenant_header: &Option<HeaderName>) -> Self {
        match self.by {
            By::Tenant(_) => Self { by: By::Tenant(tenant_header.clone()), ..self },
            By::Header(_) => self,
        }
    }
}

// === impl Spent ===

impl Spent {
    /// Nothing was spent.
    pub fn new(now: Instant) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(Buckets::new(PLACES, now)));
        Self { shards: shards.collect(), hasher: RandomState::new() }
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, Buckets> {
        // The highest bits: the table goes by the lowest.
        let shard = (key >> 60) as usize % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl RateFields ===

impl RateFields {
    /// Says them on an answer, in place of what a model may have said.
    pub fn insert(self, headers: &mut Fields) {
        headers.insert(RATE_LIMIT_POLICY, self.policy);
        headers.insert(RATE_LIMIT, self.state);
    }
}

/// Another bucket of the same tenant, in the same shard.
fn of_tokens(tenant: u64) -> u64 {
    !tenant
}

/// How much is left, and for how long no more than that: until then nobody need come back.
fn shown(name: &str, level: &Level) -> String {
    format!("\"{name}\";r={};t={}", level.remaining, seconds(level.next_in))
}

/// Whole seconds, and a part of one as a whole one.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(by: By, requests: Option<f64>, tokens: Option<f64>) -> Access {
        let settings = LimiterSettings {
            by,
            requests_per_second: requests,
            tokens_per_second: tokens,
            burst: Duration::from_secs(1),
        };
        let spent = Arc::new(Spent::new(clock::now()));
        Access::new(None, Arc::new([]), Some(Limiter::new("a", settings, spent)))
    }

    fn headers(user: &'static str) -> Fields {
        [("x-user", user)].into_iter().collect()
    }

    /// How many of twenty are let in, and what the last one is told.
    fn twenty(access: &Access, caller: &Caller, user: &'static str) -> (usize, Fields) {
        let (mut passed, mut told) = (0, Fields::default());
        for _ in 0..20 {
            let (fields, spent) = access.spend(caller, &headers(user), || 60);
            passed += usize::from(spent.is_ok());
            fields.unwrap().insert(&mut told);
            if let Err(refusal) = spent {
                assert_eq!(refusal.reason, Reason::RateLimited);
                assert!(refusal.retry_after_s.is_some_and(|seconds| seconds >= 1));
            }
        }
        (passed, told)
    }

    #[test]
    fn tenants_have_limits_of_their_own_and_are_told_them() {
        let caller = |name: &str| Caller(Some(name.into()));
        // So slow that nothing comes back while this runs.
        let by_key = limiter(By::Tenant(None), Some(0.005), None);
        let (passed, told) = twenty(&by_key, &caller("a"), "x");
        assert_eq!(
            (passed, told.get("ratelimit-policy")),
            (1, Some(&b"\"requests\";q=1;w=200"[..]))
        );
        assert_eq!(told.get("ratelimit"), Some(&b"\"requests\";r=0;t=200"[..]));
        assert_eq!(twenty(&by_key, &caller("a"), "y").0, 0);
        assert_eq!(twenty(&by_key, &caller("b"), "x").0, 1);
        let by_header = limiter(By::Header(HeaderName::from_static("x-user")), Some(0.005), None);
        assert_eq!(twenty(&by_header, &caller("a"), "x").0, 1);
        assert_eq!(twenty(&by_header, &caller("b"), "x").0, 0);
        assert_eq!(twenty(&by_header, &caller("a"), "y").0, 1);
    }

    #[test]
    fn what_a_tenant_spends_at_one_api_it_still_has_at_another() {
        let spent = Arc::new(Spent::new(clock::now()));
        let [a, b] = ["a", "b"].map(|api| {
            let settings = LimiterSettings {
                by: By::Tenant(None),
                requests_per_second: Some(0.005),
                tokens_per_second: None,
                burst: Duration::from_secs(1),
            };
            Access::new(None, Arc::new([]), Some(Limiter::new(api, settings, Arc::clone(&spent))))
        });
        assert_eq!(twenty(&a, &Caller(Some("t".into())), "x").0, 1);
        assert_eq!(twenty(&b, &Caller(Some("t".into())), "x").0, 1);
    }

    #[test]
    fn tokens_count_beside_requests_and_what_is_refused_costs_nothing() {
        let access = limiter(By::Tenant(None), Some(20.0), Some(0.02));
        let (passed, told) = twenty(&access, &Caller::default(), "x");
        // 60 tokens were taken from a bucket of one, which owes them.
        let policy = &b"\"requests\";q=20;w=1, \"tokens\";q=1;qu=\"tokens\";w=50"[..];
        assert_eq!((passed, told.get("ratelimit-policy")), (1, Some(policy)));
        let said = std::str::from_utf8(told.get("ratelimit").unwrap()).unwrap();
        assert!(said.ends_with("\"tokens\";r=0;t=3000"), "{said}");
        let is_untouched = |left| said.starts_with(&format!("\"requests\";r={left};"));
        assert!(is_untouched(19) || is_untouched(20), "{said}");
    }
}
