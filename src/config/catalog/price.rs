//! Prices: integers from the text of a list or a policy, never a float, and which of them holds when.
//!
//! A price list stays text until it is asked: `i5 o30 r0.5|>272000 i10 o45 r1|@flex i2.5 o15`. The letters and the
//! conditions are told at the head of `models.tsv`, which is where these texts come from. `Tariff` is the same compiled.

mod habits;
mod list;
mod tariff;
mod unknown;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use list::{Conditions, Hours, List, Moment};
pub(in crate::config) use list::{date_of, day_of};
pub use tariff::{Tariff, Terms};

use crate::ir::ServiceTier;

/// A price: USD for a million tokens, or for a thousand requests or searches, counted in millionths of a dollar.
///
/// So one unit is a pico-dollar for each token, or a nano-dollar for each request: charging is a multiplication of
/// integers, and rounding to nano-dollars its last step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(u64);

impl Rate {
    /// The largest price that is read: a million dollars for a million tokens. 10¹² units times any count of tokens
    /// below 10⁷ stays within 64 bits.
    const MAX: u64 = 1_000_000_000_000;

    /// Nothing.
    pub const FREE: Self = Self(0);

    /// So many pico-dollars for each token, or nano-dollars for each request or search.
    pub(super) const fn of_units(units: u64) -> Self {
        Self(units)
    }

    /// Pico-dollars for each token; nano-dollars for each request or search.
    pub fn units(self) -> u64 {
        self.0
    }

    /// Reads the price of one request or search, as `parse` reads that of a thousand.
    pub(in crate::config) fn parse_each(text: &str) -> Result<Self, String> {
        let each = Self::parse(text)?;
        let thousand = each.0.checked_mul(1000).filter(|units| *units <= Self::MAX);
        thousand.map(Self).ok_or_else(|| format!("{text} is more than a thousand dollars for one"))
    }

    /// The price of one, where this is that of a thousand that `parse_each` read.
    pub(in crate::config) fn of_each(self) -> Self {
        Self(self.0 / 1000)
    }

    /// The same, times so many thousandths, rounded up.
    fn permille(self, permille: u64) -> Self {
        Self(self.0.saturating_mul(permille).div_ceil(1000))
    }

    /// Reads a decimal number of dollars, exactly. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if !digits(whole) || !(fraction.is_empty() && !text.contains('.') || digits(fraction)) {
            return Err(format!("{text:?} is not a price in USD, as 0.25"));
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > 6 {
            return Err(format!("{text} is finer than a millionth of a dollar"));
        }
        let units = format!("{whole}{fraction:0<6}").parse::<u64>().ok().filter(|units| *units <= Self::MAX);
        units.map(Self).ok_or_else(|| format!("{text} is more than a million dollars"))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / 1_000_000, self.0 % 1_000_000);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        let fraction = format!("{fraction:06}");
        write!(f, "{whole}.{}", fraction.trim_end_matches('0'))
    }
}

/// What is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Tokens of the prompt.
    Input,
    /// Tokens of the prompt that a cache held.
    CachedInput,
    /// Tokens written to a cache, for five minutes or for as long as the provider likes.
    CacheWrite,
    /// Tokens written to a cache for an hour.
    CacheWrite1h,
    /// Tokens written to a cache for twelve hours.
    CacheWrite12h,
    /// Tokens of the answer.
    Output,
    /// Tokens of reasoning.
    Reasoning,
    /// Tokens of sound in the prompt.
    AudioInput,
    /// Tokens of sound in the prompt that a cache held.
    CachedAudio,
    /// Tokens of sound in the answer.
    AudioOutput,
    /// Tokens of images in the prompt.
    ImageInput,
    /// Tokens of images in the answer.
    ImageOutput,
    /// Tokens of video in the prompt.
    VideoInput,
    /// Requests.
    Request,
    /// Searches of the web.
    Search,
}

impl Counted {
    /// Whether it is counted in tokens, and not one by one.
    pub fn is_tokens(self) -> bool {
        !matches!(self, Self::Request | Self::Search)
    }

    /// Everything that has a price, with its letter in a list.
    pub const ALL: [(u8, Self); 15] = [
        (b'i', Self::Input),
        (b'r', Self::CachedInput),
        (b'w', Self::CacheWrite),
        (b'W', Self::CacheWrite1h),
        (b'X', Self::CacheWrite12h),
        (b'o', Self::Output),
        (b't', Self::Reasoning),
        (b'a', Self::AudioInput),
        (b'c', Self::CachedAudio),
        (b'A', Self::AudioOutput),
        (b'p', Self::ImageInput),
        (b'P', Self::ImageOutput),
        (b'v', Self::VideoInput),
        (b'q', Self::Request),
        (b's', Self::Search),
    ];

    /// What it is charged as, where it has no price of its own.
    fn else_as(self) -> Option<Self> {
        match self {
            Self::CachedInput | Self::CacheWrite | Self::AudioInput | Self::ImageInput | Self::VideoInput => Some(Self::Input),
            Self::CacheWrite1h | Self::CacheWrite12h => Some(Self::CacheWrite),
            Self::CachedAudio => Some(Self::AudioInput),
            Self::Reasoning | Self::AudioOutput | Self::ImageOutput => Some(Self::Output),
            Self::Input | Self::Output | Self::Request | Self::Search => None,
        }
    }
}

/// The rates of one request: each that has a price of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates([Option<Rate>; Counted::ALL.len()]);

impl Rates {
    /// What it costs, by its own price or by what it is charged as; `None` where that is free or unknown.
    pub fn of(&self, counted: Counted) -> Option<Rate> {
        self.own(self.source(counted)?)
    }

    /// By whose price it is charged: its own, or that of what it is charged as.
    fn source(&self, counted: Counted) -> Option<Counted> {
        std::iter::successors(Some(counted), |counted| counted.else_as()).find(|counted| self.own(*counted).is_some())
    }

    /// Every price, none.
    const FREE: Self = Self([Some(Rate::FREE); Counted::ALL.len()]);

    /// What it costs by a price of its own.
    pub fn own(&self, counted: Counted) -> Option<Rate> {
        self.0.get(counted as usize).copied().flatten()
    }

    /// Gives it a price of its own.
    pub fn set(&mut self, counted: Counted, rate: Rate) {
        if let Some(slot) = self.0.get_mut(counted as usize) {
            *slot = Some(rate);
        }
    }

    /// Whether nothing has a price.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Takes over what `other` has a price for.
    fn override_by(&mut self, other: &Self) {
        for (slot, rate) in self.0.iter_mut().zip(other.0) {
            *slot = rate.or(*slot);
        }
    }

    /// Takes over what `other` has a dearer price for.
    fn raise_to(&mut self, other: &Self) {
        for (slot, rate) in self.0.iter_mut().zip(other.0) {
            *slot = (*slot).max(rate);
        }
    }

    /// Lets parts that `tiered` is silent about rise as what they are part of has risen since `ordinary`.
    fn follow(&mut self, ordinary: &Self, tiered: &Self) {
        for (slot, (_, counted)) in self.0.iter_mut().zip(Counted::ALL) {
            let whole = std::iter::successors(counted.else_as(), |counted| counted.else_as()).last();
            let (Some(whole), None, Some(rate)) = (whole, tiered.own(counted), *slot) else { continue };
            let (Some(before), Some(now)) = (ordinary.own(whole), tiered.own(whole)) else { continue };
            if now > before && before > Rate::FREE {
                *slot = u64::try_from((u128::from(rate.0) * u128::from(now.0)).div_ceil(u128::from(before.0))).ok().map(Rate);
            }
        }
    }

    /// Drops a price of reasoning that is the output's: it would stay where another output price holds.
    fn drop_needless(&mut self) {
        if self.own(Counted::Reasoning) == self.own(Counted::Output)
            && let Some(slot) = self.0.get_mut(Counted::Reasoning as usize)
        {
            *slot = None;
        }
    }

    /// Multiplies what is paid by the token.
    fn scale(&mut self, permille: u64) {
        for (slot, (_, counted)) in self.0.iter_mut().zip(Counted::ALL) {
            if counted.is_tokens() {
                *slot = slot.map(|rate| rate.permille(permille));
            }
        }
    }

    fn read(&mut self, word: &str) {
        let letter = word.as_bytes().first();
        let counted = Counted::ALL.iter().find(|(known, _)| Some(known) == letter);
        if let (Some((_, counted)), Some(rate)) = (counted, word.get(1..).and_then(|text| Rate::parse(text).ok())) {
            self.set(*counted, rate);
        }
    }
}

/// What a price may depend on.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// When the request is answered.
    pub at: SystemTime,
    /// Tokens of the prompt, cached ones included.
    pub input_tokens: u64,
    /// The service tier that answered (`priority`, `flex`, `batch`); any other word is the ordinary one.
    pub service_tier: &'a str,
}

/// A model's prices at one provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// The catalogue's list; empty where it has none.
    listed: &'static str,
    /// What else the catalogue knows of how the provider charges.
    habits: Habits,
    /// What the policy says instead, in the order in which it is taken over.
    set: Option<Arc<[PriceRule]>>,
}

/// How a provider charges, beside its list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Habits {
    /// The provider's kind; empty where that is not known.
    pub kind: &'static str,
    /// Whether nobody sends a bill: the server is one's own, or the variant is for nothing.
    pub free: bool,
    /// Whether an answer that was computed in the United States alone costs a tenth more.
    pub us_premium: bool,
    /// Whether answers are computed in one region, which costs a tenth more than the list says.
    pub regional: bool,
    /// Whether all searches for one answer are paid as one.
    pub search_by_answer: bool,
    /// Whether its answers say in dollars what they cost.
    pub tells_bill: bool,
    /// Whether `priority` is capacity paid for beforehand, at the list's ordinary price.
    pub priority_is_ordinary: bool,
}

/// Prices that the policy sets, and when they hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PriceRule {
    /// From this day on, in days since 1970.
    pub from: Option<u64>,
    /// At this tier alone.
    pub tier: Option<ServiceTier>,
    /// For prompts of more tokens than this.
    pub above_input_tokens: Option<u64>,
    /// The prices that are given.
    pub rates: Rates,
}

impl PriceRule {
    /// What says more counts later, and of two that say as much what began later.
    fn order(&self) -> (bool, Option<u64>, Option<u64>) {
        (self.tier.is_some(), self.above_input_tokens, self.from)
    }

    fn holds(&self, on: &Conditions<'_>, day: u64) -> bool {
        self.from.is_none_or(|from| from <= day)
            && self.tier.is_none_or(|tier| tier == on.tier)
            && self.above_input_tokens.is_none_or(|above| on.input_tokens > above)
    }
}

impl Prices {
    /// The prices of a list.
    pub(super) fn listed(listed: &'static str) -> Self {
        Self { listed, ..Self::default() }
    }

    /// The same, of a provider that charges so.
    pub(super) fn charged(self, habits: Habits) -> Self {
        Self { habits, ..self }
    }

    /// The same, but for what the policy says.
    pub fn with(self, mut rules: Vec<PriceRule>) -> Self {
        rules.sort_by_key(PriceRule::order);
        Self { set: Some(rules.into()), ..self }
    }

    /// The same, for a model at one location of the provider, or wherever there is room (`global`).
    pub fn at(mut self, location: &str, model: &str) -> Self {
        self.habits.regional = self.habits.is_dearer_at(location, model);
        self
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.set.is_none() && !self.habits.free
    }

    /// The rates that hold on an occasion; `None` where nothing is known. A `Tariff` says the same faster, and what
    /// counts where nothing is known.
    pub fn rates(&self, occasion: &Occasion<'_>) -> Option<Rates> {
        let list = List::parse(self.listed);
        let moment = Moment::of(occasion.at);
        let tier = ServiceTier::named(occasion.service_tier).unwrap_or(ServiceTier::Standard);
        let off = list.off_hours().find(|hours| Hours::parse(hours).contain(&moment));
        let on = Conditions { tier, input_tokens: occasion.input_tokens, off };
        let rates = self.resolve(&list, &on, moment.day, 1000);
        (!rates.is_empty()).then_some(rates)
    }

    /// The rates under these conditions on that day, those of the list times so many thousandths.
    fn resolve(&self, list: &List, on: &Conditions<'_>, day: u64, permille: u64) -> Rates {
        let mut rates = match self.habits.free {
            true => Rates::FREE,
            false => list.rates(on, day),
        };
        let permille = if self.habits.regional { permille * 11 / 10 } else { permille };
        if permille != 1000 {
            rates.scale(permille);
        }
        for rule in self.rules().iter().filter(|rule| rule.holds(on, day)) {
            rates.override_by(&rule.rates);
        }
        rates
    }

    fn rules(&self) -> &[PriceRule] {
        self.set.as_deref().unwrap_or_default()
    }
}
