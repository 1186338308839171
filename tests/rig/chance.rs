//! Chance that can be had again: every seed is printed, and `OUTRIDER_SEED` repeats it.

use outrider::base::rng::RootRng;

/// A seed for one test: the one in the environment, else one of the system's.
pub fn seed(test: &str) -> u64 {
    let seed = var("OUTRIDER_SEED").and_then(|text| text.parse().ok()).unwrap_or_else(|| RootRng::from_system().fork().below(1 << 32));
    eprintln!("{test}: OUTRIDER_SEED={seed}");
    seed
}

/// A number in its short form, or the full one of `tests/run --chaos`.
pub fn scaled(short: usize, full: usize) -> usize {
    if var("OUTRIDER_CHAOS").is_some() { full } else { short }
}

fn var(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
