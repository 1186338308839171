//! Chance as a value: one seeded root, a cheap fork for each exchange. Not for secrets.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// SplitMix64: the finaliser of Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (OOPSLA 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The process's source of chance, shared by all exchanges.
#[derive(Debug)]
pub struct RootRng {
    state: AtomicU64,
}

impl RootRng {
    /// A root that repeats itself for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self { state: AtomicU64::new(seed) }
    }

    /// A root seeded by the operating system.
    pub fn from_system() -> Self {
        let mut seed = [0; 8];
        // Without entropy ids may repeat across processes; nothing secret hangs on them.
        if getrandom::getrandom(&mut seed).is_err() {
            seed = std::process::id().to_le_bytes().repeat(2).try_into().unwrap_or(seed);
        }
        Self::seeded(u64::from_le_bytes(seed))
    }

    /// An independent generator for one exchange.
    pub fn fork(&self) -> Rng {
        Rng { state: mix(self.state.fetch_add(GOLDEN, Ordering::Relaxed).wrapping_add(GOLDEN)) }
    }
}

/// A small generator owned by one exchange.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// A number in `0..bound`, 0 where `bound` is 0. The bias of the multiplication is below 2⁻³² for small bounds.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A new exchange id.
    pub fn exchange_id(&mut self) -> ExchangeId {
        ExchangeId(self.next_u64(), self.next_u64())
    }
}

/// One exchange's name, in every log line, header and made-up vendor id: 128 bits, shown as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExchangeId(u64, u64);

impl ExchangeId {
    /// The 128 bits, as [`ExchangeId::from_bytes`] reads them.
    pub fn to_bytes(self) -> [u8; 16] {
        ((u128::from(self.0) << 64) | u128::from(self.1)).to_be_bytes()
    }

    /// The id of these 128 bits.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_be_bytes(bytes);
        // The two halves.
        Self((both >> 64) as u64, both as u64)
    }

    /// The 32 hex digits.
    pub fn digits(self) -> [u8; 32] {
        let mut digits = [0; 32];
        let bytes = [self.0.to_be_bytes(), self.1.to_be_bytes()];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes.as_flattened()) {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        digits
    }
}

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl fmt::Debug for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_forks_differ() {
        let (a, b) = (RootRng::seeded(7), RootRng::seeded(7));
        let (first, second) = (a.fork().exchange_id(), a.fork().exchange_id());
        assert_eq!(first, b.fork().exchange_id());
        assert_ne!(first, second);
        assert_eq!(first.to_string().len(), 32);
        assert_eq!(ExchangeId::from_bytes(first.to_bytes()), first);
        let mut rng = a.fork();
        assert!((0..1000).all(|_| rng.below(10) < 10));
        assert_eq!(rng.below(0), 0);
    }
}
