//! How many tokens there are, about. An estimate that leans upwards and never reads a tokenizer's table: it costs a pass over
//! the bytes. Against what providers counted for recorded requests it is told by a test beside this.
//!
//! Text: four bytes of ASCII a token (OpenAI's rule of thumb for English; long words have six, code has three), two digits (one to
//! three, by the tokenizer), two characters of the alphabets beyond ASCII, one and a half of Chinese, Japanese, Korean and the scripts of India and South-East Asia, half
//! an emoji.
//!
//! Media, of which only the size is looked at:
//! * Images: OpenAI asks 85 tokens at low detail, else 85 and 170 for each tile of 512 pixels (1,445 at most for the usual
//!   shapes); Anthropic width × height / 750, about 1,600 at most; Gemini 258 for each tile of 768 pixels, or a fixed 1,120. Files have
//!   about a byte for each six to eight pixels, so that a hundred bytes are about a token, within these bounds.
//! * Documents: a page is 1,500 to 3,000 tokens at Anthropic, text and picture, 258 to 560 at Gemini, and about 50 KB of PDF.
//! * Sound: 32 tokens a second at Gemini, 10 at OpenAI; 16 KB a second compressed, twice as much where it is not.
//! * Films: about 300 tokens a second at Gemini, which are about 250 KB.
//!
//! What lies elsewhere, by an address or an id, counts as one image, a page, half a minute of sound, ten seconds of film.

use memchr::memchr;

use crate::ir::{Media, MediaKind, Source, Text};

/// Twelfths of a token: thirds and quarters are whole numbers of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Twelfths(pub(super) u64);

const ASCII: u64 = 3;
/// A digit, beside what it is as ASCII.
const DIGIT: u64 = 3;
const TWO_BYTES: u64 = 6;
const THREE_BYTES: u64 = 8;
const FOUR_BYTES: u64 = 24;

impl Twelfths {
    /// As tokens, rounded up.
    pub(super) fn tokens(self) -> u64 {
        self.0.div_ceil(12)
    }
}

/// Of a text.
pub(super) fn of_text(text: &Text<'_>) -> Twelfths {
    match text {
        Text::Escaped(inner) => of_escaped(inner.as_bytes()),
        Text::Plain(plain) => of_plain(plain.as_bytes()).0,
    }
}

/// Of text in its JSON escapes, or of JSON.
pub(super) fn of_escaped(bytes: &[u8]) -> Twelfths {
    let (Twelfths(whole), escapes) = of_plain(bytes);
    // Each byte of an escape was counted for itself.
    Twelfths(if escapes == 0 { whole } else { whole.saturating_sub(surplus_of_escapes(bytes)) })
}

/// Of plain text, with the number of its backslashes.
fn of_plain(bytes: &[u8]) -> (Twelfths, u64) {
    let mut sums = Sums::default();
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    blocks.iter().for_each(|block| sums.add(block));
    sums.add(rest);
    let Sums { beyond, two, three, four, backslashes, digits } = sums;
    let ascii = bytes.len() as u64 - beyond;
    (Twelfths(ASCII * ascii + DIGIT * digits + TWO_BYTES * (two - three) + THREE_BYTES * (three - four) + FOUR_BYTES * four), backslashes)
}

/// Few enough bytes that their number is a byte, and that each sum over them is a few instructions.
const BLOCK: usize = 128;

/// How many bytes are what.
#[derive(Default)]
struct Sums {
    /// Not ASCII.
    beyond: u64,
    /// The first of a character of two bytes or more, of three, of four.
    two: u64,
    three: u64,
    four: u64,
    backslashes: u64,
    digits: u64,
}

impl Sums {
    /// Inlined, so that the length of whole blocks is known where they are summed.
    #[inline(always)]
    fn add(&mut self, block: &[u8]) {
        let beyond = sum(block, |byte| byte >= 0x80);
        self.backslashes += sum(block, |byte| byte == b'\\');
        self.digits += sum(block, |byte| byte.wrapping_sub(b'0') < 10);
        if beyond > 0 {
            self.beyond += beyond;
            self.two += sum(block, |byte| byte >= 0xc0);
            self.three += sum(block, |byte| byte >= 0xe0);
            self.four += sum(block, |byte| byte >= 0xf0);
        }
    }
}

#[inline(always)]
fn sum(block: &[u8], is: impl Fn(u8) -> bool) -> u64 {
    u64::from(block.iter().fold(0_u8, |sum, byte| sum.wrapping_add(u8::from(is(*byte)))))
}

/// By how much the bytes of escapes count for more than the characters that they stand for.
fn surplus_of_escapes(bytes: &[u8]) -> u64 {
    let (mut surplus, mut rest) = (0, bytes);
    while let Some(at) = memchr(b'\\', rest) {
        let escape = rest.get(at..).unwrap_or_default();
        let hex = escape.get(2..6).filter(|_| escape.get(1) == Some(&b'u')).and_then(|hex| std::str::from_utf8(hex).ok());
        let (length, stands_for) = match hex.and_then(|hex| u32::from_str_radix(hex, 16).ok()) {
            None => (2, ASCII),
            Some(0x30..0x3a) => (6, ASCII + DIGIT),
            Some(0..0x80) => (6, ASCII),
            Some(0x80..0x800) => (6, TWO_BYTES),
            Some(0xd800..0xe000) => (6, FOUR_BYTES / 2),
            Some(_) => (6, THREE_BYTES),
        };
        let (escape, behind) = escape.split_at(escape.len().min(length));
        let digits = escape.iter().filter(|byte| byte.is_ascii_digit()).count();
        surplus += (ASCII * escape.len() as u64 + DIGIT * digits as u64).saturating_sub(stands_for);
        rest = behind;
    }
    surplus
}

/// Of JSON that nobody read, and the tokens of what looks like media in it: a long string without a space near its beginning.
pub(super) fn of_unread(json: &[u8]) -> (Twelfths, u64) {
    const LONG: usize = 1024;
    const NEAR: usize = 256;
    if json.len() < LONG {
        return (of_escaped(json), 0);
    }
    let (mut text, mut media, mut rest) = (0, 0, json);
    while !rest.is_empty() {
        let end = memchr(b'"', rest).unwrap_or(rest.len());
        let (piece, behind) = rest.split_at(end);
        let blob = piece.len() >= LONG && !piece.iter().take(NEAR).any(|byte| matches!(byte, b' ' | b'\\' | b'{' | 0x80..));
        match blob {
            true => media += of_image(decoded(piece.len())),
            false => text += of_escaped(piece).0,
        }
        text += ASCII * u64::from(!behind.is_empty());
        rest = behind.get(1..).unwrap_or_default();
    }
    (Twelfths(text), media)
}

/// Of a medium that is no plain text.
pub(super) fn of_media(media: &Media<'_>) -> u64 {
    const IMAGE_ELSEWHERE: u64 = 1_100;
    const IMAGE_LOW: u64 = 85;
    const PAGE: u64 = 2_000;
    const SOUND_ELSEWHERE: u64 = 1_000;
    const FILM_ELSEWHERE: u64 = 3_000;
    let (bytes, media_type) = match &media.source {
        Source::Base64 { data, media_type } => (Some(decoded(data.len())), Some(media_type)),
        Source::Plain(text) => return of_text(text).tokens(),
        Source::Url(_) | Source::FileId { .. } => (None, None),
        Source::Opaque { raw, .. } => (Some(decoded(raw.get().len())), None),
    };
    let is_text = media_type.is_some_and(|media_type| {
        let name = media_type.read();
        name.starts_with("text/") || name.ends_with("json") || name.ends_with("xml")
    });
    let is_raw_sound = media_type.is_some_and(|media_type| ["wav", "pcm", "l16"].iter().any(|raw| media_type.read().contains(raw)));
    match (media.kind, bytes) {
        (MediaKind::Image, _) if media.detail.as_ref().is_some_and(|detail| detail.is("low")) => IMAGE_LOW,
        (MediaKind::Image, Some(bytes)) => of_image(bytes),
        (MediaKind::Image, None) => IMAGE_ELSEWHERE,
        (MediaKind::Document, Some(bytes)) if is_text => bytes.div_ceil(4),
        (MediaKind::Document, Some(bytes)) => (bytes / 25).max(PAGE),
        (MediaKind::Document, None) => PAGE,
        (MediaKind::Audio, Some(bytes)) => bytes.div_ceil(if is_raw_sound { 1_000 } else { 500 }),
        (MediaKind::Audio, None) => SOUND_ELSEWHERE,
        (MediaKind::Video, Some(bytes)) => bytes.div_ceil(800),
        (MediaKind::Video, None) => FILM_ELSEWHERE,
    }
}

fn of_image(bytes: u64) -> u64 {
    const LEAST: u64 = 258;
    const MOST: u64 = 1_600;
    (bytes / 100).clamp(LEAST, MOST)
}

/// Bytes that so much base64 stands for.
fn decoded(base64: usize) -> u64 {
    base64 as u64 / 4 * 3
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
            assert_eq!(of_text(&Text::Escaped(&escaped)), of_text(&Text::plain(text)), "{escaped}");
        }
        assert_eq!(of_escaped(br#"a\nb\\u0041"#), of_plain(b"a\nb\\u0041").0);
        assert_eq!(of_escaped(br"\u00"), Twelfths(15));
    }

    #[test]
    fn what_looks_like_media_is_no_text() {
        let blob = "iVBORw0KGgo".repeat(10_000);
        let json = format!(r#"{{"type":"computer_call_output","output":{{"image_url":"data:image/png;base64,{blob}"}}}}"#);
        let (text, media) = of_unread(json.as_bytes());
        assert!(text.tokens() < 40 && (258..=1_600).contains(&media), "{text:?} {media}");
        let words = "many words and ".repeat(1_000);
        let (text, media) = of_unread(format!(r#"{{"text":"{words}"}}"#).as_bytes());
        assert!((3_750..3_800).contains(&text.tokens()) && media == 0, "{text:?} {media}");
    }

    proptest! {
        #[test]
        fn any_text_is_counted(text in "\\PC{0,300}|[\\\\u0-9a-fd]{0,60}") {
            let escaped = of_escaped(text.as_bytes());
            prop_assert!(escaped.0 <= 24 * text.len() as u64);
            prop_assert!(of_unread(text.as_bytes()).0.0 <= 24 * text.len() as u64);
            let mut literal = Vec::new();
            crate::base::json::write_escaped(&text, &mut literal);
            prop_assert_eq!(of_escaped(&literal), of_plain(text.as_bytes()).0);
        }
    }
}
