//! Who has been served how much: least attained service first, by weight.
//!
//! A tenant's attained service is charged when its request starts, with what its requests took so
//! far, and put right when the request ends. One that comes back after a time of silence is lifted
//! to where the others stand, so that silence saves nothing up (the "counter lift" of Sheng et al.,
//! "Fairness in Serving Large Language Models", OSDI 2024; start-time fair queueing before it).

use super::claim::TenantKey;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Tenants that are remembered. Beyond, the one that has been idle for longest is forgotten; if
/// none is idle, newcomers share a place with the anonymous.
pub const MAX_TENANTS: usize = 1024;
/// Where the anonymous tenant is; it is always there.
const ANONYMOUS: u32 = 0;
/// A unit of cost weighs as much as this many nanoseconds: only ratios between tenants count, and
/// costs must not vanish when they are divided by weights.
const NANOS_PER_COST: u64 = 1_000_000;

/// The tenants, each with a small dense index.
#[derive(Debug)]
pub struct Tenants {
    by_key: BTreeMap<TenantKey, u32>,
    table: Vec<Tenant>,
    /// Those with no request running or waiting, the longest idle first.
    idle: BTreeSet<(u64, u32)>,
    /// How much the tenant last served had attained before.
    floor: u64,
    /// Counts the times that a tenant turned idle.
    turn: u64,
    unit: Unit,
    /// Of all tenants' requests, for those of whom nothing is known.
    mean: Mean,
}

/// What is shared out fairly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Time that requests run.
    RequestSeconds,
    /// What requests cost.
    Cost,
}

/// What a start was charged: give it back to [`Tenants::ended`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    tenant: u32,
    weighted: u64,
}

#[derive(Debug)]
struct Tenant {
    key: TenantKey,
    /// Service received, divided by the weight, in nanoseconds.
    attained: u64,
    weight: u32,
    running: u32,
    waiting: u32,
    mean: Mean,
    idle_turn: u64,
}

/// A moving average over about the last eight values, in nanoseconds; 0 before the first.
#[derive(Debug, Clone, Copy, Default)]
struct Mean(u64);

// === impl Tenants ===

impl Tenants {
    /// The anonymous tenant only.
    pub fn new(unit: Unit) -> Self {
        let anonymous = Tenant::new(TenantKey::ANONYMOUS, 0);
        Self {
            by_key: BTreeMap::new(),
            table: vec![anonymous],
            idle: BTreeSet::new(),
            floor: 0,
            turn: 0,
            unit,
            mean: Mean::default(),
        }
    }

    /// The index of a tenant that is known. Those that are not have nothing running or waiting.
    pub fn find(&self, key: TenantKey) -> Option<u32> {
        if key == TenantKey::ANONYMOUS { Some(ANONYMOUS) } else { self.by_key.get(&key).copied() }
    }

    /// How much a tenant has attained.
    pub fn attained(&self, index: u32) -> u64 {
        self.table[index as usize].attained
    }

    /// A tenant's request begins to wait.
    pub fn waits(&mut self, key: TenantKey, weight: u32) -> u32 {
        let index = self.enter(key, weight);
        self.table[index as usize].waiting += 1;
        index
    }

    /// A tenant's request waits no more, for whatever cause.
    pub fn left(&mut self, index: u32) {
        self.table[index as usize].waiting -= 1;
        self.rest(index);
    }

    /// A tenant's request starts, without having waited.
    pub fn starts(&mut self, key: TenantKey, weight: u32, cost: u32) -> Charge {
        let index = self.enter(key, weight);
        self.start(index, cost)
    }

    /// A tenant's request that waited starts. Follow it with [`Tenants::left`].
    pub fn start(&mut self, index: u32, cost: u32) -> Charge {
        let overall = self.mean;
        let tenant = &mut self.table[index as usize];
        let service = match self.unit {
            Unit::Cost => u64::from(cost) * NANOS_PER_COST,
            Unit::RequestSeconds => tenant.mean.or(overall),
        };
        // At least 1, so that those of whom nothing is known yet take turns.
        let weighted = tenant.share(service).max(1);
        self.floor = self.floor.max(tenant.attained);
        tenant.attained = tenant.attained.saturating_add(weighted);
        tenant.running += 1;
        Charge { tenant: index, weighted }
    }

    /// A tenant's request has ended after it ran for so long. Says whose it was.
    pub fn ended(&mut self, charge: Charge, ran: Duration) -> u32 {
        // 2^64 nanoseconds are 584 years.
        let ran = ran.as_nanos() as u64;
        let index = charge.tenant;
        let tenant = &mut self.table[index as usize];
        tenant.running -= 1;
        if self.unit == Unit::RequestSeconds {
            let actual = tenant.share(ran);
            let before = tenant.attained.saturating_sub(charge.weighted);
            tenant.attained = before.saturating_add(actual.max(1));
            tenant.mean.add(ran);
            self.mean.add(ran);
        }
        self.rest(index);
        index
    }

    /// Finds or makes a tenant, awake and where the others stand.
    fn enter(&mut self, key: TenantKey, weight: u32) -> u32 {
        let index = self.find(key).unwrap_or_else(|| self.admit(key));
        let tenant = &mut self.table[index as usize];
        if tenant.key == key {
            tenant.weight = weight.max(1);
        }
        if tenant.waiting == 0 {
            tenant.attained = tenant.attained.max(self.floor);
            if tenant.running == 0 && index != ANONYMOUS {
                self.idle.remove(&(tenant.idle_turn, index));
            }
        }
        index
    }

    fn admit(&mut self, key: TenantKey) -> u32 {
        let index = if self.table.len() <= MAX_TENANTS {
            self.table.push(Tenant::new(key, self.floor));
            (self.table.len() - 1) as u32
        } else if let Some((_, index)) = self.idle.pop_first() {
            let forgotten = &mut self.table[index as usize];
            self.by_key.remove(&forgotten.key);
            *forgotten = Tenant::new(key, self.floor);
            index
        } else {
            return ANONYMOUS;
        };
        self.by_key.insert(key, index);
        index
    }

    fn rest(&mut self, index: u32) {
        let tenant = &mut self.table[index as usize];
        if index != ANONYMOUS && tenant.running == 0 && tenant.waiting == 0 {
            self.turn += 1;
            tenant.idle_turn = self.turn;
            self.idle.insert((self.turn, index));
        }
    }
}

// === impl Tenant ===

impl Tenant {
    fn new(key: TenantKey, attained: u64) -> Self {
        let mean = Mean::default();
        Self { key, attained, weight: 1, running: 0, waiting: 0, mean, idle_turn: 0 }
    }

    /// Service by weight. Most weigh 1, and a division takes longer than all else here.
    fn share(&self, service: u64) -> u64 {
        if self.weight == 1 { service } else { service / u64::from(self.weight) }
    }
}

// === impl Mean ===

impl Mean {
    fn add(&mut self, value: u64) {
        self.0 = if self.0 == 0 { value } else { self.0 - self.0 / 8 + value / 8 };
    }

    fn or(self, other: Self) -> u64 {
        if self.0 == 0 { other.0 } else { self.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(name: u64) -> TenantKey {
        TenantKey::of_hash(name)
    }

    #[test]
    fn a_start_is_charged_by_what_was_seen_and_put_right_at_the_end() {
        let mut tenants = Tenants::new(Unit::RequestSeconds);
        let charge = tenants.starts(key(1), 2, 1);
        let index = tenants.ended(charge, 4 * SECOND);
        assert_eq!(tenants.attained(index), 2_000_000_000, "four seconds by a weight of two");
        let charge = tenants.starts(key(1), 2, 1);
        assert_eq!(tenants.attained(index), 4_000_000_000, "as long as the last");
        tenants.ended(charge, SECOND);
        assert_eq!(tenants.attained(index), 2_500_000_000);
    }

    #[test]
    fn cost_is_charged_as_it_is() {
        let mut tenants = Tenants::new(Unit::Cost);
        let charge = tenants.starts(key(1), 1, 7);
        let index = tenants.ended(charge, 100 * SECOND);
        assert_eq!(tenants.attained(index), 7 * NANOS_PER_COST);
    }

    #[test]
    fn silence_saves_nothing_up() {
        let mut tenants = Tenants::new(Unit::RequestSeconds);
        for _ in 0..3 {
            let charge = tenants.starts(key(1), 1, 1);
            tenants.ended(charge, SECOND);
        }
        let newcomer = tenants.waits(key(2), 1);
        let old = tenants.find(key(1)).unwrap();
        let behind = tenants.attained(old) - tenants.attained(newcomer);
        assert_eq!(behind, 1_000_000_000, "one request behind, not three");
    }

    #[test]
    fn is_bounded_and_forgets_the_longest_idle() {
        let mut tenants = Tenants::new(Unit::RequestSeconds);
        let names = 1..=MAX_TENANTS as u64;
        let charges: Vec<_> = names.map(|name| tenants.starts(key(name), 1, 1)).collect();
        assert_eq!(tenants.waits(key(9_999), 5), ANONYMOUS, "nobody is idle");
        tenants.left(ANONYMOUS);
        tenants.ended(charges[7], SECOND);
        tenants.ended(charges[3], SECOND);
        tenants.waits(key(10_000), 1);
        assert_eq!(tenants.find(key(8)), None, "the first to turn idle");
        assert!(tenants.find(key(4)).is_some());
        assert_eq!(tenants.table.len(), MAX_TENANTS + 1);
        assert_eq!(tenants.table[0].weight, 1, "who shares a place does not change its weight");
    }
}
