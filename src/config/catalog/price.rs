//! Prices: integers from the text of a list or a policy, never a float, and which of them holds when.
//!
//! A price list stays text until it is asked: `i5 o30 r0.5|>272000 i10 o45 r1|@flex i2.5 o15`. The letters and the
//! conditions are told at the head of `models.tsv`, which is where these texts come from.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

    /// Pico-dollars for each token; nano-dollars for each request or search.
    pub fn units(self) -> u64 {
        self.0
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
        let mut asked = Some(counted);
        while let Some(counted) = asked {
            if let Some(rate) = self.own(counted) {
                return Some(rate);
            }
            asked = counted.else_as();
        }
        None
    }

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

    pub(super) fn read(&mut self, word: &str) {
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

/// A model's prices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// The catalogue's list; empty where it has none.
    pub(super) listed: &'static str,
    /// What the policy says instead, on every occasion.
    pub(super) set: Rates,
}

impl Prices {
    /// The prices of a list.
    pub(super) fn listed(listed: &'static str) -> Self {
        Self { listed, set: Rates::default() }
    }

    /// The same, but for what the policy says.
    pub(in crate::config) fn with(self, set: Rates) -> Self {
        Self { set, ..self }
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.set.is_empty()
    }

    /// The rates that hold on an occasion; `None` where nothing is known.
    pub fn rates(&self, occasion: &Occasion<'_>) -> Option<Rates> {
        let moment = Moment::of(occasion.at);
        let mut rates = Rates::default();
        let mut period = None;
        for group in self.listed.split('|') {
            let (conditions, words) = cut(group);
            let since = conditions.split(' ').find_map(|word| word.strip_prefix("from:"));
            if since.is_some_and(|since| day_of(since).is_none_or(|since| since > moment.day)) {
                break;
            }
            if since != period {
                (rates, period) = (Rates::default(), since);
            }
            if conditions.split(' ').all(|word| holds(word, occasion, &moment)) {
                words.split(' ').for_each(|word| rates.read(word));
            }
        }
        rates.override_by(&self.set);
        (!rates.is_empty()).then_some(rates)
    }
}

/// A group's conditions and its rates. A rate is one letter and a number, a condition has a sign.
pub(super) fn cut(group: &str) -> (&str, &str) {
    let condition = |word: &str| word.starts_with(['>', '@']) || word.contains(':');
    let mut end = 0;
    for word in group.split(' ') {
        if !condition(word) {
            break;
        }
        end += word.len() + 1;
    }
    (group.get(..end).unwrap_or(group).trim_end(), group.get(end..).unwrap_or_default())
}

fn holds(condition: &str, occasion: &Occasion<'_>, moment: &Moment) -> bool {
    if let Some(tokens) = condition.strip_prefix('>') {
        return tokens.parse().is_ok_and(|tokens: u64| occasion.input_tokens > tokens);
    }
    if let Some(tier) = condition.strip_prefix('@') {
        return occasion.service_tier == tier;
    }
    match condition.split_once(':') {
        Some(("off", hours)) => hours.split(';').any(|spans| moment.is_in(spans)),
        // The period was chosen already.
        Some(("from", _)) => true,
        _ => condition.is_empty(),
    }
}

/// A moment in UTC, as prices divide it.
pub(super) struct Moment {
    /// Days since 1970.
    pub(super) day: u64,
    /// Monday is 1.
    pub(super) weekday: u64,
    /// Minutes since midnight.
    pub(super) minute: u64,
}

impl Moment {
    pub(super) fn of(at: SystemTime) -> Self {
        let seconds = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let day = seconds / 86_400;
        // 1970 began on a Thursday.
        Self { day, weekday: (day + 3) % 7 + 1, minute: seconds % 86_400 / 60 }
    }

    /// Whether it is within `DAYS/FROM-TO,FROM-TO`, as `12345/0000-0100,1000-2400`.
    pub(super) fn is_in(&self, spans: &str) -> bool {
        let Some((days, spans)) = spans.split_once('/') else { return false };
        let minutes = |text: &str| Some(text.get(..2)?.parse::<u64>().ok()? * 60 + text.get(2..)?.parse::<u64>().ok()?);
        let within = |span: &str| {
            let (from, to) = span.split_once('-')?;
            Some((minutes(from)?..minutes(to)?).contains(&self.minute))
        };
        days.bytes().any(|day| u64::from(day.wrapping_sub(b'0')) == self.weekday) && spans.split(',').any(|span| within(span) == Some(true))
    }
}

/// Days since 1970 of `2027-01-01`.
pub(super) fn day_of(date: &str) -> Option<u64> {
    let midnight = humantime::parse_rfc3339_weak(&format!("{date} 00:00:00")).ok()?;
    Some(midnight.duration_since(UNIX_EPOCH).ok()?.as_secs() / 86_400)
}
