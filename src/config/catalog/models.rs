//! The table of models, read in place: a row is found by bisection and parsed when it is asked for.

use std::cmp::Ordering;

use super::facts::{Capabilities, Facts, Mode};
use super::price::Prices;

/// One line for each model, in order; made by `catalog/refresh`, and described at its head.
pub(super) const TABLE: &str = include_str!("models.tsv");

/// What the table knows of `model` at a provider of this kind, under its own name or one that it is a version of.
///
/// A name is tried as it is, then without what stands before it (a publisher, a region of Bedrock) and behind it (a
/// date, a version, `-latest`). Nothing is allocated, and a name that is not there costs some hundred comparisons.
pub(super) fn lookup(kind: &str, model: &str) -> Option<Facts> {
    // Beyond what any vendor's name is; ARNs are the longest.
    const NAME_BYTES_MAX: usize = 512;
    if model.len() > NAME_BYTES_MAX {
        return None;
    }
    let published = model.rsplit_once('/').map(|(_, name)| name);
    let placed = published.unwrap_or(model);
    let unplaced = (kind == "bedrock").then(|| placed.split_once('.')).flatten().filter(|(place, _)| PLACES.contains(place));
    let names = [Some(model), published, unplaced.map(|(_, name)| name)];
    names.into_iter().flatten().find_map(|name| versions(kind, name).find_map(|name| row(kind, name)))
}

/// Where Bedrock's inference profiles are, as their ids begin.
const PLACES: &[&str] = &["us", "us-gov", "eu", "apac", "jp", "au", "ca", "global", "in", "kr", "sa", "uk", "me", "il", "mx"];

/// The name, and what it is a version of.
fn versions<'m>(kind: &'m str, model: &'m str) -> impl Iterator<Item = &'m str> {
    std::iter::successors(Some(model), move |name| shorter(kind, name)).take(6)
}

fn shorter<'m>(kind: &str, name: &'m str) -> Option<&'m str> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((bare, _version)) = name.split_once('@') {
        return Some(bare);
    }
    if let Some((bare, version)) = name.rsplit_once(':')
        && (kind == "bedrock" && digits(version) || bare.starts_with("ft:"))
    {
        // A fine-tuned model's name ends with its owner's, its suffix, and its number.
        return Some(bare);
    }
    if let Some(bare) = name.strip_suffix("-latest") {
        return Some(bare);
    }
    let (bare, last) = name.rsplit_once('-')?;
    if digits(last) && last.len() == 8 || kind == "bedrock" && last.strip_prefix('v').is_some_and(digits) {
        return Some(bare);
    }
    // -2025-08-07
    let dated = name.len().checked_sub(11).filter(|at| name.is_char_boundary(*at)).map(|at| name.split_at(at));
    let (bare, date) = dated?;
    let is_date = date.bytes().zip(*b"-0000-00-00").all(|(byte, like)| if like == b'-' { byte == b'-' } else { byte.is_ascii_digit() });
    is_date.then_some(bare)
}

/// The row of exactly this name; capitals do not count.
fn row(kind: &str, model: &str) -> Option<Facts> {
    let mut rest = body();
    while !rest.is_empty() {
        let middle = rest.len() / 2;
        let start = memchr::memrchr(b'\n', rest.as_bytes().get(..middle)?).map_or(0, |at| at + 1);
        let end = memchr::memchr(b'\n', rest.as_bytes().get(start..)?).map_or(rest.len(), |length| start + length);
        let line = rest.get(start..end)?;
        let mut columns = line.split('\t');
        let order = columns.next()?.cmp(kind).then_with(|| compare(columns.next().unwrap_or_default(), model));
        match order {
            Ordering::Equal => return parse(columns),
            Ordering::Less => rest = rest.get(end + 1..).unwrap_or_default(),
            Ordering::Greater => rest = rest.get(..start)?,
        }
    }
    None
}

/// The rows, without the comments above them.
pub(super) fn body() -> &'static str {
    let mut rest = TABLE;
    while rest.starts_with('#') {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
    rest
}

/// How a name of the table, in small letters, stands to the name that is asked for.
fn compare(known: &str, asked: &str) -> Ordering {
    known.bytes().cmp(asked.bytes().map(|byte| byte.to_ascii_lowercase()))
}

/// Reads a row's columns, from the third on.
fn parse(mut columns: impl Iterator<Item = &'static str>) -> Option<Facts> {
    let mode = Mode::named(columns.next()?);
    let context_tokens = columns.next()?.parse().ok();
    let output_tokens = columns.next()?.parse().ok();
    let flags = columns.next()?;
    let (can, cannot) = flags.split_once('-').unwrap_or((flags, ""));
    let prices = Prices::listed(columns.next()?);
    Some(Facts { mode, context_tokens, output_tokens, can: Capabilities::read(can), cannot: Capabilities::read(cannot), prices })
}
