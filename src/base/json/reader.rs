//! A text read and validated in one walk, by a reader that says what it wants of each value as it comes by.

use std::borrow::Cow;

use super::walk::{Walk, at};
use super::{JsonError, Raw, unescape};

/// The walk, standing before a value.
pub struct Reader<'a> {
    text: &'a str,
    walk: Walk<'a>,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// Reads the whole of `body`; `read` must read the one value that it holds.
    ///
    /// # Errors
    /// Where `body` is not one JSON value, once the walk has come there.
    pub fn read(body: &'a [u8], read: impl FnOnce(&mut Self) -> Result<(), Box<JsonError>>) -> Result<(), Box<JsonError>> {
        let text = match simdutf8::compat::from_utf8(body) {
            Ok(text) => text,
            Err(error) => return Err(at(body, error.valid_up_to(), "the text is not UTF-8")),
        };
        let mut reader = Self { text, walk: Walk::over(body), depth: 0 };
        reader.walk.space();
        read(&mut reader)?;
        reader.walk.space();
        if reader.walk.at == body.len() { Ok(()) } else { Err(reader.walk.expected("the end of the text")) }
    }

    /// Whether the value is an object.
    pub fn is_object(&self) -> bool {
        self.walk.peek() == Some(b'{')
    }

    /// The fault of a value that is not what was expected.
    pub fn expected(&self, what: &str) -> Box<JsonError> {
        self.walk.expected(what)
    }

    /// Reads the value and keeps nothing of it.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn skip(&mut self) -> Result<(), Box<JsonError>> {
        self.walk.value(self.depth)
    }

    /// Reads the value for later.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn raw(&mut self) -> Result<Raw<'a>, Box<JsonError>> {
        let start = self.walk.at;
        self.skip()?;
        Ok(Raw::walked(&self.text[start..self.walk.at]))
    }

    /// Reads the value's members, where it is an object; skips any other. `each` must read the member's value.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn members(&mut self, mut each: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), Box<JsonError>>) -> Result<(), Box<JsonError>> {
        if !self.is_object() {
            return self.skip();
        }
        let outer = self.depth;
        self.depth = self.walk.deeper(outer)?;
        self.walk.at += 1;
        let Self { text, walk, depth } = self;
        let (text, depth) = (*text, *depth);
        let read = walk.members(|walk, key| {
            let mut inner = Self { text, walk: *walk, depth };
            each(&mut inner, unescape(&text[key]))?;
            walk.at = inner.walk.at;
            Ok(())
        });
        self.depth = outer;
        read
    }

    /// Reads the value's elements, where it is an array; skips any other. `each` gets the element's place and must read it.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn elements(&mut self, mut each: impl FnMut(&mut Self, usize) -> Result<(), Box<JsonError>>) -> Result<(), Box<JsonError>> {
        if self.walk.peek() != Some(b'[') {
            return self.skip();
        }
        let outer = self.depth;
        self.depth = self.walk.deeper(outer)?;
        self.walk.at += 1;
        let Self { text, walk, depth } = self;
        let (text, depth) = (*text, *depth);
        let mut place = 0;
        let read = walk.elements(|walk| {
            let mut inner = Self { text, walk: *walk, depth };
            each(&mut inner, place)?;
            walk.at = inner.walk.at;
            place += 1;
            Ok(())
        });
        self.depth = outer;
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_wanted_and_validates_all() {
        let text = br#" {"a":[{"x":1},{"x":2}],"b":{"c":"d"},"e":[1,2]} "#;
        let (mut xs, mut c) = (Vec::new(), None);
        let mut read = |body| {
            Reader::read(body, |r| {
                r.members(|r, name| match &*name {
                    "a" => r.elements(|r, place| {
                        r.members(|r, _| {
                            xs.push((place, r.raw()?.u64()));
                            Ok(())
                        })
                    }),
                    "b" => r.members(|r, _| {
                        c = r.raw()?.string();
                        Ok(())
                    }),
                    _ => r.skip(),
                })
            })
        };
        read(text).unwrap();
        assert_eq!((xs, c.as_deref()), (vec![(0, Some(1)), (1, Some(2))], Some("d")));
        for broken in ["{\"a\":[}", "{\"b\":{\"c\":}}", "{\"z\":[1 2]}", "{} {}", "{\"a\":[{\"x\":1}]"] {
            let all = |r: &mut Reader<'_>| r.members(|r, _| r.elements(|r, _| r.members(|r, _| r.skip())));
            assert!(Reader::read(broken.as_bytes(), all).is_err(), "{broken}");
        }
    }
}
