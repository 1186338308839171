//! Prices, compiled: what holds on an occasion is found without reading anything.

use std::time::SystemTime;

use super::list::{Conditions, Hours, List, Moment};
use super::{Counted, Prices, Rate, Rates, unknown};
use crate::ir::ServiceTier;

/// A model's prices at one provider, compiled. Where nothing is known it has a price all the same, and says so.
#[derive(Clone, Debug)]
pub struct Tariff {
    /// The days on which other prices begin, ascending; the first is 0.
    days: Vec<u64>,
    /// The hours at which other prices hold.
    hours: Vec<Hours>,
    /// Where each tier stands among the terms; several may stand at one place.
    tiers: [u8; TIERS.len()],
    /// How many places there are.
    tier_places: usize,
    /// Beyond how many tokens of the prompt other prices hold, ascending.
    thresholds: Vec<u64>,
    /// Whether answers computed in the United States alone cost more.
    us_differs: bool,
    /// Whether all searches for one answer are paid as one.
    search_by_answer: bool,
    /// Whether what the provider says that it charges counts.
    bill_counts: bool,
    /// By day, hours, tier, length, and where it was computed.
    terms: Vec<Terms>,
}

/// Every tier, in the order of its number.
const TIERS: [ServiceTier; 7] = [
    ServiceTier::Batch,
    ServiceTier::Flex,
    ServiceTier::Standard,
    ServiceTier::Balanced,
    ServiceTier::Priority,
    ServiceTier::Fast,
    ServiceTier::Ultrafast,
];

/// The rates that hold on an occasion: one for everything that can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    rates: [Rate; Counted::ALL.len()],
    /// What has a price of its own.
    own: u16,
    /// Whose price is not known.
    guessed: u16,
    revision: u64,
}

impl Default for Tariff {
    fn default() -> Self {
        Self::new(&Prices::default())
    }
}

impl Tariff {
    /// Compiles prices.
    pub fn new(prices: &Prices) -> Self {
        let list = List::parse(prices.listed);
        let mut days: Vec<u64> = list.days().chain(prices.rules().iter().filter_map(|rule| rule.from)).chain([0]).collect();
        let mut thresholds: Vec<u64> = list.thresholds().chain(prices.rules().iter().filter_map(|rule| rule.above_input_tokens)).collect();
        for each in [&mut days, &mut thresholds] {
            each.sort_unstable();
            each.dedup();
        }
        let mut texts: Vec<&'static str> = list.off_hours().collect();
        texts.dedup();
        let (tiers, places) = places(prices, &list, &days);
        let us_differs = prices.habits.us_premium && !prices.habits.free;
        let fallback = match prices.habits.free {
            true => Rates::default(),
            false => unknown::dearest(prices.habits.kind),
        };
        let mut terms = Vec::new();
        for day in &days {
            for off in std::iter::once(None).chain(texts.iter().copied().map(Some)) {
                for tier in &places {
                    for input_tokens in std::iter::once(0).chain(thresholds.iter().map(|above| above.saturating_add(1))) {
                        let on = Conditions { tier: *tier, input_tokens, off };
                        for us_only in [false, true].into_iter().take(1 + usize::from(us_differs)) {
                            terms.push(prices.terms(&list, &on, *day, us_only, &fallback));
                        }
                    }
                }
            }
        }
        Self {
            days,
            hours: texts.into_iter().map(Hours::parse).collect(),
            tiers,
            tier_places: places.len(),
            thresholds,
            us_differs,
            search_by_answer: prices.habits.search_by_answer,
            bill_counts: prices.habits.tells_bill && prices.set.is_none(),
            terms,
        }
    }

    /// What holds: at that moment, for a prompt of so many tokens (cached ones included), at that tier, and whether the
    /// answer was computed in the United States alone.
    pub fn terms(&self, at: SystemTime, input_tokens: u64, tier: ServiceTier, us_only: bool) -> &Terms {
        /// Only of a tariff that was compiled wrongly: `new` fills every place.
        static NONE: Terms = Terms { rates: [Rate::FREE; Counted::ALL.len()], own: 0, guessed: u16::MAX, revision: 0 };
        let moment = Moment::of(at);
        let day = self.days.iter().rposition(|since| *since <= moment.day).unwrap_or(0);
        let off = self.hours.iter().position(|hours| hours.contain(&moment)).map_or(0, |place| place + 1);
        let tier = self.tiers.get(tier as usize).copied().map_or(0, usize::from);
        let length = self.thresholds.iter().rposition(|above| input_tokens > *above).map_or(0, |place| place + 1);
        let place = (day * (self.hours.len() + 1) + off) * self.tier_places + tier;
        let place = place * (self.thresholds.len() + 1) + length;
        let place = if self.us_differs { place * 2 + usize::from(us_only) } else { place };
        self.terms.get(place).unwrap_or(&NONE)
    }

    /// The terms that may hold for a prompt of at most so many tokens.
    pub fn terms_up_to(&self, at: SystemTime, input_tokens: u64, tier: ServiceTier) -> impl Iterator<Item = &Terms> {
        let lengths = std::iter::once(input_tokens).chain(self.thresholds.iter().copied().filter(move |above| *above < input_tokens));
        // A premium is part of a bound, whether it will be asked or not.
        lengths.map(move |tokens| self.terms(at, tokens, tier, true))
    }

    /// Whether what the provider says that it charges counts before these prices: it is known to say so in dollars, and the
    /// policy does not set prices of its own.
    pub fn bill_counts(&self) -> bool {
        self.bill_counts
    }

    /// How many of these searches are paid for.
    pub fn paid_searches(&self, searches: u64) -> u64 {
        if self.search_by_answer { searches.min(1) } else { searches }
    }
}

/// Where each tier stands, and which tiers stand at the places: those that have a price of their own, and those for which
/// more than the ordinary price must be taken.
fn places(prices: &Prices, list: &List, days: &[u64]) -> ([u8; TIERS.len()], Vec<ServiceTier>) {
    let mut places = vec![ServiceTier::Standard];
    let tiers = TIERS.map(|tier| {
        let listed = days.iter().any(|day| list.prices_tier(tier, *day));
        let ruled = prices.rules().iter().any(|rule| rule.tier == Some(tier));
        let dearer = !prices.habits.free && prices.tier_tenths(tier, false) != 10;
        if tier == ServiceTier::Standard || !(listed || ruled || dearer) {
            return 0;
        }
        places.push(tier);
        u8::try_from(places.len() - 1).unwrap_or(0)
    });
    (tiers, places)
}

impl Prices {
    /// What a tier costs more, in tenths, where the list does not say.
    fn tier_tenths(&self, tier: ServiceTier, listed: bool) -> u64 {
        let ordinary = listed || tier == ServiceTier::Priority && self.habits.priority_is_ordinary;
        if ordinary { 10 } else { unknown::tier_tenths(tier) }
    }

    fn terms(&self, list: &List, on: &Conditions<'_>, day: u64, us_only: bool, fallback: &Rates) -> Terms {
        let tier_tenths = self.tier_tenths(on.tier, list.prices_tier(on.tier, day));
        let us_tenths = if us_only { 11 } else { 10 };
        let rates = self.resolve(list, on, day, tier_tenths * us_tenths * 10);
        let said = self.resolve(&List::default(), on, day, 1000);
        let guessed_tier = tier_tenths != 10 && !self.habits.free;
        let mut terms = Terms { rates: [Rate::FREE; Counted::ALL.len()], own: 0, guessed: 0, revision: 0 };
        // Who is paid by the request is not paid by the token too.
        let by_request = rates.own(Counted::Request).is_some() && rates.own(Counted::Input).is_none();
        for (slot, (_, counted)) in terms.rates.iter_mut().zip(Counted::ALL) {
            let bit = 1 << counted as u16;
            let source = rates.source(counted);
            if source == Some(counted) {
                terms.own |= bit;
            }
            let guessed = match source {
                Some(source) => guessed_tier && said.own(source).is_none() && rates.own(source) != Some(Rate::FREE),
                None => counted != Counted::Request && !(by_request && counted.is_tokens()),
            };
            if guessed {
                terms.guessed |= bit;
            }
            *slot = match source {
                Some(source) => rates.own(source).unwrap_or_default(),
                None if guessed => fallback.of(counted).unwrap_or_default(),
                None => Rate::FREE,
            };
        }
        terms.revision = terms.digest();
        terms
    }
}

impl Terms {
    /// What it costs.
    pub fn rate(&self, counted: Counted) -> Rate {
        self.rates.get(counted as usize).copied().unwrap_or_default()
    }

    /// Whether it has a price of its own, and is not charged as something else.
    pub fn is_apart(&self, counted: Counted) -> bool {
        self.own & 1 << counted as u16 != 0
    }

    /// Whether its price is not known, so that a pessimistic one stands in.
    pub fn is_guessed(&self, counted: Counted) -> bool {
        self.guessed & 1 << counted as u16 != 0
    }

    /// Names these rates: the same number for the same rates, and another for others.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// FNV-1a over all rates and what is guessed of them.
    fn digest(&self) -> u64 {
        let words = self.rates.iter().map(|rate| rate.units()).chain([u64::from(self.guessed)]);
        let bytes = words.flat_map(u64::to_le_bytes);
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    }
}
