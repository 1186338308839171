//! The walk over a text: strict by RFC 8259, one byte of look-ahead, no tree.

use std::borrow::Cow;
use std::convert::Infallible;
use std::ops::Range;

use super::string::{first_special, plain_run, specials};
use super::{DEPTH_MAX, JsonError};

/// What a step of the walk gives: boxed, so that the good case fits a register.
pub(super) type Walked = Result<(), Box<JsonError>>;

/// The error at a byte offset, with its line and column.
pub(super) fn at(body: &[u8], offset: usize, what: impl Into<Cow<'static, str>>) -> Box<JsonError> {
    let before = &body[..offset.min(body.len())];
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
    Box::new(JsonError { offset, line, column, what: what.into() })
}

/// The walk: `at` is the offset of the next byte.
#[derive(Clone, Copy)]
pub(super) struct Walk<'b> {
    pub(super) body: &'b [u8],
    pub(super) at: usize,
}

impl<'b> Walk<'b> {
    /// A walk from the start of `body`.
    pub(super) fn over(body: &'b [u8]) -> Self {
        Self { body, at: 0 }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    pub(super) fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    pub(super) fn expected(&self, what: &str) -> Box<JsonError> {
        let found = match self.peek() {
            Some(byte) if byte.is_ascii_graphic() => format!("expected {what}, found `{}`", char::from(byte)),
            Some(_) => format!("expected {what}"),
            None => format!("expected {what}, found the end of the text"),
        };
        at(self.body, self.at, found)
    }

    pub(super) fn value(&mut self, depth: usize) -> Walked {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'{') => {
                let depth = self.deeper(depth)?;
                self.at += 1;
                self.members(|walk, _| walk.value(depth))
            }
            Some(b'[') => {
                let depth = self.deeper(depth)?;
                self.at += 1;
                self.elements(|walk| walk.value(depth))
            }
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.expected("a value")),
        }
    }

    pub(super) fn deeper(&self, depth: usize) -> Result<usize, Box<JsonError>> {
        if depth >= DEPTH_MAX {
            return Err(at(self.body, self.at, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        Ok(depth + 1)
    }

    /// The members of an object whose brace has been read; `each` gets a key's span and must read the value.
    pub(super) fn members(&mut self, mut each: impl FnMut(&mut Self, Range<usize>) -> Walked) -> Walked {
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.expected("a member name in double quotes"));
            }
            let start = self.at + 1;
            self.string()?;
            let key = start..self.at - 1;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.expected("`:`"));
            }
            self.at += 1;
            self.space();
            each(self, key)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.expected("`,` or `}`")),
            }
        }
    }

    /// The elements of an array whose bracket has been read; `each` must read the value.
    pub(super) fn elements(&mut self, mut each: impl FnMut(&mut Self) -> Walked) -> Walked {
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.space();
            each(self)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.expected("`,` or `]`")),
            }
        }
    }

    /// Skips a string.
    pub(super) fn string(&mut self) -> Walked {
        self.at += 1;
        // Most strings are keys and words, which end within sixteen bytes.
        self.at += first_special(&self.body[self.at..]);
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.at = self.behind_escape(self.at)?,
                Some(byte) if byte < 0x20 => return Err(at(self.body, self.at, "a control character in a string must be escaped")),
                Some(_) => {}
                None => return Err(self.expected("the string's closing `\"`")),
            }
            self.at = to_end_of_string(self.body, self.at, |place| self.behind_escape(place))?;
        }
    }

    /// Where the escape at `place` ends.
    fn behind_escape(&self, place: usize) -> Result<usize, Box<JsonError>> {
        match self.body.get(place + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(place + 2),
            Some(b'u') => match self.body.get(place + 2..place + 6) {
                Some(hex) if hex.iter().all(u8::is_ascii_hexdigit) => Ok(place + 6),
                _ => Err(at(self.body, place, "`\\u` wants four hexadecimal digits")),
            },
            _ => Err(at(self.body, place, "an escape that JSON does not have")),
        }
    }

    fn word(&mut self, word: &'static [u8]) -> Walked {
        if self.body[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.expected("a value"))
    }

    fn number(&mut self) -> Walked {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.expected("a digit")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Walked {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.expected("a digit"));
        }
        self.digits();
        Ok(())
    }
}

/// Where the value that begins at `at` ends, in a text that is known to be valid: nothing is checked again.
pub(super) fn skip(text: &[u8], at: usize) -> usize {
    match text.get(at) {
        Some(b'"') => skip_string(text, at),
        Some(b'{' | b'[') => skip_nested(text, at),
        _ => {
            let ends = |b: &u8| matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
            text[at..].iter().position(ends).map_or(text.len(), |length| at + length)
        }
    }
}

/// Behind the closing quote of the string whose opening quote is at `at`.
pub(super) fn skip_string(text: &[u8], at: usize) -> usize {
    let start = at + 1;
    let mut at = start + first_special(text.get(start..).unwrap_or_default());
    loop {
        match text.get(at) {
            Some(b'"') => return at + 1,
            // Only a text that was not valid ends here.
            None => return text.len(),
            Some(b'\\') => at += 2,
            Some(_) => {}
        }
        // What stands behind the backslash and its letter is plain.
        let end = to_end_of_string(text, at, |place| Ok::<_, Infallible>(place + 2));
        at = match end {
            Ok(end) if end == at && text.get(at).is_some_and(|byte| *byte < 0x20) => at + 1,
            Ok(end) => end,
        };
    }
}

/// Goes on through a long string by blocks, over its escapes, to its closing quote, to a control character, or, where the
/// text is too short for another block, to the next byte that is not plain.
fn to_end_of_string<E>(text: &[u8], from: usize, behind_escape: impl Fn(usize) -> Result<usize, E>) -> Result<usize, E> {
    let mut base = from;
    'blocks: while let Some(block) = text.get(base..).and_then(<[u8]>::first_chunk::<64>) {
        let mut marks = specials(block);
        while marks != 0 {
            let place = marks.trailing_zeros() as usize;
            if block[place] != b'\\' {
                return Ok(base + place);
            }
            let behind = behind_escape(base + place)?;
            if behind - base >= 64 {
                base = behind;
                continue 'blocks;
            }
            // What is escaped is not special.
            marks &= u64::MAX << (behind - base);
        }
        base += 64;
    }
    Ok(base + plain_run(text.get(base..).unwrap_or_default()))
}

fn skip_nested(text: &[u8], mut at: usize) -> usize {
    let mut depth = 0usize;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at = skip_string(text, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    text.len()
}
