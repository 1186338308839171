//! Reads a TOML document table by table. Every value keeps its place and key path, and a fault does not end the
//! reading: all of a file's faults are told at once.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::catalog::price::day_of;
use super::load::{Outside, Rejected};
use super::locate::{Finding, Lines, did_you_mean};
use super::values;

/// One document while it is read.
pub(super) struct Reading<'a> {
    file: &'a str,
    lines: Lines<'a>,
    folder: &'a Path,
    outside: &'a Outside<'a>,
    found: RefCell<Found>,
}

#[derive(Default)]
struct Found {
    faults: Vec<(usize, Finding)>,
    warnings: Vec<(usize, Finding)>,
    watched: Vec<PathBuf>,
}

/// A place in the document: where, and under which key.
#[derive(Clone)]
pub(super) struct Spot {
    offset: usize,
    /// The key path.
    pub(super) key: String,
}

/// A string with its place, `env:` and `file:` followed.
pub(super) struct Text {
    /// The string.
    pub(super) value: String,
    /// Where it stands.
    pub(super) at: Spot,
    /// Whether it came through `env:` or `file:`, so that it may be a secret.
    pub(super) outside: bool,
}

impl<'a> Reading<'a> {
    /// Begins to read `text`, the content of `file`; relative paths start from `folder`.
    pub(super) fn new(file: &'a str, text: &'a str, folder: &'a Path, outside: &'a Outside<'a>) -> Self {
        Self { file, lines: Lines::new(text), folder, outside, found: RefCell::default() }
    }

    /// Notes a fault.
    pub(super) fn fault(&self, at: &Spot, text: impl Into<String>) {
        let finding = self.finding(at, text.into());
        self.found.borrow_mut().faults.push((at.offset, finding));
    }

    /// How many faults there are so far.
    pub(super) fn fault_count(&self) -> usize {
        self.found.borrow().faults.len()
    }

    /// Notes a warning.
    pub(super) fn warn(&self, at: &Spot, text: impl Into<String>) {
        let finding = self.finding(at, text.into());
        self.found.borrow_mut().warnings.push((at.offset, finding));
    }

    /// Notes what is wrong with a value, or hands the value on.
    pub(super) fn accept<T>(&self, at: &Spot, result: Result<T, String>) -> Option<T> {
        result.map_err(|text| self.fault(at, text)).ok()
    }

    /// Notes that `text` is no TOML.
    pub(super) fn syntax(&self, error: &toml::de::Error) {
        let offset = error.span().map_or(0, |span| span.start);
        let message = error.message().lines().collect::<Vec<_>>().join(" ");
        self.fault(&Spot { offset, key: "TOML syntax".into() }, message);
    }

    /// Reads a file that a value names; it is watched from then on.
    pub(super) fn read(&self, path: &str) -> Result<String, String> {
        let path = self.folder.join(path);
        let text = (self.outside.read)(&path).map_err(|cause| values::cannot_read(&path, &cause))?;
        self.watch(path);
        Ok(text)
    }

    /// Reads a file that nobody named, where vendors' tools leave it: `None` where it is not there. Watched if it is.
    pub(super) fn read_if_there(&self, path: &str) -> Option<String> {
        let path = PathBuf::from(path);
        let text = (self.outside.read)(&path).ok()?;
        self.watch(path);
        Some(text)
    }

    /// An environment variable that vendors' tools read, where it is set and not empty.
    pub(super) fn env(&self, name: &str) -> Option<String> {
        (self.outside.env)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// Ends the reading: the watched files and the warnings, or everything that is wrong.
    pub(super) fn finish(self) -> Result<(Vec<PathBuf>, Vec<Finding>), Rejected> {
        let found = self.found.into_inner();
        let (faults, warnings) = (in_order(found.faults), in_order(found.warnings));
        if faults.is_empty() { Ok((found.watched, warnings)) } else { Err(Rejected { faults, warnings }) }
    }

    fn finding(&self, at: &Spot, text: String) -> Finding {
        let (line, column) = self.lines.place(at.offset);
        Finding { file: self.file.to_owned(), line, column, key: at.key.clone(), text }
    }

    fn watch(&self, path: PathBuf) {
        let watched = &mut self.found.borrow_mut().watched;
        if !watched.contains(&path) {
            watched.push(path);
        }
    }

    fn text(&self, value: &Spanned<DeValue<'_>>, at: Spot) -> Option<Text> {
        let DeValue::String(text) = value.get_ref() else {
            self.mismatch(&at, "a string", value.get_ref());
            return None;
        };
        let fetched = self.accept(&at, values::fetch(text, self.folder, self.outside))?;
        if let Some(path) = fetched.file {
            self.watch(path);
        }
        Some(Text { value: fetched.value, at, outside: fetched.outside })
    }

    fn decimal(&self, value: &Spanned<DeValue<'_>>, at: Spot) -> Option<Text> {
        let spelled = match value.get_ref() {
            DeValue::Float(number) => number.as_str(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::String(_) => return self.text(value, at),
            other => {
                self.mismatch(&at, "a number, as 0.25", other);
                return None;
            }
        };
        Some(Text { value: spelled.trim_start_matches('+').replace('_', ""), at, outside: false })
    }

    fn mismatch(&self, at: &Spot, expected: &str, found: &DeValue<'_>) {
        self.fault(at, format!("expected {expected}, found {}", kind_of(found)));
    }
}

fn in_order(mut findings: Vec<(usize, Finding)>) -> Vec<Finding> {
    findings.sort_by_key(|(offset, _)| *offset);
    findings.into_iter().map(|(_, finding)| finding).collect()
}

/// A table of the document; one that is absent, or no table, has no entries.
pub(super) struct Table<'r, 'd> {
    reading: &'r Reading<'r>,
    entries: Option<&'d DeTable<'d>>,
    /// Where it stands.
    pub(super) at: Spot,
}

impl<'r, 'd> Table<'r, 'd> {
    /// The document itself, which may have these keys.
    pub(super) fn root(reading: &'r Reading<'r>, document: &'d DeTable<'d>, known: &[&str]) -> Self {
        let table = Self { reading, entries: Some(document), at: Spot { offset: 0, key: String::new() } };
        table.refuse_unknown(known);
        table
    }

    /// The value as a table that may have these keys.
    pub(super) fn open(reading: &'r Reading<'r>, value: &'d Spanned<DeValue<'d>>, at: Spot, known: &[&str]) -> Option<Self> {
        let DeValue::Table(entries) = value.get_ref() else {
            reading.mismatch(&at, "a table", value.get_ref());
            return None;
        };
        let table = Self { reading, entries: Some(entries), at };
        table.refuse_unknown(known);
        Some(table)
    }

    /// Whether the key is there, be its value right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The place of the key's value, or of the table where it is absent.
    pub(super) fn spot(&self, key: &str) -> Spot {
        self.get(key).map_or_else(|| Spot { offset: self.at.offset, key: self.path(key) }, |(_, at)| at)
    }

    /// A sub-table.
    pub(super) fn table(&self, key: &str, known: &[&str]) -> Table<'r, 'd> {
        let opened = self.get(key).and_then(|(value, at)| Table::open(self.reading, value, at, known));
        opened.unwrap_or_else(|| Table { reading: self.reading, entries: None, at: self.spot(key) })
    }

    /// The elements of an array of tables; `None` where the key is absent or no array.
    pub(super) fn tables(&self, key: &str, known: &[&str]) -> Option<Vec<Table<'r, 'd>>> {
        let elements = self.array(key, "an array of tables")?;
        Some(elements.into_iter().filter_map(|(value, at)| Table::open(self.reading, value, at, known)).collect())
    }

    /// The tables of a table whose keys are names, in the order of the file.
    pub(super) fn tables_by_name(&self, key: &str) -> Vec<(&'d str, &'d Spanned<DeValue<'d>>, Spot)> {
        let Some((value, at)) = self.get(key) else { return Vec::new() };
        let DeValue::Table(entries) = value.get_ref() else {
            self.reading.mismatch(&at, "a table of tables", value.get_ref());
            return Vec::new();
        };
        Table { reading: self.reading, entries: Some(entries), at }.named()
    }

    /// The strings of a table whose keys are names, in the order of the file.
    pub(super) fn texts_by_name(&self, key: &str) -> Vec<(String, Text)> {
        let Some((value, at)) = self.get(key) else { return Vec::new() };
        let DeValue::Table(entries) = value.get_ref() else {
            self.reading.mismatch(&at, "a table of strings", value.get_ref());
            return Vec::new();
        };
        let named = Table { reading: self.reading, entries: Some(entries), at }.named();
        named.into_iter().filter_map(|(name, value, at)| Some((name.to_owned(), self.reading.text(value, at)?))).collect()
    }

    /// Whether the value is an array without elements.
    pub(super) fn is_empty_array(&self, key: &str) -> bool {
        self.get(key).and_then(|(value, _)| value.get_ref().as_array().map(|array| array.is_empty())).unwrap_or_default()
    }

    /// Whether the value is a table without entries.
    pub(super) fn is_empty_table(&self, key: &str) -> bool {
        self.get(key).and_then(|(value, _)| value.get_ref().as_table().map(|table| table.is_empty())).unwrap_or_default()
    }

    /// The entries in the order of the file.
    fn named(&self) -> Vec<(&'d str, &'d Spanned<DeValue<'d>>, Spot)> {
        let mut entries: Vec<_> = self.entries.into_iter().flatten().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let place = |key: &Spanned<_>, name: &str| Spot { offset: key.span().start, key: self.path(name) };
        entries.into_iter().map(|(key, value)| (&**key.get_ref(), value, place(key, key.get_ref()))).collect()
    }

    /// A string.
    pub(super) fn text(&self, key: &str) -> Option<Text> {
        let (value, at) = self.get(key)?;
        self.reading.text(value, at)
    }

    /// A string that is not empty.
    pub(super) fn name(&self, key: &str) -> Option<Text> {
        let text = self.text(key)?;
        if text.value.trim().is_empty() {
            self.reading.fault(&text.at, "is empty (leave the key out, or give it a value)");
            return None;
        }
        Some(text)
    }

    /// A string, or an array of at least one and at most `most`; none of them empty.
    pub(super) fn one_or_more(&self, key: &str, most: usize) -> Option<Vec<Text>> {
        let (value, at) = self.get(key)?;
        let count = match value.get_ref() {
            DeValue::String(_) => return self.name(key).map(|text| vec![text]),
            DeValue::Array(elements) => elements.len(),
            other => {
                self.reading.mismatch(&at, "a string or an array of strings", other);
                return None;
            }
        };
        if count == 0 {
            self.reading.fault(&at, "is empty (leave the key out, or give it a value)");
        } else if count > most {
            self.reading.fault(&at, format!("has {count} values: at most {most}"));
        }
        self.names(key).filter(|texts| !texts.is_empty())
    }

    /// An array of strings, none of them empty.
    pub(super) fn names(&self, key: &str) -> Option<Vec<Text>> {
        let mut names = Vec::new();
        for (value, at) in self.array(key, "an array of strings")? {
            match self.reading.text(value, at) {
                Some(text) if text.value.trim().is_empty() => self.reading.fault(&text.at, "is empty"),
                text => names.extend(text),
            }
        }
        Some(names)
    }

    /// A string, or an array of strings; none of them empty.
    pub(super) fn name_or_names(&self, key: &str) -> Option<Vec<Text>> {
        let (value, at) = self.get(key)?;
        match value.get_ref() {
            DeValue::String(_) => Some(self.name(key).into_iter().collect()),
            DeValue::Array(_) => self.names(key),
            other => {
                self.reading.mismatch(&at, "a string or an array of strings", other);
                None
            }
        }
    }

    /// A date or time, as it is spelled, or a string.
    pub(super) fn instant(&self, key: &str) -> Option<Text> {
        let (value, at) = self.get(key)?;
        match value.get_ref() {
            DeValue::Datetime(instant) => Some(Text { value: instant.to_string(), at, outside: false }),
            DeValue::String(_) => self.reading.text(value, at),
            other => {
                self.reading.mismatch(&at, "a date, as 2027-01-31, or an instant, as 2027-01-31T12:00:00Z", other);
                None
            }
        }
    }

    /// A boolean.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        let (value, at) = self.get(key)?;
        if value.get_ref().as_bool().is_none() {
            self.reading.mismatch(&at, "true or false", value.get_ref());
        }
        value.get_ref().as_bool()
    }

    /// A whole number in this range.
    pub(super) fn count(&self, key: &str, range: RangeInclusive<usize>) -> Option<usize> {
        let (value, at) = self.get(key)?;
        let DeValue::Integer(number) = value.get_ref() else {
            self.reading.mismatch(&at, "a whole number", value.get_ref());
            return None;
        };
        let number = i64::from_str_radix(number.as_str(), number.radix()).ok().and_then(|number| usize::try_from(number).ok());
        let accepted = number.filter(|number| range.contains(number));
        if accepted.is_none() {
            self.reading.fault(&at, format!("expected a whole number from {} to {}", range.start(), range.end()));
        }
        accepted
    }

    /// A number that is not negative, as it is spelled: a price must not pass through a float.
    pub(super) fn decimal(&self, key: &str) -> Option<Text> {
        let (value, at) = self.get(key)?;
        self.reading.decimal(value, at)
    }

    /// A date, in days since 1970.
    pub(super) fn date(&self, key: &str) -> Option<u64> {
        let (value, at) = self.get(key)?;
        let DeValue::Datetime(date) = value.get_ref() else {
            self.reading.mismatch(&at, "a date, as 2026-01-01", value.get_ref());
            return None;
        };
        let day = day_of(&date.to_string());
        if day.is_none() {
            self.reading.fault(&at, format!("expected a date since 1970 alone, as 2026-01-01, found {date}"));
        }
        day
    }

    /// A share from 0 to 1, as 0.05, in thousandths.
    pub(super) fn permille(&self, key: &str) -> Option<u32> {
        self.share(&self.decimal(key)?)
    }

    /// An array of shares from 0 to 1, in thousandths.
    pub(super) fn permilles(&self, key: &str) -> Option<Vec<u32>> {
        let elements = self.array(key, "an array of shares from 0 to 1, as [0.8]")?;
        let spelled = elements.into_iter().filter_map(|(value, at)| self.reading.decimal(value, at));
        Some(spelled.filter_map(|text| self.share(&text)).collect())
    }

    fn share(&self, text: &Text) -> Option<u32> {
        let share = text.value.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
        if share.is_none() {
            self.reading.fault(&text.at, "expected a share from 0 to 1, as 0.05");
        }
        share.map(|share| (share * 1000.0).round() as u32)
    }

    /// A size in bytes, at least `least`.
    pub(super) fn size(&self, key: &str, least: usize) -> Option<usize> {
        let text = self.unit(key, "a size as a string with its unit, as \"64KiB\"")?;
        let size = self.reading.accept(&text.at, values::size(&text.value))?;
        if size < least {
            self.reading.fault(&text.at, format!("{:?} is too small: at least {:?}", text.value, values::show_size(least)));
            return None;
        }
        Some(size)
    }

    /// A duration that is not zero.
    pub(super) fn duration(&self, key: &str) -> Option<Duration> {
        let at = self.spot(key);
        let duration = self.duration_or_zero(key)?;
        if duration.is_zero() {
            self.reading.fault(&at, "is zero, so that everything would time out at once (for a very long wait write \"1day\")");
            return None;
        }
        Some(duration)
    }

    /// A duration.
    pub(super) fn duration_or_zero(&self, key: &str) -> Option<Duration> {
        let text = self.unit(key, "a duration as a string with its unit, as \"30s\"")?;
        self.reading.accept(&text.at, values::duration(&text.value))
    }

    fn unit(&self, key: &str, expected: &str) -> Option<Text> {
        let (value, at) = self.get(key)?;
        if !value.get_ref().is_str() {
            self.reading.mismatch(&at, expected, value.get_ref());
            return None;
        }
        self.reading.text(value, at)
    }

    fn array(&self, key: &str, expected: &str) -> Option<Vec<(&'d Spanned<DeValue<'d>>, Spot)>> {
        let (value, at) = self.get(key)?;
        let DeValue::Array(elements) = value.get_ref() else {
            self.reading.mismatch(&at, expected, value.get_ref());
            return None;
        };
        let spot = |index: usize, value: &Spanned<_>| Spot { offset: value.span().start, key: format!("{}[{index}]", at.key) };
        Some(elements.iter().enumerate().map(|(index, value)| (value, spot(index, value))).collect())
    }

    fn get(&self, key: &str) -> Option<(&'d Spanned<DeValue<'d>>, Spot)> {
        let value = self.entries?.get(key)?;
        Some((value, Spot { offset: value.span().start, key: self.path(key) }))
    }

    fn path(&self, key: &str) -> String {
        let bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        let key = if bare { key.to_owned() } else { format!("{key:?}") };
        if self.at.key.is_empty() { key } else { format!("{}.{key}", self.at.key) }
    }

    fn refuse_unknown(&self, known: &[&str]) {
        for (name, _, at) in self.named().into_iter().filter(|(name, ..)| !known.contains(name)) {
            let meant = did_you_mean(name, known.iter().copied());
            let meant = if meant.is_empty() { format!(" (known here: {})", known.join(", ")) } else { meant };
            self.reading.fault(&at, format!("unknown key{meant}"));
        }
    }
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
