//! What a request claims of the gate: how urgent it is, whose it is, what it costs.

/// How urgent a request is. Smaller goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// Somebody waits for it now.
    Critical,
    /// What nobody said anything about.
    #[default]
    Standard,
    /// May be refused first.
    Sheddable,
}

/// Whose a request is: a hash of the name, so that a name of any length costs eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TenantKey(u64);

/// One request before the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// How urgent it is.
    pub priority: Priority,
    /// Whose it is.
    pub tenant: TenantKey,
    /// The tenant's share: one of weight 2 gets twice the service of one of weight 1.
    pub weight: u32,
    /// What it takes of the cost budget, in whatever unit that is counted.
    pub cost: u32,
    /// Bytes of its body that are held while it waits.
    pub bytes: u64,
    /// What requests that belong to one endpoint have in common: a hash.
    pub key: Option<u64>,
}

// === impl Priority ===

impl Priority {
    /// Every priority, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Critical, Self::Standard, Self::Sheddable];

    /// A small number, 0 for the most urgent.
    pub fn index(self) -> usize {
        self as usize
    }
}

// === impl TenantKey ===

impl TenantKey {
    /// All requests that name no tenant are of this one.
    pub const ANONYMOUS: Self = Self(0);

    /// The tenant whose name has this hash.
    pub fn of_hash(hash: u64) -> Self {
        // 0 is taken by those without a name.
        Self(hash.max(1))
    }
}

// === impl Claim ===

impl Default for Claim {
    fn default() -> Self {
        Self {
            priority: Priority::Standard,
            tenant: TenantKey::ANONYMOUS,
            weight: 1,
            cost: 1,
            bytes: 0,
            key: None,
        }
    }
}
