//! Reading `[[routes]]`.

use http::HeaderName;
use regex::{Regex, RegexBuilder};

use super::super::file::{Reading, Spot, Table, Text};
use super::super::locate::did_you_mean;
use super::super::provider::carries_credential;
use super::super::resolve::keys;
use super::super::{Policy, Route, Then};
use super::{Between, Clock, Count, Days, Glob, Holds, Sample, Sticky, When, Who, Words};
use crate::ir::Operation;

/// How many rules there may be: each request may be compared with all of them.
const ROUTES_MAX: usize = 1000;

/// How long a name and a message may be, in bytes.
const NAME_BYTES_MAX: usize = 100;
const MESSAGE_BYTES_MAX: usize = 2000;

/// Bytes of memory of one compiled pattern. Matching takes time in proportion to the length of the text, times this at worst.
const PATTERN_BYTES_MAX: usize = 256 << 10;

/// The same of a list of words, which costs less: there is little to try in it.
const WORDS_BYTES_MAX: usize = 1 << 20;

/// Bytes that each thread remembers of what a pattern has seen.
const MEMORY_BYTES_MAX: usize = 512 << 10;

/// Reads the rules; `policy` knows the models that they may name.
pub(in super::super) fn read(reading: &Reading<'_>, root: &Table<'_, '_>, policy: &Policy) -> Vec<Route> {
    let tables = root.tables("routes", keys::ROUTE).unwrap_or_default();
    if tables.len() > ROUTES_MAX {
        reading.fault(&root.spot("routes"), format!("{} rules are too many: at most {ROUTES_MAX}", tables.len()));
        return Vec::new();
    }
    let mut routes = Vec::with_capacity(tables.len());
    let mut names: Vec<(String, String)> = Vec::new();
    let mut all: Option<String> = None;
    for table in tables {
        if let Some(earlier) = &all {
            reading.warn(&table.at, format!("is never reached: {earlier} matches everything"));
        }
        let name = name(reading, &table, &mut names);
        let faults = reading.fault_count();
        let when = when(reading, &table.table("when", keys::WHEN));
        if when.is_all() && faults == reading.fault_count() && all.is_none() {
            all = Some(table.at.key.clone());
        }
        let Some(then) = then(reading, &table, policy) else { continue };
        routes.push(Route { name, when, then });
    }
    routes
}

fn name(reading: &Reading<'_>, table: &Table<'_, '_>, earlier: &mut Vec<(String, String)>) -> Option<String> {
    let name = table.name("name")?;
    if name.value.len() > NAME_BYTES_MAX || name.value.chars().any(char::is_control) {
        reading.fault(&name.at, format!("a rule's name has at most {NAME_BYTES_MAX} bytes and no control characters"));
        return None;
    }
    match earlier.iter().find(|(known, _)| *known == name.value) {
        Some((_, place)) => reading.fault(&name.at, format!("{place} has the name {:?} already (names are unique)", name.value)),
        None => earlier.push((name.value.clone(), table.at.key.clone())),
    }
    Some(name.value)
}

fn then(reading: &Reading<'_>, table: &Table<'_, '_>, policy: &Policy) -> Option<Then> {
    match (table.has("use"), table.has("deny")) {
        (true, true) => {
            reading.fault(&table.spot("deny"), "stands beside use: a rule either names a model or refuses (leave one of them out)");
            None
        }
        (false, false) => {
            reading.fault(&table.spot("use"), "is missing (the alias or provider/model that is asked, or deny = \"why not\")");
            None
        }
        (true, false) => {
            let target = table.name("use")?;
            if let Err(fault) = policy.find(&target.value) {
                reading.fault(&target.at, fault.client_text);
                return None;
            }
            Some(Then::Use(target.value))
        }
        (false, true) => {
            let message = table.name("deny")?;
            if message.value.len() > MESSAGE_BYTES_MAX {
                reading.fault(&message.at, format!("is longer than {MESSAGE_BYTES_MAX} bytes"));
            }
            Some(Then::Deny(message.value))
        }
    }
}

fn when(reading: &Reading<'_>, table: &Table<'_, '_>) -> When {
    let globs = |key| globs(reading, table, key);
    When {
        model: globs("model").unwrap_or_default(),
        operations: operations(reading, table),
        stream: table.flag("stream"),
        counts: Count::ALL.iter().filter_map(|(count, min, max)| Some((*count, between(reading, table, *count, min, max)?))).collect(),
        holds: Holds::ALL.iter().filter_map(|(holds, key)| Some((*holds, table.flag(key)?))).collect(),
        who: Who::ALL.iter().filter_map(|(who, key)| Some((*who, globs(key)?))).collect(),
        headers: headers(reading, table),
        time: clock(reading, table),
        sample: sample(reading, table),
        words: words(reading, table),
        pattern: table.name("pattern").and_then(|text| reading.accept(&text.at, compile(&text.value))),
    }
}

/// The most values that a condition lists.
const LISTED_MAX: usize = 1000;

/// What a condition lists: one or more.
fn listed(reading: &Reading<'_>, table: &Table<'_, '_>, key: &str) -> Option<Vec<Text>> {
    if table.is_empty_array(key) {
        reading.fault(&table.spot(key), "is empty, so that the rule would never match (leave the key out to match all)");
        return None;
    }
    table.one_or_more(key, LISTED_MAX).filter(|listed| !listed.is_empty())
}

fn globs(reading: &Reading<'_>, table: &Table<'_, '_>, key: &str) -> Option<Vec<Glob>> {
    Some(listed(reading, table, key)?.iter().map(|text| Glob::new(&text.value)).collect())
}

fn operations(reading: &Reading<'_>, table: &Table<'_, '_>) -> Vec<Operation> {
    const ALL: [Operation; 4] = [Operation::Chat, Operation::Embeddings, Operation::CountTokens, Operation::Opaque];
    let words = ALL.map(Operation::label);
    let mut operations = Vec::new();
    for text in listed(reading, table, "operation").unwrap_or_default() {
        match ALL.into_iter().find(|operation| operation.label() == text.value) {
            Some(operation) if operations.contains(&operation) => reading.fault(&text.at, format!("{:?} stands twice", text.value)),
            Some(operation) => operations.push(operation),
            None => unknown(reading, &text, "operation", words),
        }
    }
    operations
}

fn between(reading: &Reading<'_>, table: &Table<'_, '_>, count: Count, min: &str, max: &str) -> Option<Between> {
    const COUNT_MAX: usize = 1_000_000_000;
    let read = |key| match count {
        Count::Difficulty => table.permille(key).map(u64::from),
        _ => table.count(key, 0..=COUNT_MAX).map(|count| count as u64),
    };
    let between = Between { min: read(min), max: read(max) };
    if let (Some(least), Some(most)) = (between.min, between.max)
        && least > most
    {
        reading.fault(&table.spot(max), format!("is less than {min}, so that the rule would never match"));
    }
    (between != Between::default()).then_some(between)
}

fn headers(reading: &Reading<'_>, table: &Table<'_, '_>) -> Vec<(HeaderName, Glob)> {
    let mut headers: Vec<(HeaderName, Glob)> = Vec::new();
    let texts = table.texts_by_name("headers");
    if texts.is_empty() && table.is_empty_table("headers") {
        reading.fault(&table.spot("headers"), "is empty (expected { NAME = \"PATTERN\" }, as { x-env = \"staging\" })");
    }
    for (name, text) in texts {
        let Ok(name) = HeaderName::try_from(&name) else {
            reading.fault(&text.at, format!("{name:?} is not a header name (letters, digits and \"-\")"));
            continue;
        };
        if carries_credential(&name) {
            reading.fault(&text.at, format!("the header {name} is a credential, by which no rule decides"));
        } else if headers.iter().any(|(earlier, _)| *earlier == name) {
            reading.fault(&text.at, format!("the header {name} stands twice (names do not differ by case)"));
        } else {
            headers.push((name, Glob::new(&text.value)));
        }
    }
    headers
}

fn clock(reading: &Reading<'_>, table: &Table<'_, '_>) -> Option<Clock> {
    let hours = table.name("hours").and_then(|text| reading.accept(&text.at, hours(&text.value)));
    let days = days(reading, table);
    let offset = table.name("utc_offset").and_then(|text| reading.accept(&text.at, offset(&text.value)));
    if !table.has("hours") && !table.has("days") {
        if table.has("utc_offset") {
            reading.fault(&table.spot("utc_offset"), "has a meaning beside hours or days only");
        }
        return None;
    }
    let (from, until) = hours.unwrap_or((0, DAY_MINUTES));
    Some(Clock { from, until, days: days.unwrap_or(Days::ALL), offset_minutes: offset.unwrap_or(0) })
}

const DAY_MINUTES: u16 = 24 * 60;

fn hours(text: &str) -> Result<(u16, u16), String> {
    let span = text.split_once('-').and_then(|(from, until)| Some((minute_of(from.trim())?, minute_of(until.trim())?)));
    match span {
        Some((from, until)) if from == until => Err(format!("{text:?} begins when it ends (leave hours out for the whole day)")),
        Some((from, until)) if from < DAY_MINUTES && until > 0 => Ok((from, until)),
        // Until midnight is until the end of the day.
        Some((from, 0)) if from < DAY_MINUTES => Ok((from, DAY_MINUTES)),
        _ => Err(format!("{text:?} is no span of hours: expected HH:MM-HH:MM, as \"08:00-18:00\"")),
    }
}

/// The minute of the day, 24:00 included.
fn minute_of(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| digits)
    };
    let minute = number(minute).filter(|number| minute.len() == 2 && *number < 60)?;
    let total = number(hour)?.checked_mul(60)?.checked_add(minute)?;
    (total <= DAY_MINUTES).then_some(total)
}

fn offset(text: &str) -> Result<i16, String> {
    const MOST: u16 = 14 * 60;
    let wrong = || format!("{text:?} is no distance from UTC: expected \"+HH:MM\" or \"-HH:MM\" up to 14 hours, as \"+02:00\"");
    if text == "Z" {
        return Ok(0);
    }
    let (sign, rest) = match text.split_at_checked(1) {
        Some(("+", rest)) => (1, rest),
        Some(("-", rest)) => (-1, rest),
        _ => return Err(wrong()),
    };
    let minutes = minute_of(rest).filter(|minutes| *minutes <= MOST).and_then(|minutes| i16::try_from(minutes).ok());
    minutes.map(|minutes| sign * minutes).ok_or_else(wrong)
}

fn days(reading: &Reading<'_>, table: &Table<'_, '_>) -> Option<Days> {
    let mut days = Days::NONE;
    for text in listed(reading, table, "days")? {
        match Days::WORDS.iter().position(|word| *word == text.value) {
            Some(day) if days.has(day) => reading.fault(&text.at, format!("{:?} stands twice", text.value)),
            Some(day) => days = days.with(day),
            None => unknown(reading, &text, "day", Days::WORDS),
        }
    }
    (days != Days::NONE).then_some(days)
}

fn sample(reading: &Reading<'_>, table: &Table<'_, '_>) -> Option<Sample> {
    let sticky = table.name("sticky").and_then(|text| {
        let sticky = Sticky::ALL.iter().find(|(_, word)| *word == text.value).map(|(sticky, _)| *sticky);
        if sticky.is_none() {
            unknown(reading, &text, "way to be sticky", Sticky::ALL.map(|(_, word)| word));
        }
        sticky
    });
    if !table.has("percent") {
        if table.has("sticky") {
            reading.fault(&table.spot("sticky"), "has a meaning beside percent only: it says by what a request is in the share");
        }
        return None;
    }
    let text = table.decimal("percent")?;
    let ppm = reading.accept(&text.at, ppm(&text.value))?;
    if ppm == 0 {
        reading.warn(&text.at, "is 0, so that the rule never matches");
    }
    Some(Sample { ppm, sticky: sticky.unwrap_or_default() })
}

fn ppm(text: &str) -> Result<u32, String> {
    let percent = text.parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent));
    let percent = percent.ok_or("expected a number from 0 to 100, as 5 or 0.5")?;
    let ppm = (percent * 10_000.0).round();
    match ppm == 0.0 && percent > 0.0 {
        true => Err("is too fine: the least share is 0.0001".to_owned()),
        false => Ok(ppm as u32),
    }
}

fn words(reading: &Reading<'_>, table: &Table<'_, '_>) -> Option<Words> {
    let listed = listed(reading, table, "words")?;
    let at = table.spot("words");
    let list: Vec<String> = listed.into_iter().map(|text| text.value.trim().to_owned()).collect();
    let found = regexes(list).map_err(|(many, _)| format!("{many} words are too many to look for at once (divide them among rules)"));
    reading.accept(&at, found)
}

/// What finds one of the words: as it stands, and whole. Whatever a word borders on is part of the match, so that finding needs
/// no look-around, which is slow beyond ASCII.
fn regexes(list: Vec<String>) -> Result<Words, (usize, regex::Error)> {
    let escaped = |word: &String| word.split_whitespace().map(regex::escape).collect::<Vec<_>>().join(r"\s+");
    let any_case = |pattern: &str| builder(&format!("(?i:{pattern})"), WORDS_BYTES_MAX).build();
    let mut groups = Vec::new();
    for borders in [(true, true), (true, false), (false, true), (false, false)] {
        let bordered = |edge: Option<char>| edge.is_some_and(is_bordered);
        let own = list.iter().filter(|word| (bordered(word.chars().next()), bordered(word.chars().next_back())) == borders);
        let own: Vec<String> = own.map(escaped).collect();
        let before = if borders.0 { r"(?:\A|\W)" } else { "" };
        let after = if borders.1 { r"(?:\W|\z)" } else { "" };
        if !own.is_empty() {
            groups.push(format!("{before}(?:{}){after}", own.join("|")));
        }
    }
    let likely = any_case(&list.iter().map(escaped).collect::<Vec<_>>().join("|"));
    match (likely, any_case(&groups.join("|"))) {
        (Ok(likely), Ok(whole)) => Ok(Words { list, likely, whole }),
        (Err(error), _) | (_, Err(error)) => Err((list.len(), error)),
    }
}

/// Whether words that begin or end with it are set apart in writing: Chinese, Japanese, Thai and their neighbours write no
/// spaces.
fn is_bordered(edge: char) -> bool {
    let unspaced = matches!(
        edge,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..='\u{a4cf}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}'
    );
    (edge.is_alphanumeric() || edge == '_') && !unspaced
}

fn builder(pattern: &str, bytes_max: usize) -> RegexBuilder {
    let mut builder = RegexBuilder::new(pattern);
    builder.size_limit(bytes_max).dfa_size_limit(MEMORY_BYTES_MAX).nest_limit(100);
    builder
}

fn compile(pattern: &str) -> Result<Regex, String> {
    builder(pattern, PATTERN_BYTES_MAX).build().map_err(|error| match &error {
        regex::Error::Syntax(told) => syntax(told),
        regex::Error::CompiledTooBig(_) => "is too large when compiled (smaller repetitions, fewer \\w and \\d)".to_owned(),
        other => format!("is not a regular expression: {other}"),
    })
}

/// The one line that the library's drawing of a fault comes to.
fn syntax(told: &str) -> String {
    const MARGIN: usize = 4;
    let column = told.lines().find(|line| line.trim_start().starts_with('^')).and_then(|line| line.find('^')?.checked_sub(MARGIN));
    let why = told.lines().rev().find_map(|line| line.strip_prefix("error: ")).unwrap_or("it cannot be read");
    match column {
        Some(column) => format!("is not a regular expression: {why} (at its character {})", column + 1),
        None => format!("is not a regular expression: {why}"),
    }
}

fn unknown<const N: usize>(reading: &Reading<'_>, text: &Text, what: &str, words: [&'static str; N]) {
    let meant = did_you_mean(&text.value, words);
    let at: &Spot = &text.at;
    reading.fault(at, format!("no {what} named {:?}{meant}: expected one of {}", text.value, words.join(", ")));
}
