//! The walk over a text: strict by RFC 8259, one byte of look-ahead, no tree.

use std::borrow::Cow;
use std::ops::Range;

use super::block::{chunk, marks, special};
use super::skip::end_of_word;
use super::string::plain_run;
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
        // Most strings are keys and words.
        if let Some(end) = end_of_word(self.body, self.at) {
            self.at = end + 1;
            return Ok(());
        }
        loop {
            self.long_string();
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
        }
    }

    /// Goes on through a string by blocks, over its escapes, to whatever else wants a look.
    fn long_string(&mut self) {
        let mut base = self.at;
        'blocks: while let Some(block) = chunk::<64>(self.body, base) {
            let mut marked = marks(block, special);
            while marked != 0 {
                let place = marked.trailing_zeros() as usize;
                // Nearly all marks are short escapes. A branch of their own can be foretold; a length would be waited for.
                if block[place] == b'\\' && place < 63 && is_short_escape(block[place + 1]) {
                    marked &= (u64::MAX - 1) << (place + 1);
                    continue;
                }
                let length = escape_length(self.body, base + place);
                if length == 0 {
                    self.at = base + place;
                    return;
                }
                if place + length >= 64 {
                    base += place + length;
                    continue 'blocks;
                }
                marked &= u64::MAX << (place + length);
            }
            base += 64;
        }
        self.at = base + plain_run(self.body.get(base..).unwrap_or_default());
    }

    /// Where the escape at `place` ends.
    fn behind_escape(&self, place: usize) -> Result<usize, Box<JsonError>> {
        match (escape_length(self.body, place), self.body.get(place + 1)) {
            (0, Some(b'u')) => Err(at(self.body, place, "`\\u` wants four hexadecimal digits")),
            (0, _) => Err(at(self.body, place, "an escape that JSON does not have")),
            (length, _) => Ok(place + length),
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

/// How long the escape is that begins at `at`; 0 where none does.
fn escape_length(text: &[u8], at: usize) -> usize {
    match text.get(at..).unwrap_or_default() {
        [b'\\', letter, ..] if is_short_escape(*letter) => 2,
        [b'\\', b'u', a, b, c, d, ..] if [a, b, c, d].into_iter().all(u8::is_ascii_hexdigit) => 6,
        _ => 0,
    }
}

/// Whether the letter makes an escape of two bytes.
fn is_short_escape(letter: u8) -> bool {
    SHORT_ESCAPES[usize::from(letter)]
}

static SHORT_ESCAPES: [bool; 256] = {
    let mut table = [false; 256];
    let mut letters: &[u8] = b"\"\\/bfnrt";
    while let [letter, rest @ ..] = letters {
        table[*letter as usize] = true;
        letters = rest;
    }
    table
};
