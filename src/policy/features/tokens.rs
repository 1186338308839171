//! How many tokens a text has, about, by what kind of text it is. An estimate that leans upwards and never reads a tokenizer's
//! table: it costs a pass over the bytes. Against what providers counted for recorded requests it is told by a test beside this.
//!
//! Four bytes of ASCII are a token (OpenAI's rule of thumb for English; long words have six, code has three), two digits (one to
//! three, by the tokenizer), two characters of the alphabets beyond ASCII, one and a half of Chinese, Japanese, Korean and the
//! scripts of India and South-East Asia, half an emoji. ASCII is told apart, a hundred bytes at a time, into prose and what has
//! many signs between its words.

use std::ops::AddAssign;

use memchr::memchr;

use crate::ir::Text;

/// Twelfths of a token (thirds and quarters are whole numbers of them), by kind of text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Twelfths {
    /// Prose in ASCII.
    pub(super) prose: u64,
    /// ASCII with many signs.
    pub(super) code: u64,
    /// All that is not ASCII.
    pub(super) foreign: u64,
}

pub(super) const ASCII: u64 = 3;
/// A digit, beside what it is as ASCII.
const DIGIT: u64 = 3;
const TWO_BYTES: u64 = 6;
const THREE_BYTES: u64 = 8;
const FOUR_BYTES: u64 = 24;

impl Twelfths {
    /// Of all kinds together.
    pub(super) fn all(self) -> u64 {
        self.prose + self.code + self.foreign
    }

    /// As tokens, rounded up.
    #[cfg(test)]
    pub(super) fn tokens(self) -> u64 {
        self.all().div_ceil(12)
    }

    /// Takes off what was counted for ASCII, from what there is more of first.
    fn take_ascii(&mut self, twelfths: u64) {
        let (first, second) = if self.code > self.prose { (&mut self.code, &mut self.prose) } else { (&mut self.prose, &mut self.code) };
        let rest = twelfths.saturating_sub(*first);
        *first = first.saturating_sub(twelfths);
        *second = second.saturating_sub(rest);
    }
}

impl AddAssign for Twelfths {
    fn add_assign(&mut self, more: Self) {
        self.prose += more.prose;
        self.code += more.code;
        self.foreign += more.foreign;
    }
}

/// Of a text.
pub(super) fn of_text(text: &Text<'_>) -> Twelfths {
    match text {
        Text::Escaped(inner) => of_escaped(inner.as_bytes()),
        Text::Plain(plain) => of_plain(plain.as_bytes()),
    }
}

/// Of text in its JSON escapes.
pub(super) fn of_escaped(bytes: &[u8]) -> Twelfths {
    let mut whole = of_plain(bytes);
    unescape(bytes, &mut whole);
    whole
}

/// Of plain text, or of JSON whose escapes are few.
pub(super) fn of_plain(bytes: &[u8]) -> Twelfths {
    let mut twelfths = Twelfths::default();
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    blocks.iter().for_each(|block| twelfths.add_block(block));
    twelfths.add_block(rest);
    twelfths
}

/// Few enough bytes that their number is a byte, and that each sum over them is a few instructions.
const BLOCK: usize = 128;
/// Where one byte in so many is a sign or a digit, or more, it is code: prose has one in 25, code one in 8.
const SIGNS_OF_CODE: u64 = 12;

impl Twelfths {
    /// Inlined, so that the length of whole blocks is known where they are summed.
    #[inline(always)]
    fn add_block(&mut self, block: &[u8]) {
        let beyond = sum(block, |byte| byte >= 0x80);
        let digits = sum(block, |byte| byte.wrapping_sub(b'0') < 10);
        // A half tells enough. From the exclamation mark to the question mark there are signs and digits, from [ and { on signs.
        let half = block.get(..BLOCK / 2).unwrap_or(block);
        let signs = sum(half, |byte| byte.wrapping_sub(b'!') < 31 || (byte | 0x20).wrapping_sub(b'{') < 5);
        let is_code = signs * SIGNS_OF_CODE >= half.len() as u64;
        let ascii = block.len() as u64 - beyond;
        *(if is_code { &mut self.code } else { &mut self.prose }) += ASCII * ascii + DIGIT * digits;
        if beyond > 0 {
            let two = sum(block, |byte| byte >= 0xc0);
            let three = sum(block, |byte| byte >= 0xe0);
            let four = sum(block, |byte| byte >= 0xf0);
            self.foreign += TWO_BYTES * (two - three) + THREE_BYTES * (three - four) + FOUR_BYTES * four;
        }
    }
}

#[inline(always)]
fn sum(block: &[u8], is: impl Fn(u8) -> bool) -> u64 {
    u64::from(block.iter().fold(0_u8, |sum, byte| sum.wrapping_add(u8::from(is(*byte)))))
}

/// Counts escapes as the characters that they stand for: their bytes were each counted for themselves.
fn unescape(bytes: &[u8], whole: &mut Twelfths) {
    let (mut surplus, mut rest) = (0, bytes);
    while let Some(at) = memchr(b'\\', rest) {
        let escape = rest.get(at..).unwrap_or_default();
        let hex = escape.get(2..6).filter(|_| escape.get(1) == Some(&b'u')).and_then(|hex| std::str::from_utf8(hex).ok());
        let (length, ascii, foreign) = match hex.and_then(|hex| u32::from_str_radix(hex, 16).ok()) {
            None => (2, ASCII, 0),
            Some(0x30..0x3a) => (6, ASCII + DIGIT, 0),
            Some(0..0x80) => (6, ASCII, 0),
            Some(0x80..0x800) => (6, 0, TWO_BYTES),
            Some(0xd800..0xe000) => (6, 0, FOUR_BYTES / 2),
            Some(_) => (6, 0, THREE_BYTES),
        };
        let (escape, behind) = escape.split_at(escape.len().min(length));
        let digits = escape.iter().filter(|byte| byte.is_ascii_digit()).count();
        surplus += (ASCII * escape.len() as u64 + DIGIT * digits as u64).saturating_sub(ascii);
        whole.foreign += foreign;
        rest = behind;
    }
    whole.take_ascii(surplus);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_counts_by_its_characters_however_it_is_escaped() {
        // (plain text, tokens)
        let cases = [("", 0), ("abcd", 1), ("abcde", 2), ("Привет", 3), ("你好吗", 2), ("नमस्ते", 4), ("😀", 2), ("é", 1), ("1234", 2)];
        for (text, expected) in cases {
            assert_eq!(of_text(&Text::plain(text)).tokens(), expected, "{text}");
            let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            assert_eq!(of_text(&Text::Escaped(&escaped)).all(), of_text(&Text::plain(text)).all(), "{escaped}");
        }
        assert_eq!(of_escaped(br#"a\nb\\u0041"#).all(), of_plain(b"a\nb\\u0041").all());
        assert_eq!(of_escaped(br"\u00").all(), 15);
    }

    #[test]
    fn prose_and_code_are_told_apart() {
        let prose = "He said that she'd come on Tuesday, with the parcel; nobody (but one) believed it. ".repeat(4);
        let counted = of_plain(prose.as_bytes());
        assert!(counted.code == 0 && counted.prose > 0 && counted.foreign == 0, "{counted:?}");
        let code = "fn sum(block: &[u8]) -> u64 { block.iter().fold(0, |sum, byte| sum + u64::from(*byte)) }\n".repeat(4);
        let counted = of_plain(code.as_bytes());
        assert!(counted.code > counted.prose, "{counted:?}");
        let counted = of_plain("Привет, мир".as_bytes());
        assert!(counted.foreign > counted.prose, "{counted:?}");
    }

    proptest! {
        #[test]
        fn any_text_is_counted(text in "\\PC{0,300}|[\\\\u0-9a-fd]{0,60}") {
            prop_assert!(of_escaped(text.as_bytes()).all() <= 24 * text.len() as u64);
            let mut literal = Vec::new();
            crate::base::json::write_escaped(&text, &mut literal);
            let (escaped, plain) = (of_escaped(&literal), of_plain(text.as_bytes()));
            prop_assert_eq!((escaped.all(), escaped.foreign), (plain.all(), plain.foreign));
        }
    }
}
