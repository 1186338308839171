//! One condition of a rule: whether it holds, what it costs to know, and why it does not hold, in words.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderName;
use regex::Regex;

use super::super::caller::Caller;
use super::super::digest::Digest;
use super::super::features::Has;
use super::{Asked, Failed, Seen};
use crate::config::{Between, Clock, Count, Days, Glob, Holds, Route, Sample, Sticky, Who, Words};
use crate::ir::Operation;

/// What must be known for a condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Needs {
    /// What every exchange knows.
    #[default]
    Nothing,
    /// The decoded request.
    Request,
    /// Its last user message.
    Text,
}

/// One condition.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    Stream(bool),
    /// Operations, as a set of bits.
    Operation(u8),
    Model(Box<[Glob]>),
    Who(Who, Box<[Glob]>),
    Time(Clock),
    Header(HeaderName, Glob),
    Has {
        all: Has,
        none: Has,
    },
    Count(Count, Between),
    Share(Share),
    Words(Box<Words>),
    Pattern(Regex),
}

/// A share of the requests: those whose digest is below a bound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    sample: Sample,
    /// The rule's own beginning of each digest, so that each rule has its own share.
    rule: Digest,
}

/// The conditions of a rule.
pub(super) fn all(index: usize, route: &Route) -> Vec<Condition> {
    let when = &route.when;
    let mut all = Vec::new();
    all.extend(when.stream.map(Condition::Stream));
    if !when.operations.is_empty() {
        all.push(Condition::Operation(when.operations.iter().fold(0, |set, operation| set | bit(*operation))));
    }
    if !when.model.is_empty() {
        all.push(Condition::Model(when.model.as_slice().into()));
    }
    all.extend(when.who.iter().map(|(who, globs)| Condition::Who(*who, globs.as_slice().into())));
    all.extend(when.time.map(Condition::Time));
    all.extend(when.headers.iter().map(|(name, glob)| Condition::Header(name.clone(), glob.clone())));
    if !when.holds.is_empty() {
        let of = |wanted| when.holds.iter().filter(|(_, own)| *own == wanted).fold(Has::default(), |set, (holds, _)| set.and(flag(*holds)));
        all.push(Condition::Has { all: of(true), none: of(false) });
    }
    all.extend(when.counts.iter().map(|(count, between)| Condition::Count(*count, *between)));
    all.extend(when.sample.map(|sample| {
        let rule = match &route.name {
            Some(name) => Digest::new().bytes(name.as_bytes()),
            None => Digest::new().number(index as u64),
        };
        Condition::Share(Share { sample, rule })
    }));
    all.extend(when.words.as_ref().map(|words| Condition::Words(Box::new(words.clone()))));
    all.extend(when.pattern.clone().map(Condition::Pattern));
    all
}

fn bit(operation: Operation) -> u8 {
    match operation {
        Operation::Chat => 1,
        Operation::Embeddings => 1 << 1,
        Operation::CountTokens => 1 << 2,
        Operation::Models => 1 << 3,
        Operation::Opaque => 1 << 4,
    }
}

fn flag(holds: Holds) -> Has {
    match holds {
        Holds::Tools => Has::TOOLS,
        Holds::Images => Has::IMAGES,
        Holds::Documents => Has::DOCUMENTS,
        Holds::Audio => Has::AUDIO,
        Holds::Video => Has::VIDEO,
        Holds::StructuredOutput => Has::STRUCTURED_OUTPUT,
        Holds::Reasoning => Has::REASONING,
    }
}

impl Condition {
    /// Where it stands among a rule's conditions: what needs the request behind what does not, then the cheapest first.
    pub(super) fn cost(&self) -> (Needs, u8) {
        let own = match self {
            Self::Stream(_) | Self::Operation(_) | Self::Has { .. } => 0,
            Self::Count(Count::Difficulty, _) => 2,
            Self::Count(..) | Self::Model(_) => 1,
            Self::Who(..) => 2,
            Self::Time(_) => 3,
            Self::Share(_) => 4,
            Self::Header(..) => 5,
            Self::Words(..) => 0,
            Self::Pattern(_) => 1,
        };
        (self.needs(), own)
    }

    /// What must be known for it.
    pub(super) fn needs(&self) -> Needs {
        match self {
            Self::Stream(_) | Self::Operation(_) | Self::Model(_) | Self::Time(_) | Self::Header(..) => Needs::Nothing,
            // The user and the session may stand in the request alone.
            Self::Who(Who::User, _) => Needs::Request,
            Self::Who(..) => Needs::Nothing,
            Self::Share(share) if share.sample.sticky == Sticky::Request => Needs::Nothing,
            Self::Share(_) | Self::Has { .. } => Needs::Request,
            Self::Count(Count::Difficulty, _) | Self::Words(..) | Self::Pattern(_) => Needs::Text,
            Self::Count(..) => Needs::Request,
        }
    }

    /// Whether only the request tells. A user that a header named is known without it.
    pub(super) fn waits(&self, asked: &Asked<'_>) -> bool {
        let by_user = match self {
            Self::Who(Who::User, _) => true,
            Self::Share(share) => share.sample.sticky == Sticky::User,
            _ => false,
        };
        self.needs() >= Needs::Request && !(by_user && asked.caller.user.is_some())
    }

    /// Whether it holds.
    pub(super) fn holds(&self, seen: &Seen<'_>) -> bool {
        let asked = seen.asked;
        match self {
            Self::Stream(wanted) => asked.stream == *wanted,
            Self::Operation(set) => set & bit(asked.operation) != 0,
            Self::Model(globs) => any(globs, asked.model),
            Self::Who(who, globs) => who_is(*who, globs, asked.caller),
            Self::Time(clock) => within(*clock, seen.minutes()),
            Self::Header(name, glob) => {
                let mut texts = asked.headers.get_all(name).iter().filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
                texts.any(|text| glob.matches(text))
            }
            Self::Has { all, none } => asked.features.has.has(*all) && !asked.features.has.any(*none),
            Self::Count(count, between) => number(*count, seen).is_some_and(|number| between.has(number)),
            Self::Share(share) => share.has(seen),
            Self::Words(words) => seen.text().is_some_and(|text| words.are_in(text)),
            Self::Pattern(regex) => seen.text().is_some_and(|text| regex.is_match(text)),
        }
    }
}

fn any(globs: &[Glob], text: &str) -> bool {
    globs.iter().any(|glob| glob.matches(text))
}

fn who_is(who: Who, globs: &[Glob], caller: &Caller<'_>) -> bool {
    match who {
        Who::Tag => caller.tags.iter().any(|tag| {
            let matches = |glob: &Glob| glob.matches(if glob.as_str().contains('=') { tag.as_str() } else { tag.name() });
            globs.iter().any(matches)
        }),
        who => named(who, caller).is_some_and(|name| any(globs, name)),
    }
}

fn named<'c>(who: Who, caller: &'c Caller<'_>) -> Option<&'c str> {
    match who {
        Who::Team => caller.team.as_deref(),
        Who::App => caller.app.as_deref(),
        Who::User => caller.user.as_deref(),
        Who::Key => caller.key.as_deref(),
        Who::Tag => None,
    }
}

fn number(count: Count, seen: &Seen<'_>) -> Option<u64> {
    let features = seen.asked.features;
    match count {
        Count::InputTokens => Some(features.input_tokens),
        Count::Messages => Some(u64::from(features.messages)),
        Count::OutputTokens => features.output_tokens_max,
        Count::Difficulty => seen.difficulty().map(|difficulty| difficulty.permille()),
    }
}

/// Minutes since the epoch.
pub(super) fn minutes(at: SystemTime) -> i64 {
    match at.duration_since(UNIX_EPOCH) {
        Ok(since) => (since.as_secs() / 60).cast_signed(),
        Err(before) => -(before.duration().as_secs().div_ceil(60).cast_signed()),
    }
}

/// The minute of the day and the day of the week, from Monday, where it is so much later than in Greenwich.
fn local(minutes: i64, offset_minutes: i16) -> (u16, usize) {
    const DAY: i64 = 24 * 60;
    // The epoch was a Thursday.
    const EPOCH_DAY: i64 = 3;
    let minutes = minutes + i64::from(offset_minutes);
    let day = (minutes.div_euclid(DAY) + EPOCH_DAY).rem_euclid(7);
    (minutes.rem_euclid(DAY) as u16, day as usize)
}

fn within(clock: Clock, minutes: i64) -> bool {
    let (minute, day) = local(minutes, clock.offset_minutes);
    let before = (day + 6) % 7;
    match clock.from < clock.until {
        true => clock.days.has(day) && (clock.from..clock.until).contains(&minute),
        // Past midnight it is the day of the beginning.
        false => (minute >= clock.from && clock.days.has(day)) || (minute < clock.until && clock.days.has(before)),
    }
}

impl Share {
    fn has(&self, seen: &Seen<'_>) -> bool {
        let (_, digest) = self.place(seen);
        // The first so many millionths of all digests: who is among them stays so when there are more.
        let bound = (u128::from(self.sample.ppm) << 64) / u128::from(Sample::ALL);
        u128::from(digest) < bound
    }

    /// By what a request is in the share or out of it, and its digest.
    fn place(&self, seen: &Seen<'_>) -> (Sticky, u64) {
        let asked = seen.asked;
        let by_user = || seen.user().map(|user| (Sticky::User, self.rule.number(user).finish()));
        let by_session = || {
            let session = asked.features.session;
            (session != 0).then(|| (Sticky::Session, self.rule.number(session).finish()))
        };
        let by_chance = || (Sticky::Request, self.rule.number(asked.draw).finish());
        match self.sample.sticky {
            Sticky::User => by_user().or_else(by_session).unwrap_or_else(by_chance),
            Sticky::Session => by_session().unwrap_or_else(by_chance),
            Sticky::Request => by_chance(),
        }
    }
}

impl Condition {
    /// What it expected and what it found.
    pub(super) fn tell(&self, seen: &Seen<'_>) -> Failed {
        let asked = seen.asked;
        let text = || {
            seen.text()
                .map_or_else(|| "a request that was not read".into(), |text| format!("a text of {} characters", text.chars().count()))
        };
        let told = |key: &'static str, expected: String, found: String| Failed { key: Cow::Borrowed(key), expected, found };
        match self {
            Self::Stream(wanted) => told("stream", wanted.to_string(), asked.stream.to_string()),
            Self::Operation(set) => {
                const ALL: [Operation; 5] =
                    [Operation::Chat, Operation::Embeddings, Operation::CountTokens, Operation::Models, Operation::Opaque];
                let expected: Vec<_> = ALL.iter().filter(|each| set & bit(**each) != 0).map(|each| each.label()).collect();
                told("operation", expected.join(" or "), asked.operation.label().into())
            }
            Self::Model(globs) => told("model", alternatives(globs), format!("{:?}", asked.model)),
            Self::Who(who, globs) => {
                let tags = || asked.caller.tags.iter().map(|tag| format!("{:?}", tag.as_str())).collect::<Vec<_>>().join(", ");
                let found = match who {
                    Who::Tag => Some(tags()).filter(|tags| !tags.is_empty()),
                    who => named(*who, asked.caller).map(|name| format!("{name:?}")),
                };
                let key = Who::ALL.iter().find(|(each, _)| each == who).map_or("", |(_, key)| key);
                told(key, alternatives(globs), found.unwrap_or_else(|| "none".into()))
            }
            Self::Time(clock) => {
                let (minute, day) = local(seen.minutes(), clock.offset_minutes);
                let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
                let days: Vec<_> = Days::WORDS.iter().enumerate().filter(|(day, _)| clock.days.has(*day)).map(|(_, word)| *word).collect();
                let expected = format!("{}-{} on {}", time(clock.from), time(clock.until), days.join(", "));
                told("hours", expected, format!("{} on {}", time(minute), Days::WORDS.get(day).copied().unwrap_or_default()))
            }
            Self::Header(name, glob) => {
                let found: Vec<_> = asked.headers.get_all(name).iter().map(|value| format!("{value:?}")).collect();
                let found = if found.is_empty() { "no such header".into() } else { found.join(", ") };
                Failed { key: format!("headers.{name}").into(), expected: format!("{:?}", glob.as_str()), found }
            }
            Self::Has { all, none } => {
                let has = asked.features.has;
                let wrong = Holds::ALL.iter().find(|(each, _)| {
                    let flag = flag(*each);
                    if all.has(flag) { !has.has(flag) } else { none.has(flag) && has.has(flag) }
                });
                let (each, key) = wrong.copied().unwrap_or((Holds::Tools, ""));
                told(key, all.has(flag(each)).to_string(), has.has(flag(each)).to_string())
            }
            Self::Count(count, between) => {
                let found = number(*count, seen);
                let below = matches!((found, between.min), (Some(found), Some(min)) if found < min);
                let (_, min, max) = Count::ALL.into_iter().find(|(each, ..)| each == count).unwrap_or((*count, "", ""));
                let show = |number: u64| match count {
                    Count::Difficulty => format!("{:?}", number as f64 / 1000.0),
                    Count::InputTokens | Count::Messages | Count::OutputTokens => number.to_string(),
                };
                let (key, bound) = if below || between.max.is_none() { (min, between.min) } else { (max, between.max) };
                let word = if key == min { "at least" } else { "at most" };
                told(key, format!("{word} {}", bound.map(show).unwrap_or_default()), found.map_or_else(|| "not known".into(), show))
            }
            Self::Share(share) => {
                let (sticky, digest) = share.place(seen);
                let by = match sticky {
                    Sticky::User => "by its user",
                    Sticky::Session => "by its conversation",
                    Sticky::Request => "by chance",
                };
                let place = ((u128::from(digest) * 100_000_000) >> 64) as f64 / 1_000_000.0;
                told("percent", format!("the first {:?} %", f64::from(share.sample.ppm) / 10_000.0), format!("at {place:.2} % {by}"))
            }
            Self::Words(words) => told("words", words.list.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" or "), text()),
            Self::Pattern(regex) => told("pattern", format!("{:?}", regex.as_str()), text()),
        }
    }
}

fn alternatives(globs: &[Glob]) -> String {
    globs.iter().map(|glob| format!("{:?}", glob.as_str())).collect::<Vec<_>>().join(" or ")
}
