use std::time::Duration;

/// Spreads what a thousand agents would otherwise do at the same moment. Splitmix64 (Steele, Lea,
/// Flood 2014): the seed is all it depends on, so that a test repeats.
#[derive(Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Anything from nothing to `most`.
    pub(super) fn up_to(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.fraction())
    }

    /// `mean`, 30 % more or less.
    pub(super) fn around(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(0.7 + 0.6 * self.fraction())
    }

    fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        // The 53 bits that a float has.
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}
