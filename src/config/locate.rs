//! From byte offsets to `FILE:LINE:COL`, and the findings that carry them.

use std::fmt;

/// Something to say about a configuration, with its place: `FILE:LINE:COL: KEY.PATH: what is wrong (what was meant?)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, as the user named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// Which key (`models[0].targets[1].provider`).
    pub key: String,
    /// What is wrong, and where possible what was meant.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}: {}", self.file, self.line, self.column, self.key, self.text)
    }
}

/// The lines of a text, to find a byte offset's place among them.
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1)).collect();
        Self { text, starts }
    }

    /// Line and column of the byte at `offset`, both from 1; past the end means the end.
    pub(super) fn place(&self, offset: usize) -> (usize, usize) {
        let offset = offset.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let column = self.text.char_indices().skip_while(|(at, _)| *at < start).take_while(|(at, _)| *at < offset).count() + 1;
        (line, column)
    }
}

/// The candidate that `word` may have been meant to be, as ` (did you mean "…"?)`, or nothing.
pub(super) fn did_you_mean<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> String {
    nearest(word, candidates).map(|meant| format!(" (did you mean {meant:?}?)")).unwrap_or_default()
}

/// The candidate nearest to `word`, if one is near: a typo away, or begun by it.
pub(super) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // The distance costs the product of the lengths, and callers choose the word.
    const LONGEST: usize = 128;
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    let wanted = word.to_lowercase();
    let tolerance = (wanted.chars().count() / 3).max(1);
    let score = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let begun = wanted.len() >= 3 && candidate.starts_with(&wanted);
        let distance = strsim::damerau_levenshtein(&wanted, &candidate);
        if begun { distance.min(tolerance) } else { distance }
    };
    let scored = candidates.into_iter().filter(|c| c.len() <= LONGEST).map(|c| (score(c), c));
    scored.filter(|(distance, _)| *distance <= tolerance).min_by_key(|(distance, _)| *distance).map(|(_, c)| c)
}
