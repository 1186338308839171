//! String literals: skipping, reading and writing their insides.

use std::borrow::Cow;

/// Whether there is a control character anywhere, line breaks included. Where there is none, which is the rule for a
/// request on the wire, strings need not be searched for them one by one.
pub(super) fn has_control(bytes: &[u8]) -> bool {
    let (blocks, tail) = bytes.as_chunks::<64>();
    let any = |block: &[u8]| block.iter().fold(0u8, |any, b| any | u8::from(*b < 0x20)) != 0;
    blocks.iter().any(|block| any(block)) || any(tail)
}

/// Where the next quote or backslash is. Most strings are short: two words are looked at before a search is worth its call.
pub(super) fn to_quote(bytes: &[u8]) -> usize {
    let mut run = 0;
    while let Some(word) = bytes[run..].first_chunk::<8>() {
        let marks = equal_to(u64::from_le_bytes(*word), b'"') | equal_to(u64::from_le_bytes(*word), b'\\');
        if marks != 0 {
            return run + (marks.trailing_zeros() / 8) as usize;
        }
        run += 8;
        if run == 16 {
            return run + memchr::memchr2(b'"', b'\\', &bytes[run..]).unwrap_or(bytes.len() - run);
        }
    }
    run + bytes[run..].iter().position(|b| *b == b'"' || *b == b'\\').unwrap_or(bytes.len() - run)
}

/// How many bytes from the start are plain string characters: no quote, no backslash, no control character.
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    let mut run = 0;
    while let Some(word) = bytes[run..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*word);
        let marks = equal_to(word, b'"') | equal_to(word, b'\\') | (word.wrapping_sub(ONES * 0x20) & !word & HIGHS);
        if marks != 0 {
            return run + (marks.trailing_zeros() / 8) as usize;
        }
        run += 8;
    }
    run + bytes[run..].iter().position(|b| is_special(*b)).unwrap_or(bytes.len() - run)
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks the bytes of `word` that are `byte`, in their highest bits. A borrow may mark a byte wrongly, but only behind one
/// that is marked rightly. Warren, "Hacker's Delight", 2nd ed., section 6-1.
fn equal_to(word: u64, byte: u8) -> u64 {
    let difference = word ^ (ONES * u64::from(byte));
    difference.wrapping_sub(ONES) & !difference & HIGHS
}

fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

/// The characters of a string literal given without its quotes. Lone surrogates become U+FFFD: a reader's view, never what is sent on.
pub fn unescape(inner: &str) -> Cow<'_, str> {
    // Most are short keys and words, for which a call costs more than it finds.
    let first = if inner.len() <= 16 { inner.bytes().position(|b| b == b'\\') } else { memchr::memchr(b'\\', inner.as_bytes()) };
    let Some(first) = first else { return Cow::Borrowed(inner) };
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    let mut next = Some(first);
    while let Some(at) = next {
        out.push_str(&rest[..at]);
        let (c, used) = escaped(&rest.as_bytes()[at..]);
        out.push(c);
        rest = rest.get(at + used..).unwrap_or_default();
        next = memchr::memchr(b'\\', rest.as_bytes());
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The character that an escape at the start of `bytes` stands for, and the escape's length.
fn escaped(bytes: &[u8]) -> (char, usize) {
    let hex = |from: usize| {
        let digits = bytes.get(from..from + 4).and_then(|d| std::str::from_utf8(d).ok());
        digits.and_then(|d| u32::from_str_radix(d, 16).ok())
    };
    match bytes.get(1) {
        Some(b'n') => ('\n', 2),
        Some(b't') => ('\t', 2),
        Some(b'r') => ('\r', 2),
        Some(b'b') => ('\u{8}', 2),
        Some(b'f') => ('\u{c}', 2),
        Some(b'u') => match (hex(2), bytes.get(6..8) == Some(b"\\u"), hex(8)) {
            (Some(high @ 0xd800..=0xdbff), true, Some(low @ 0xdc00..=0xdfff)) => {
                (char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)).unwrap_or('\u{fffd}'), 12)
            }
            (Some(code), ..) => (char::from_u32(code).unwrap_or('\u{fffd}'), 6),
            (None, ..) => ('\u{fffd}', bytes.len().min(6)),
        },
        Some(other) => (char::from(*other), 2),
        None => ('\u{fffd}', 1),
    }
}

/// Appends `text` as a JSON string literal, quotes included.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    write_escaped(text, out);
    out.push(b'"');
}

/// Appends `text` escaped for the inside of a JSON string literal.
pub fn write_escaped(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let run = plain_run(&bytes[at..]);
        out.extend_from_slice(&bytes[at..at + run]);
        at += run;
        if let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                other => {
                    out.extend_from_slice(b"\\u00");
                    out.push(HEX[usize::from(other >> 4)]);
                    out.push(HEX[usize::from(other & 15)]);
                }
            }
            at += 1;
        }
    }
}
