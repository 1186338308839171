//! String literals: skipping, reading and writing their insides.

use std::borrow::Cow;

/// How many bytes from the start are plain string characters: no quote, no backslash, no control character.
/// Thirty-two at a time, in a form that the compiler turns into vector instructions.
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    let special = |b: u8| b == b'"' || b == b'\\' || b < 0x20;
    let mut run = 0;
    for block in bytes.chunks_exact(32) {
        if block.iter().fold(false, |any, b| any | special(*b)) {
            break;
        }
        run += 32;
    }
    run + bytes[run..].iter().position(|b| special(*b)).unwrap_or(bytes.len() - run)
}

/// The characters of a string literal given without its quotes. Lone surrogates become U+FFFD: a reader's view, never what is sent on.
pub fn unescape(inner: &[u8]) -> Cow<'_, str> {
    if !inner.contains(&b'\\') {
        return String::from_utf8_lossy(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.push_str(&String::from_utf8_lossy(&rest[..at]));
        let (c, used) = escaped(&rest[at..]);
        out.push(c);
        rest = &rest[at + used..];
    }
    out.push_str(&String::from_utf8_lossy(rest));
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
