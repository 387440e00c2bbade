//! Steele, Lea and Flood's SplitMix64 (2014): enough randomness for a draw of two, from one seed.

/// A source of numbers.
#[derive(Debug)]
pub struct SplitMix64(pub u64);

// === impl SplitMix64 ===

impl SplitMix64 {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

/// Its finalizer: numbers that are alike become numbers that are not.
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
