//! A text that has been validated, read in one walk: by calling back, or by noting where an object's members are.

use std::borrow::Cow;

use super::skip::{end_of_word, skip, skip_string};
use super::{Raw, unescape};

/// The walk, standing before a value. What [`Raw`] reads on demand is walked over anew at each level; this walks once,
/// going down into the values that are asked for and over the others.
pub struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// A walk that stands before this value.
    pub fn over(raw: Raw<'a>) -> Self {
        Self { text: raw.get(), at: 0 }
    }

    /// A walk that stands behind the opening bracket; at the end where the value is of another kind.
    pub(super) fn within(raw: Raw<'a>, open: u8) -> Self {
        Self { text: raw.get(), at: if raw.kind() == open { 1 } else { raw.get().len() } }
    }

    /// The first byte, which tells the kind of value.
    pub fn kind(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(b'n')
    }

    /// Whether the value is `null`.
    pub fn is_null(&self) -> bool {
        self.kind() == b'n'
    }

    /// Reads the value.
    pub fn raw(&mut self) -> Raw<'a> {
        let start = self.at;
        self.at = skip(self.text.as_bytes(), start);
        self.since(start)
    }

    /// Reads the value's members, where it is an object; goes over any other. A member that `each` does not read is gone over.
    ///
    /// # Errors
    /// Those of `each`; the walk is at an end then.
    pub fn members<E>(&mut self, mut each: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), E>) -> Result<Raw<'a>, E> {
        let start = self.at;
        if self.kind() != b'{' {
            return Ok(self.raw());
        }
        self.at += 1;
        while let Some(key) = self.key() {
            let before = self.at;
            each(self, key)?;
            self.go_over(before);
        }
        self.at += 1;
        Ok(self.since(start))
    }

    /// Reads the value's elements, where it is an array; goes over any other. `each` gets an element's place; what it does
    /// not read is gone over.
    ///
    /// # Errors
    /// Those of `each`; the walk is at an end then.
    pub fn elements<E>(&mut self, mut each: impl FnMut(&mut Self, usize) -> Result<(), E>) -> Result<Raw<'a>, E> {
        let start = self.at;
        if self.kind() != b'[' {
            return Ok(self.raw());
        }
        self.at += 1;
        let mut place = 0;
        while self.element().is_some() {
            let before = self.at;
            each(self, place)?;
            self.go_over(before);
            place += 1;
        }
        self.at += 1;
        Ok(self.since(start))
    }

    /// Reads the value and notes where its members are: none, where it is no object.
    pub fn fields(&mut self) -> Fields<'a> {
        let start = self.at;
        if self.kind() != b'{' {
            return Fields { raw: self.raw(), members: Vec::new() };
        }
        self.at += 1;
        let mut members = Vec::with_capacity(4);
        while let Some(key) = self.key() {
            members.push((key, self.raw()));
        }
        self.at += 1;
        Fields { raw: self.since(start), members }
    }

    /// Reads the next key and stands before its value.
    pub(super) fn key(&mut self) -> Option<Cow<'a, str>> {
        let start = self.more()? + 1;
        let text = self.text.as_bytes();
        let key = if let Some(end) = end_of_word(text, start) {
            self.at = end + 1;
            Cow::Borrowed(self.text.get(start..end)?)
        } else {
            self.at = skip_string(text, self.at);
            unescape(self.text.get(start..self.at - 1)?)
        };
        self.more()?;
        Some(key)
    }

    /// Stands before the next element, if there is one.
    pub(super) fn element(&mut self) -> Option<()> {
        self.more().map(drop)
    }

    /// Goes to the next item.
    fn more(&mut self) -> Option<usize> {
        loop {
            match self.text.as_bytes().get(self.at)? {
                b' ' | b'\n' | b'\r' | b'\t' | b',' | b':' => self.at += 1,
                b'}' | b']' => return None,
                _ => return Some(self.at),
            }
        }
    }

    fn go_over(&mut self, before: usize) {
        if self.at == before {
            self.at = skip(self.text.as_bytes(), before);
        }
    }

    fn since(&self, start: usize) -> Raw<'a> {
        Raw::walked(self.text.get(start..self.at).unwrap_or_default())
    }
}

/// The members of one object, found in one walk.
pub struct Fields<'a> {
    raw: Raw<'a>,
    members: Vec<(Cow<'a, str>, Raw<'a>)>,
}

impl<'a> Fields<'a> {
    /// The object itself.
    pub fn raw(&self) -> Raw<'a> {
        self.raw
    }

    /// The last member of this name.
    pub fn get(&self, name: &str) -> Option<Raw<'a>> {
        self.members.iter().rev().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// The last member of this name, where that is not `null`.
    pub fn told(&self, name: &str) -> Option<Raw<'a>> {
        self.get(name).filter(|value| !value.is_null())
    }
}

impl<'a> IntoIterator for Fields<'a> {
    type Item = (Cow<'a, str>, Raw<'a>);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[test]
    fn goes_into_what_is_asked_for_and_over_the_rest() {
        let raw = Raw::parse(br#"{"a":[{"x":1,"y":[{}]},"s",{"x":"}"}], "b" : {"\u0063":"d"} ,"e":[1,2],"f":null}"#).unwrap();
        let (mut xs, mut others) = (Vec::new(), Vec::new());
        let walked = Cursor::over(raw)
            .members(|cursor, name| match &*name {
                "a" => cursor
                    .elements(|cursor, place| {
                        let whole = cursor.members(|cursor, name| {
                            if name == "x" {
                                xs.push((place, cursor.raw().get()));
                            }
                            Ok::<_, Infallible>(())
                        })?;
                        others.push(whole.get());
                        Ok::<_, Infallible>(())
                    })
                    .map(drop),
                "b" => {
                    let fields = cursor.fields();
                    assert_eq!((fields.get("c").map(Raw::get), fields.raw().get()), (Some("\"d\""), r#"{"\u0063":"d"}"#));
                    Ok(())
                }
                "f" => {
                    assert!(cursor.is_null());
                    Ok(())
                }
                _ => Ok(()),
            })
            .unwrap();
        assert_eq!(walked, raw);
        assert_eq!(xs, [(0, "1"), (2, "\"}\"")]);
        assert_eq!(others, [r#"{"x":1,"y":[{}]}"#, "\"s\"", r#"{"x":"}"}"#]);
    }

    #[test]
    fn the_last_of_twins_counts() {
        let fields = Cursor::over(Raw::parse(br#"{"a":1,"b":null,"a":2}"#).unwrap()).fields();
        assert_eq!((fields.get("a").and_then(Raw::u64), fields.told("b"), fields.get("c")), (Some(2), None, None));
        assert_eq!(fields.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), ["a", "b", "a"]);
        assert!(Cursor::over(Raw::literal("[1]")).fields().into_iter().next().is_none());
    }

    #[test]
    fn what_is_not_valid_is_read_to_some_end() {
        for text in ["", "{", "{\"", "{\"a\"", "{\"a\":", "{\"a\":}", "{]", "[", "[[", "[}", "{{", "{1:2}", "\"", "{\"a\":\"\\\"}"] {
            let raw = Raw::walked(text);
            let walked = Cursor::over(raw).members(|cursor, _| cursor.elements(|_, _| Ok::<_, Infallible>(())).map(drop));
            assert!(walked.unwrap().get().len() <= text.len());
            Cursor::over(raw).elements(|cursor, _| cursor.members(|_, _| Ok::<_, Infallible>(())).map(drop)).unwrap();
            assert!(Cursor::over(raw).fields().into_iter().count() <= text.len());
            assert!(raw.members().count() + raw.elements().count() <= text.len());
            assert_eq!(raw.inner().unwrap_or_default().len().min(text.len()), raw.inner().unwrap_or_default().len());
        }
    }
}
