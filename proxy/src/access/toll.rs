//! What a request's tokens cost, after it was let in: given back if it reaches no model, and more if more of
//! it comes than could be known.

use super::{Spent, of_tokens};
use crate::clock;
use crate::policy::rate::Rate;
use crate::policy::tokens::BYTES_PER_TOKEN;
use std::sync::Arc;

/// The tokens that a request was let in for.
pub struct SpentTokens {
    spent: Arc<Spent>,
    /// The key of its tenant's requests.
    tenant: u64,
    rate: Rate,
    tokens: f64,
}

/// What a request still has to pay for: a body that nobody knew the length of.
pub struct Toll {
    spent: Arc<Spent>,
    tenant: u64,
    rate: Rate,
    /// What has come and is not paid for yet.
    bytes: u64,
}

// === impl SpentTokens ===

impl SpentTokens {
    pub(super) fn new(spent: Arc<Spent>, tenant: u64, rate: Rate, tokens: f64) -> Self {
        Self { spent, tenant, rate, tokens }
    }

    /// The request never reached a model: its tenant has them back.
    pub fn give_back(self) {
        let mut table = self.spent.shard(self.tenant);
        table.give(of_tokens(self.tenant), self.tokens, &self.rate);
    }

    /// What else its body costs.
    pub fn toll(&self) -> Box<Toll> {
        let Self { spent, tenant, rate, .. } = self;
        Box::new(Toll { spent: Arc::clone(spent), tenant: *tenant, rate: *rate, bytes: 0 })
    }
}

// === impl Toll ===

impl Toll {
    /// So much more has come. It is too late to refuse it: its tenant owes it.
    pub fn pay(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        let tokens = self.bytes / BYTES_PER_TOKEN;
        self.bytes %= BYTES_PER_TOKEN;
        if tokens == 0 {
            return;
        }
        let mut table = self.spent.shard(self.tenant);
        table.take(of_tokens(self.tenant), tokens as f64, &self.rate, clock::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::rate::Level;
    use std::time::Duration;

    #[test]
    fn what_was_spent_comes_back_and_what_comes_later_is_owed() {
        // So slow that nothing comes back by itself while this runs.
        let (spent, rate) =
            (Arc::new(Spent::new(clock::now())), Rate::new(0.005, Duration::from_secs(20_000)));
        let left = |tenant: u64| -> u64 {
            let Level { remaining, .. } =
                spent.shard(tenant).level(of_tokens(tenant), &rate, clock::now());
            remaining
        };
        for tenant in [7, !7] {
            let take = |tokens: f64| {
                spent.shard(tenant).take(of_tokens(tenant), tokens, &rate, clock::now());
                SpentTokens::new(Arc::clone(&spent), tenant, rate, tokens)
            };
            let [first, second] = [take(30.0), take(50.0)];
            assert_eq!(left(tenant), 20);
            second.give_back();
            assert_eq!(left(tenant), 70);
            let mut toll = first.toll();
            for _ in 0..10 {
                toll.pay(3);
            }
            assert_eq!(left(tenant), 63, "thirty bytes are seven tokens");
            toll.pay(1 << 40);
            assert_eq!(left(tenant), 0);
        }
    }
}
