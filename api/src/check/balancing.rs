//! `spec.balancing`: the choice among replicas and what it goes by.

use super::{Check, INSTANT, word};
use crate::document::{Balancing, BalancingPolicy, Ejection, HashBy, Hedging, Retries};
use crate::key_path::KeyPath;
use crate::quantity::MAX_DURATION;
use crate::raw::{RawBalancing, RawBalancingPolicy, RawEjection, RawHash, RawHedging, RawRetries};
use std::time::Duration;

/// The longest slow start: a replica that is not warm by then will not be.
const MAX_SLOW_START: Duration = Duration::from_secs(3600);

impl Check<'_> {
    pub(super) fn balancing(&mut self, raw: RawBalancing) -> Balancing {
        let is_hash = raw.policy == RawBalancingPolicy::ConsistentHash;
        let by = self.hash(raw.hash, is_hash);
        let policy = match raw.policy {
            RawBalancingPolicy::PowerOfTwo => BalancingPolicy::PowerOfTwo,
            RawBalancingPolicy::LeastLoaded => BalancingPolicy::LeastLoaded,
            RawBalancingPolicy::ConsistentHash => {
                BalancingPolicy::ConsistentHash { by, load_factor: raw.load_factor }
            }
        };
        let RawRetries { attempts, budget, floor_per_second } = raw.retries;
        let retries = Retries { attempts, budget, floor_per_second };
        let slow_start = "spec.balancing.slowStart";
        Balancing {
            policy,
            ejection: self.ejection(&raw.ejection),
            retries,
            slow_start: self.duration(slow_start, raw.slow_start, Duration::ZERO, MAX_SLOW_START),
            hedging: raw.hedging.map(|raw| self.hedging(&raw)),
        }
    }

    fn hedging(&mut self, raw: &RawHedging) -> Hedging {
        let floor = self.duration("spec.balancing.hedging.floor", raw.floor, INSTANT, MAX_DURATION);
        if raw.methods.is_empty() {
            let path = KeyPath::keys("spec.balancing.hedging.methods");
            self.wrong(&path, "is empty", "a list of methods, such as [GET, POST]");
        }
        let methods = raw.methods.iter().map(|method| method.name()).collect();
        Hedging { percentile: raw.percentile, floor, methods }
    }

    fn ejection(&mut self, raw: &RawEjection) -> Ejection {
        let base = "spec.balancing.ejection.baseTime";
        let most = "spec.balancing.ejection.maxTime";
        let max_time = self.duration(most, raw.max_time, INSTANT, MAX_DURATION);
        Ejection {
            consecutive_errors: raw.consecutive_errors,
            error_rate: raw.error_rate,
            base_time: self.duration(base, raw.base_time, INSTANT, max_time.max(INSTANT)),
            max_time,
            max_share: raw.max_share,
            slow_factor: raw.slow_factor,
        }
    }

    /// Checked whatever the policy, so that a mistake shows before the policy is chosen.
    fn hash(&mut self, raw: Option<RawHash>, is_needed: bool) -> HashBy {
        let path = KeyPath::keys("spec.balancing.hash");
        let must = "one of `header`, `cookie` and `promptPrefix`";
        let Some(raw) = raw else {
            if is_needed {
                let policy = KeyPath::keys("spec.balancing.policy");
                self.wrong(&policy, "is consistentHash, without a `hash`", "given with `hash`");
            }
            return HashBy::default();
        };
        let mut given = Vec::new();
        if let Some(name) = raw.header {
            self.text(&path.key("header"), &name, word::is_token, word::TOKEN);
            given.push(HashBy::Header(name.to_ascii_lowercase()));
        }
        if let Some(name) = raw.cookie {
            self.text(&path.key("cookie"), &name, word::is_token, word::TOKEN);
            given.push(HashBy::Cookie(name));
        }
        given.extend(raw.prompt_prefix.map(HashBy::PromptPrefix));
        if given.len() != 1 {
            self.wrong(&path, format!("has {} of the three keys", given.len()), must);
        }
        given.into_iter().next().unwrap_or_default()
    }
}
