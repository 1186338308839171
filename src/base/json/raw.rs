//! A JSON value as the text it is written in, read on demand.

use std::borrow::Cow;

use super::walk::{Walk, at};
use super::{Cursor, Fields, JsonError, unescape};

/// One JSON value: a slice of a text that has been validated as a whole. Reading it allocates nothing; a value that
/// is moved on is moved as it was spelled. Where a text gives a member twice, readers see both in order, and the last
/// one counts, as with the vendors' parsers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a>(&'a str);

impl<'a> Raw<'a> {
    /// The value that `body` holds, after a full validation.
    ///
    /// # Errors
    /// Where `body` is not one JSON value.
    pub fn parse(body: &'a [u8]) -> Result<Self, Box<JsonError>> {
        let text = match simdutf8::compat::from_utf8(body) {
            Ok(text) => text,
            Err(error) => return Err(at(body, error.valid_up_to(), "the text is not UTF-8")),
        };
        let mut walk = Walk::over(body);
        walk.space();
        let start = walk.at;
        walk.value(0)?;
        let end = walk.at;
        walk.space();
        if walk.at != body.len() {
            return Err(walk.expected("the end of the text"));
        }
        Ok(Self(&text[start..end]))
    }

    /// A slice that has been walked over.
    pub(super) fn walked(text: &'a str) -> Self {
        Self(text)
    }

    /// A constant of our own; the caller vouches that it is JSON.
    pub const fn literal(text: &'static str) -> Raw<'static> {
        Raw(text)
    }

    /// The text as written.
    pub fn get(self) -> &'a str {
        self.0
    }

    /// The first byte, which tells the kind of value.
    pub fn kind(self) -> u8 {
        self.0.as_bytes().first().copied().unwrap_or(b'n')
    }

    /// The kind of value in words, for a message.
    pub fn kind_name(self) -> &'static str {
        match self.kind() {
            b'"' => "a string",
            b'{' => "an object",
            b'[' => "an array",
            b't' | b'f' => "a boolean",
            b'n' => "null",
            _ => "a number",
        }
    }

    /// Whether it is `null`.
    pub fn is_null(self) -> bool {
        self.kind() == b'n'
    }

    /// Whether it is an object.
    pub fn is_object(self) -> bool {
        self.kind() == b'{'
    }

    /// Whether it is an array.
    pub fn is_array(self) -> bool {
        self.kind() == b'['
    }

    /// The inside of a string, escapes untouched.
    pub fn inner(self) -> Option<&'a str> {
        (self.kind() == b'"').then(|| self.0.get(1..self.0.len() - 1).unwrap_or_default())
    }

    /// The characters of a string.
    pub fn string(self) -> Option<Cow<'a, str>> {
        self.inner().map(|inner| unescape(inner))
    }

    /// A boolean.
    pub fn bool(self) -> Option<bool> {
        match self.0 {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// The text of a number.
    pub fn number(self) -> Option<&'a str> {
        matches!(self.kind(), b'-' | b'0'..=b'9').then_some(self.0)
    }

    /// A whole number, also where it is spelled `4.0` or `4e0`.
    pub fn u64(self) -> Option<u64> {
        let text = self.number()?;
        text.parse().ok().or_else(|| {
            let value: f64 = text.parse().ok()?;
            (value >= 0.0 && value.fract() == 0.0 && value < 9_007_199_254_740_992.0).then_some(value as u64)
        })
    }

    /// The members of an object in the order they stand; none for another kind of value.
    pub fn members(self) -> Members<'a> {
        Members(Cursor::within(self, b'{'))
    }

    /// The elements of an array; none for another kind of value.
    pub fn elements(self) -> Elements<'a> {
        Elements(Cursor::within(self, b'['))
    }

    /// The members of an object, for more look-ups than one: each [`Self::member`] walks over all of them.
    pub fn fields(self) -> Fields<'a> {
        Cursor::over(self).fields()
    }

    /// The last member of this name.
    pub fn member(self, name: &str) -> Option<Raw<'a>> {
        let mut cursor = Cursor::within(self, b'{');
        let mut found = None;
        while let Some(key) = cursor.key() {
            let value = cursor.raw();
            if key == name {
                found = Some(value);
            }
        }
        found
    }
}

/// Iterates over an object's members.
pub struct Members<'a>(Cursor<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, Raw<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.0.key()?;
        Some((key, self.0.raw()))
    }
}

/// Iterates over an array's elements.
pub struct Elements<'a>(Cursor<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = Raw<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.element()?;
        Some(self.0.raw())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_on_demand_and_keeps_the_spelling() {
        let raw = Raw::parse(br#" {"a" : [1, 2.50, "x\u0041", {"b":null}], "t":true, "n\u0065w": 4.0, "a":[] } "#).unwrap();
        let members: Vec<_> = raw.members().map(|(k, v)| (k.into_owned(), v.get())).collect();
        assert_eq!(members[0], ("a".to_owned(), r#"[1, 2.50, "x\u0041", {"b":null}]"#));
        assert_eq!(members[2], ("new".to_owned(), "4.0"));
        assert_eq!(raw.member("a").unwrap().get(), "[]", "the last one counts");
        assert_eq!(raw.member("new").unwrap().u64(), Some(4));
        assert_eq!(raw.member("t").unwrap().bool(), Some(true));
        let first = raw.members().next().unwrap().1;
        let elements: Vec<_> = first.elements().map(Raw::get).collect();
        assert_eq!(elements, ["1", "2.50", r#""x\u0041""#, r#"{"b":null}"#]);
        assert_eq!(first.elements().nth(2).unwrap().string().unwrap(), "xA");
        assert_eq!(first.members().count(), 0);
        assert!(Raw::parse(b"{} {}").is_err());
    }
}
