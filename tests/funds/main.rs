//! Limits and the journal on the binary itself, over real sockets: crowds that ask at once, leave at random and meet a provider that
//! fails at random; and kills at random moments. The provider keeps the truth.
//!
//! `OUTRIDER_CHAOS=1` makes the crowds 2,000 and the kills 300.
#![allow(missing_docs, unreachable_pub, reason = "tests say it in their names")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "clients and the provider are tasks of the test")]
#![allow(dead_code, reason = "shared files have more than each test needs")]

#[path = "../badday/client.rs"]
mod client;
mod crowd;
#[path = "../badday/house.rs"]
mod house;
mod kill;
mod provider;
#[path = "../badday/speech.rs"]
mod speech;

/// The large form of a number, where that is asked for.
pub fn scaled(short: usize, full: usize) -> usize {
    if std::env::var_os("OUTRIDER_CHAOS").is_some() { full } else { short }
}

/// Chance, the same for the same seed.
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    /// SplitMix64: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
