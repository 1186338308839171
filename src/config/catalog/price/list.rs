//! The catalogue's lists of prices: groups of rates, each with the conditions under which it holds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Rates;
use crate::ir::ServiceTier;

/// A list that was read.
#[derive(Clone, Debug, Default)]
pub(super) struct List {
    groups: Vec<Group>,
}

/// Some rates and when they hold.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    /// Since this day, in days since 1970, when everything before it in the list ends. 0: since ever.
    since: u64,
    /// For prompts of more tokens than this.
    above: Option<u64>,
    /// At this tier alone.
    tier: Option<ServiceTier>,
    /// At these hours alone, as `DAYS/FROM-TO,FROM-TO;…`.
    off: Option<&'static str>,
    /// Whether a condition is one that this version does not know, so that it never holds.
    strange: bool,
    rates: Rates,
}

/// What a list's conditions are held against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conditions<'h> {
    /// The tier that answers.
    pub tier: ServiceTier,
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Which of the list's cheaper hours it is.
    pub off: Option<&'h str>,
}

impl List {
    /// Reads a list.
    pub(super) fn parse(text: &'static str) -> Self {
        Self { groups: text.split('|').filter(|group| !group.is_empty()).map(Group::parse).collect() }
    }

    /// The days on which other prices begin.
    pub(super) fn days(&self) -> impl Iterator<Item = u64> {
        self.groups.iter().map(|group| group.since)
    }

    /// The lengths of prompts beyond which other prices hold.
    pub(super) fn thresholds(&self) -> impl Iterator<Item = u64> {
        self.groups.iter().filter_map(|group| group.above)
    }

    /// The hours at which other prices hold.
    pub(super) fn off_hours(&self) -> impl Iterator<Item = &'static str> {
        self.groups.iter().filter_map(|group| group.off)
    }

    /// The rates of every group.
    pub(super) fn every_rate(&self) -> impl Iterator<Item = &Rates> {
        self.groups.iter().map(|group| &group.rates)
    }

    /// Whether a tier has prices of its own on that day.
    pub(super) fn prices_tier(&self, tier: ServiceTier, day: u64) -> bool {
        self.period(day).any(|group| group.tier == Some(tier))
    }

    /// The groups that have not ended by that day, and have begun.
    fn period(&self, day: u64) -> impl Iterator<Item = &Group> {
        let since = self.days().filter(|since| *since <= day).max().unwrap_or(0);
        self.groups.iter().filter(move |group| group.since == since && !group.strange)
    }

    /// The rates that hold. Where the list knows a tier's price and a long prompt's but not that of both at once, the
    /// dearer counts; and where it gives a dearer tier's price of all input or output but not of its parts, these rise as
    /// much.
    pub(super) fn rates(&self, on: &Conditions<'_>, day: u64) -> Rates {
        let holding = || self.period(day).filter(|group| group.holds(on));
        let knows_both = holding().any(|group| group.above.is_some() && group.tier.is_some());
        let (mut rates, mut long, mut tiered) = (Rates::default(), Rates::default(), Rates::default());
        for group in holding() {
            match (group.above, group.tier) {
                (_, Some(_)) => tiered.override_by(&group.rates),
                (Some(_), None) => long.override_by(&group.rates),
                (None, None) => {}
            }
            rates.override_by(&group.rates);
        }
        rates.follow(&self.ordinary(on, day), &tiered);
        if !knows_both {
            rates.raise_to(&long);
        }
        rates
    }

    /// The rates of the ordinary tier.
    fn ordinary(&self, on: &Conditions<'_>, day: u64) -> Rates {
        let mut rates = Rates::default();
        let holding = self.period(day).filter(|group| group.tier.is_none() && group.holds(on));
        holding.for_each(|group| rates.override_by(&group.rates));
        rates
    }
}

impl Group {
    fn parse(text: &'static str) -> Self {
        let mut group = Self::default();
        for word in text.split(' ') {
            if let Some(tokens) = word.strip_prefix('>') {
                group.above = tokens.parse().ok();
                group.strange |= group.above.is_none();
            } else if let Some(tier) = word.strip_prefix('@') {
                group.tier = ServiceTier::named(tier).filter(|tier| *tier != ServiceTier::Standard);
                group.strange |= group.tier.is_none();
            } else if let Some(hours) = word.strip_prefix("off:") {
                group.off = Some(hours);
            } else if let Some(day) = word.strip_prefix("from:") {
                // A day that cannot be read never comes.
                group.since = day_of(day).unwrap_or(u64::MAX);
            } else if word.contains(':') {
                group.strange = true;
            } else {
                group.rates.read(word);
            }
        }
        group.rates.drop_needless();
        group
    }

    fn holds(&self, on: &Conditions<'_>) -> bool {
        self.above.is_none_or(|above| on.input_tokens > above)
            && self.tier.is_none_or(|tier| tier == on.tier)
            && self.off.is_none_or(|hours| on.off == Some(hours))
    }
}

/// A moment in UTC, as prices divide it.
pub(super) struct Moment {
    /// Days since 1970.
    pub day: u64,
    /// Monday is 1.
    weekday: u64,
    /// Minutes since midnight.
    minute: u64,
}

impl Moment {
    pub(super) fn of(at: SystemTime) -> Self {
        let seconds = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let day = seconds / 86_400;
        // 1970 began on a Thursday.
        Self { day, weekday: (day + 3) % 7 + 1, minute: seconds % 86_400 / 60 }
    }
}

/// Hours of the week.
#[derive(Clone, Debug, Default)]
pub(super) struct Hours(Vec<Span>);

/// On these days (a bit for each, Monday is the second), between these minutes since midnight.
#[derive(Clone, Debug)]
struct Span {
    days: u16,
    minutes: std::ops::Range<u64>,
}

impl Hours {
    /// Reads `DAYS/FROM-TO,FROM-TO;…`, as `12345/0000-0100,1000-2400`. What cannot be read is no hour.
    pub(super) fn parse(text: &str) -> Self {
        let spans = text.split(';').filter_map(|part| part.split_once('/')).flat_map(|(days, spans)| {
            let days = days.bytes().filter(u8::is_ascii_digit).fold(0, |all, day| all | 1 << (day - b'0'));
            spans.split(',').filter_map(move |span| Some(Span { days, minutes: minutes(span)? }))
        });
        Self(spans.collect())
    }

    /// Whether the moment is in them.
    pub(super) fn contain(&self, moment: &Moment) -> bool {
        self.0.iter().any(|span| span.days & 1 << moment.weekday != 0 && span.minutes.contains(&moment.minute))
    }
}

/// `0000-0100` in minutes since midnight.
fn minutes(span: &str) -> Option<std::ops::Range<u64>> {
    let (from, to) = span.split_once('-')?;
    let of = |text: &str| Some(text.get(..2)?.parse::<u64>().ok()? * 60 + text.get(2..)?.parse::<u64>().ok()?);
    Some(of(from)?..of(to)?)
}

/// Days since 1970 of `2027-01-01`.
pub(in crate::config) fn day_of(date: &str) -> Option<u64> {
    let midnight = humantime::parse_rfc3339_weak(&format!("{date} 00:00:00")).ok()?;
    Some(midnight.duration_since(UNIX_EPOCH).ok()?.as_secs() / 86_400)
}

/// `2027-01-01` of days since 1970.
pub(in crate::config) fn date_of(day: u64) -> String {
    // Beyond the years of four digits there is no such date.
    const DAY_MAX: u64 = 2_932_896;
    let midnight = UNIX_EPOCH + Duration::from_secs(day.min(DAY_MAX) * 86_400);
    let mut text = humantime::format_rfc3339_seconds(midnight).to_string();
    text.truncate("0000-00-00".len());
    text
}
