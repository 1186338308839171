//! What counts where no price is known: never nothing.

use std::sync::OnceLock;

use super::list::List;
use super::{Counted, Rate, Rates};
use crate::config::catalog::models;
use crate::ir::ServiceTier;

/// What a million tokens, or a thousand searches, count as where a kind of provider has no list at all: what the dearest
/// models that are widely sold cost (GPT-5.5 Pro, and Gemini's older searches).
const UNLISTED: [(Counted, Rate); 3] = [
    (Counted::Input, Rate::of_units(30_000_000)),
    (Counted::Output, Rate::of_units(180_000_000)),
    (Counted::Search, Rate::of_units(35_000_000)),
];

/// The dearest that any model of this kind of provider asks, at any tier and length; and where none does, `UNLISTED`.
pub(super) fn dearest(kind: &str) -> Rates {
    static EVERY: OnceLock<Vec<(&str, Rates)>> = OnceLock::new();
    let every = EVERY.get_or_init(of_every_kind);
    let mut dearest = every.iter().find(|(known, _)| *known == kind).map(|(_, rates)| *rates).unwrap_or_default();
    for (counted, rate) in UNLISTED {
        if dearest.own(counted).is_none_or(|known| known == Rate::FREE) {
            dearest.set(counted, rate);
        }
    }
    dearest
}

/// One walk over the table, in which a kind's rows stand together.
fn of_every_kind() -> Vec<(&'static str, Rates)> {
    let mut every: Vec<(&str, Rates)> = Vec::new();
    for line in models::body().lines() {
        let (Some((kind, _)), Some((_, list))) = (line.split_once('\t'), line.rsplit_once('\t')) else { continue };
        if every.last().is_none_or(|(last, _)| *last != kind) {
            every.push((kind, Rates::default()));
        }
        if let Some((_, dearest)) = every.last_mut() {
            List::parse(list).every_rate().for_each(|rates| dearest.raise_to(rates));
        }
    }
    every
}

/// How much dearer than the ordinary one a tier counts that a list is silent about, in tenths: as the dearest known of
/// that name. Tiers that are not dearer count as the ordinary one.
pub(super) fn tier_tenths(tier: ServiceTier) -> u64 {
    match tier {
        ServiceTier::Batch | ServiceTier::Flex | ServiceTier::Standard => 10,
        ServiceTier::Balanced | ServiceTier::Priority => 25,
        ServiceTier::Fast | ServiceTier::Ultrafast => 60,
    }
}
