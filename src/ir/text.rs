//! Text and numbers that keep the spelling they came in.

use std::borrow::Cow;

use crate::base::json::{self, Raw};

/// Text that may still be in its JSON escapes. A string literal means the same in every dialect, so a codec moves
/// it verbatim; only a reader (a guard, an estimator, a comparison) unescapes it.
#[derive(Clone, Debug)]
pub enum Text<'a> {
    /// The inside of a valid JSON string literal, escapes untouched.
    Escaped(&'a str),
    /// Plain characters.
    Plain(Cow<'a, str>),
}

impl<'a> Text<'a> {
    /// No characters.
    pub const EMPTY: Text<'static> = Text::Escaped("");

    /// The text of a raw JSON value, where that is a string.
    pub fn of(raw: Raw<'a>) -> Option<Self> {
        raw.inner().map(Self::Escaped)
    }

    /// Plain text, borrowed or owned.
    pub fn plain(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Plain(text.into())
    }

    /// The characters.
    pub fn read(&self) -> Cow<'_, str> {
        match self {
            Self::Escaped(inner) => json::unescape(inner),
            Self::Plain(text) => Cow::Borrowed(text),
        }
    }

    /// Whether there are no characters.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Escaped(inner) => inner.is_empty(),
            Self::Plain(text) => text.is_empty(),
        }
    }

    /// Whether the characters are exactly these.
    pub fn is(&self, other: &str) -> bool {
        match self {
            Self::Escaped(inner) if !inner.contains('\\') => *inner == other,
            _ => self.read() == other,
        }
    }

    /// Bytes of the text as it stands: an upper bound of its characters, for estimates.
    pub fn len(&self) -> usize {
        match self {
            Self::Escaped(inner) => inner.len(),
            Self::Plain(text) => text.len(),
        }
    }

    /// Appends the text as a member of an object.
    pub fn put(&self, key: &str, object: &mut json::Object<'_>) {
        self.write(object.key(key));
    }

    /// Appends a JSON string literal, quotes included.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        self.write_inner(out);
        out.push(b'"');
    }

    /// Appends the inside of a JSON string literal: several texts may make one literal.
    pub fn write_inner(&self, out: &mut Vec<u8>) {
        match self {
            Self::Escaped(inner) => out.extend_from_slice(inner.as_bytes()),
            Self::Plain(text) => json::write_escaped(text, out),
        }
    }

    /// The same text, borrowed.
    pub fn by_ref(&self) -> Text<'_> {
        match self {
            Self::Escaped(inner) => Text::Escaped(inner),
            Self::Plain(text) => Text::Plain(Cow::Borrowed(text)),
        }
    }

    /// The same text, owned and plain.
    pub fn into_owned(self) -> Text<'static> {
        match self {
            Self::Escaped(inner) => Text::Plain(Cow::Owned(json::unescape(inner).into_owned())),
            Self::Plain(text) => Text::Plain(Cow::Owned(text.into_owned())),
        }
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Escaped(a), Self::Escaped(b)) if a == b => true,
            _ => self.read() == other.read(),
        }
    }
}

/// A JSON number as it was written (`0.70` stays `0.70`).
#[derive(Clone, Debug, PartialEq)]
pub struct Number<'a>(pub Cow<'a, str>);

impl<'a> Number<'a> {
    /// The number of a raw JSON value, where that is one.
    pub fn of(raw: Raw<'a>) -> Option<Self> {
        raw.number().map(|text| Self(Cow::Borrowed(text)))
    }

    /// Its value; not a number where it is beyond what an f64 holds.
    pub fn value(&self) -> f64 {
        self.0.parse().unwrap_or(f64::NAN)
    }
}
