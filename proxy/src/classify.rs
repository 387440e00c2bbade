//! What a request's head says of it: how urgent it is, whose, how dear, and until when its client
//! waits. Nothing is allocated for a request.

use crate::fields::Fields;
use crate::policy::claim::{Claim, Priority, TenantKey};
use crate::policy::tokens;
use http::header::HeaderName;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};
use tidegate_api::names::header;

const PRIORITY: HeaderName = HeaderName::from_static(header::PRIORITY);
const REQUEST_TIMEOUT_MS: HeaderName = HeaderName::from_static(header::REQUEST_TIMEOUT_MS);
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// The gRPC wire protocol allows eight digits.
const GRPC_TIMEOUT_DIGITS: usize = 8;

/// What is read from heads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassifySettings {
    /// Whether clients may say how urgent their requests are.
    pub trust_priority: bool,
    /// Which header names the tenant.
    pub tenant_header: Option<HeaderName>,
    /// Shares of tenants, by what the header says; others have 1.
    pub tenant_weights: Vec<(String, u32)>,
    /// What a request costs.
    pub cost: Cost,
}

/// What a request costs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Cost {
    /// 1.
    #[default]
    One,
    /// What a header says; 1 where it says nothing.
    Header(HeaderName),
    /// The tokens of an OpenAI-style request, estimated.
    OpenAiTokens,
}

/// Reads heads.
#[derive(Debug)]
pub struct Classifier {
    trust_priority: bool,
    tenant_header: Option<HeaderName>,
    /// Whether that header's values are nobody's business.
    tenant_secret: bool,
    weights: HashMap<TenantKey, u32>,
    cost: Cost,
    /// Keyed at random for each process, so that nobody can choose whom to collide with.
    hasher: RandomState,
}

// === impl Classifier ===

impl Classifier {
    /// Reads what the settings name.
    pub fn new(settings: ClassifySettings) -> Self {
        let hasher = RandomState::new();
        let weights = settings.tenant_weights.iter();
        Self {
            trust_priority: settings.trust_priority,
            tenant_secret: settings.tenant_header.as_ref().is_some_and(is_secret),
            tenant_header: settings.tenant_header,
            weights: weights
                .map(|(name, weight)| (key(&hasher, name.as_bytes()), *weight))
                .collect(),
            cost: settings.cost,
            hasher,
        }
    }

    /// What a request claims. `caller` is who asks, if that is known by more than a header, `ahead`
    /// what is here of its body, `length` the body's length as far as it is known.
    pub fn claim(
        &self,
        caller: Option<&str>,
        headers: &Fields,
        ahead: &[u8],
        held_bytes: u64,
        length: u64,
    ) -> Claim {
        let tenant = match caller {
            Some(name) => key(&self.hasher, name.as_bytes()),
            None => self.tenant(headers),
        };
        let weight = match self.weights.is_empty() {
            true => 1,
            false => self.weights.get(&tenant).copied().unwrap_or(1),
        };
        let cost = match &self.cost {
            Cost::One => 1,
            Cost::Header(name) => {
                let said = headers.get(name).and_then(digits);
                said.map_or(1, |cost| u32::try_from(cost).unwrap_or(u32::MAX))
            }
            Cost::OpenAiTokens => tokens::estimate(ahead, length),
        };
        Claim {
            priority: self.priority(headers),
            tenant,
            weight,
            cost,
            bytes: held_bytes,
            key: None,
        }
    }

    /// The tenant as a log may name it: as said, or, where its header may hold a secret, by a number
    /// that means nothing outside this process.
    pub fn tenant_name(&self, headers: &Fields) -> Option<String> {
        let named = headers.get(self.tenant_header.as_ref()?)?;
        Some(match self.tenant_secret {
            true => format!("{:016x}", self.hasher.hash_one(named)),
            false => String::from_utf8_lossy(named).into_owned(),
        })
    }

    fn priority(&self, headers: &Fields) -> Priority {
        if !self.trust_priority {
            return Priority::Standard;
        }
        match headers.get(PRIORITY) {
            Some(b"critical") => Priority::Critical,
            Some(b"sheddable") => Priority::Sheddable,
            _ => Priority::Standard,
        }
    }

    fn tenant(&self, headers: &Fields) -> TenantKey {
        let named = self.tenant_header.as_ref().and_then(|name| headers.get(name));
        match named {
            None | Some(b"") => TenantKey::ANONYMOUS,
            Some(name) => key(&self.hasher, name),
        }
    }
}

/// Whether a header's name says that its values may be secrets.
fn is_secret(name: &HeaderName) -> bool {
    let words = ["auth", "cookie", "credential", "key", "pass", "secret", "session", "token"];
    words.iter().any(|word| name.as_str().contains(word))
}

/// Until when the client waits, if it says so: the earliest of `x-request-timeout-ms` and
/// `grpc-timeout`. What is malformed, or beyond the end of time, says nothing.
pub fn deadline(headers: &Fields, arrived: Instant) -> Option<Instant> {
    let own = headers.get_all(REQUEST_TIMEOUT_MS);
    let own = own.filter_map(|value| digits(value).map(Duration::from_millis));
    let grpc = headers.get_all(GRPC_TIMEOUT).filter_map(grpc_timeout);
    arrived.checked_add(own.chain(grpc).min()?)
}

/// `TimeoutValue TimeoutUnit` of the gRPC wire protocol: up to eight digits, one letter.
fn grpc_timeout(text: &[u8]) -> Option<Duration> {
    let (unit, number) = text.split_last()?;
    let number = digits(number).filter(|_| number.len() <= GRPC_TIMEOUT_DIGITS)?;
    // Eight digits of hours are far from overflow.
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// A whole number and nothing else.
fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

fn key(hasher: &RandomState, name: &[u8]) -> TenantKey {
    TenantKey::of_hash(hasher.hash_one(name))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "simulated time needs a start")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(lines: &[(&'static str, &str)]) -> Fields {
        lines.iter().copied().collect()
    }

    #[test]
    fn priorities_are_believed_only_where_they_are_trusted() {
        let trusting =
            Classifier::new(ClassifySettings { trust_priority: true, ..Default::default() });
        let wary = Classifier::new(ClassifySettings::default());
        for (said, expected) in [
            ("critical", Priority::Critical),
            ("standard", Priority::Standard),
            ("sheddable", Priority::Sheddable),
            ("CRITICAL", Priority::Standard),
            ("critical ,", Priority::Standard),
            ("", Priority::Standard),
        ] {
            let headers = headers(&[("x-tidegate-priority", said)]);
            assert_eq!(trusting.claim(None, &headers, b"", 0, 0).priority, expected, "{said}");
            assert_eq!(wary.claim(None, &headers, b"", 0, 0).priority, Priority::Standard);
        }
    }

    #[test]
    fn tenants_are_told_apart_by_their_header_and_weighed() {
        let classifier = Classifier::new(ClassifySettings {
            tenant_header: Some(HeaderName::from_static("x-tenant")),
            tenant_weights: vec![("gold".to_owned(), 4)],
            ..Default::default()
        });
        let of =
            |lines: &[(&'static str, &str)]| classifier.claim(None, &headers(lines), b"", 0, 0);
        let (gold, tin) = (of(&[("x-tenant", "gold")]), of(&[("x-tenant", "tin")]));
        assert_ne!(gold.tenant, tin.tenant);
        assert_eq!(gold.tenant, of(&[("x-tenant", "gold"), ("x-other", "1")]).tenant);
        assert_eq!((gold.weight, tin.weight), (4, 1));
        assert_eq!(of(&[]).tenant, TenantKey::ANONYMOUS);
        assert_eq!(of(&[("x-tenant", "")]).tenant, TenantKey::ANONYMOUS);
        let blind = Classifier::new(ClassifySettings::default());
        assert_eq!(
            blind.claim(None, &headers(&[("x-tenant", "gold")]), b"", 0, 0).tenant,
            TenantKey::ANONYMOUS
        );
    }

    #[test]
    fn a_secret_is_not_what_logs_call_a_tenant() {
        let named = |header: &'static str| {
            let tenant_header = Some(HeaderName::from_static(header));
            let classifier =
                Classifier::new(ClassifySettings { tenant_header, ..Default::default() });
            let name = |said| classifier.tenant_name(&headers(&[(header, said)])).unwrap();
            (name("gold"), name("tin"))
        };
        assert_eq!(named("x-tenant"), ("gold".to_owned(), "tin".to_owned()));
        for secret in ["authorization", "x-api-key", "cookie", "x-access-token"] {
            let (gold, tin) = named(secret);
            assert!(gold != tin && gold.len() == 16 && !gold.contains("gold"), "{secret}: {gold}");
        }
        let none = Classifier::new(ClassifySettings::default());
        assert_eq!(none.tenant_name(&headers(&[("x-tenant", "gold")])), None);
    }

    #[test]
    fn costs_come_from_where_they_are_looked_for() {
        let by = |cost| Classifier::new(ClassifySettings { cost, ..Default::default() });
        let header = by(Cost::Header(HeaderName::from_static("x-cost")));
        for (said, expected) in [
            ("0", 0),
            ("12", 12),
            ("4294967296", u32::MAX),
            ("99999999999999999999", 1),
            ("-1", 1),
            ("1.5", 1),
            ("", 1),
        ] {
            let seen = header.claim(None, &headers(&[("x-cost", said)]), b"", 0, 0).cost;
            assert_eq!(seen, expected, "{said}");
        }
        assert_eq!(header.claim(None, &Fields::default(), b"", 0, 0).cost, 1);
        let body = br#"{"prompt":"abcd","max_tokens":5}"#;
        let tokens =
            by(Cost::OpenAiTokens).claim(None, &Fields::default(), body, 0, body.len() as u64);
        assert_eq!(tokens.cost, 6);
    }

    #[test]
    fn deadlines_are_read_strictly() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        for (name, said, expected) in [
            ("x-request-timeout-ms", "250", Some(ms(250))),
            ("x-request-timeout-ms", "0", Some(ms(0))),
            ("x-request-timeout-ms", "+5", None),
            ("x-request-timeout-ms", " 5", None),
            ("x-request-timeout-ms", "5s", None),
            ("x-request-timeout-ms", "1e3", None),
            ("x-request-timeout-ms", "", None),
            ("x-request-timeout-ms", "99999999999999999999999", None),
            ("grpc-timeout", "1H", Some(ms(3_600_000))),
            ("grpc-timeout", "2M", Some(ms(120_000))),
            ("grpc-timeout", "3S", Some(ms(3_000))),
            ("grpc-timeout", "4m", Some(ms(4))),
            ("grpc-timeout", "5000u", Some(ms(5))),
            ("grpc-timeout", "6000000n", Some(ms(6))),
            ("grpc-timeout", "99999999n", Some(Duration::from_nanos(99_999_999))),
            ("grpc-timeout", "100000000n", None),
            ("grpc-timeout", "1h", None),
            ("grpc-timeout", "S", None),
            ("grpc-timeout", "1", None),
            ("grpc-timeout", "1 S", None),
            ("grpc-timeout", "-1S", None),
        ] {
            let seen = deadline(&headers(&[(name, said)]), now).map(|at| at - now);
            assert_eq!(seen, expected, "{name}: {said}");
        }
        let both = headers(&[("x-request-timeout-ms", "250"), ("grpc-timeout", "1S")]);
        assert_eq!(deadline(&both, now), Some(now + ms(250)));
        assert_eq!(deadline(&Fields::default(), now), None);
        // The end of time is no deadline.
        let far = headers(&[("x-request-timeout-ms", "18446744073709551615")]);
        assert!(deadline(&far, now).is_none_or(|at| at > now));
    }

    proptest! {
        #[test]
        fn any_value_is_read_without_harm(said in prop::collection::vec(32..127u8, 0..30)) {
            let mut headers = Fields::default();
            headers.insert(GRPC_TIMEOUT, &said);
            headers.insert(REQUEST_TIMEOUT_MS, &said);
            let now = Instant::now();
            prop_assert!(deadline(&headers, now).is_none_or(|at| at >= now));
        }
    }
}
