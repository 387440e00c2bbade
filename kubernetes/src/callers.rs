//! Who calls: tokens of service accounts, as the API server judges them (TokenReview).
//!
//! A verdict counts for a while, so that gateways which push twice a second don't ask the API server
//! as often; what is remembered is bounded, and so is what is asked at once.

use crate::clock::Clock;
use crate::failure::{Failure, Tell};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::PostParams;
use kube::{Api, Client};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// For how long a token that was taken is taken again unasked. One that is revoked ends with it.
const TAKEN_FOR: Duration = Duration::from_secs(60);
/// For how long one that was not is refused unasked: an account may be made meanwhile.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// The most tokens that are remembered: as many as there are gateways, and more for strangers.
const MOST_KNOWN: usize = 256;
/// Reviews at once.
const MOST_AT_ONCE: usize = 4;
/// The longest token, in bytes; those of Kubernetes have about one thousand.
const MOST_TOKEN: usize = 8192;
/// The longest that the API server is waited for.
const DEADLINE: Duration = Duration::from_secs(5);
/// How Kubernetes calls a service account as a user.
const PREFIX: &str = "system:serviceaccount:";

/// Why a caller is sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It has brought no token.
    #[error("bring a service account's token: Authorization: Bearer …")]
    NoToken,
    /// Its token is none, has expired, or is for somebody else.
    #[error("this token is not valid, or not for this audience")]
    Invalid,
    /// Its account is not one of those that may.
    #[error("this service account may not do that")]
    NotAllowed,
    /// The API server could not be asked.
    #[error("the token can't be checked now")]
    Unavailable,
}

/// Judges callers.
pub struct Callers {
    client: Client,
    clock: Clock,
    audience: String,
    allowed: BTreeSet<String>,
    known: Mutex<Known>,
    turns: Semaphore,
    tell: Tell,
}

impl std::fmt::Debug for Callers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callers").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

impl Callers {
    /// Lets these accounts in, each as `namespace/name`, with tokens for this audience.
    pub fn new(
        client: Client,
        accounts: impl IntoIterator<Item = String>,
        audience: String,
        tell: Tell,
    ) -> Self {
        let user = |account: String| format!("{PREFIX}{}", account.replace('/', ":"));
        Self {
            client,
            clock: Clock::start(),
            audience,
            allowed: accounts.into_iter().map(user).collect(),
            known: Mutex::default(),
            turns: Semaphore::new(MOST_AT_ONCE),
            tell,
        }
    }

    /// Whether who has this token may go on.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn judge(&self, token: Option<&str>) -> Result<(), Denied> {
        let token = token.filter(|token| !token.is_empty()).ok_or(Denied::NoToken)?;
        if token.len() > MOST_TOKEN {
            return Err(Denied::Invalid);
        }
        let digest: TokenDigest = Sha256::digest(token).into();
        if let Some(verdict) = self.known().find(&digest, self.clock.now()) {
            return verdict;
        }
        let Ok(_turn) = self.turns.try_acquire() else { return Err(Denied::Unavailable) };
        match self.review(token).await {
            Ok(status) => {
                let verdict = verdict(&status, &self.audience, &self.allowed);
                self.known().keep(digest, verdict, self.clock.now());
                verdict
            }
            Err(failure) => {
                (self.tell)("tokenreviews", failure.code);
                tracing::warn!(%failure, "can't check a token");
                Err(Denied::Unavailable)
            }
        }
    }

    async fn review(&self, token: &str) -> Result<TokenReviewStatus, Failure> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                audiences: Some(vec![self.audience.clone()]),
            },
            ..TokenReview::default()
        };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let params = PostParams::default();
        let asking = tokio::time::timeout(DEADLINE, api.create(&params, &review));
        let answer = asking.await.map_err(|_| Failure::deadline(DEADLINE))?;
        Ok(answer?.status.unwrap_or_default())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the API server's word comes to.
fn verdict(
    status: &TokenReviewStatus,
    audience: &str,
    allowed: &BTreeSet<String>,
) -> Result<(), Denied> {
    // An API server that knows nothing of audiences names none: the token may be for anybody.
    let is_ours = status.audiences.iter().flatten().any(|named| named == audience);
    if status.authenticated != Some(true) || !is_ours {
        return Err(Denied::Invalid);
    }
    let user = status.user.as_ref().and_then(|user| user.username.as_ref());
    if user.is_some_and(|user| allowed.contains(user)) { Ok(()) } else { Err(Denied::NotAllowed) }
}

/// What a token comes to, so that none is kept.
type TokenDigest = [u8; 32];

/// The verdicts that still count.
#[derive(Debug, Default)]
struct Known(HashMap<TokenDigest, (Result<(), Denied>, Duration)>);

impl Known {
    fn find(&self, token: &TokenDigest, now: Duration) -> Option<Result<(), Denied>> {
        let (verdict, until) = self.0.get(token)?;
        (now < *until).then_some(*verdict)
    }

    /// Remembers one; where there is no room, forgets first what has passed, then a stranger.
    fn keep(&mut self, token: TokenDigest, verdict: Result<(), Denied>, now: Duration) {
        if self.0.len() >= MOST_KNOWN {
            self.0.retain(|_, (_, until)| now < *until);
        }
        if self.0.len() >= MOST_KNOWN {
            let stranger =
                self.0.iter().min_by_key(|(_, (verdict, until))| (verdict.is_ok(), *until));
            let Some(stranger) = stranger.map(|(token, _)| *token) else { return };
            self.0.remove(&stranger);
        }
        let counts = if verdict.is_ok() { TAKEN_FOR } else { REFUSED_FOR };
        self.0.insert(token, (verdict, now + counts));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn only_a_named_account_with_a_token_for_us_may() {
        let allowed: BTreeSet<_> = ["system:serviceaccount:tidegate:gateway".to_owned()].into();
        let of = |status: Value| {
            let status: TokenReviewStatus = serde_json::from_value(status).unwrap();
            verdict(&status, "us", &allowed)
        };
        let user = |name: &str| json!({"username": format!("system:serviceaccount:{name}")});
        let gateway = user("tidegate:gateway");
        for (status, expected) in [
            (json!({"authenticated": true, "audiences": ["us"], "user": gateway}), Ok(())),
            (
                json!({"authenticated": true, "audiences": ["us"], "user": user("x:gateway")}),
                Err(Denied::NotAllowed),
            ),
            (json!({"authenticated": true, "audiences": ["us"]}), Err(Denied::NotAllowed)),
            (
                json!({"authenticated": true, "audiences": ["others"], "user": gateway}),
                Err(Denied::Invalid),
            ),
            (json!({"authenticated": true, "user": gateway}), Err(Denied::Invalid)),
            (json!({"audiences": ["us"], "user": gateway}), Err(Denied::Invalid)),
            (json!({}), Err(Denied::Invalid)),
        ] {
            assert_eq!(of(status.clone()), expected, "{status}");
        }
    }

    #[test]
    fn a_verdict_counts_for_a_while_and_strangers_push_nobody_out() {
        let mut known = Known::default();
        let at = Duration::from_secs;
        known.keep([0; 32], Ok(()), at(0));
        for stranger in 0..1000_u32 {
            let mut token = [1; 32];
            token[..4].copy_from_slice(&stranger.to_be_bytes());
            known.keep(token, Err(Denied::Invalid), at(1));
            assert!(known.0.len() <= MOST_KNOWN);
            assert_eq!(known.find(&token, at(10)), Some(Err(Denied::Invalid)));
            assert_eq!(known.find(&token, at(11)), None);
        }
        assert_eq!(known.find(&[0; 32], at(59)), Some(Ok(())));
        assert_eq!(known.find(&[0; 32], at(60)), None);
    }
}
