//! String literals: skipping, reading and writing their insides.

use std::borrow::Cow;

use super::block::{chunk, special};

/// How many bytes from the start are plain string characters: no quote, no backslash, no control character.
/// Sixteen at a time: most strings are short, and nearly all bytes are in long ones with an escape now and then.
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    let mut run = 0;
    while let Some(block) = chunk::<16>(bytes, run) {
        let marks = special(block);
        if marks != 0 {
            return run + marks.trailing_zeros() as usize;
        }
        run += 16;
    }
    let is_special = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < 0x20;
    run + bytes[run..].iter().position(is_special).unwrap_or(bytes.len() - run)
}

/// Where the first byte that is not plain is, within the first sixteen; else behind them.
pub(super) fn first_special(bytes: &[u8]) -> usize {
    match bytes.first_chunk::<16>() {
        Some(block) => (u32::from(special(block)) | 1 << 16).trailing_zeros() as usize,
        None => plain_run(bytes),
    }
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
