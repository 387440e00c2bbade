//! Who may use an API, and how much.

use super::{Check, INSTANT, word};
use crate::document::{Access, RateLimit, RateLimitBy};
use crate::key_path::KeyPath;
use crate::quote;
use crate::raw::{RawAccess, RawRateLimit};
use std::time::Duration;

/// A longer burst than this is no rate any more.
const MAX_BURST: Duration = Duration::from_secs(3600);

pub(super) fn check(raw: RawAccess, check: &mut Check<'_>) -> Access {
    let path = KeyPath::keys("spec.access");
    let api_keys = raw.api_keys.map(|keys| {
        let file = keys.file.unwrap_or_default();
        check.path(&path.key("apiKeys").key("file"), &file)
    });
    let rate_limit = raw.rate_limit.map(|raw| rate_limit(raw, &path.key("rateLimit"), check));
    Access { api_keys, rate_limit }
}

fn rate_limit(raw: RawRateLimit, path: &KeyPath, check: &mut Check<'_>) -> RateLimit {
    if raw.requests_per_second.is_none() && raw.tokens_per_second.is_none() {
        let must = "given a rate: `requestsPerSecond`, `tokensPerSecond` or both";
        check.wrong(path, "has no rate", must);
    }
    let burst = "spec.access.rateLimit.burst";
    RateLimit {
        by: by(&raw.by, &path.key("by"), check),
        requests_per_second: raw.requests_per_second,
        tokens_per_second: raw.tokens_per_second,
        burst: check.duration(burst, raw.burst, INSTANT, MAX_BURST),
    }
}

fn by(text: &str, path: &KeyPath, check: &mut Check<'_>) -> RateLimitBy {
    match text.strip_prefix("header:") {
        Some(name) if word::is_header(name) => RateLimitBy::Header(name.to_ascii_lowercase()),
        None if text == "tenant" => RateLimitBy::Tenant,
        _ => {
            let must = "`tenant`, or `header:NAME` such as `header:x-user`";
            check.wrong(path, format!("is {}", quote::quoted(text)), must);
            RateLimitBy::Tenant
        }
    }
}
